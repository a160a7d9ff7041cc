"""The audit log's rows: written with the act, in its transaction, as one chain whoever writes at the same time.

Rules:
1. An act and its entry are committed together or not at all: an entry of a savepoint that was rolled back is none.
2. The chain is continued at the very end of a transaction, so that its head is the last row to be locked: writers wait
   for each other just for their commits, and never in a circle.
3. Rows are inserted and never changed; nothing here deletes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from farmgate.audit import GENESIS, Anchor, entry
from farmgate.models import AuditEntry
from farmgate.store.database import at_the_end, insert_if_absent, many
from farmgate.store.schema import audit, audit_head, events

AT_ONCE: Final = 1000
_HEAD: Final = 1


def note(connection: Connection, event_id: int, before: str | None, after: str | None) -> None:
    """The event is an act: its entry is written when the transaction ends."""
    waiting = at_the_end(connection, _continue)
    waiting.append((event_id, before, after))


def head(connection: Connection) -> Anchor:
    """The last entry, as the head's own row has it."""
    row = connection.execute(select(audit_head.c.number, audit_head.c.hash).where(audit_head.c.id == _HEAD)).first()
    return Anchor(0, GENESIS) if row is None else Anchor(row.number, row.hash)


def one(connection: Connection, number: int) -> AuditEntry | None:
    """The entry of a number."""
    return next(iter(many(connection, AuditEntry, select(audit).where(audit.c.number == number))), None)


def after(connection: Connection, number: int, limit: int = AT_ONCE) -> list[AuditEntry]:
    """The entries after a number, oldest first."""
    statement = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit)
    return many(connection, AuditEntry, statement)


def walk(connection: Connection) -> Iterator[AuditEntry]:
    """Every entry, oldest first, some at a time."""
    seen = -1
    while some := after(connection, seen):
        yield from some
        seen = some[-1].number


def latest(
    connection: Connection,
    *,
    subject: str = "",
    actor: str = "",
    kind: str = "",
    before: int | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """The newest first. `subject` and `kind`: or what begins with them (lane/shop finds lane/shop/production)."""
    statement = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if subject:
        statement = statement.where(audit.c.subject.startswith(subject, autoescape=True))
    if actor:
        statement = statement.where(audit.c.actor == actor)
    if kind:
        statement = statement.where(audit.c.kind.startswith(kind, autoescape=True))
    if before is not None:
        statement = statement.where(audit.c.number < before)
    return many(connection, AuditEntry, statement)


def _continue(connection: Connection, waiting: list[Any]) -> None:
    """Rules 1 and 2."""
    digests = {event_id: (before, after) for event_id, before, after in waiting}
    told = connection.execute(select(events).where(events.c.id.in_(list(digests))).order_by(events.c.id)).all()
    if not told:
        return
    at = _locked_head(connection)
    rows = []
    for event in told:
        before, after = digests[event.id]
        made = entry(
            at.number + 1,
            at.hash,
            at=event.at,
            kind=event.kind,
            subject=event.subject,
            actor=event.actor,
            text=event.text,
            before=before,
            after=after,
        )
        rows.append({column.name: getattr(made, column.name) for column in audit.c})
        at = Anchor(made.number, made.hash)
    connection.execute(insert(audit), rows)
    connection.execute(update(audit_head).where(audit_head.c.id == _HEAD).values(number=at.number, hash=at.hash))


def _locked_head(connection: Connection) -> Anchor:
    statement = select(audit_head.c.number, audit_head.c.hash).where(audit_head.c.id == _HEAD).with_for_update()
    row = connection.execute(statement).first()
    if row is None:
        insert_if_absent(connection, audit_head, {"id": _HEAD, "number": 0, "hash": GENESIS}, "id")
        row = connection.execute(statement).one()
    return Anchor(row.number, row.hash)
