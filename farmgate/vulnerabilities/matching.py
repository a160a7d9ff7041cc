"""Whether a version is among those that a document means, by OSV's own rules of evaluation.

Rules:
1. A version is affected if it is listed, or within a range: events are taken by version, whatever their order in the
   document; `introduced` begins, `fixed` ends before its version, `last_affected` ends after it, `limit` bounds all.
2. `0` comes before every version.
3. Where a version does not compare, the answer is 'cannot tell' with the reason, unless the version is listed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cmp_to_key, partial
from typing import Any, Final

from farmgate.vulnerabilities.ecosystems import Uncomparable, base_of, compare
from farmgate.vulnerabilities.osv import Affected, Range

_AT_ONE_VERSION: Final = {"fixed": 0, "introduced": 1, "last_affected": 2, "limit": 3}


@dataclass(frozen=True, slots=True)
class Judged:
    """`affected`: None where it cannot be told, and `why`. `fixed`: the nearest version above without it."""

    affected: bool | None
    fixed: str | None = None
    why: str = ""


def judge(affected: Affected, version: str) -> Judged:
    """Rule 1."""
    base = base_of(affected.ecosystem)
    listed = version in affected.versions
    within, why = False, ""
    fixes: list[str] = []
    for each in affected.ranges:
        try:
            inside = _within(base, each, version)
        except Uncomparable as error:
            why = why or str(error)
            continue
        if inside:
            within = True
            fixes += [said for what, said in each.events if what == "fixed" and _after(base, said, version)]
    if not (listed or within):
        return Judged(None, why=why) if why else Judged(False)
    if not fixes:
        fixes = [s for each in affected.ranges for w, s in each.events if w == "fixed" and _after(base, s, version)]
    try:
        nearest = min(fixes, key=cmp_to_key(partial(compare, base))) if fixes else None
    except Uncomparable:
        nearest = fixes[0]
    return Judged(True, nearest)


def _after(base: str, one: str, version: str) -> bool:
    try:
        return compare(base, one, version) > 0
    except Uncomparable:
        return False


def _order(base: str, one: str, other: str) -> int:
    if one == "0" or other == "0":  # rule 2
        return (one != "0") - (other != "0")
    return compare(base, one, other)


def _within(base: str, of: Range, version: str) -> bool:
    """Raises Uncomparable."""
    limits = [said for what, said in of.events if what == "limit"]
    if limits and "*" not in limits and not any(compare(base, version, limit) < 0 for limit in limits):
        return False

    def by_version(one: tuple[str, str], other: tuple[str, str]) -> int:
        return _order(base, one[1], other[1]) or _AT_ONE_VERSION[one[0]] - _AT_ONE_VERSION[other[0]]

    inside = False
    for what, said in sorted((e for e in of.events if e[0] != "limit"), key=cmp_to_key(by_version)):
        against = 1 if said == "0" else compare(base, version, said)
        match what:
            case "introduced":
                inside = inside or against >= 0
            case "fixed":
                inside = inside and against < 0
            case _:
                inside = inside and against <= 0
    return inside


# --- as rows keep it -------------------------------------------------------------------------------------------------


def packed(affected: Affected) -> bytes:
    """Ranges and versions."""
    kept: dict[str, Any] = {"r": [[each.kind, each.events] for each in affected.ranges], "v": affected.versions}
    return zlib.compress(json.dumps(kept, separators=(",", ":")).encode(), 6)


def unpacked(ecosystem: str, name: str, data: bytes) -> Affected:
    """As it was packed."""
    kept = json.loads(zlib.decompress(data))
    ranges = tuple(Range(kind, tuple((what, said) for what, said in events)) for kind, events in kept["r"])
    return Affected(ecosystem, name, ranges, tuple(kept["v"]))


def cannot_tell(said: Iterable[str]) -> str:
    """In words: why a package could not be judged."""
    reasons = list(dict.fromkeys(said))
    more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    return "; ".join(reasons[:2]) + more
