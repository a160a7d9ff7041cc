"""What patterns of paths name in a commit's tree, by hash, looking at no more of the tree than is needed.

Rules:
1. Patterns are those of `farmgate.pipeline.globs`: of paths, so that a folder stands for all below it.
2. A folder that the patterns take whole is told as one entry: its hash says all that is below it.
3. A folder in which nothing can fit is not opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from farmgate.pipeline import globs

FOLDER: Final = "40000"
_MAGIC: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link, submodule or whole folder of a tree. `mode` as git writes it."""

    path: str
    mode: str
    sha: str


Read = Callable[[Entry], Sequence[Entry]]
"""The entries of a folder, with their names as their paths."""


def chosen(read: Read, root: Entry, patterns: Sequence[str]) -> Iterator[Entry]:
    """What the patterns take, in git's order. `root` has an empty path. No pattern takes nothing."""
    if not patterns:
        return
    wanted = [_parts(pattern) for pattern in patterns if not pattern.startswith("!")] or [("**",)]
    refused = [_parts(pattern[1:]) for pattern in patterns if pattern.startswith("!")]
    yield from _below(read, root, (), wanted, refused, patterns)


def _below(
    read: Read,
    folder: Entry,
    at: tuple[str, ...],
    wanted: list[tuple[str, ...]],
    refused: list[tuple[str, ...]],
    patterns: Sequence[str],
) -> Iterator[Entry]:
    for found in read(folder):
        names = (*at, found.path)
        entry = Entry("/".join(names), found.mode, found.sha)
        if entry.mode != FOLDER:
            if globs.fits(patterns, entry.path, folders=True):
                yield entry
            continue
        mine = [pattern for pattern in wanted if _may_fit_below(pattern, names)]
        if not mine or any(_takes_all_below(pattern, names) for pattern in refused):
            continue
        against = [pattern for pattern in refused if _may_fit_below(pattern, names)]
        if not against and any(_takes_all_below(pattern, names) for pattern in mine):
            yield entry
        else:
            yield from _below(read, entry, names, mine, against, patterns)


def _parts(pattern: str) -> tuple[str, ...]:
    names = pattern.removeprefix("./").rstrip("/").split("/")
    return tuple(names) if _MAGIC & set(names[-1]) else (*names, "**")


def _may_fit_below(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """True if the pattern may take something below the folder."""
    for number, name in enumerate(names):
        if number >= len(pattern):
            return False
        if pattern[number] == "**":
            return True
        if not globs.fits_one(pattern[number], name):
            return False
    return len(pattern) > len(names)


def _takes_all_below(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """True if the pattern takes whatever is below the folder."""
    if pattern[-1] != "**":
        return False
    base = pattern[:-1]
    while base and base[-1] == "**":
        base = base[:-1]
    # below the folder or below one that it is in
    return any(not base or globs.fits_one("/".join(base), "/".join(names[:n])) for n in range(1, len(names) + 1))
