"""A lane as its rules see it: everything that was read at one moment, and nothing that acts.

Rules:
1. The queue is computed, never enqueued: the commits of the branch after what is live, oldest first.
2. Whoever only decides may leave out commits without a candidate; whoever explains needs them all. The decisions are
   the same.
3. A queue may be long, and whoever decides looks at few of it: a commit is made of its row when it is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, overload

from farmgate import states
from farmgate.lanes.made_view import Brought, OpenHotfix, OpenRevert, PastRevert
from farmgate.models import HoldKind, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.vulnerabilities.exposure import Exposure


class Checks(StrEnum):
    """What integration says of a commit."""

    GREEN = "green"
    RED = "red"
    RUNNING = "running"
    UNSEEN = "unseen"  # no run of it


@dataclass(frozen=True, slots=True)
class QueuedCommit:
    """A commit after what is live. `fixes`: hashes (or their first digits) that it says it reverts or fixes."""

    position: int
    sha: str
    title: str = ""
    author: str = ""
    checks: Checks = Checks.UNSEEN
    checks_reason: str | None = None
    candidate_id: int | None = None
    green_at: datetime | None = None
    seen_at: datetime | None = None
    run_id: int | None = None
    fixes: tuple[str, ...] = ()


class Queue(Sequence[QueuedCommit]):
    """Commits, each made of its row when it is looked at (rule 3)."""

    __slots__ = ("_make", "_rows")

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], QueuedCommit]) -> None:
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> QueuedCommit: ...

    @overload
    def __getitem__(self, at: slice) -> Queue: ...

    def __getitem__(self, at: int | slice) -> QueuedCommit | Queue:
        return Queue(self._rows[at], self._make) if isinstance(at, slice) else self._make(self._rows[at])

    def __iter__(self) -> Iterator[QueuedCommit]:
        return map(self._make, self._rows)

    def __reversed__(self) -> Iterator[QueuedCommit]:
        return map(self._make, reversed(self._rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, slots=True)
class Live:
    """The release that is live. `base`: where its history meets the branch: its position, unless it was dropped."""

    release_id: int
    rollout_id: int
    sha: str
    position: int
    base: int
    since: datetime
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TurnedRed:
    """A check that says no of what is live. `reason`: of the hold or the rollback that follows; `back_to`: the good
    release before; `settled`: somebody lifted the hold that said so."""

    check: str
    since: datetime
    reason: str
    back_to: int | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A good release of a followed lane."""

    position: int
    at: datetime


def useful(releases: Iterable[Verified]) -> tuple[Verified, ...]:
    """By position, without those that a later commit was verified before: the first that fits is the earliest."""
    kept: list[Verified] = []
    for release in sorted(releases, key=lambda each: (-each.position, each.at)):
        if not kept or release.at < kept[-1].at:
            kept.append(release)
    return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class StandingBan:
    """A ban that nobody lifted; `lane` names the followed lane that it comes from, None for the lane's own. `culprit`:
    a search, or a batch of one, found it; `taken`: what of it a made commit took back in what is live, and where that
    stands."""

    id: int
    sha: str
    position: int
    covers: tuple[str, ...]
    reason: str
    lane: str | None = None
    culprit: bool = False
    taken: tuple[tuple[str, int], ...] = ()


ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StandingHold:
    """A hold, freeze or stop by a person that is neither lifted nor over; it may begin later."""

    id: int
    reason: str
    by: str
    until: datetime
    begins: datetime = ALWAYS
    kind: HoldKind = HoldKind.HOLD


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word for the commits after `since` up to `until`; that of somebody who may still give it."""

    by: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Active:
    """The rollout under way. `state`: one that asks waits for a person, one that is restored is taken back."""

    rollout_id: int
    number: int
    kind: RolloutKind
    until_sha: str
    until_position: int
    started_at: datetime
    state: states.Rollout = states.Rollout.RUNNING


@dataclass(frozen=True, slots=True)
class OpenSearch:
    """A sealed batch that went sick: the culprit is after `since` and at or before `until`."""

    id: int
    since: int
    until: int
    points: tuple[str, ...]  # oldest first
    rollouts: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """The commit at `position` says that another goes before it, or with it: one of a line (repository, branch).
    `at`: where that one stands; None: it is not there."""

    position: int
    sha: str
    line: tuple[str, str]
    at: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """A commit that a group's search may try."""

    line: tuple[str, str]
    sha: str


