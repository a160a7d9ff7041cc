"""Webhooks that were accepted, and the changes they reported, waiting to be read.

Rules:
1. A delivery is stored once, however often the forge sends it; its changes are stored with it or not at all.
2. A change ends in runs (DONE) or in a recorded rejection (I1); until then it is tried again, at a growing pause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from farmgate import states
from farmgate.models import Delivery, IntakeRow
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import deliveries, intakes

PATIENCE = timedelta(hours=1)
"""How long a remote may be out of reach before a change is rejected."""


def storable(text: str) -> str:
    """What strangers wrote, so that every database takes it: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class NewIntake:
    """A change to be read. `kind`: first, push, delete, pull, pull_closed."""

    kind: str
    ref: str
    before: str | None = None
    after: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def accept(
    connection: Connection,
    repository_id: int,
    delivery_id: str,
    event: str,
    outcome: str,
    changes: Sequence[NewIntake],
    now: datetime,
) -> bool:
    """Store a delivery with its changes; False if it was stored before."""
    values = {
        "repository_id": repository_id,
        "delivery_id": delivery_id,
        "event": event,
        "received_at": now,
        "outcome": outcome,
    }
    if not insert_if_absent(connection, deliveries, values, "repository_id", "delivery_id"):
        return False
    row = connection.execute(
        select(deliveries.c.id).where(
            deliveries.c.repository_id == repository_id, deliveries.c.delivery_id == delivery_id
        )
    ).scalar_one()
    put(connection, repository_id, changes, now, delivery_id=row)
    return True


def put(
    connection: Connection,
    repository_id: int,
    changes: Sequence[NewIntake],
    now: datetime,
    *,
    delivery_id: int | None = None,
) -> None:
    """Write changes down to be read; `delivery_id` None: nobody told us, a poll found them."""
    if not changes:
        return
    rows = [
        {
            "repository_id": repository_id,
            "delivery_id": delivery_id,
            "kind": change.kind,
            "ref": change.ref,
            "before": change.before,
            "after": change.after,
            "details": {
                name: storable(value) if isinstance(value, str) else value for name, value in change.details.items()
            },
            "state": states.Intake.PENDING,
            "tries": 0,
            "not_before": now,
            "deadline": now + PATIENCE,
            "created_at": now,
            "reason": None,
        }
        for change in changes
    ]
    connection.execute(insert(intakes), rows)


def by_id(connection: Connection, intake_id: int) -> IntakeRow | None:
    return one(connection, IntakeRow, select(intakes).where(intakes.c.id == intake_id))


def due(connection: Connection, repository_id: int, now: datetime) -> list[IntakeRow]:
    """The changes of a repository that may be read now, in the order they were told."""
    statement = (
        select(intakes)
        .where(
            intakes.c.repository_id == repository_id,
            intakes.c.state == states.Intake.PENDING,
            intakes.c.not_before <= now,
        )
        .order_by(intakes.c.id)
    )
    return many(connection, IntakeRow, statement)


def pending(connection: Connection) -> list[tuple[int, int, datetime, datetime]]:
    """All that wait: (id, repository, not before, deadline)."""
    return [tuple(row) for row in connection.execute(_PENDING)]


_PENDING: Final = (
    select(intakes.c.id, intakes.c.repository_id, intakes.c.not_before, intakes.c.deadline)
    .where(intakes.c.state == states.Intake.PENDING)
    .order_by(intakes.c.id)
)


def done(connection: Connection, intake_id: int, reason: str) -> None:
    """It was read; `reason` says what came of it. Raises LostRace."""
    move(connection, intakes, {"id": intake_id}, states.Intake.PENDING, states.Intake.DONE, reason=reason)


def reject(connection: Connection, intake_id: int, reason: str) -> None:
    """Nothing can come of it. Raises LostRace."""
    move(connection, intakes, {"id": intake_id}, states.Intake.PENDING, states.Intake.REJECTED, reason=reason)


def later(connection: Connection, intake_id: int, tries: int, not_before: datetime, reason: str) -> None:
    """Try again then; the state stays."""
    connection.execute(
        update(intakes)
        .where(intakes.c.id == intake_id, intakes.c.state == states.Intake.PENDING)
        .values(tries=tries, not_before=not_before, reason=reason)
    )


def first_read(connection: Connection, repository_id: int) -> IntakeRow | None:
    """The intake that looks at a repository for the first time; the newest, if it was asked for again."""
    statement = newest(intakes).where(intakes.c.repository_id == repository_id, intakes.c.kind == "first").limit(1)
    return one(connection, IntakeRow, statement)


def recent(connection: Connection, repository_id: int, limit: int = 20) -> list[IntakeRow]:
    """The newest changes of a repository, whatever became of them."""
    return many(connection, IntakeRow, newest(intakes).where(intakes.c.repository_id == repository_id).limit(limit))


def deliveries_of(connection: Connection, repository_id: int, limit: int = 20) -> list[Delivery]:
    """The newest webhooks of a repository."""
    return many(
        connection, Delivery, newest(deliveries).where(deliveries.c.repository_id == repository_id).limit(limit)
    )


def count_pending(connection: Connection) -> int:
    return int(
        connection.execute(
            select(func.count()).select_from(intakes).where(intakes.c.state == states.Intake.PENDING)
        ).scalar_one()
    )
