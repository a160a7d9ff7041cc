"""What every part of a rollout's plan is made of: a step of its journal, the way back, the stop, how long things may
take. Pure. The rules are those of `plan`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.checks import Verdict
from deploy.decisions import AskBack, BeginStep, Rest, Restore
from deploy.plan_start import ask_back, why_closed
from deploy.rollout_view import RolloutView
from deploy.targets.protocol import Ended
from farmgate.lanes import StandingHold
from farmgate.models import HoldKind, JournalEntry, RolloutKind
from farmgate.policy import Check, LanePolicy

STEP_TRIES: Final = 5
_PAUSES: Final = (2, 5, 15, 30)  # seconds after the first, second... try that hit missing infrastructure
PATIENCE: Final = timedelta(hours=1)
"""How long anything may take that has no time of its own: a wave's steps, a restore, the end."""
_LEAP: Final = timedelta(minutes=5)


def stopped(view: RolloutView, now: datetime) -> StandingHold | None:
    """Rule 10: the stop that keeps it where it is."""
    if view.rollout.kind is RolloutKind.ROLLBACK:
        return None
    return next(
        (each for each in view.lane.holds if each.kind is HoldKind.STOP and each.begins <= now < each.until), None
    )


def stop_words(stop: StandingHold) -> str:
    """Who stopped every lane, and why."""
    return f"every lane is stopped by {stop.by}: {stop.reason}"


def step(view: RolloutView, key: str, now: datetime) -> JournalEntry | BeginStep | Rest:
    """The step's entry once it is settled; else what to do about it."""
    entry = view.journal.get(key)
    if entry is None:
        return BeginStep(key, 1)
    if entry.outcome == Ended.GOES_ON and entry.finished_at is not None:
        again = entry.finished_at + view.policy.target.look_every
        told = view.tellings > entry.detail.get("tellings", 0)
        went_back = now < entry.finished_at - _LEAP  # the clock did: nobody waits for it to catch up
        if told or again <= now or went_back:
            return BeginStep(key, 1, entry.detail)
        return Rest(again, str(entry.detail.get("words", "")))
    tries = int(entry.detail.get("tries", 1))
    if tries >= STEP_TRIES:
        return entry
    if entry.outcome is None or entry.finished_at is None:
        return BeginStep(key, tries + 1)
    if entry.outcome == "error":
        again = entry.finished_at + timedelta(seconds=_PAUSES[min(tries, len(_PAUSES)) - 1])
        return BeginStep(key, tries + 1) if now >= again else Rest(again, str(entry.detail.get("words", "")))
    return entry


def back(
    view: RolloutView,
    verdict: str,
    words: str,
    now: datetime,
    *,
    check: Check | None = None,
    go_on: str = "",
    seen: bool = False,
    **detail: Any,
) -> Restore | AskBack:
    """Take it back. `go_on`: what is begun again if its way back is closed and a person wants it to go on. `seen`: a
    person has decided."""
    told = {name: value for name, value in detail.items() if value is not None}
    if check is not None:
        told["check"] = check.model_dump(mode="json")
    if verdict in (Verdict.SICK, Verdict.UNTOLD) and not seen and why_closed(view):
        return ask_back(view, verdict, words, go_on, told, now)
    clears = check.clears if check is not None and check.clears is not None else timedelta(0)
    return Restore(verdict, words, now + patience(view.policy) + clears, {"words": words, **told})


def aborted(order: Mapping[str, Any]) -> str:
    """Who ended it, and why. `order`: the rollback that a person asked for."""
    return f"ended by {order['asked_by']}, who rolls back: {order['reason']}"


def patience(policy: LanePolicy) -> timedelta:
    """How long steps may take: what the target itself allows them, and an hour."""
    return PATIENCE + 2 * policy.target.allowed + policy.target.goes_on_for


def wave_patience(policy: LanePolicy, wave: int) -> timedelta:
    """How long a wave may take: its steps, its soak, and until its checks can say something."""
    settles = max((check.settles for check in policy.checks_of(wave)), default=timedelta(0))
    return patience(policy) + 2 * policy.waves[wave].soak + settles
