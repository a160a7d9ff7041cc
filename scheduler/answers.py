"""Questions to people: a job that asks, who may answer, and what is kept of the answer.

Rules:
1. A job asks as soon as all that it needs is over, for as long as it says; the answer ends it: approved is passed,
   declined is failed. Nobody answered in time: declined, and that is the reason.
2. Who may answer is named by the job (`by`), as their tokens are; where it names nobody, whoever may write.
3. An answer is given once, and kept with who gave it, when, and what they said. It is for this job of this run alone:
   another commit asks anew.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.errors import Conflict, Forbidden, LostRace
from farmgate.models import Verdict
from farmgate.pipeline import JobSpec
from farmgate.pipeline.models import ApproveSpec
from farmgate.quantities import show_duration
from farmgate.store import answers, events, jobs
from farmgate.store.intakes import storable
from scheduler import ends
from scheduler.auth import Principal
from scheduler.context import Context

LONGEST_TEXT = 2000


def question(job: models.Job) -> ApproveSpec:
    """What the job asks. Raises Conflict for one that asks nothing."""
    spec = JobSpec.model_validate(job.spec)
    if spec.approve is None:
        raise Conflict(f"job {job.name} asks nobody: it runs by itself")
    return spec.approve


def ask(connection: Connection, job_id: int, now: datetime) -> None:
    """Rule 1: from now on. Raises LostRace."""
    asked = question(jobs.by_id(connection, job_id))
    jobs.ask(connection, job_id, now, asked.within)
    events.record(connection, now, "job.asks", f"job/{job_id}", "scheduler", asked.text)


def expire(connection: Connection, job_id: int, now: datetime, reason: str) -> None:
    """Rule 1: nobody answered. Raises LostRace."""
    job = jobs.by_id(connection, job_id)
    spec = JobSpec.model_validate(job.spec)
    if spec.approve is not None:
        reason = f"{reason}: it was asked for {show_duration(spec.approve.within)}"
    jobs.answer(connection, job_id, states.Job.FAILED, now, reason, forgiven=ends.may_be_declined(spec))
    answers.put(connection, job_id, Verdict.EXPIRED, "nobody", reason, now)
    events.record(connection, now, "job.answered", f"job/{job_id}", "scheduler", reason)


def answer(context: Context, job_id: int, who: Principal, verdict: Verdict, text: str) -> models.Job:
    """Rules 2 and 3. Raises NotFound, Forbidden, and Conflict for a job that does not ask (any more)."""
    now = context.clock.now()
    said = storable(text.strip())[:LONGEST_TEXT]
    with context.store.writing() as connection:
        job = jobs.by_id(connection, job_id)
        asked = question(job)
        if asked.by and who.name not in asked.by:
            raise Forbidden(f"{who.name} may not answer for {job.name}: it asks {', '.join(asked.by)}")
        if job.state is not states.Job.ASKING:
            raise Conflict(_not_asking(connection, job))
        if job.cancel_asked is not None:
            raise Conflict(f"job {job.name} does not ask any more: {job.cancel_asked}")
        approved = verdict is Verdict.APPROVED
        after = states.Job.PASSED if approved else states.Job.FAILED
        told = f"{verdict} by {who.name}" + (f": {said}" if said else "")
        spared = not approved and ends.may_be_declined(JobSpec.model_validate(job.spec))
        try:
            jobs.answer(connection, job_id, after, now, told, forgiven=spared)
        except LostRace:
            raise Conflict(f"job {job.name} was answered, or its time was over, at this moment: look again") from None
        answers.put(connection, job_id, verdict, who.name, said, now)
        events.record(connection, now, "job.answered", f"job/{job_id}", who.name, told)
    context.changes.touch(job_id)
    context.wake()
    return job


def _not_asking(connection: Connection, job: models.Job) -> str:
    before = answers.of_jobs(connection, [job.id]).get(job.id)
    if before is not None:
        return f"job {job.name} was {before.verdict} by {before.answered_by} already"
    if job.state is states.Job.WAITING:
        return f"job {job.name} does not ask yet: it waits for what it needs"
    return f"job {job.name} does not ask any more: it is {job.state}"
