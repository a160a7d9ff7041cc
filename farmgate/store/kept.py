"""What the jobs of a run keep: the artifacts of each job's newest attempt, or of the job whose result it took.

Rules:
1. A run may keep very many: they are counted by the database and read in parts, by their place.
2. What has ended (`removed_at`) is listed, since it was there; its bytes are not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, or_, select

from farmgate.models import Artifact
from farmgate.store.schema import artifacts, attempts, jobs

Place = tuple[int, int]
"""Of an artifact in the list of its run: the job that shows it, and its row's number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An artifact, and the job of the run that shows it."""

    job_id: int
    job: str
    attempt: int
    artifact: Artifact

    @property
    def place(self) -> Place:
        return self.job_id, self.artifact.id


@dataclass(frozen=True, slots=True)
class Sum:
    """How much a job keeps: of what is still there, and how many have ended."""

    job_id: int
    job: str
    files: int
    size_bytes: int
    ended: int


def of_run(
    connection: Connection, run_id: int, limit: int, job_id: int | None = None, after: Place = (0, 0)
) -> list[Kept]:
    """At most `limit`, by job and then in the order they came; those after a place."""
    columns = artifacts.c, jobs.c.id.label("shown_by"), jobs.c.name.label("job"), attempts.c.number
    statement = (
        _shown(run_id, job_id, *columns)
        .where(or_(jobs.c.id > after[0], and_(jobs.c.id == after[0], artifacts.c.id > after[1])))
        .order_by(jobs.c.id, artifacts.c.id)
        .limit(limit)
    )
    return [_kept(row) for row in connection.execute(statement)]


def sums(connection: Connection, run_id: int) -> list[Sum]:
    """Of the jobs that keep something or did, in their order."""
    there = artifacts.c.removed_at.is_(None)
    statement = (
        _shown(
            run_id,
            None,
            jobs.c.id,
            jobs.c.name,
            func.sum(case((there, 1), else_=0)),
            func.sum(case((there, artifacts.c.size_bytes), else_=0)),
            func.count(),
        )
        .group_by(jobs.c.id, jobs.c.name)
        .order_by(jobs.c.id)
    )
    return [
        Sum(number, name, int(files), int(size), int(every) - int(files))
        for number, name, files, size, every in connection.execute(statement)
    ]


def _shown(run_id: int, job_id: int | None, *columns: Any) -> Select[Any]:
    later = attempts.alias("later")
    newest = (
        select(func.max(later.c.number))
        .where(later.c.job_id == func.coalesce(jobs.c.reused_from, jobs.c.id))
        .scalar_subquery()
    )
    joined = jobs.join(
        attempts,
        and_(attempts.c.job_id == func.coalesce(jobs.c.reused_from, jobs.c.id), attempts.c.number == newest),
    ).join(artifacts, artifacts.c.attempt_id == attempts.c.id)
    wanted = select(*columns).select_from(joined).where(jobs.c.run_id == run_id)
    return wanted if job_id is None else wanted.where(jobs.c.id == job_id)


def _kept(row: Row[Any]) -> Kept:
    told = {field.name: row._mapping[field.name] for field in fields(Artifact)}
    return Kept(row.shown_by, row.job, row.number, Artifact(**told))
