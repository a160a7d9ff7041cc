"""I10 to I13: nothing waits for ever, nothing outlives its purpose, no group is overfull."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, Text, bindparam, cast, exists, func, or_, select

from farmgate import states
from farmgate.invariants.registry import Finding, Violation, invariant, open_rows, rows, with_states
from farmgate.store import schema as t

GRACE: Final = timedelta(minutes=2)
"""How late a loop may act on a deadline."""
DRAIN_BOUND: Final = timedelta(minutes=15)
"""How long something may wait although nothing stands in its way."""
TIDY_BOUND: Final = timedelta(minutes=5)
"""How long a container or a token may outlive its attempt."""


@invariant
def i10(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Every row that is not final has a deadline, and is ended when it has passed."""
    for table, kind in with_states():
        column = next((table.c[name] for name in ("deadline", "lease_until") if name in table.c), None)
        if column is None:
            continue
        for row in rows(connection, _late(table, kind, column.name), since=now - GRACE):
            yield f"{table.name}/{row.id}", f"{row.state} although its {column.name} was {row._mapping[column.name]}"
    unheard = select(t.nodes).where(
        t.nodes.c.state.in_((states.Node.READY, states.Node.DRAINING)), t.nodes.c.seen_at < now - DRAIN_BOUND
    )
    for row in rows(connection, unheard):
        yield f"node/{row.name}", f"{row.state} although it was last heard of at {row.seen_at}"


@functools.cache
def _late(table: Table, kind: Any, column: str) -> Select[Any]:
    return open_rows(table, kind).where(table.c[column] < bindparam("since", type_=t.Utc))


@invariant
def i11(connection: Connection, now: datetime) -> Iterator[Finding]:
    """When faults stop, everything drains within a bound: nothing waits long with nothing in its way."""
    since = now - DRAIN_BOUND
    busy = (
        select(t.jobs.c.pool, func.count().label("many"))
        .where(t.jobs.c.state == states.Job.RUNNING)
        .group_by(t.jobs.c.pool)
        .subquery()
    )
    slots = (
        select(t.nodes.c.pool, func.sum(t.nodes.c.slots).label("many"), func.max(t.nodes.c.joined_at).label("joined"))
        .where(t.nodes.c.state == states.Node.READY)
        .group_by(t.nodes.c.pool)
        .subquery()
    )
    stalled = (
        select(t.jobs.c.id, t.jobs.c.state, t.jobs.c.pool)
        .join(t.runs, t.runs.c.id == t.jobs.c.run_id)
        .join(slots, slots.c.pool == t.jobs.c.pool)
        .join(busy, busy.c.pool == t.jobs.c.pool, isouter=True)
        .where(
            t.jobs.c.state.in_((states.Job.READY, states.Job.QUEUED)),
            t.jobs.c.ready_at < since,
            slots.c.joined < since,
            func.coalesce(busy.c.many, 0) == 0,
            # these wait for a person, for a time, for a node that fits: they say so
            t.runs.c.hold.is_(None),
            or_(t.jobs.c.not_before.is_(None), t.jobs.c.not_before < since),
            cast(t.jobs.c.labels, Text) == "{}",
        )
    )
    for row in rows(connection, stalled):
        yield f"job/{row.id}", f"{row.state} for a long time although pool {row.pool} does nothing"
    unread = select(t.intakes.c.id).where(t.intakes.c.state == states.Intake.PENDING, t.intakes.c.not_before < since)
    for row in rows(connection, unread):
        yield f"intake/{row.id}", "pending for a long time although it may be read"
    unfinished = select(t.runs.c.id).where(
        t.runs.c.state.in_(states.open_states(states.Run)),
        t.runs.c.created_at < since,
        ~exists().where(t.jobs.c.run_id == t.runs.c.id, t.jobs.c.state.in_(states.open_states(states.Job))),
        ~exists().where(t.jobs.c.run_id == t.runs.c.id, t.jobs.c.finished_at >= since),
    )
    for row in rows(connection, unfinished):
        yield f"run/{row.id}", "open for a long time although all of its jobs are over"
    unbegun = select(t.rollouts.c.id).where(
        t.rollouts.c.state == states.Rollout.PENDING, t.rollouts.c.created_at < since
    )
    for row in rows(connection, unbegun):
        yield f"rollout/{row.id}", "cut long ago and not begun"


@invariant
def i12(connection: Connection, now: datetime) -> Iterator[Finding]:
    """No container, volume or token outlives its attempt by more than a bound."""
    held = select(t.nodes.c.name, t.nodes.c.holding, t.nodes.c.seen_at).where(t.nodes.c.state != states.Node.REMOVED)
    for node in rows(connection, held):
        for name in node.holding:
            job, _, number = name.partition("/")
            over = connection.execute(
                select(t.attempts.c.finished_at).where(
                    t.attempts.c.job_id == int(job), t.attempts.c.number == int(number)
                )
            ).scalar()
            if over is not None and over < node.seen_at - TIDY_BOUND:
                yield f"node/{node.name}", f"it still holds {name}, which was over at {over}"
    unrevoked = (
        select(t.tokens.c.id, t.nodes.c.name)
        .join(t.nodes, t.nodes.c.id == t.tokens.c.node_id)
        .where(t.nodes.c.state == states.Node.REMOVED, t.tokens.c.revoked_at.is_(None))
    )
    for row in rows(connection, unrevoked):
        yield f"token/{row.id}", f"it opens doors for {row.name}, which was removed"
    unpacked = select(t.attempts.c.job_id, t.attempts.c.number).where(
        t.attempts.c.log_blob.is_(None), t.attempts.c.finished_at < now - DRAIN_BOUND
    )
    for row in rows(connection, unpacked):
        yield f"job/{row.job_id}", f"the log of attempt {row.number} was not packed"


def undrained(connection: Connection) -> list[Violation]:
    """What is still open; empty once everything has drained (I11)."""
    found: list[Violation] = []
    for table, kind in with_states():
        if kind is states.Step or kind is states.Node:
            continue
        found += [
            Violation("I11", f"{table.name}/{row.id}", f"still {row.state}")
            for row in rows(connection, open_rows(table, kind))
        ]
    return found


@invariant
def i13(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Of a concurrency group, and of a family of a run that has a limit, at most so many are under way."""
    under_way = t.jobs.c.state.in_((states.Job.QUEUED, states.Job.RUNNING))
    overfull = (
        select(t.jobs.c.exclusion, func.count().label("many"), func.min(t.jobs.c.exclusion_limit).label("least"))
        .where(under_way, t.jobs.c.exclusion.is_not(None))
        .group_by(t.jobs.c.exclusion)
        .having(func.count() > func.min(t.jobs.c.exclusion_limit))
    )
    for row in rows(connection, overfull):
        yield f"group/{row.exclusion}", f"{row.many} of it are under way, at most {row.least} may be"
    crowded = (
        select(t.jobs.c.run_id, t.jobs.c.family, func.count().label("many"))
        .where(under_way, t.jobs.c.family_limit.is_not(None))
        .group_by(t.jobs.c.run_id, t.jobs.c.family)
        .having(func.count() > func.min(t.jobs.c.family_limit))
    )
    for row in rows(connection, crowded):
        yield f"run/{row.run_id}", f"{row.many} of {row.family} are under way"
