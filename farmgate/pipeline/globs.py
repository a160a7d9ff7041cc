"""Patterns of names with folders in them: branches, tags, paths.

Rules:
1. `*` and `?` stand for anything within one name, `[..]` for one of some characters (`[!..]` for any other one), and
   `**`, alone between slashes, for any folders, none included. `*` never crosses a `/`; `**` does: `release/**`.
2. `!` in front takes away again, wherever in the list it stands: one of the others must fit, and none of these. A list
   that only takes away starts from everything.
3. Of paths, a pattern whose last name has no wildcard also fits whatever is below a folder of that name: `docs` is
   `docs/**`, and so is `docs/`.
4. Capital letters are other letters. A name that begins with a dot is like any other.
5. Matching costs no more than the product of the lengths: names and patterns are a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_MAGIC = re.compile(r"[*?[]")


def fits(patterns: Sequence[str], name: str, *, folders: bool = False) -> bool:
    """True if the list takes the name (rules 1 and 2). `folders`: rule 3 applies."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if wanted and not any(fits_one(pattern, name, folders=folders) for pattern in wanted):
        return False
    return not any(fits_one(pattern, name, folders=folders) for pattern in unwanted)


def fits_one(pattern: str, name: str, *, folders: bool = False) -> bool:
    """True if this one pattern, without `!`, fits the name."""
    wanted, parts = _parts(pattern, folders), name.split("/")
    # `**` is the only part that stands for several: go on greedily, and back only to the last of them
    at, to, star, retry = 0, 0, -1, 0
    while to < len(parts):
        if at < len(wanted) and wanted[at] is None:
            star, retry = at, to
            at += 1
        elif at < len(wanted) and _fits_part(wanted[at], parts[to]):
            at, to = at + 1, to + 1
        elif star >= 0:
            retry += 1
            at, to = star + 1, retry
        else:
            return False
    return all(part is None for part in wanted[at:])


_Part = re.Pattern[str] | str | None
"""A part of a pattern: a plain name, one with wildcards, or None for `**`."""


@lru_cache(maxsize=4096)
def _parts(pattern: str, folders: bool) -> tuple[_Part, ...]:
    names = pattern.removeprefix("./").rstrip("/").split("/")
    if folders and not _MAGIC.search(names[-1]):
        names.append("**")
    parts: list[_Part] = []
    for name in names:
        if name == "**":
            if not parts or parts[-1] is not None:
                parts.append(None)
        else:
            parts.append(re.compile(_regex(name), re.DOTALL) if _MAGIC.search(name) else name)
    return tuple(parts)


def _fits_part(part: _Part, name: str) -> bool:
    return name == part if isinstance(part, str) else part is not None and part.fullmatch(name) is not None


def _regex(name: str) -> str:
    """Each `*` and what follows it up to the next one is an atomic group: no pattern makes matching go back over it."""
    pieces: list[str] = [""]
    at = 0
    while at < len(name):
        character = name[at]
        at += 1
        if character == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif character == "?":
            pieces[-1] += "."
        elif character == "[" and (end := name.find("]", at + (2 if name[at : at + 1] == "!" else 1))) > 0:
            pieces[-1] += _one_of(name[at:end])
            at = end + 1
        else:
            pieces[-1] += re.escape(character)
    first, *rest = pieces
    if not rest:
        return first
    return first + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]


def _one_of(inside: str) -> str:
    """`a-z0-9` or `!a-z`, as a class; a range that runs backwards fits nothing."""
    negated = inside.startswith("!")
    left, ranges = inside.removeprefix("!"), ""
    while left:
        if len(left) >= 3 and left[1] == "-":
            if left[0] <= left[2]:
                ranges += f"{re.escape(left[0])}-{re.escape(left[2])}"
            left = left[3:]
        else:
            ranges += re.escape(left[0])
            left = left[1:]
    if not ranges:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{ranges}]"