@dataclass(frozen=True, slots=True)
class JointSearch:
    """A sealed joint batch: with its first `good` points it is good, with its first `sick` it is sick."""

    id: int
    points: tuple[Point, ...]
    good: int
    sick: int
    rollouts: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Together:
    """The group of a lane: the lanes before it and after it, in their order. These know no group themselves."""

    name: str
    before: tuple[LaneView, ...] = ()
    after: tuple[LaneView, ...] = ()
    search: JointSearch | None = None


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane at one moment."""

    lane_id: int
    policy: LanePolicy
    live: Live | None = None
    commits: Sequence[QueuedCommit] = ()  # after the live one, oldest first
    gone: tuple[QueuedCommit, ...] = ()  # dropped by a forced push, for showing
    verified: Mapping[str, tuple[Verified, ...]] = field(default_factory=dict)  # by followed lane: see `useful`
    bans: tuple[StandingBan, ...] = ()
    holds: tuple[StandingHold, ...] = ()
    active: Active | None = None
    counts_from: Active | None = None  # the rollout under way, where the rest is as it will be if that ends good
    search: OpenSearch | None = None
    rollback_asked: str | None = None  # by whom
    finished_at: datetime | None = None  # of the last rollout that went forward
    durations: tuple[timedelta, ...] = ()  # of the last good rollouts
    outcomes: tuple[bool, ...] = ()  # of the last batches, oldest first: good or not; where the batch size adapts
    begun: tuple[datetime, ...] = ()  # rollouts that count for the budget, oldest first
    approvals: tuple[Approval, ...] = ()
    authored: Mapping[str, frozenset[int]] = field(default_factory=dict)  # by approver: commits that they wrote
    security: tuple[int, ...] = ()  # positions of waiting security fixes, rising
    exposure: Exposure | None = None  # what it is made of, where the lane refuses vulnerabilities
    unproven: Mapping[int, str] = field(default_factory=dict)  # candidates without the provenance that the lane wants
    hotfix: OpenHotfix | None = None
    brought: tuple[Brought, ...] = ()  # by hotfixes that are live, and must not be lost
    revert: OpenRevert | None = None
    reverts: tuple[PastRevert, ...] = ()  # those that are over, newest first
    turned_red: TurnedRed | None = None  # what is live, after it went live
    needs: tuple[Need, ...] = ()  # what waiting commits need of other lines of the group
    together: Together | None = None
    unacknowledged_loss: bool = False  # the live commit is gone, and no person said that this is all right

    @property
    def base(self) -> int:
        """The position after which the queue begins."""
        return self.live.base if self.live is not None else 0

    @property
    def line(self) -> tuple[str, str]:
        """Whose commits these are: lanes of one line that go together take the same ones."""
        return self.policy.repository, self.policy.branch

    @property
    def members(self) -> tuple[LaneView, ...]:
        """The lanes of the group in their order, this one among them; alone, just this one."""
        return (*self.together.before, self, *self.together.after) if self.together is not None else (self,)

    @property
    def mates(self) -> tuple[LaneView, ...]:
        """The other lanes of the group."""
        return (*self.together.before, *self.together.after) if self.together is not None else ()

    @property
    def in_line(self) -> tuple[LaneView, ...]:
        """The lanes of the group that take the same commits as this one, and this one."""
        return tuple(each for each in self.members if each.line == self.line)


_REVERTS: Final = re.compile(r"this reverts commits?\s+((?:[0-9a-f]{7,64}(?:\s*,?\s*(?:and\s+)?)?)+)", re.IGNORECASE)
_FIXES: Final = re.compile(r"^fixes-commit:[ \t]*([0-9a-f]{7,64})\b", re.IGNORECASE | re.MULTILINE)
_SECURITY: Final = re.compile(r"^security-fix:[ \t]*\S", re.IGNORECASE | re.MULTILINE)
LONGEST_WHY: Final = 200
_IRREVERSIBLE: Final = re.compile(r"^irreversible:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_DEPENDS: Final = re.compile(r"^depends-on:[ \t]*([\w.-]+)@([0-9a-f]{7,64})\b", re.IGNORECASE | re.MULTILINE)
_HASH: Final = re.compile(r"\b[0-9a-f]{7,64}\b")


def fixes_in(message: str) -> tuple[str, ...]:
    """The hashes a message says it reverts (`This reverts commit ...`) or fixes (`Fixes-commit: ...`)."""
    named = [found for run in _REVERTS.findall(message) for found in _HASH.findall(run.lower())]
    return (*named, *(found.lower() for found in _FIXES.findall(message)))


def fixes_security(message: str) -> bool:
    """True if a message says so: `Security-fix: CVE-2026-1234`."""
    return _SECURITY.search(message) is not None


def irreversible_in(message: str) -> str | None:
    """Why a message says that its commit cannot be taken back: `Irreversible: drops the old column`."""
    found = _IRREVERSIBLE.search(message)
    return " ".join(found[1].split())[:LONGEST_WHY] if found is not None else None


def needs_in(message: str) -> tuple[tuple[str, str], ...]:
    """The commits that must not go after this one: `Depends-On: <repository>@<hash>`, as (repository, hash)."""
    return tuple((repository, sha.lower()) for repository, sha in _DEPENDS.findall(message))
