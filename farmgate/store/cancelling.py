"""A run that is to end before its time.

Rules:
1. Every open job is asked to end, but for those that clean up after the others (`when: {result: always}`): these run
   when what they need is over, and have so much time. Nothing is cleaned up where nothing has begun.
2. Where only such jobs are left, they are asked to end: a second cancellation ends everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from farmgate import states
from farmgate.models import Job
from farmgate.pipeline.conditions import cleans_up
from farmgate.store import jobs
from farmgate.store import runs as runs_
from farmgate.store.schema import jobs as jobs_table
from farmgate.store.schema import runs


def ask(connection: Connection, run_id: int, why: str, until: datetime) -> tuple[str, ...]:
    """Ask the jobs of a run to end; the names of those that still run, to clean up, until then."""
    clearing = _clearing(connection, run_id)
    if not clearing:
        ask_all(connection, run_id, why)
        return ()
    ask_all(connection, run_id, why, but=[job.id for job in clearing])
    bound(connection, run_id, until)
    return tuple(job.name for job in clearing)


def would_clean_up(connection: Connection, run_id: int) -> tuple[str, ...]:
    """The jobs that would still run if it were cancelled now."""
    return tuple(job.name for job in _clearing(connection, run_id))


def _clearing(connection: Connection, run_id: int) -> list[Job]:
    """Rules 1 and 2: the jobs that are spared."""
    run = runs_.by_id(connection, run_id)
    if run.state is not states.Run.RUNNING or run.hold is not None:
        return []
    found = [job for job in jobs.of_run(connection, run_id) if not states.is_final(job.state)]
    asked = [job for job in found if job.cancel_asked is None]
    clearing = [job for job in asked if cleans_up(job.runs_when, job.needs, job.kind)]
    return clearing if len(clearing) < len(asked) else []


def ask_all(connection: Connection, run_id: int, why: str, but: Sequence[int] = ()) -> int:
    """Ask every open job of a run to end but these; the loop and the workers do it. How many."""
    return connection.execute(
        update(jobs_table)
        .where(
            jobs_table.c.run_id == run_id,
            jobs_table.c.state.in_(states.open_states(states.Job)),
            jobs_table.c.cancel_asked.is_(None),
            jobs_table.c.id.not_in(list(but)),
        )
        .values(cancel_asked=why)
    ).rowcount


def bound(connection: Connection, run_id: int, until: datetime) -> None:
    """What is left of the run is over by then."""
    connection.execute(update(runs).where(runs.c.id == run_id, runs.c.deadline > until).values(deadline=until))
