"""A pipeline file with only some of its jobs and what these need."""

from __future__ import annotations

from collections.abc import Sequence

from farmgate.documents import nearest, read, write
from farmgate.errors import NotFound
from farmgate.pipeline.builtin import BUILT_IN
from farmgate.pipeline.expanding import expanded
from farmgate.pipeline.parsing import FILE_NAME
from farmgate.pipeline.templates import Templates


def only(text: str | bytes, jobs: Sequence[str], source: str = FILE_NAME, templates: Templates = BUILT_IN) -> str:
    """The file, expanded, with `jobs` (as the file names them) and what they need. Raises BadDocument, NotFound."""
    data = read(expanded(text, source, templates), source).data
    known = data["jobs"]
    for name in jobs:
        if name not in known:
            hint = nearest(name, known, otherwise=f"it has {', '.join(list(known)[:20])}")
            raise NotFound(f"{source} has no job {name!r} ({hint})")
    kept: set[str] = set()
    left = list(jobs)
    while left:
        name = left.pop()
        if name not in kept:
            kept.add(name)
            needs = known[name].get("needs") or ()
            left += [need["job"] if isinstance(need, dict) else need for need in needs]
    return write({**data, "jobs": {name: job for name, job in known.items() if name in kept}})
