"""Groups: lanes that go together, in their order, and the history of that.

Rules:
1. A lane is in one group at most. Every change is a version with its author; without lanes a group is dissolved.
2. A change counts from the next cut: what is under way keeps its lanes. While the group's search is open its lanes stay
   as they are, since its points speak of them.
3. Whoever changes a group and whoever cuts lock its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from farmgate import states
from farmgate.errors import Conflict, LostRace, NotFound
from farmgate.models import GroupVersion, Lane, LaneGroup
from farmgate.store import lanes as lane_rows
from farmgate.store.database import many, one
from farmgate.store.schema import group_members, group_versions, joint_searches, lane_groups, lanes


@dataclass(frozen=True, slots=True)
class AppliedGroup:
    """What applying a group did: created, changed, unchanged, dissolved."""

    name: str
    version: int
    change: str


def apply(connection: Connection, name: str, wanted: Sequence[str], changed_by: str, now: datetime) -> AppliedGroup:
    """Give a group these lanes (application/environment), in this order. Raises NotFound, Conflict, LostRace."""
    members = [lane_rows.by_name(connection, *lane.split("/", 1)) for lane in wanted]
    found = find(connection, name)
    _refuse_taken(connection, members, found, name)
    _refuse_reverting(members, name)
    if found is None:
        if not members:
            raise NotFound(f"no group {name}; `farmgate groups` lists those there are")
        created = connection.execute(insert(lane_groups).values(name=name, version=1, created_at=now))
        (group_id,) = created.inserted_primary_key or (0,)
        _write(connection, int(group_id or 0), 1, wanted, members, changed_by, now)
        return AppliedGroup(name, 1, "created")
    before = [lane.id for lane in lanes_of(connection, found.id)]
    if before == [lane.id for lane in members]:
        return AppliedGroup(name, found.version, "unchanged")
    _refuse_searching(connection, found)
    version = found.version + 1
    changed = connection.execute(
        update(lane_groups)
        .where(lane_groups.c.id == found.id, lane_groups.c.version == found.version)
        .values(version=version)
    )
    if changed.rowcount != 1:
        raise LostRace(f"someone else changed the group {name} at this moment; look again")
    connection.execute(delete(group_members).where(group_members.c.group_id == found.id))
    _write(connection, found.id, version, wanted, members, changed_by, now)
    return AppliedGroup(name, version, "changed" if members else "dissolved")


def find(connection: Connection, name: str) -> LaneGroup | None:
    return one(connection, LaneGroup, select(lane_groups).where(lane_groups.c.name == name))


def by_name(connection: Connection, name: str) -> LaneGroup:
    """Raises NotFound."""
    found = find(connection, name)
    if found is None:
        raise NotFound(f"no group {name}; `farmgate groups` lists those there are")
    return found


def by_id(connection: Connection, group_id: int) -> LaneGroup:
    """Raises NotFound."""
    found = one(connection, LaneGroup, select(lane_groups).where(lane_groups.c.id == group_id))
    if found is None:
        raise NotFound(f"no group has the id {group_id}")
    return found


def every(connection: Connection) -> list[LaneGroup]:
    """By name; those that were dissolved too."""
    return many(connection, LaneGroup, select(lane_groups).order_by(lane_groups.c.name))


def of_lane(connection: Connection, lane_id: int) -> LaneGroup | None:
    """The group that a lane is in."""
    statement = select(lane_groups).join(group_members, group_members.c.group_id == lane_groups.c.id)
    return one(connection, LaneGroup, statement.where(group_members.c.lane_id == lane_id))


def lanes_of(connection: Connection, group_id: int) -> list[Lane]:
    """Its lanes, in their order."""
    statement = select(lanes).join(group_members, group_members.c.lane_id == lanes.c.id)
    return many(connection, Lane, statement.where(group_members.c.group_id == group_id).order_by(group_members.c.place))


def versions(connection: Connection, group_id: int) -> list[GroupVersion]:
    """The history of its lanes, newest first."""
    statement = select(group_versions).where(group_versions.c.group_id == group_id)
    return many(connection, GroupVersion, statement.order_by(group_versions.c.version.desc()))


def lock(connection: Connection, group_id: int) -> None:
    """Rule 3."""
    connection.execute(select(lane_groups.c.id).where(lane_groups.c.id == group_id).with_for_update())


def _write(
    connection: Connection,
    group_id: int,
    version: int,
    wanted: Sequence[str],
    members: Sequence[Lane],
    changed_by: str,
    now: datetime,
) -> None:
    for place, lane in enumerate(members):
        connection.execute(insert(group_members).values(lane_id=lane.id, group_id=group_id, place=place))
    connection.execute(
        insert(group_versions).values(
            group_id=group_id, version=version, lanes=list(wanted), changed_by=changed_by, changed_at=now
        )
    )


def _refuse_taken(connection: Connection, members: Sequence[Lane], own: LaneGroup | None, name: str) -> None:
    for lane in members:
        other = of_lane(connection, lane.id)
        if other is not None and (own is None or other.id != own.id):
            said = f"{lane.application}/{lane.environment} is in the group {other.name} already"
            raise Conflict(f"{said}: take it out of there before it joins {name}")


def _refuse_reverting(members: Sequence[Lane], name: str) -> None:
    """A commit that is made for one lane is none of the others'."""
    for lane in members:
        if lane_rows.policy_of(lane).on_culprit == "revert":
            said = f"{lane.application}/{lane.environment} says on_culprit: revert, which does not apply in a group"
            raise Conflict(f"{said}: let it say hold or next before it joins {name}")


def _refuse_searching(connection: Connection, group: LaneGroup) -> None:
    searching = select(joint_searches.c.id).where(
        joint_searches.c.group_id == group.id, joint_searches.c.state == states.Search.OPEN
    )
    if connection.execute(searching).first() is not None:
        said = f"a search for a culprit is open in the group {group.name}"
        raise Conflict(f"{said}: change its lanes when that is over, or roll one of them back")
