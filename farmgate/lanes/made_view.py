"""Commits that Farmgate makes, as a lane's rules see them."""

from __future__ import annotations

from dataclasses import dataclass

from farmgate import states
from farmgate.models import MadeKind


@dataclass(frozen=True, slots=True)
class OpenHotfix:
    """A hotfix that is asked for and not over. `against`: bans of what it brings, in words; `approved_by`: people whose
    word counts for it."""

    id: int
    state: states.Made
    sha: str | None
    candidate_id: int | None
    run_id: int | None
    on_live: bool
    asked_by: str
    against: tuple[str, ...] = ()
    approved_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Brought:
    """What a made commit brought to what is live. `at`: from there on the branch contains it; None: not yet."""

    sha: str
    title: str
    kind: MadeKind
    at: int | None


@dataclass(frozen=True, slots=True)
class OpenRevert:
    """A commit without a culprit that is asked for and not over. `onto`, `position`: what it is made from, and where;
    `stands`: that is still there; `picks`: what it takes back, newest first; `agreed`: enough people approved it."""

    id: int
    state: states.Made
    sha: str | None
    candidate_id: int | None
    run_id: int | None
    onto: str
    position: int
    picks: tuple[str, ...]
    stands: bool = True
    agreed: bool = False


@dataclass(frozen=True, slots=True)
class PastRevert:
    """One that is over. `settled`: a person lifted the hold that told it."""

    id: int
    state: states.Made
    onto: str
    picks: tuple[str, ...]
    problem: str | None
    settled: bool = False
