"""A lane as it will be if the rollout under way ends good: what its next batch, its reasons and estimates count from.

Rules:
1. What the rollout delivers, or goes back to, is read as if it were live: queue, bans, approvals and the rest are those
   after it. A rollback bans what it takes back, and a search is narrowed, as they will be.
2. A rollout that is being taken back ends with what is live: then nothing is counted ahead.
3. Of lanes that go together, each is counted so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.lanes import LaneView, Live, StandingBan
from farmgate.models import Lane, Rollout, RolloutKind
from farmgate.store import joints, lane_groups, lane_mates, lane_views, lanes, made, rollouts


def view(connection: Connection, lane: Lane, now: datetime, *, full: bool = False) -> LaneView:
    """The lane, and those that go together with it; `full` as in `lane_views.view`."""
    alone = of_lane(connection, lane, now, full=full)
    group = lane_groups.of_lane(connection, lane.id)
    if group is None:
        return alone
    found = lane_mates.with_mates(connection, alone, group, now, of_lane)
    joint = joints.of_rollout(connection, alone.counts_from.rollout_id) if alone.counts_from is not None else None
    if found.together is None or found.together.search is None or joint is None or joint.upto is None:
        return found
    search = replace(found.together.search, good=joint.upto)
    return replace(found, together=replace(found.together, search=search))


def live(connection: Connection, lane: Lane, active: Rollout | None) -> Live | None:
    """What is live if the rollout under way ends good; by rule 2 and without one, what is live."""
    policy = lanes.policy_of(lane)
    if active is None or active.state is states.Rollout.RESTORING:
        return lane_views.live_of(connection, lane, policy)
    base, gone = lane_views.standing_at(connection, lane, policy, active.until_sha, active.until_position)
    return Live(0, active.id, active.until_sha, active.until_position, base, active.created_at, gone)


def of_lane(connection: Connection, lane: Lane, now: datetime, *, full: bool = False) -> LaneView:
    """The lane by itself."""
    active = rollouts.active_of(connection, lane.id)
    if active is None or active.state is states.Rollout.RESTORING:
        return lane_views.of_lane(connection, lane, now, full=full)
    seen = lane_views.of_lane(connection, lane, now, full=full, instead=live(connection, lane, active))
    search = seen.search
    if search is not None and active.search_id == search.id:
        search = replace(search, since=active.until_position)
    counts = seen.policy.adaptive is not None and active.kind is RolloutKind.FORWARD
    return replace(
        seen,
        counts_from=seen.active,
        bans=(*seen.bans, *_takes_back(connection, lane, active)),
        search=search,
        finished_at=None,  # the interval counts from its end
        outcomes=(*seen.outcomes, True) if counts else seen.outcomes,
    )


def _takes_back(connection: Connection, lane: Lane, active: Rollout) -> tuple[StandingBan, ...]:
    """The ban that a rollback leaves."""
    sha = active.since_sha
    if active.kind is not RolloutKind.ROLLBACK or sha is None or not rollouts.takes_back(connection, active):
        return ()
    taken = [commit.sha for commit in rollouts.commits_of(connection, [active.id])] or [sha]
    covers = made.with_picks(connection, lane.repository_id, taken)
    reason = f"being taken back by {active.asked_by}: {active.reason}"
    return (StandingBan(0, sha, active.since_position, tuple(covers), reason),)
