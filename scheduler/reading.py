"""What a branch's new tip means: which commits are new, where they stand, which are gone. Over a `History`, no effects.

Rules:
1. Truth is the mirror: what was placed before is compared with the tip as it was fetched, whatever webhooks said, in
   whatever order they came.
2. The base is the last placed commit that the tip contains. Placed commits after it are gone (a forced push).
3. New are the first-parent commits of the tip that the base does not contain, oldest first. Each takes the next
   position, if it contains the base.
4. Where the branch was merged into something else and that was pushed (the old tip is the second parent), what comes
   from the side does not contain the base: it is seen, and run, but has no place; the merge has.
5. A branch without placed commits is new: its commits are those that no other known branch has, placed by the length
   of its history. If it brings none, its tip alone is placed.
6. The first look at a repository places each branch's tip alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from farmgate.errors import NotInRepository
from farmgate.git import GitCommit, History
from farmgate.models import BranchCommit

DEPTH = 20_000
"""The longest stretch of history that is looked through for one push."""


LONGEST_REF = 255
"""The longest name of a branch, or whole name of a tag, that is read."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A commit and its position in the branch; None: it came from the side."""

    commit: GitCommit
    position: int | None


@dataclass(frozen=True, slots=True)
class BranchReading:
    """`new`: oldest first. `gone_after`: what stood after that position is gone."""

    new: tuple[Placed, ...]
    gone_after: int | None = None
    tip_only: bool = False  # nothing new: its tip is placed, and needs no run if it has one


def read_branch(
    history: History,
    tip: str,
    placed: Callable[[], Sequence[BranchCommit]],
    last: BranchCommit | None,
    elsewhere: Iterable[str],
) -> BranchReading:
    """Rules 2 to 5. `last` is the last placed commit; `placed` gives all, asked for after a forced push only."""
    if last is None:
        return _new_branch(history, tip, elsewhere)
    ahead = history.first_parent(tip, before=last.sha, limit=DEPTH)
    if ahead and ahead[0].parents[:1] == (last.sha,):  # what nearly every push is, told without asking git more
        return BranchReading(_place(history, ahead, last))
    gone_after: int | None = None
    base: BranchCommit | None = last
    if not _contains(history, tip, last.sha):
        base = _last_contained(history, tip, placed())
        gone_after = base.position if base is not None else 0
    if base is None:
        reading = _new_branch(history, tip, ())
        return BranchReading(reading.new, 0, reading.tip_only)
    chain = history.first_parent(tip, before=base.sha, limit=DEPTH)
    return BranchReading(_place(history, chain, base), gone_after)


def read_tip(history: History, tip: str) -> BranchReading:
    """Rule 6."""
    return BranchReading((Placed(history.commit(tip), history.position(tip)),), tip_only=True)


def read_range(history: History, before: str | None, after: str, elsewhere: Iterable[str]) -> tuple[GitCommit, ...]:
    """What a push says of itself: the commits after `before` up to `after`; nothing if the mirror lacks either."""
    try:
        if before is None:
            return history.first_parent(after, exclude=elsewhere, limit=DEPTH)
        history.commit(before)
        return history.first_parent(after, before=before, limit=DEPTH)
    except NotInRepository:
        return ()


def _new_branch(history: History, tip: str, elsewhere: Iterable[str]) -> BranchReading:
    chain = history.first_parent(tip, exclude=elsewhere, limit=DEPTH)
    if not chain:
        return read_tip(history, tip)
    first = history.position(tip) - len(chain) + 1
    return BranchReading(tuple(Placed(commit, first + at) for at, commit in enumerate(chain)))


def _place(history: History, chain: Sequence[GitCommit], base: BranchCommit) -> tuple[Placed, ...]:
    side = 0
    if chain and chain[0].parents[:1] != (base.sha,):
        while side < len(chain) and not history.is_ancestor(base.sha, chain[side].sha):
            side += 1
    return tuple(
        Placed(commit, base.position + 1 + at - side if at >= side else None) for at, commit in enumerate(chain)
    )


def _last_contained(history: History, tip: str, placed: Sequence[BranchCommit]) -> BranchCommit | None:
    """By halving: each placed commit contains those before it."""
    low, high = 0, len(placed)
    while low < high:
        middle = (low + high) // 2
        if _contains(history, tip, placed[middle].sha):
            low = middle + 1
        else:
            high = middle
    return placed[low - 1] if low else None


def _contains(history: History, tip: str, sha: str) -> bool:
    try:
        return history.is_ancestor(sha, tip)
    except NotInRepository:
        return False
