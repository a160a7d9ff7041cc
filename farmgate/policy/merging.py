"""The target of a lane out of the default target and its own, or what is wrong with it, each where it was written.

Rules:
1. A lane's key wins over the default's; `environment` is merged, name by name.
2. Where the lane names another type, only those keys of the default count that both kinds share.
3. A key that is null counts as not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from farmgate.documents import Document, Location, check, nearest, shown
from farmgate.errors import Problem
from farmgate.policy.files import PolicyFile
from farmgate.policy.targets import Kind, Target, TargetFile, kind, names

_MERGED: Final = "environment"


def target_of(document: Document, file: PolicyFile, name: str) -> tuple[Target | None, tuple[Problem, ...]]:
    """The target of the lane called `name`, or the problems."""
    own, default = _written(file.lanes[name].target), _written(file.target)
    ours: Location = ("lanes", name, "target")
    place: Location = ours if own is not None else ("target",) if default is not None else ("lanes", name)
    wanted = (own or {}).get("type", (default or {}).get("type"))
    at: Location = (*(ours if "type" in (own or {}) else ("target",)), "type")
    if wanted is None:
        said = f"the target of {name} needs 'type'"
        return None, (document.problem(place, said, ", ".join(names()), key=True),)
    if not isinstance(wanted, str):
        return None, (document.problem(at, f"the type of a target must be text, but is {shown(wanted)}"),)
    try:
        found = kind(wanted)
    except ValueError as error:
        return None, (document.problem(at, str(error), nearest(wanted, names())),)
    base = _base(found, default or {})
    merged = {**base, **(own or {}), "type": wanted}
    both = own is not None and isinstance(base.get(_MERGED), dict) and isinstance(own.get(_MERGED), dict)
    if both:
        merged[_MERGED] = {**base[_MERGED], **merged[_MERGED]}

    def source(location: Location) -> Location:
        """Where the part of the merged target was written."""
        if own is None or not location:
            return place
        key = location[0]
        if both and key == _MERGED and len(location) > 1:
            return ours if location[1] in own[_MERGED] else ("target",)
        return ("target",) if key in base and key not in own else ours

    if unknown := _unknown(document, found, merged, source):
        return None, unknown
    written, problems = check(document, found.written, merged, source)
    return (found.made(written), ()) if isinstance(written, TargetFile) else (None, problems)


def _written(target: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in target.items() if value is not None} if target is not None else None


def _base(wanted: Kind, default: dict[str, Any]) -> dict[str, Any]:
    named = default.get("type")
    if named is None or named == wanted.name:
        return default
    try:
        return wanted.takes_over(kind(named), default) if isinstance(named, str) else {}
    except ValueError:  # told where a lane uses the default as it is
        return {}


def _unknown(document: Document, found: Kind, merged: dict[str, Any], source: Any) -> tuple[Problem, ...]:
    return tuple(
        document.problem(
            (*source((key,)), key),
            f"a {found.name} target knows no {key!r}",
            nearest(key, found.keys, otherwise=f"known here: {', '.join(found.keys)}"),
            key=True,
        )
        for key in merged
        if key not in found.keys
    )
