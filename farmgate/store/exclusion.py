"""Concurrency groups and families where they must hold: in the transaction that sends or starts a job.

Rules:
1. A job takes a place of its group only while fewer others hold one than any of them, and itself, allows.
2. Two that ask at the same moment ask one after the other: the repository's row is locked first, so that each counts
   what the other did. On SQLite writers are alone anyway.
3. Nothing is stored: what ended has given its place back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from farmgate import states
from farmgate.errors import LostRace
from farmgate.store.schema import jobs, repositories, runs


def take(connection: Connection, job_id: int, held_in: Sequence[states.Job]) -> None:
    """See that there is a place for the job beside the others that are in `held_in`. Raises LostRace."""
    row = connection.execute(
        select(
            jobs.c.exclusion,
            jobs.c.exclusion_limit,
            jobs.c.run_id,
            jobs.c.family,
            jobs.c.family_limit,
            runs.c.repository_id,
        )
        .select_from(jobs.join(runs, runs.c.id == jobs.c.run_id))
        .where(jobs.c.id == job_id)
    ).first()
    if row is None or (row.exclusion is None and row.family_limit is None):
        return
    lock = select(repositories.c.id).where(repositories.c.id == row.repository_id)
    connection.execute(lock.with_for_update(key_share=True))
    others = [jobs.c.id != job_id, jobs.c.state.in_(list(held_in))]
    if row.exclusion is not None:
        count, least = connection.execute(
            select(func.count(), func.min(jobs.c.exclusion_limit)).where(jobs.c.exclusion == row.exclusion, *others)
        ).one()
        if count and count >= min(row.exclusion_limit, least):
            raise LostRace(f"job {job_id} waits: its group {row.exclusion} is full")
    if row.family_limit is not None:
        beside = connection.execute(
            select(func.count()).where(jobs.c.run_id == row.run_id, jobs.c.family == row.family, *others)
        ).scalar_one()
        if beside >= row.family_limit:
            raise LostRace(f"job {job_id} waits: {beside} of {row.family} run already")
