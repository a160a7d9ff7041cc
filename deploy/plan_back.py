"""On the way back: what a rollout that is being restored does next, and what follows from it. Pure.

The rules are those of `plan`: 5 to 7, and 12.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from deploy import together
from deploy.checks import Verdict
from deploy.decisions import (
    BanCulprit,
    Consequence,
    EndSick,
    NarrowSearch,
    OpenSearch,
    PlaceHold,
    Prolong,
    Rest,
    RolloutDecision,
    Stick,
)
from deploy.plan_parts import PATIENCE, patience, step
from deploy.rollout_view import RolloutView
from farmgate import lanes
from farmgate.lanes import Culprit
from farmgate.models import JournalEntry, RolloutKind, Unblamed
from farmgate.policy import check_of

HOLD_UNTOLD: Final = timedelta(hours=1)
_BLAMELESS: Final = (RolloutKind.ROLLBACK, RolloutKind.HOTFIX, RolloutKind.REVERT)
"""A sick one says little of single commits of the branch."""
HOLD_NOT_TO_BLAME: Final = timedelta(minutes=15)


def restoring(view: RolloutView, now: datetime) -> RolloutDecision:
    verdict = view.journal["verdict"]
    words = str(verdict.detail.get("words", ""))
    if view.rollout.kind is RolloutKind.ROLLBACK and verdict.outcome != Unblamed.ABORTED:
        return Stick(f"the rollback failed: {words}")
    waits = together.before_restore(view)
    if waits is not None:
        return _wait_back(view, waits, now)
    entry = step(view, "restore", now)
    if not isinstance(entry, JournalEntry):
        return Stick(f"it could not be taken back in time, after: {words}") if now >= view.rollout.deadline else entry
    if entry.outcome != "done":
        return Stick(f"it could not be taken back: {entry.detail.get('words', '')}; after: {words}")
    waits = together.before_verdict(view)
    if waits is not None:
        return _wait_back(view, waits, now)
    askable = view.rollout.from_release_id is not None or "witness" in verdict.detail
    clears = _clears(verdict) if askable else None
    if verdict.outcome == Verdict.SICK and clears is not None:
        from_then = together.back_since(view, entry.finished_at or now) + clears
        if now < from_then and "control" not in view.journal:
            return Rest(from_then, "until the failed check says something of what was live before")
        control = step(view, "control", now)
        if not isinstance(control, JournalEntry):
            return control
        if control.outcome != Verdict.HEALTHY:
            said = control.detail.get("words", "")
            reason = (
                f"rollout {view.rollout.number} is not to blame ({words}): what was live before is no better ({said})"
            )
            return EndSick(reason, (PlaceHold(reason, now + HOLD_NOT_TO_BLAME),))
    return EndSick(words, _consequences(view, verdict.outcome or "", words, now))


def _wait_back(view: RolloutView, waits: str, now: datetime) -> Prolong | Rest:
    """Rule 12: the others go back first; there is time enough left when they have."""
    spare = patience(view.policy) - PATIENCE / 2
    late = view.rollout.deadline < now + spare
    return Prolong(now + patience(view.policy)) if late else Rest(view.rollout.deadline - spare, waits)


def _clears(verdict: JournalEntry) -> timedelta | None:
    """How long after the restore the check that failed can be asked of what was live before; None: it cannot be."""
    stored = verdict.detail.get("check")
    return check_of(stored).clears if stored else None


def _consequences(view: RolloutView, verdict: str, words: str, now: datetime) -> tuple[Consequence, ...]:
    rollout = view.rollout
    if verdict == Verdict.UNTOLD:
        reason = f"rollout {rollout.number} was taken back, and nobody can tell whether it was sick: {words}"
        return (PlaceHold(reason, now + HOLD_UNTOLD),)
    if verdict != Verdict.SICK or rollout.kind in _BLAMELESS:
        return ()
    if view.joint is not None:
        return together.consequences(view, words)
    if rollout.kind is RolloutKind.SEARCH and rollout.search_id is not None:
        return (NarrowSearch(rollout.search_id, rollout.until_position),)
    points = lanes.points(view.lane, rollout.since_position, rollout.until_position, rollout.until_sha)
    if len(points) == 1:
        culprit = Culprit(None, rollout.until_sha, rollout.since_position, rollout.until_position)
        return (BanCulprit(culprit, f"rollout {rollout.number} went sick: {words}"),)
    return (OpenSearch(rollout.since_position, rollout.until_position, points),)
