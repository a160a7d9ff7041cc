"""Tests in quarantine: they run and do not decide, have an owner, and an end.

Rules:
1. At most one quarantine of a name is in force; a new one takes the place of the old.
2. One that has ended stays as a record: it says so where its test fails.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, update

from farmgate.errors import NotFound
from farmgate.models import Quarantine
from farmgate.store.database import many, newest
from farmgate.store.schema import quarantines


def place(
    connection: Connection,
    repository_id: int,
    name: str,
    owner: str,
    reason: str,
    until: datetime,
    by: str,
    now: datetime,
) -> None:
    """Put a test into quarantine."""
    _lift(connection, repository_id, name, by, now)
    connection.execute(
        insert(quarantines).values(
            repository_id=repository_id,
            name=name,
            owner=owner,
            reason=reason,
            until=until,
            created_by=by,
            created_at=now,
            lifted_at=None,
            lifted_by=None,
        )
    )


def lift(connection: Connection, repository_id: int, name: str, by: str, now: datetime) -> None:
    """Let the test decide again. Raises NotFound."""
    if not _lift(connection, repository_id, name, by, now):
        raise NotFound(f"the test {name[:200]!r} is not in quarantine")


def _lift(connection: Connection, repository_id: int, name: str, by: str, now: datetime) -> int:
    return connection.execute(
        update(quarantines)
        .where(
            quarantines.c.repository_id == repository_id,
            quarantines.c.name == name,
            quarantines.c.lifted_at.is_(None),
        )
        .values(lifted_at=now, lifted_by=by)
    ).rowcount


def standing(connection: Connection, repository_id: int) -> dict[str, Quarantine]:
    """Those that nobody lifted, by name; also those whose day has come."""
    statement = newest(quarantines).where(
        quarantines.c.repository_id == repository_id, quarantines.c.lifted_at.is_(None)
    )
    return {one.name: one for one in reversed(many(connection, Quarantine, statement))}
