"""The farm's own record: what happened to what, by whom and why."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert

from farmgate.models import Event
from farmgate.store.database import many, newest
from farmgate.store.schema import events


def record(connection: Connection, now: datetime, kind: str, subject: str, actor: str, text: str) -> None:
    """Write one line, in the transaction of what it tells about."""
    connection.execute(insert(events).values(at=now, kind=kind, subject=subject, actor=actor, text=text))


def latest(connection: Connection, *, subject: str | None = None, limit: int = 100) -> list[Event]:
    """The newest lines first, of one subject or of all."""
    statement = newest(events).limit(limit)
    return many(connection, Event, statement if subject is None else statement.where(events.c.subject == subject))
