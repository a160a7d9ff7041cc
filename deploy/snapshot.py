"""Reading a lane and its rollout, once, in one consistent look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from deploy.rollout_view import JointView, RolloutView
from farmgate import states
from farmgate.lanes import LaneView, carried
from farmgate.models import Joint, Lane, Rollout, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import handovers, joints, lane_groups, lane_views, lanes, late_reds, looks, releases, rollouts


@dataclass(frozen=True, slots=True)
class Seen:
    """A lane at one moment; `loss`: the reason of the hold for a live commit that left the branch."""

    lane: Lane
    view: LaneView
    rollout: RolloutView | None
    loss: str
    follows: bool = False  # another lane of its group decides for it


def read(connection: Connection, lane: Lane, now: datetime) -> Seen:
    """The lane as the plan wants it. Of lanes that go together the first decides for all, so only it reads them all."""
    active = rollouts.active_of(connection, lane.id)
    view = lane_views.of_lane(connection, lane, now)
    loss = lane_views.loss_reason(view.live.sha, view.policy.branch) if view.live is not None else ""
    if active is not None:
        return Seen(lane, view, of_rollout(connection, active, lane, view, now), loss)
    group = lane_groups.of_lane(connection, lane.id)
    if group is None:
        return Seen(lane, view, None, loss)
    first = lane_groups.lanes_of(connection, group.id)[0].id == lane.id
    if not first and view.search is None and view.hotfix is None and lane.rollback is None:
        return Seen(lane, view, None, loss, follows=True)
    return Seen(lane, lane_views.beside_mates(connection, view, group, now), None, loss)


def of_rollout(connection: Connection, rollout: Rollout, lane: Lane, view: LaneView, now: datetime) -> RolloutView:
    """A rollout, and those that go together with it."""
    joint = joints.of_rollout(connection, rollout.id)
    seen = _rollout(connection, rollout, lane, view)
    if joint is None:
        return seen
    found = joints.rollouts_of(connection, joint.id)
    others = []
    for place, other in found:
        if other.id != rollout.id:
            its_lane = lanes.by_id(connection, other.lane_id)
            its_view = LaneView(its_lane.id, lanes.policy_of(its_lane))
            if rollout.state is states.Rollout.RESTORING:  # blame is laid on commits of all of them
                its_view = lane_views.of_lane(connection, its_lane, now)
            others.append((place, _rollout(connection, other, its_lane, its_view)))
    (place,) = (place for place, other in found if other.id == rollout.id)
    return replace(seen, joint=JointView(joint, place, tuple(others), _witnesses(connection, joint, found)))


def _witnesses(
    connection: Connection, joint: Joint, found: Sequence[tuple[int, Rollout]]
) -> tuple[tuple[int, str], ...]:
    taking_part = {rollout.lane_id for _, rollout in found}
    return tuple(
        (lane.id, f"{lane.application}/{lane.environment}")
        for lane in lane_groups.lanes_of(connection, joint.group_id)
        if lane.id not in taking_part and releases.live_of(connection, lane.id) is not None
    )


def _rollout(connection: Connection, rollout: Rollout, lane: Lane, view: LaneView) -> RolloutView:
    journal = {entry.key: entry for entry in rollouts.entries(connection, rollout.id)}
    policy, tellings = LanePolicy.model_validate(rollout.policy), handovers.tellings(connection, rollout.id)
    back = rollout.kind is RolloutKind.ROLLBACK
    closed = carried.irreversible(looks.beyond(connection, lane.id, rollout.until_position) if back else ())
    look = looks.of_rollout(connection, rollout.id)
    why = unfit(connection, rollout, lane) if rollout.started_at is None else None
    return RolloutView(rollout, policy, journal, lane.rollback, view, tellings, look, closed, why)


def unfit(connection: Connection, rollout: Rollout, lane: Lane) -> str | None:
    """Why what was cut may not begin any more: it turned red, or its branch lost it."""
    if rollout.kind is RolloutKind.ROLLBACK:
        return None
    red = late_reds.standing(connection, lane.repository_id, [rollout.until_sha])
    if red:
        return f"{rollout.until_sha[:12]} turned red before it began: {red[-1].check}: {red[-1].reason}"
    branch = LanePolicy.model_validate(rollout.policy).branch
    _, gone = lane_views.standing_at(connection, lane, lanes.policy_of(lane), rollout.until_sha, rollout.until_position)
    if gone and rollout.kind is not RolloutKind.HOTFIX:
        return f"a forced push dropped {rollout.until_sha[:12]} from {branch} before it began"
    return None
