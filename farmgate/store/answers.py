"""What people answered to jobs that ask: once per job, kept for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from farmgate import states
from farmgate.models import Answer, Job, Verdict
from farmgate.store.database import many
from farmgate.store.schema import answers, jobs


def put(connection: Connection, job_id: int, verdict: Verdict, answered_by: str, text: str, now: datetime) -> None:
    """Keep an answer; the job was moved out of ASKING in the same transaction, so there is no other."""
    values = {"job_id": job_id, "verdict": verdict, "answered_by": answered_by, "text": text, "answered_at": now}
    connection.execute(insert(answers).values(**values))


def of_jobs(connection: Connection, job_ids: Sequence[int]) -> dict[int, Answer]:
    """By job."""
    found = many(connection, Answer, select(answers).where(answers.c.job_id.in_(list(job_ids))))
    return {answer.job_id: answer for answer in found}


def asking(connection: Connection, limit: int = 50) -> list[Job]:
    """Every job that asks a person now, the longest first."""
    statement = select(jobs).where(jobs.c.state == states.Job.ASKING).order_by(jobs.c.ready_at, jobs.c.id)
    return many(connection, Job, statement.limit(limit))
