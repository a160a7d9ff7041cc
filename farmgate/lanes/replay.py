"""A lane's recorded history under another policy: what would have been cut, how long commits would have waited. Pure.

Rules:
1. The batches are cut by the functions that cut them in earnest (`cutting`, `search`), from what was known at each
   moment: a commit is there once it was green, and verified once the followed lane had it.
2. A rollout takes the policy's soak times and what the recorded good ones took besides; one that goes sick takes what
   the recorded sick ones took, or half as long as a good one.
3. What a standing ban of the lane covers broke it: a batch that holds it without its fix goes sick again, is taken back
   and searched.
4. What people did (holds, rollbacks, decisions) is not repeated, approvals are given at once, and the branch is as it
   stands now.
5. Candidates are refused for what they are made of as today's documents tell it, each from the day on that it was
   public and not while an administrator's word stood; and for provenance that is not signed, or not trusted, today.
6. Exposure: the commits of each batch that went sick, times how long it was out before it was taken back.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from farmgate.lanes.cutting import Cut, Wait, cut
from farmgate.lanes.eligible import blocked
from farmgate.lanes.search import Culprit, Lost, points
from farmgate.lanes.view import LaneView, Live, OpenSearch, QueuedCommit, StandingBan, Verified, useful
from farmgate.models import RolloutKind
from farmgate.policy import LanePolicy
from farmgate.vulnerabilities.exposure import Exposure

_NEVER: Final = timedelta(days=36_500)
_NONE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Past:
    """What was recorded of a lane between two moments. `commits`: of its branch after `base`, by position, the red
    ones too; `verified`: the good releases of each lane that may be followed; `work`: what good rollouts took besides
    soaking."""

    since: datetime
    until: datetime
    base: int
    commits: tuple[QueuedCommit, ...]
    verified: Mapping[str, tuple[Verified, ...]] = field(default_factory=dict)
    broke: tuple[StandingBan, ...] = ()
    work: tuple[timedelta, ...] = ()
    sick: tuple[timedelta, ...] = ()
    security: tuple[int, ...] = ()
    made_of: Exposure | None = None  # of every candidate, and of what was live at `since`; where the policy looks at it
    unproven: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """A rollout of the replay: the commits after `since` up to `until`, so many of them."""

    since: int
    until: int
    sha: str
    size: int
    kind: RolloutKind
    good: bool
    cut_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """How it would have gone. `delays`: from green to live, sorted; `left`: green commits that were not live at the
    end; `exposure`: commits times minutes."""

    batches: tuple[Batch, ...]
    delays: tuple[timedelta, ...]
    left: int
    exposure: float

    @classmethod
    def of(cls, batches: tuple[Batch, ...], delays: tuple[timedelta, ...], left: int) -> Replayed:
        """Rule 6 over the batches."""
        sick = (each for each in batches if not each.good)
        exposure = sum(each.size * ((each.ended_at - each.cut_at) / timedelta(minutes=1)) for each in sick)
        return cls(batches, delays, left, exposure)

    def delay(self, percent: float) -> timedelta | None:
        """The delay that so many percent of the commits did not exceed."""
        if not self.delays:
            return None
        return self.delays[min(len(self.delays) - 1, int(len(self.delays) * percent / 100))]


def replay(past: Past, policy: LanePolicy) -> Replayed:
    """The history from `since` to `until` under this policy."""
    return _Replay(past, policy).play()


class _Replay:
    """The lane as it would stand; moves from one moment at which something is known to the next."""

    def __init__(self, past: Past, policy: LanePolicy) -> None:
        self.past, self.policy = past, policy.model_copy(update={"approvals": None})
        self.now, self.base = past.since, past.base
        self.coming = sorted((each for each in past.commits if each.green_at is not None), key=_green)[::-1]
        self.waiting: list[QueuedCommit] = []
        self.verified = {lane: sorted(past.verified.get(lane, ()), key=lambda each: each.at) for lane in policy.follows}
        self.exposure = past.made_of
        verified = {each.at for releases in self.verified.values() for each in releases}
        self.times = sorted(verified | set(_turns(past.made_of, policy)))
        self.spans = blocked(LaneView(0, policy, commits=past.commits, bans=past.broke))
        self.all = tuple(each.position for each in past.commits)
        self.good, self.sick = spans(past, policy)
        self.bans: tuple[StandingBan, ...] = ()
        self.search: OpenSearch | None = None
        self.finished_at: datetime | None = None
        self.batches: list[Batch] = []
        self.delays: list[timedelta] = []

    def play(self) -> Replayed:
        while self.now <= self.past.until:
            self._arrive()
            view = self._view()
            match cut(view, self.now):
                case Cut() as found:
                    self._roll_out(view, found)
                case Culprit() as culprit:
                    self._ban(culprit)
                case Lost():
                    self.search = None
                case Wait(_, until):
                    at = self._next(until)
                    if at is None:
                        break
                    self.now = at
        self.now = max(self.now, self.past.until)
        self._arrive()
        return Replayed.of(tuple(self.batches), tuple(sorted(self.delays)), len(self.waiting))

    def _arrive(self) -> None:
        while self.coming and _green(self.coming[-1]) <= self.now:
            commit = self.coming.pop()
            if commit.position > self.base:
                insort(self.waiting, commit, key=lambda each: each.position)

    def _view(self) -> LaneView:
        live = Live(0, 0, "", self.base, self.base, self.past.since) if self.base else None
        known = {
            lane: useful(releases[: bisect_right(releases, self.now, key=lambda each: each.at)])
            for lane, releases in self.verified.items()
        }
        return LaneView(
            lane_id=0,
            policy=self.policy,
            live=live,
            commits=tuple(self.waiting) if not self.bans else self._with_red_ones(),
            verified=known,
            bans=self.bans,
            search=self.search,
            finished_at=self.finished_at,
            durations=(self.good,),
            outcomes=tuple(each.good for each in self.batches),
            begun=tuple(each.cut_at for each in self.batches),
            security=self.past.security,
            exposure=self._made_of(),
            unproven=self.past.unproven,
        )

    def _made_of(self) -> Exposure | None:
        """Rule 5, of what waits now."""
        seen = self.exposure
        if seen is None:
            return None
        waiting = [each.candidate_id for each in self.waiting if each.candidate_id is not None]
        said = tuple(each for each in seen.decisions if each.at <= self.now)
        mine = {candidate: seen.made_of[candidate] for candidate in waiting if candidate in seen.made_of}
        return replace(seen, at=self.now, made_of=mine, decisions=said)

    def _with_red_ones(self) -> tuple[QueuedCommit, ...]:
        """Bans and fixes are about commits that need not be green."""
        green = {each.sha: each for each in self.waiting}
        rest = self.past.commits[bisect_right(self.all, self.base) :]
        newest = self.waiting[-1].position if self.waiting else self.base
        seen = (each for each in rest if each.position <= newest)
        return tuple(green.get(each.sha) or replace(each, candidate_id=None, green_at=None) for each in seen)

    def _next(self, until: datetime | None) -> datetime | None:
        times = [until] if until is not None else []
        times += [_green(self.coming[-1])] if self.coming else []
        later = bisect_right(self.times, self.now)
        times += self.times[later : later + 1]
        ahead = [time for time in times if time > self.now]
        return min(ahead, default=None)

    def _roll_out(self, view: LaneView, found: Cut) -> None:
        until = found.commit.position
        good = not any(span.blocks(until) and found.since < span.start for span in self.spans)
        ended = self.now + (self.good if good else self.sick)
        size = bisect_right(self.all, until) - bisect_right(self.all, found.since)
        self.batches.append(Batch(found.since, until, found.commit.sha, size, found.kind, good, self.now, ended))
        if good:
            self._deliver(until, ended)
        elif self.search is not None:
            self.search = replace(self.search, until=until)
        else:
            self._seek(view, found)
        self.now = self.finished_at = ended

    def _deliver(self, until: int, at: datetime) -> None:
        there = bisect_right(self.waiting, until, key=lambda each: each.position)
        brings = self.waiting[there - 1].candidate_id if there else None
        if self.exposure is not None and brings is not None:
            self.exposure = replace(self.exposure, live=self.exposure.made_of.get(brings))
        self.delays += [at - _green(each) for each in self.waiting[:there]]
        del self.waiting[:there]
        self.base = until
        if self.search is not None:
            self.search = replace(self.search, since=until)

    def _seek(self, view: LaneView, found: Cut) -> None:
        sealed = points(view, found.since, found.commit.position, found.commit.sha)
        if len(sealed) == 1:
            self._ban(Culprit(None, found.commit.sha, found.since, found.commit.position))
        else:
            ends = self.now + _NEVER
            self.search = OpenSearch(len(self.batches), found.since, found.commit.position, sealed, 0, ends)

    def _ban(self, culprit: Culprit) -> None:
        first, last = bisect_right(self.all, culprit.since), bisect_right(self.all, culprit.position)
        covers = tuple(each.sha for each in self.past.commits[first:last])
        ban = StandingBan(len(self.bans), culprit.sha, culprit.position, covers, "it broke the lane")
        self.bans, self.search = (*self.bans, ban), None


def spans(past: Past, policy: LanePolicy) -> tuple[timedelta, timedelta]:
    """Rule 2: how long a good rollout takes under this policy, and one that goes sick."""
    soak = sum((wave.soak for wave in policy.waves), _NONE)
    good = soak + (statistics.median_high(past.work) if past.work else _NONE)
    return good, statistics.median_high(past.sick) if past.sick else good / 2


def _turns(seen: Exposure | None, policy: LanePolicy) -> Iterator[datetime]:
    """When what is refused changes by itself."""
    if seen is None or policy.vulnerabilities is None:
        return
    for one in seen.known.values():
        if one.published is not None:
            yield one.published + policy.vulnerabilities.grace
    for each in seen.decisions:
        yield from (each.at, each.until)


def _green(commit: QueuedCommit) -> datetime:
    assert commit.green_at is not None
    return commit.green_at
