"""A rollout among those that go together with it: what it waits for, and what follows when the whole goes sick. Pure.

Rules:
1. Everything is prepared in every lane before anything is shifted in one; then lane after lane is shifted, each when
   the ones before it have arrived. A lane has arrived when all its waves were good, until it is taken back.
2. None is finished before all have arrived, and the lanes of the group that take no part (witnesses) have answered
   their checks once more. Then all are, at once (`FinishTogether`, one transaction); the last in order decides that.
3. Until then, one that goes back takes all back (`Restore`, one transaction). They are restored in reverse order, and
   only when all are, the check that failed is repeated and blame is laid: on commits of the whole, not of the lane.
4. A rollback of several lanes is bound by its order alone, which is the reverse: each begins when those that need it
   are over, whatever became of them; a person wants all of them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from deploy.decisions import BanTogether, JointConsequence, NarrowJointSearch, OpenJointSearch
from deploy.rollout_view import RolloutView
from farmgate import states
from farmgate.lanes import Culprit, JointCulprit, Part, joint_points
from farmgate.models import RolloutKind, Unblamed

ARRIVED: Final = "arrived"
WITNESS: Final = "witness-"
_GOING_BACK: Final = frozenset(
    {states.Rollout.RESTORING, states.Rollout.SICK, states.Rollout.STUCK, states.Rollout.CANCELLED}
)


def is_bound(view: RolloutView) -> bool:
    """True if it finishes and goes back with others."""
    return view.joint is not None and view.rollout.kind is not RolloutKind.ROLLBACK


def has_arrived(view: RolloutView) -> bool:
    """All its waves were good; it waits for the others."""
    return ARRIVED in view.journal and view.rollout.state is states.Rollout.RUNNING


def waits(view: RolloutView) -> str | None:
    """What it waits for on its way forward, so that its own time does not run out."""
    if view.joint is None:
        return None
    if has_arrived(view):
        return before_finish(view)
    prepared = "prepare" in view.journal and view.journal["prepare"].outcome == "done"
    return before_shift(view) if prepared and "wave-0/shift" not in view.journal else None


def before_shift(view: RolloutView) -> str | None:
    """Rules 1 and 4: why nothing is shifted here yet."""
    joint = view.joint
    if joint is None:
        return None
    if not is_bound(view):
        return _named("goes back first", (each for each in joint.after if not states.is_final(each.rollout.state)))
    unprepared = [each for _, each in joint.others if not _is_prepared(each)]
    return _named("is prepared first", unprepared) or _named(
        "goes before it", (each for each in joint.before if not has_arrived(each))
    )


def before_finish(view: RolloutView) -> str | None:
    """Rule 2: why nothing is finished yet."""
    assert view.joint is not None
    waits = _named("goes together with it", (each for _, each in view.joint.others if not has_arrived(each)))
    return waits or _named("ends it for all", view.joint.after[-1:])


def witness_key(lane_id: int) -> str:
    """The step that asks the checks of a lane that takes no part, of what is live there."""
    return f"{WITNESS}{lane_id}"


def taken_back(view: RolloutView) -> str | None:
    """Rule 3: that another one goes back, in words."""
    if not is_bound(view) or view.joint is None:
        return None
    lost = [each for _, each in view.joint.others if each.rollout.state in _GOING_BACK]
    return went_back(lost[0], str(lost[0].rollout.reason or "")) if lost else None


def went_back(other: RolloutView, words: str) -> str:
    """Why this one is taken back, when the other one is."""
    return f"{other.policy.name}, which goes together with it, was taken back: {words}"


def before_restore(view: RolloutView) -> str | None:
    """Rule 3: why it is not restored yet."""
    if not is_bound(view) or view.joint is None or "restore" in view.journal:
        return None
    return _named("needs it and goes back first", (each for each in view.joint.after if not _is_back(each)))


def before_verdict(view: RolloutView) -> str | None:
    """Rule 3: why no blame is laid yet."""
    if not is_bound(view) or view.joint is None or view.journal["verdict"].outcome == Unblamed.TOGETHER:
        return None
    return _named("goes back first", (each for _, each in view.joint.others if not _is_back(each)))


def back_since(view: RolloutView, own: datetime) -> datetime:
    """Since when everything is as it was."""
    others = view.joint.others if view.joint is not None and is_bound(view) else ()
    ends = (each.journal["restore"].finished_at for _, each in others if "restore" in each.journal)
    return max([own, *(end for end in ends if end is not None)])


def consequences(view: RolloutView, words: str) -> tuple[JointConsequence, ...]:
    """What follows when it went sick, and is to blame as far as checks can tell."""
    assert view.joint is not None
    row = view.joint.row
    if row.search_id is not None and row.upto is not None:
        return (NarrowJointSearch(row.search_id, row.upto),)
    everyone = sorted([(view.joint.place, view), *view.joint.others], key=lambda each: each[0])
    parts = [_part(each) for _, each in everyone]
    points = joint_points(parts)
    if len(points) > 1:
        return (OpenJointSearch(row.id, points),)
    to_blame = tuple((part.view.lane_id, Culprit(None, points[0].sha, part.since, part.until)) for part in parts)
    reason = f"rollout {view.rollout.number} of {view.policy.name} went sick: {words}"
    return (BanTogether(JointCulprit(None, points[0].sha, to_blame), reason),)


def _part(view: RolloutView) -> Part:
    return Part(view.lane, view.rollout.since_position, view.rollout.until_position, view.rollout.until_sha)


def _is_prepared(view: RolloutView) -> bool:
    entry = view.journal.get("prepare")
    return entry is not None and entry.outcome == "done"


def _is_back(view: RolloutView) -> bool:
    entry = view.journal.get("restore")
    return states.is_final(view.rollout.state) or (entry is not None and entry.outcome == "done")


def _named(what: str, found: Iterable[RolloutView]) -> str | None:
    names = [each.policy.name for each in found]
    return f"{', '.join(names)} {what}" if names else None
