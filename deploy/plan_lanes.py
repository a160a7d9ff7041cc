"""What a lane without a rollout under way does next. Pure: from what was read and the time to a decision.

Rules:
1. A search whose time is nearly over gets more where the lane's windows alone kept it waiting; else it is given up, and
   what is still suspected is banned.
2. A live commit that is gone from its branch holds the lane until a person has agreed.
3. A person's order to roll back goes first; one for several lanes when all of them are free. Then what is live and
   turned red is held or taken back, as the policy says (`on_late_red`), unless the lane is held already or somebody
   lifted the hold that said so.
4. What was to go without a culprit and did not holds the lane, as `farmgate.lanes.reverts` says.
5. Then the lane cuts a batch, alone or with its group, ends its search, asks for a commit without a culprit, or waits
   (`farmgate.lanes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from deploy.decisions import (
    AbandonJointSearch,
    AbandonSearch,
    AskRevert,
    BanCulprit,
    BanTogether,
    CutBatch,
    CutRollback,
    CutTogether,
    LaneDecision,
    PlaceHold,
    ProlongJointSearch,
    ProlongSearch,
    Rest,
)
from farmgate import lanes
from farmgate.lanes import Culprit, Cut, JointCulprit, JointCut, JointLost, LaneView, Lost, RevertWanted, Wait

SEARCH_GRACE: Final = timedelta(days=1)
"""A search that a closed lane kept waiting has this long when the lane opens."""
_TIME_IS_OVER: Final = "the search's time is over; all that is still suspected is banned"


def plan_lane(
    view: LaneView, order: Mapping[str, Any] | None, loss: str, now: datetime, *, follows: bool = False
) -> LaneDecision | Rest:
    """What a lane without a rollout under way does. `loss`: the reason of the hold for a live commit that is gone;
    `follows`: the first lane of its group decides what is cut."""
    if view.search is not None and now >= view.search.deadline - SEARCH_GRACE:
        opens = lanes.may_begin(view, now, spared=True)
        if opens is not None and opens > now and opens + SEARCH_GRACE > view.search.deadline:
            return ProlongSearch(view.search.id, opens + 2 * SEARCH_GRACE)
        if now >= view.search.deadline:
            return _overdue(view)
    if view.unacknowledged_loss and not any(hold.reason == loss for hold in view.holds):
        return PlaceHold(loss, None)
    red = _turned_red(view, now)
    if order is not None:
        with_it = tuple(order.get("together", ()))
        for mate in view.mates:
            if mate.active is not None and mate.policy.name in with_it:
                return Rest(None, f"goes back together with {mate.policy.name}, where a rollout ends first")
        return CutRollback(order["release_id"], order["asked_by"], order["reason"], with_it)
    if red is not None:
        return red
    if follows:
        return Rest(None, "the first lane of its group decides")
    overdue = _joint_overdue(view, now)
    if overdue is not None:
        return overdue
    fell = lanes.revert_fell(view)
    if fell is not None and not any(hold.reason == fell for hold in view.holds):
        return PlaceHold(fell, None)
    match lanes.cut(view, now):
        case Cut() as cut:
            return CutBatch(cut)
        case RevertWanted() as wanted:
            return AskRevert(wanted)
        case JointCut() as joint:
            return CutTogether(joint)
        case JointCulprit() as together:
            return BanTogether(together, "the only commits of a sick joint batch that no good rollout cleared")
        case JointLost(search_id, reason):
            return AbandonJointSearch(search_id, reason)
        case Culprit() as culprit:
            return BanCulprit(culprit, "the only commits of a sick batch that no good rollout cleared")
        case Lost(search_id, reason):
            return AbandonSearch(search_id, reason)
        case Wait(reasons, until):
            return Rest(until, "; ".join(reason.words for reason in reasons))
        case other:
            assert_never(other)


def _turned_red(view: LaneView, now: datetime) -> PlaceHold | CutRollback | None:
    """What rule 3 says of what turned red."""
    red, wanted = view.turned_red, view.policy.on_late_red
    if red is None or wanted == "tell" or red.settled or any(hold.begins <= now for hold in view.holds):
        return None
    if wanted == "restore" and red.back_to is not None:
        return CutRollback(red.back_to, "farmgate", red.reason)
    return PlaceHold(red.reason, None)


def _joint_overdue(view: LaneView, now: datetime) -> AbandonJointSearch | ProlongJointSearch | None:
    """Rule 1, for the search of a group: while one of its lanes is closed, its time does not run out."""
    search = view.together.search if view.together is not None else None
    if search is None or now < search.deadline - SEARCH_GRACE or any(each.active for each in view.members):
        return None
    if isinstance(lanes.cut(view, now), Wait):
        return ProlongJointSearch(search.id, now + 2 * SEARCH_GRACE)
    if now < search.deadline:
        return None
    return AbandonJointSearch(search.id, _TIME_IS_OVER, lanes.suspects(view, search))


def _overdue(view: LaneView) -> AbandonSearch:
    assert view.search is not None
    places = {commit.sha: commit for commit in view.commits}
    left = lanes.remaining(view.search, places)
    suspects = Culprit(view.search.id, left[-1].sha, view.search.since, left[-1].position) if left else None
    return AbandonSearch(view.search.id, _TIME_IS_OVER, suspects)
