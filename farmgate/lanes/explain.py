"""Why each commit waits, when it should be live, and what the next batch would be.

Rules:
1. The reasons are those that decide (`eligible`, `cutting`), all of them, in words.
2. An estimate counts from recorded durations of good rollouts (their median; the policy's soak times while there are
   none), through the batches that are to be cut before, windows, freezes and the budget. What depends on a person or on
   running checks has none; behind a window, freeze or budget only the next TOLD_BATCHES have one.
3. While a rollout is under way, the view is as it will be if that ends good (`counts_from`), and the answer says so.
4. While a culprit is searched, the next batch is what the search tries next.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farmgate import states
from farmgate.lanes import hotfix, reverts
from farmgate.lanes.calendar import beginnings, may_begin, spared
from farmgate.lanes.choosing import choose_among, most_commits, start
from farmgate.lanes.cutting import nothing, paced_by, stopped_by
from farmgate.lanes.eligible import obstacles
from farmgate.lanes.joint_search import JointCulprit, next_prefix
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.search import Culprit, half, most_rollouts
from farmgate.lanes.together import JointCut, gate
from farmgate.lanes.view import Active, LaneView, QueuedCommit

_ROUNDS: Final = 100
_NOBODY_KNOWS: Final = (states.Rollout.ASKING, states.Rollout.RESTORING)
TOLD_BATCHES: Final = 100
"""So many batches behind a window, freeze or budget have an estimate."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A waiting commit. `batch`: 0 is the next one; None: no batch is in sight."""

    commit: QueuedCommit
    reasons: tuple[Reason, ...]
    batch: int | None
    live_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The batch that would be cut next. `at`: when, where that is known. Without a candidate: why there is none.
    `counts_from`: it comes after this rollout, if that ends good."""

    candidate: QueuedCommit | None
    commits: tuple[QueuedCommit, ...]
    at: datetime | None
    reasons: tuple[Reason, ...]
    counts_from: Active | None = None

    @property
    def after(self) -> str | None:
        """In words, from what it is counted."""
        return f"after rollout {self.counts_from.number}, if it is good" if self.counts_from is not None else None


def explain(view: LaneView, now: datetime) -> tuple[Explained, ...]:
    """Every waiting commit, oldest first, then those that a forced push dropped."""
    stands = gate(view)
    against = [obstacles(view, commit, stands) for commit in view.commits]
    eligible = [commit for commit, found in zip(view.commits, against, strict=True) if not found]
    heads = _heads(view, eligible)
    lane = _lane_reasons(view, heads, eligible, now)
    begins = _begins(view, heads, eligible, now)
    ends = [head.position for head in heads]
    times = _times(view, begins, ends)
    told = [
        _told(view, commit, found, bisect_left(ends, commit.position), heads, lane, times)
        for commit, found in zip(view.commits, against, strict=True)
    ]
    dropped = (Reason(Why.GONE, f"dropped from {view.policy.branch} by a forced push"),)
    return (*told, *(Explained(commit, dropped, None, None) for commit in view.gone))


def preview(view: LaneView, now: datetime) -> Preview:
    """The next batch, as it would be cut if nothing changed until then."""
    stands = gate(view)
    eligible = [commit for commit in view.commits if not obstacles(view, commit, stands)]
    heads = _heads(view, eligible)
    if not heads:
        against = _lane_reasons(view, heads, eligible, now)
        return Preview(None, (), None, (*against, _no_batch(view)), view.counts_from)
    batch = tuple(commit for commit in view.commits if commit.position <= heads[0].position)
    begins = _begins(view, heads, eligible, now)
    return Preview(heads[0], batch, begins, _lane_reasons(view, heads, eligible, now), view.counts_from)


def typical(view: LaneView) -> timedelta:
    """How long a rollout takes here."""
    if view.durations:
        return statistics.median_high(view.durations)
    return sum((wave.soak for wave in view.policy.waves), timedelta(0))


def falls_behind(view: LaneView, now: datetime) -> str | None:
    """In words: that commits arrive faster than the batch size lets them leave, and which size would keep up."""
    limit = most_commits(view)
    seen = [commit.seen_at for commit in view.commits if commit.seen_at is not None]
    if limit is None or len(seen) <= limit:
        return None
    each, span = typical(view) + view.policy.minimum_interval, now - min(seen)
    if not each or not span or len(seen) * (each / span) <= limit:
        return None
    hour = timedelta(hours=1)
    arrive, leave = len(seen) * (hour / span), limit * (hour / each)
    words = f"commits arrive faster ({arrive:.3g} an hour) than batches of {limit} let them leave ({leave:.3g} an hour)"
    return f"{words}: {math.ceil(len(seen) * (each / span))} commits a batch would keep up"


def _heads(view: LaneView, eligible: Sequence[QueuedCommit]) -> list[QueuedCommit]:
    """The last commits of the batches to come; rule 4."""
    if view.search is not None:
        tried = half(view, view.search)
        return [tried] if isinstance(tried, QueuedCommit) else []
    if view.together is not None and view.together.search is not None:
        prefix = next_prefix(view, view.together.search)
        shares = prefix.shares if isinstance(prefix, JointCut) else ()
        return [share.commit for share in shares if share.view.lane_id == view.lane_id]
    return _batches(view, eligible)


def _no_batch(view: LaneView) -> Reason:
    """Why there is none: where a culprit is searched, what the search comes to."""
    joint = view.together.search if view.together is not None else None
    found = half(view, view.search) if view.search is not None else next_prefix(view, joint) if joint else None
    if isinstance(found, Culprit | JointCulprit):
        words = f"{found.sha[:9]} is the culprit, by elimination: it is banned, and then the next batch is cut"
        return Reason(Why.SEARCH, words)
    return nothing(view) if found is None else Reason(Why.SEARCH, "the search has nothing to try here")


def _batches(view: LaneView, eligible: Sequence[QueuedCommit]) -> list[QueuedCommit]:
    """The heads of the batches to come, if nothing else turned green."""
    heads: list[QueuedCommit] = []
    base, at, limit = start(view), 0, most_commits(view)
    while at < len(eligible):
        head = choose_among(eligible[at:], base, limit)
        if head is None:
            break
        heads.append(head)
        base = head.position
        at = bisect_left(eligible, base + 1, key=lambda commit: commit.position)
    return heads


def _lane_reasons(
    view: LaneView, heads: Sequence[QueuedCommit], eligible: Sequence[QueuedCommit], now: datetime
) -> tuple[Reason, ...]:
    stops = stopped_by(view, now)
    if view.hotfix is not None:
        goes = hotfix.waits_for(view, view.hotfix)
        words = f"{hotfix.name(view.hotfix)} of {view.hotfix.asked_by} goes first"
        stops = (*stops, Reason(Why.HOTFIX, f"{words}: {goes[0].words}" if goes else words))
    if view.search is not None:
        most = most_rollouts(len(view.search.points))
        words = f"the culprit of a sick batch is searched: {view.search.rollouts} of at most {most} further rollouts"
        stops = (*stops, Reason(Why.SEARCH, words))
    elif view.together is not None and view.together.search is not None:
        joint = view.together.search
        most = most_rollouts(len(joint.points))
        words = f"the culprit of a sick batch of {view.together.name} is searched: {joint.rollouts} of at most {most}"
        stops = (*stops, Reason(Why.SEARCH, f"{words} further joint rollouts"))
    without = reverts.told(view, gate(view)) if view.revert is not None or not heads else None
    if without is not None:
        stops = (*stops, without)
    if not heads or _searches(view) or view.hotfix is not None or not eligible:
        return stops
    return (*stops, *paced_by(view, heads[0], eligible[0], now))


def _begins(
    view: LaneView, heads: Sequence[QueuedCommit], eligible: Sequence[QueuedCommit], now: datetime
) -> datetime | None:
    """When the next batch is cut, where that can be told: every reason but those of the lane has an end."""
    members = view.members
    if any(each.hotfix is not None for each in members):
        return None
    if not heads or any(each.search is not None for each in view.mates):
        return None
    if any(each.active is not None and each.active.state in _NOBODY_KNOWS for each in members):
        return None
    if any(each.unacknowledged_loss or each.rollback_asked is not None for each in members):
        return None
    times = [now]
    for each in members:
        if each.active is not None:
            over = max(now, each.active.started_at + typical(each))
            times.append(over + (timedelta(0) if _searches(view) else each.policy.minimum_interval))
    if not _searches(view):
        times.extend(reason.until for reason in paced_by(view, heads[0], eligible[0], now) if reason.until is not None)
    return _all_open(view, max(times), heads[0].position)


def _searches(view: LaneView) -> bool:
    return view.search is not None or (view.together is not None and view.together.search is not None)


def _all_open(view: LaneView, at: datetime, upto: int) -> datetime | None:
    """The first moment from `at` on at which every lane of the group may begin."""
    found: datetime | None = at
    for _ in range(_ROUNDS):
        before = found
        for each in view.members:
            exempt = _searches(view) or each.line != view.line or spared(each, each.base, upto)
            found = may_begin(each, found, spared=exempt) if found is not None else None
        if found == before:
            return found
    return None


def _times(view: LaneView, first: datetime | None, ends: Sequence[int]) -> list[datetime | None]:
    """When each batch begins."""
    if first is None or _searches(view):
        return [first] * len(ends)
    return list(beginnings(view, first, typical(view) + view.policy.minimum_interval, ends, TOLD_BATCHES))


def _told(
    view: LaneView,
    commit: QueuedCommit,
    against: tuple[Reason, ...],
    batch: int,
    heads: Sequence[QueuedCommit],
    lane: tuple[Reason, ...],
    times: Sequence[datetime | None],
) -> Explained:
    if batch == len(heads):
        return Explained(commit, (*against, *lane), None, None)
    head = heads[batch]
    reasons = list(against)
    if head.sha != commit.sha:
        reasons.append(Reason(Why.RIDES, f"rides with {head.sha[:9]} ({head.title[:60]})"))
    if batch > 0:
        words = f"{batch} batch{'es' if batch > 1 else ''} of at most {most_commits(view)} commits go before"
        reasons.append(Reason(Why.LATER, words))
    reasons.extend(lane)
    if not reasons:
        reasons.append(Reason(Why.NEXT, "nothing stands against it: the deploy loop cuts it at its next look"))
    begins = times[batch]
    return Explained(commit, tuple(reasons), batch, begins + typical(view) if begins is not None else None)
