"""The farm's own record: what happened to what, by whom and why. An act is an entry of the audit log as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from farmgate import audit as rules
from farmgate.models import Event
from farmgate.store import audit
from farmgate.store.database import many, newest
from farmgate.store.schema import events


def record(
    connection: Connection,
    now: datetime,
    kind: str,
    subject: str,
    actor: str,
    text: str,
    *,
    before: Any = None,
    after: Any = None,
) -> None:
    """Write one line, in the transaction of what it tells about. `before`, `after`: states, of which digests stay."""
    told = connection.execute(insert(events).values(at=now, kind=kind, subject=subject, actor=actor, text=text))
    if rules.is_act(kind):
        (event_id,) = told.inserted_primary_key or (0,)
        audit.note(connection, int(event_id), rules.digest(before), rules.digest(after))


def latest(connection: Connection, *, subject: str | None = None, limit: int = 100) -> list[Event]:
    """The newest lines first, of one subject or of all."""
    statement = newest(events).limit(limit)
    return many(connection, Event, statement if subject is None else statement.where(events.c.subject == subject))
