"""Which lanes a rollback is about, where a lane goes together with others.

Rules:
1. In a group a person says it: alone, or together with the others.
2. Together, each lane goes to what was live in it when the batch was cut that is taken back first. A lane where nothing
   else was live then stays as it is.
3. What is under way in the group ends in any case, in all its lanes; together, it is kept away in all of them.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from farmgate.errors import Conflict
from farmgate.models import Lane, Release
from farmgate.store import joints, lane_groups, releases, rollouts
from farmgate.store.database import one
from farmgate.store.schema import releases as release_table


def mates_of(connection: Connection, lane: Lane) -> list[str]:
    """The names of the lanes that go together with one."""
    group = lane_groups.of_lane(connection, lane.id)
    members = lane_groups.lanes_of(connection, group.id) if group is not None else []
    return [name_of(each) for each in members if each.id != lane.id]


def lanes_of(connection: Connection, lane: Lane, release_id: int, together: bool | None) -> list[tuple[Lane, int]]:
    """The lanes with the releases that they go to, in the order of the group. Raises Conflict (rule 1)."""
    group = lane_groups.of_lane(connection, lane.id)
    members = lane_groups.lanes_of(connection, group.id) if group is not None else []
    if group is None or len(members) < 2 or together is False:
        return [(lane, release_id)]
    if together is None:
        others = ", ".join(mates_of(connection, lane))
        said = f"{name_of(lane)} goes together with {others} (group {group.name})"
        raise Conflict(f"{said}: say whether it goes back alone or together with them (--alone, --together)")
    found: list[tuple[Lane, int]] = []
    for member in members:
        target = release_id if member.id == lane.id else _then(connection, lane, release_id, member)
        if target is not None:
            found.append((member, target))
    return found


def _then(connection: Connection, lane: Lane, release_id: int, other: Lane) -> int | None:
    """Rule 2: where another lane goes."""
    after = one(
        connection,
        Release,
        select(release_table)
        .where(release_table.c.lane_id == lane.id, release_table.c.id > release_id)
        .order_by(release_table.c.id),
    )
    active = rollouts.active_of(connection, lane.id)
    if after is None and active is None:
        return None
    # Rollouts are numbered as they are cut, whatever the clock said.
    first = after.rollout_id if after is not None else active.id if active is not None else 0
    joint = joints.of_rollout(connection, first)
    if joint is not None:
        first = min(part.rollout_id for part in joints.parts(connection, [joint.id]))
    live = releases.live_of(connection, other.id)
    then = next((each for each in releases.latest(connection, other.id, 1000) if each.rollout_id < first), None)
    if live is None or then is None:
        return None
    if then.id == live.id:
        return then.id if rollouts.active_of(connection, other.id) is not None else None
    return then.id if then.sha != live.sha else None


def name_of(lane: Lane) -> str:
    return f"{lane.application}/{lane.environment}"
