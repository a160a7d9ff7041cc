"""Why each commit waits, when it should be live, and what the next batch would be.

Rules:
1. The reasons are those that decide (`eligible`, `cutting`), all of them, in words.
2. An estimate counts from recorded durations of good rollouts (their median; the policy's soak times while there are
   none), through the batches that are to be cut before. What depends on a person or on running checks has none.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from farmgate.lanes.cutting import choose_among, nothing, paced_by, start, stopped_by
from farmgate.lanes.eligible import Reason, Why, blocked, obstacles
from farmgate.lanes.search import most_rollouts
from farmgate.lanes.view import LaneView, QueuedCommit


@dataclass(frozen=True, slots=True)
class Explained:
    """A waiting commit. `batch`: 0 is the next one; None: no batch is in sight."""

    commit: QueuedCommit
    reasons: tuple[Reason, ...]
    batch: int | None
    live_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The batch that would be cut next. `at`: when, where that is known. Without a candidate: why there is none."""

    candidate: QueuedCommit | None
    commits: tuple[QueuedCommit, ...]
    at: datetime | None
    reasons: tuple[Reason, ...]


def explain(view: LaneView, now: datetime) -> tuple[Explained, ...]:
    """Every waiting commit, oldest first, then those that a forced push dropped."""
    blocks = blocked(view)
    against = [obstacles(view, commit, blocks) for commit in view.commits]
    eligible = [commit for commit, found in zip(view.commits, against, strict=True) if not found]
    heads = _batches(view, eligible)
    lane = _lane_reasons(view, heads, eligible, now)
    begins = _begins(view, heads, eligible, now)
    ends = [head.position for head in heads]
    told = [
        _told(view, commit, found, bisect_left(ends, commit.position), heads, lane, begins)
        for commit, found in zip(view.commits, against, strict=True)
    ]
    dropped = (Reason(Why.GONE, f"dropped from {view.policy.branch} by a forced push"),)
    return (*told, *(Explained(commit, dropped, None, None) for commit in view.gone))


def preview(view: LaneView, now: datetime) -> Preview:
    """The next batch, as it would be cut if nothing changed until then."""
    blocks = blocked(view)
    eligible = [commit for commit in view.commits if not obstacles(view, commit, blocks)]
    heads = _batches(view, eligible)
    if not heads:
        return Preview(None, (), None, (*stopped_by(view, now), nothing(view)))
    batch = tuple(commit for commit in view.commits if commit.position <= heads[0].position)
    begins = _begins(view, heads, eligible, now)
    return Preview(heads[0], batch, begins, _lane_reasons(view, heads, eligible, now))


def typical(view: LaneView) -> timedelta:
    """How long a rollout takes here."""
    if view.durations:
        return statistics.median_high(view.durations)
    return sum((wave.soak for wave in view.policy.waves), timedelta(0))


def _batches(view: LaneView, eligible: Sequence[QueuedCommit]) -> list[QueuedCommit]:
    """The heads of the batches to come, if nothing else turned green."""
    heads: list[QueuedCommit] = []
    base, at = start(view), 0
    while at < len(eligible):
        head = choose_among(eligible[at:], base, view.policy.max_commits)
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
    if view.search is not None:
        most = most_rollouts(len(view.search.points))
        words = f"the culprit of a sick batch is searched: {view.search.rollouts} of at most {most} further rollouts"
        stops = (*stops, Reason(Why.SEARCH, words))
    if not heads or view.search is not None:
        return stops
    return (*stops, *paced_by(view, heads[0], eligible[0], now))


def _begins(
    view: LaneView, heads: Sequence[QueuedCommit], eligible: Sequence[QueuedCommit], now: datetime
) -> datetime | None:
    """When the next batch is cut, where that can be told."""
    if not heads or view.search is not None or view.unacknowledged_loss or view.rollback_asked is not None:
        return None
    times = [now, *(hold.until for hold in view.holds)]
    if view.active is not None:
        over = max(now, view.active.started_at + typical(view))
        times.append(over + view.policy.minimum_interval)
    times.extend(reason.until for reason in paced_by(view, heads[0], eligible[0], now) if reason.until is not None)
    return max(times)


def _told(
    view: LaneView,
    commit: QueuedCommit,
    against: tuple[Reason, ...],
    batch: int,
    heads: Sequence[QueuedCommit],
    lane: tuple[Reason, ...],
    begins: datetime | None,
) -> Explained:
    if batch == len(heads):
        return Explained(commit, (*against, *lane), None, None)
    head = heads[batch]
    reasons = list(against)
    if head.sha != commit.sha:
        reasons.append(Reason(Why.RIDES, f"rides with {head.sha[:9]} ({head.title[:60]})"))
    if batch > 0:
        words = f"{batch} batch{'es' if batch > 1 else ''} of at most {view.policy.max_commits} commits go before"
        reasons.append(Reason(Why.LATER, words))
    reasons.extend(lane)
    if begins is None:
        return Explained(commit, tuple(reasons), batch, None)
    each = typical(view)
    return Explained(commit, tuple(reasons), batch, begins + each + batch * (each + view.policy.minimum_interval))
