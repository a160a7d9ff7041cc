"""Holds, freezes and stops: lanes kept from delivering by someone, with a reason and an end.

Rules:
1. Each ends by itself at `until`, and that is told; one that only a person may end has an end beyond any working life.
2. Whoever places one and whoever cuts lock the lane: once it is written, nothing is cut while it stands.
3. Several may stand at once; the lane goes on when the last is over.
4. A freeze may begin later. A stop has no lane: it is for every one, those to come included.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from farmgate.errors import NotFound
from farmgate.models import Hold, HoldKind
from farmgate.store.database import many, newest, one
from farmgate.store.schema import holds, lanes

UNTIL_LIFTED = timedelta(days=36_500)


def place(
    connection: Connection,
    lane_id: int | None,
    reason: str,
    created_by: str,
    now: datetime,
    until: datetime | None = None,
    *,
    begins: datetime | None = None,
    kind: HoldKind = HoldKind.HOLD,
) -> int:
    """Stop a lane, or without one all; without `until`, until a person lifts it. The hold's id."""
    locked = select(lanes.c.id).order_by(lanes.c.id)
    locked = locked if lane_id is None else locked.where(lanes.c.id == lane_id)
    connection.execute(locked.with_for_update()).all()  # no cut at this moment
    created = connection.execute(
        insert(holds).values(
            lane_id=lane_id,
            kind=kind,
            reason=reason,
            created_by=created_by,
            created_at=now,
            begins=begins if begins is not None else now,
            until=until if until is not None else now + UNTIL_LIFTED,
            lifted_at=None,
            lifted_by=None,
            told_at=None,
        )
    )
    (hold_id,) = created.inserted_primary_key or (0,)
    return int(hold_id)


def by_id(connection: Connection, hold_id: int) -> Hold:
    """Raises NotFound."""
    found = one(connection, Hold, select(holds).where(holds.c.id == hold_id))
    if found is None:
        raise NotFound(f"no hold has the id {hold_id}")
    return found


def lift(connection: Connection, lane_id: int | None, lifted_by: str, now: datetime) -> int:
    """Lift every hold and freeze of a lane, also those ahead; without a lane, every stop. How many there were."""
    of = holds.c.lane_id.is_(None) if lane_id is None else holds.c.lane_id == lane_id
    lifted = connection.execute(update(holds).where(of, _not_over(now)).values(lifted_at=now, lifted_by=lifted_by))
    return lifted.rowcount


def standing(connection: Connection, lane_id: int | None, now: datetime) -> list[Hold]:
    """Those that stop the lane now, stops first, then the newest; without a lane: the stops."""
    found = [hold for hold in ahead(connection, lane_id, now) if hold.begins <= now]
    return sorted(found, key=lambda hold: hold.kind is not HoldKind.STOP)


def ahead(connection: Connection, lane_id: int | None, now: datetime) -> list[Hold]:
    """Those that stop the lane now or later, newest first."""
    every = holds.c.lane_id.is_(None)
    of = every if lane_id is None else or_(holds.c.lane_id == lane_id, every)
    return many(connection, Hold, newest(holds).where(of, _not_over(now)))


def ended(connection: Connection, lane_id: int, after: datetime, now: datetime) -> list[Hold]:
    """Those that ended by themselves lately, newest first."""
    of = or_(holds.c.lane_id == lane_id, holds.c.lane_id.is_(None))
    over = and_(holds.c.lifted_at.is_(None), holds.c.until <= now, holds.c.until > after)
    return many(connection, Hold, newest(holds).where(of, over))


def any_to_tell(connection: Connection, now: datetime) -> bool:
    """True if `tell_ended` would find one."""
    return connection.execute(select(holds.c.id).where(_over_untold(now)).limit(1)).first() is not None


def tell_ended(connection: Connection, now: datetime) -> list[Hold]:
    """Those that ended by themselves and were not told yet; from now on they were."""
    found = many(connection, Hold, select(holds).where(_over_untold(now)).order_by(holds.c.id).with_for_update())
    if found:
        connection.execute(update(holds).where(holds.c.id.in_([hold.id for hold in found])).values(told_at=now))
    return found


def placed(connection: Connection, lane_id: int, since: datetime) -> int:
    """How many stood in the lane, or in all, since a moment; the farm's own ones too."""
    of = or_(holds.c.lane_id == lane_id, holds.c.lane_id.is_(None))
    counted = select(func.count()).select_from(holds).where(of, holds.c.until > since)
    return connection.execute(counted.where(or_(holds.c.lifted_at.is_(None), holds.c.lifted_at > since))).scalar_one()


def was_lifted(connection: Connection, lane_id: int, reason: str) -> bool:
    """True if a person lifted a hold with just this reason."""
    found = connection.execute(
        select(holds.c.id).where(holds.c.lane_id == lane_id, holds.c.reason == reason, holds.c.lifted_at.is_not(None))
    )
    return found.first() is not None


def _not_over(now: datetime) -> Any:
    return and_(holds.c.lifted_at.is_(None), holds.c.until > now)


def _over_untold(now: datetime) -> Any:
    return and_(holds.c.lifted_at.is_(None), holds.c.told_at.is_(None), holds.c.until <= now)
