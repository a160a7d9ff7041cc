"""When a lane may begin a rollout: its windows, freezes and holds, and its budget.

Rules:
1. A lane is open while one of its windows is (or it has none) and no freeze and no hold stands. What has begun goes on.
2. Windows, freezes and holds also keep the halves of a search waiting; nobody wants the third try at night.
3. The budget counts every rollout but rollbacks. It delays new batches alone: a search that has begun ends, and a batch
   with a security fix goes at once, where the policy spares it.
4. One function says when the next rollout may begin, for the decision, the reasons and every estimate.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.view import LaneView
from farmgate.models import HoldKind
from farmgate.policy import Window
from farmgate.quantities import show_duration

_ROUNDS: Final = 1000
_WORDS: Final = {HoldKind.HOLD: "held", HoldKind.FREEZE: "frozen", HoldKind.STOP: "every lane is stopped"}
_HORIZON: Final = timedelta(days=366 * 3)


def held_by(view: LaneView, now: datetime) -> tuple[Reason, ...]:
    """What keeps a hotfix as well: a hold, the stop; no time that was planned."""
    return _holds(view, now, (HoldKind.HOLD, HoldKind.STOP))


def closed_by(view: LaneView, now: datetime) -> tuple[Reason, ...]:
    """Rule 1: what keeps anything but a rollback or a hotfix from beginning now."""
    found = [*_holds(view, now, tuple(HoldKind))]
    found.extend(
        Reason(Why.FREEZE, f"frozen by its policy until {freeze.ends:%F %H:%M %Z}: {freeze.reason}", freeze.ends)
        for freeze in view.policy.freezes
        if freeze.begins <= now < freeze.ends
    )
    opens = _window(view.policy.windows, now)
    if opens is None or opens > now:
        words = "; ".join(window.words for window in view.policy.windows)
        found.append(Reason(Why.WINDOW, f"outside its windows ({words})", opens))
    return tuple(found)


def _holds(view: LaneView, now: datetime, kinds: tuple[HoldKind, ...]) -> tuple[Reason, ...]:
    return tuple(
        Reason(Why.HOLD, f"{_WORDS[hold.kind]} by {hold.by}: {hold.reason}", hold.until)
        for hold in view.holds
        if hold.kind in kinds and hold.begins <= now < hold.until
    )


def spent(view: LaneView, upto: int, now: datetime) -> tuple[Reason, ...]:
    """Rule 3: the budget, if it holds back the batch up to this position."""
    budget = view.policy.budget
    free = _slot(view, view.begun, now, spared(view, view.base, upto))
    if budget is None or free <= now:
        return ()
    words = f"its {budget.rollouts} rollouts in {show_duration(budget.per)} are used up"
    return (Reason(Why.BUDGET, words, free),)


def spared(view: LaneView, since: int, upto: int) -> bool:
    """True if a batch holds a security fix, for which this lane's budget does not count."""
    if view.policy.budget is None or view.policy.budget.spares != "security":
        return False
    first = bisect_right(view.security, since)
    return first < len(view.security) and view.security[first] <= upto


def may_begin(view: LaneView, at: datetime, begun: Iterable[datetime] = (), *, spared: bool = False) -> datetime | None:
    """The first moment from `at` on that windows, freezes, holds and the budget all allow; `begun`: rollouts that are
    expected before. None: none within three years."""
    limit, known = at + _HORIZON, sorted((*view.begun, *begun))
    closed = _spans(view)
    for _ in range(_ROUNDS):
        before = at
        at = _slot(view, known, at, spared)
        for begins, ends in closed:
            at = ends if begins <= at < ends else at
        opens = _window(view.policy.windows, at)
        if opens is None or opens > limit:
            return None
        at = opens
        if at == before:
            return at
    return None


def beginnings(
    view: LaneView, first: datetime, each: timedelta, batches: Sequence[int], most: int
) -> Iterator[datetime | None]:
    """When the batches up to these positions begin, one after another, each taking `each`. None from the one that never
    may, and beyond `most` of them: so far ahead nobody knows."""
    if not (view.policy.windows or view.policy.freezes or view.policy.budget or view.holds):
        yield from (first + number * each for number in range(len(batches)))
        return
    begun: list[datetime] = []
    at: datetime | None = first
    since = view.base
    for number, upto in enumerate(batches):
        at = None if at is None or number >= most else may_begin(view, at, begun, spared=spared(view, since, upto))
        yield at
        if at is not None:
            insort(begun, at)
            at, since = at + each, upto


def _spans(view: LaneView) -> list[tuple[datetime, datetime]]:
    """Every freeze and hold, by its beginning: one pass moves a moment past those that touch."""
    spans = [(freeze.begins, freeze.ends) for freeze in view.policy.freezes]
    return sorted([*spans, *((hold.begins, hold.until) for hold in view.holds)])


def _slot(view: LaneView, begun: Sequence[datetime], at: datetime, spared: bool) -> datetime:
    """When the budget has a rollout left. `begun` is sorted."""
    budget = view.policy.budget
    if budget is None or spared:
        return at
    within = bisect_right(begun, at)
    if within < budget.rollouts:
        return at
    return max(at, begun[within - budget.rollouts] + budget.per)


def _window(windows: Sequence[Window], at: datetime) -> datetime | None:
    """The first moment from `at` on at which a window is open; None if there never is one."""
    if not windows:
        return at
    return min((found for window in windows if (found := _opening(window, at)) is not None), default=None)


def _opening(window: Window, at: datetime) -> datetime | None:
    zone = _zone(window.zone)
    today = at.astimezone(zone).date()
    for step in range(-2, 9):
        day = today + timedelta(days=step)
        if day.weekday() not in window.days:
            continue
        opens = _moment(day, window.opens, zone)
        last = day + timedelta(days=1) if window.closes <= window.opens else day
        closes = _moment(last, window.closes, zone)
        if at < closes and opens < closes:
            return max(at, opens)
    return None


def _moment(day: date, of_day: time, zone: ZoneInfo) -> datetime:
    """A time that comes twice is its first coming; one that the clocks skip is the moment at which they do."""
    local = datetime.combine(day, of_day, zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    before, after = local.replace(fold=1).astimezone(UTC), moment
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        before, after = (
            (before, middle)
            if middle.astimezone(zone).utcoffset() == after.astimezone(zone).utcoffset()
            else (middle, after)
        )
    return after.replace(microsecond=0)


@lru_cache(maxsize=100)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
