"""What a job takes from others: `extends`, `default`, and `!reference`.

Rules:
1. What a job says wins over what it extends; mappings are merged, but for those that only make sense whole.
2. What is not in the given files is told; a circle ends.

Follows "Use YAML anchors, extends and !reference" of GitLab's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from farmgate.documents import Document, as_written
from farmgate.importing.account import Account, Kind, flat
from farmgate.importing.sources import REFERENCE

_DEFAULTS: Final = (
    "image",
    "services",
    "before_script",
    "after_script",
    "cache",
    "retry",
    "timeout",
    "interruptible",
    "tags",
    "artifacts",
    "hooks",
    "id_tokens",
)
_WHOLE: Final = ("rules", "script", "cache", "image")


def extended(
    name: str,
    value: dict[str, Any],
    raw: Mapping[str, Any],
    documents: Mapping[str, Document],
    account: Account,
    seen: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """A job with what it extends. `raw`: all jobs by name; `documents`: where each stands."""
    merged: dict[str, Any] = {}
    for base in (as_written(one) or "" for _, one in flat(value.get("extends"), ())):
        below = raw.get(base)
        if isinstance(below, dict) and base not in seen and len(seen) < 12:
            merged = _merged(merged, extended(base, below, raw, documents, account, seen | {name}))
        elif name in documents:
            message, remedy = (
                f"extends {base[:60]!r}, which is not here",
                "give the file that has it to the importer, too",
            )
            account.say(Kind.LEFT, documents[name], (name, "extends"), message, remedy, key=True)
    return _merged(merged, {key: below for key, below in value.items() if key != "extends"})


def with_defaults(job: dict[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """A job with what the file says for all of them, as far as its `inherit` lets it."""
    defaults = raw.get("default")
    given = {key: raw[key] for key in _DEFAULTS if key in raw}
    given.update(
        {key: value for key, value in (defaults if isinstance(defaults, dict) else {}).items() if key in _DEFAULTS}
    )
    inherit = job.get("inherit")
    wanted = inherit.get("default") if isinstance(inherit, dict) else None
    if wanted is False:
        given = {}
    elif isinstance(wanted, list):
        given = {key: value for key, value in given.items() if key in wanted}
    return {**given, **job}


def followed(value: Any, raw: Mapping[str, Any], account: Account, documents: Mapping[str, Document]) -> Any:
    """`!reference [job, key]` replaced by what it names, anywhere below a value."""

    def follow(value: Any, depth: int) -> Any:
        if isinstance(value, dict) and depth < 30:
            return {key: follow(below, depth + 1) for key, below in value.items()}
        if not isinstance(value, list):
            return value
        if value and value[0] == REFERENCE:
            return named(value[1:], depth)
        found: list[Any] = []
        for one in value:
            below = follow(one, depth + 1) if depth < 30 else one
            spread = isinstance(one, list) and one and one[0] == REFERENCE and isinstance(below, list)
            found += below if spread else [below]
        return found

    def named(path: list[Any], depth: int) -> Any:
        below: Any = raw
        for part in path:
            if not (isinstance(below, dict) and isinstance(part, str) and part in below):
                return [f"!reference {path}"] if depth else None
            below = below[part]
            if isinstance(below, dict) and "extends" in below:
                below = extended(part, below, raw, documents, account)
        return follow(below, depth + 1) if depth < 10 else None

    return follow(value, 0)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Rule 1."""
    found = dict(under)
    for key, value in over.items():
        mappings = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merged(found[key], value) if mappings and key not in _WHOLE else value
    return found
