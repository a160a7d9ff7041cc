"""What the ledger tells of deliveries: differences between two states, and links to where commits are shown.

Rules:
1. A difference names a place by its path (target.instances, waves.0.share) and what stood there before and after.
2. A link is made only for an address of the web, never with a user's name or password in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_COMMIT: Final = {
    "github": "{base}/commit/{sha}",
    "gitea": "{base}/commit/{sha}",
    "forgejo": "{base}/commit/{sha}",
    "gitlab": "{base}/-/commit/{sha}",
    "bitbucket": "{base}/commits/{sha}",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Rule 1; None: nothing stood there."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> list[Difference]:
    """What differs between two values of JSON, by path."""
    return list(_differing((), before, after))


def _differing(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from _differing((*path, str(key)), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list):
        for at in range(max(len(before), len(after))):
            was = before[at] if at < len(before) else None
            yield from _differing((*path, str(at)), was, after[at] if at < len(after) else None)
    elif type(before) is not type(after) or before != after:  # true is not 1
        yield Difference(".".join(path), before, after)


def commit_link(forge: str, url: str, sha: str) -> str | None:
    """Where the forge shows a commit; None where that is not known."""
    pattern, parts = _COMMIT.get(forge), urlsplit(url)
    if pattern is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    port = f":{parts.port}" if parts.port else ""
    base = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('.git')}"
    return pattern.format(base=base, sha=sha)
