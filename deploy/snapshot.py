"""Reading a lane and its rollout, once, in one consistent look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from deploy.plan import RolloutView
from farmgate.lanes import LaneView, carried
from farmgate.models import Lane, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import handovers, lane_views, looks, rollouts


@dataclass(frozen=True, slots=True)
class Seen:
    """A lane at one moment; `loss`: the reason of the hold for a live commit that left the branch."""

    lane: Lane
    view: LaneView
    rollout: RolloutView | None
    loss: str


def read(connection: Connection, lane: Lane, now: datetime) -> Seen:
    """The lane as the plan wants it."""
    view = lane_views.view(connection, lane, now)
    loss = lane_views.loss_reason(view.live.sha, view.policy.branch) if view.live is not None else ""
    active = rollouts.active_of(connection, lane.id)
    if active is None:
        return Seen(lane, view, None, loss)
    journal = {entry.key: entry for entry in rollouts.entries(connection, active.id)}
    policy = LanePolicy.model_validate(active.policy)
    crossed = looks.beyond(connection, lane.id, active.until_position) if active.kind is RolloutKind.ROLLBACK else ()
    look, closed = looks.of_rollout(connection, active.id), carried.irreversible(crossed)
    tellings = handovers.tellings(connection, active.id)
    return Seen(lane, view, RolloutView(active, policy, journal, lane.rollback, view, tellings, look, closed), loss)
