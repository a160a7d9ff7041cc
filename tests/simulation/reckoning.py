"""Windows, freezes and budgets reckoned once more, slowly and by the wall clock: what is cut is held against it.

A window is the minutes of the clock on the wall from its opening on, until it shows the closing time. An opening that
comes twice is its first coming; one that never comes, the change of the clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from farmgate import states
from farmgate.models import Rollout, RolloutKind
from farmgate.policy import LanePolicy, Window

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


def paced(lane: Sequence[Rollout], secures: AbstractSet[int]) -> Iterator[str]:
    """What was cut when it should not have been. `lane`: all its rollouts, oldest first; `secures`: those with a fix
    of a weakness."""
    begun: list[datetime] = []
    for each in lane:
        if each.kind is RolloutKind.ROLLBACK:
            continue
        policy, at = _policy(each.id, each.policy_version, _Same(each.policy)), each.created_at
        first = each.kind is RolloutKind.HOTFIX  # it goes before all that waits, at any time
        if policy.windows and not first and not any(is_open(window, at) for window in policy.windows):
            yield f"rollout {each.number} was cut at {at:%F %T}, outside {[window.words for window in policy.windows]}"
        if not first and any(freeze.begins <= at < freeze.ends for freeze in policy.freezes):
            yield f"rollout {each.number} was cut at {at:%F %T}, in a freeze"
        budget = policy.budget
        if each.kind is RolloutKind.FORWARD and budget is not None:
            lately = sum(at - budget.per < other <= at for other in begun)
            if lately >= budget.rollouts and not (budget.spares == "security" and each.id in secures):
                yield f"rollout {each.number} was cut although {lately} had begun in {budget.per}"
        if each.state is not states.Rollout.CANCELLED:  # it carried nothing
            begun.append(at)


def is_open(window: Window, at: datetime) -> bool:
    """True if the window's opening is behind and its closing ahead."""
    today = at.astimezone(ZoneInfo(window.zone)).date()
    for day in (today - _DAY, today):
        last = day if window.closes > window.opens else day + _DAY
        opens, closes = _moment(day, window.opens, window.zone), _moment(last, window.closes, window.zone)
        if day.weekday() in window.days and opens <= at < closes:
            return True
    return False


@lru_cache(maxsize=5000)
def _moment(day: date, wall: time, zone: str) -> datetime:
    """The first moment at which the clock on the wall shows this time on this day, or a later one of it."""
    wanted, at = datetime.combine(day, wall), datetime.combine(day, wall, UTC) - timedelta(hours=15)
    while (shown := at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) < wanted:
        at += timedelta(hours=1) if wanted - shown > timedelta(hours=4) else _MINUTE
    return at


class _Same(dict):  # type: ignore[type-arg]
    """A policy's row as a part of a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(str(self))


@lru_cache(maxsize=5000)
def _policy(_rollout: int, _version: int, stored: _Same) -> LanePolicy:
    return LanePolicy.model_validate(dict(stored))
