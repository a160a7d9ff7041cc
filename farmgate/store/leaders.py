"""Who runs a loop: a lease row with a fencing epoch, alike on both databases.

Rules:
1. A holder keeps the lease by renewing it before it ends; each renewal is guarded by its epoch.
2. A free or ended lease is taken with the next epoch, so an older leader is recognised wherever it acts.
3. Who waits only reads: a process that stands by takes no lock from those that work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from farmgate.models import Leader
from farmgate.store.database import insert_if_absent, one
from farmgate.store.schema import leaders


def another_leads(connection: Connection, name: str, holder: str, now: datetime) -> bool:
    """True if asking for the lease `name` is in vain now: someone else has it."""
    others = select(leaders.c.name).where(leaders.c.name == name, leaders.c.holder != holder, leaders.c.until > now)
    return connection.execute(others).first() is not None


def lead(connection: Connection, name: str, holder: str, now: datetime, span: timedelta) -> Leader | None:
    """Take or renew the lease `name` until now + span; None while someone else holds it."""
    until = now + span
    current = one(connection, Leader, select(leaders).where(leaders.c.name == name))
    if current is None:  # never led: of several who insert, one does; the others are late, and ask again
        first = {"name": name, "holder": holder, "epoch": 1, "until": until}
        return Leader(name, holder, 1, until) if insert_if_absent(connection, leaders, first, "name") else None
    mine = current.holder == holder and current.until > now
    epoch = current.epoch if mine else current.epoch + 1
    taken = connection.execute(
        update(leaders)
        .where(leaders.c.name == name, leaders.c.epoch == current.epoch)
        .where(or_(leaders.c.holder == holder, leaders.c.until <= now))
        .values(holder=holder, epoch=epoch, until=until)
    )
    return Leader(name, holder, epoch, until) if taken.rowcount == 1 else None


def resign(connection: Connection, name: str, holder: str, now: datetime) -> None:
    """End the lease at once, so that a successor need not wait."""
    connection.execute(update(leaders).where(leaders.c.name == name, leaders.c.holder == holder).values(until=now))
