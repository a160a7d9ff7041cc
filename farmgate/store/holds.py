"""Holds: a lane stopped by someone, with a reason and an end.

Rules:
1. A hold ends by itself at `until`; one that only a person may end has an end beyond any working life.
2. A hold and a cut lock the lane: once a hold is written, nothing is cut while it stands.
3. Several may stand at once; the lane goes on when the last is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from farmgate.models import Hold
from farmgate.store.database import many, newest
from farmgate.store.schema import holds, lanes

UNTIL_LIFTED = timedelta(days=36_500)


def place(
    connection: Connection, lane_id: int, reason: str, created_by: str, now: datetime, until: datetime | None = None
) -> int:
    """Stop a lane; without `until`, until a person lifts it. The hold's id."""
    connection.execute(select(lanes.c.id).where(lanes.c.id == lane_id).with_for_update())  # no cut at this moment
    created = connection.execute(
        insert(holds).values(
            lane_id=lane_id,
            reason=reason,
            created_by=created_by,
            created_at=now,
            until=until if until is not None else now + UNTIL_LIFTED,
            lifted_at=None,
            lifted_by=None,
        )
    )
    (hold_id,) = created.inserted_primary_key or (0,)
    return int(hold_id)


def lift(connection: Connection, lane_id: int, lifted_by: str, now: datetime) -> int:
    """Lift every standing hold of a lane; how many there were."""
    lifted = connection.execute(
        update(holds)
        .where(holds.c.lane_id == lane_id, holds.c.lifted_at.is_(None), holds.c.until > now)
        .values(lifted_at=now, lifted_by=lifted_by)
    )
    return lifted.rowcount


def standing(connection: Connection, lane_id: int, now: datetime) -> list[Hold]:
    """Those that stop the lane now, newest first."""
    return many(
        connection,
        Hold,
        newest(holds).where(holds.c.lane_id == lane_id, holds.c.lifted_at.is_(None), holds.c.until > now),
    )


def was_lifted(connection: Connection, lane_id: int, reason: str) -> bool:
    """True if a person lifted a hold with just this reason."""
    found = connection.execute(
        select(holds.c.id).where(holds.c.lane_id == lane_id, holds.c.reason == reason, holds.c.lifted_at.is_not(None))
    )
    return found.first() is not None
