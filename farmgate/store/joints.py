"""Joint rollouts, and the searches of groups.

Rules:
1. A joint rollout is made in the transaction that cuts the rollouts in it; it has no state but theirs.
2. A search's points never change; `good` only rises, `sick` only falls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select, update

from farmgate import states
from farmgate.lanes import Point
from farmgate.models import Joint, JointRollout, JointSearchRow, Rollout, RolloutKind
from farmgate.store.database import many, move, newest, one
from farmgate.store.schema import group_members, joint_rollouts, joint_searches, joints, rollouts

PATIENCE = timedelta(days=7)
"""How long a search may be open; then everything still suspected is banned."""


def tie(
    connection: Connection,
    group_id: int,
    kind: RolloutKind,
    members: Mapping[int, Rollout],
    now: datetime,
    *,
    search_id: int | None = None,
    upto: int | None = None,
) -> Joint:
    """Make one joint rollout of these, by their lanes' places in the group."""
    last = connection.execute(select(func.max(joints.c.number)).where(joints.c.group_id == group_id)).scalar()
    values = {"group_id": group_id, "number": (last or 0) + 1, "kind": kind, "search_id": search_id, "upto": upto}
    created = connection.execute(insert(joints).values(**values, created_at=now))
    (joint_id,) = created.inserted_primary_key or (0,)
    for place, rollout in members.items():
        connection.execute(insert(joint_rollouts).values(rollout_id=rollout.id, joint_id=joint_id, place=place))
    if search_id is not None:
        connection.execute(
            update(joint_searches)
            .where(joint_searches.c.id == search_id)
            .values(rollouts=joint_searches.c.rollouts + 1)
        )
    return by_id(connection, int(joint_id or 0))


def by_id(connection: Connection, joint_id: int) -> Joint:
    found = one(connection, Joint, select(joints).where(joints.c.id == joint_id))
    assert found is not None
    return found


def of_rollout(connection: Connection, rollout_id: int) -> Joint | None:
    """The joint rollout that a rollout is in."""
    statement = select(joints).join(joint_rollouts, joint_rollouts.c.joint_id == joints.c.id)
    return one(connection, Joint, statement.where(joint_rollouts.c.rollout_id == rollout_id))


def parts(connection: Connection, joint_ids: Iterable[int]) -> list[JointRollout]:
    """What is in joint rollouts, in the order of the places."""
    statement = select(joint_rollouts).where(joint_rollouts.c.joint_id.in_(list(joint_ids)))
    return many(connection, JointRollout, statement.order_by(joint_rollouts.c.joint_id, joint_rollouts.c.place))


def rollouts_of(connection: Connection, joint_id: int) -> list[tuple[int, Rollout]]:
    """Its rollouts with their places, in that order."""
    found = {
        each.id: each
        for each in many(
            connection,
            Rollout,
            select(rollouts)
            .join(joint_rollouts, joint_rollouts.c.rollout_id == rollouts.c.id)
            .where(joint_rollouts.c.joint_id == joint_id),
        )
    }
    return [(part.place, found[part.rollout_id]) for part in parts(connection, [joint_id])]


def latest(connection: Connection, group_id: int, limit: int = 20) -> list[Joint]:
    """The newest first."""
    return many(connection, Joint, newest(joints).where(joints.c.group_id == group_id).limit(limit))


# --- searches --------------------------------------------------------------------------------------------------------


def open_up(connection: Connection, joint: Joint, points: Sequence[Point], now: datetime) -> int:
    """Seal a joint batch that went sick; the search's id."""
    created = connection.execute(
        insert(joint_searches).values(
            group_id=joint.group_id,
            joint_id=joint.id,
            points=[{"repository": point.line[0], "branch": point.line[1], "sha": point.sha} for point in points],
            good=0,
            sick=len(points),
            state=states.Search.OPEN,
            rollouts=0,
            culprit=None,
            opened_at=now,
            closed_at=None,
            deadline=now + PATIENCE,
        )
    )
    (search_id,) = created.inserted_primary_key or (0,)
    return int(search_id or 0)


def points_of(search: JointSearchRow) -> tuple[Point, ...]:
    return tuple(Point((each["repository"], each["branch"]), each["sha"]) for each in search.points)


def narrow(connection: Connection, search_id: int, *, good: int | None = None, sick: int | None = None) -> bool:
    """Good with its first `good` points, or sick with its first `sick`; False if the search is closed."""
    values = {"good": good} if good is not None else {"sick": sick}
    found = connection.execute(
        update(joint_searches)
        .where(joint_searches.c.id == search_id, joint_searches.c.state == states.Search.OPEN)
        .values(**values)
    )
    return found.rowcount == 1


def prolong(connection: Connection, search_id: int, deadline: datetime) -> None:
    """Give an open search until then."""
    connection.execute(
        update(joint_searches)
        .where(joint_searches.c.id == search_id, joint_searches.c.state == states.Search.OPEN)
        .values(deadline=deadline)
    )


def close(connection: Connection, search_id: int, state: states.Search, now: datetime, culprit: str | None) -> None:
    """Found or abandoned. Raises LostRace if it is closed already."""
    move(connection, joint_searches, {"id": search_id}, states.Search.OPEN, state, culprit=culprit, closed_at=now)


def abandon(connection: Connection, lane_id: int, now: datetime) -> None:
    """Close the search of the lane's group without a culprit, if one is open."""
    group_id = connection.execute(select(group_members.c.group_id).where(group_members.c.lane_id == lane_id)).scalar()
    found = open_of(connection, group_id) if group_id is not None else None
    if found is not None:
        close(connection, found.id, states.Search.ABANDONED, now, None)


def open_of(connection: Connection, group_id: int) -> JointSearchRow | None:
    return one(
        connection,
        JointSearchRow,
        select(joint_searches).where(
            joint_searches.c.group_id == group_id, joint_searches.c.state == states.Search.OPEN
        ),
    )


def searches_of(connection: Connection, group_id: int, limit: int = 5) -> list[JointSearchRow]:
    """The newest first."""
    return many(
        connection, JointSearchRow, newest(joint_searches).where(joint_searches.c.group_id == group_id).limit(limit)
    )
