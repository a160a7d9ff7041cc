"""Jobs as the API shows them: attempts, steps, what was asked and answered, the first of what they left.

Rules:
1. What a job shows is its newest attempt's, or that of the job whose result it took.
2. Of what can be very many, the first are shown, with how many there are and where the others are listed.
3. All jobs of a run are read at once, never one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from farmgate import states
from farmgate.models import Answer, Artifact, Attempt, Job, Step
from farmgate.store import answers, attempts, jobs, nodes
from scheduler.bodies import ArtifactBody, AttemptBody, JobBody, QuestionBody, ReusedBody, StepBody
from scheduler.groups import name_of
from scheduler.outlook import Outlook

SHOWN_ARTIFACTS = 10  # of a job (rule 2)


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of several jobs at once."""

    told: Outlook
    names: Mapping[int, str]  # of jobs
    nodes: Mapping[int, str]
    attempts: Mapping[int, Sequence[Attempt]]  # by the job that they are of
    steps: Mapping[int, Sequence[StepBody]]  # by attempt
    artifacts: Mapping[int, Sequence[Artifact]]  # by attempt, the first of them
    totals: Mapping[int, int]  # by attempt, how many there are
    answers: Mapping[int, Answer]
    reused: Mapping[int, ReusedBody]


def job_bodies(connection: Connection, found: Sequence[Job], told: Outlook) -> list[JobBody]:
    """Jobs with their attempts, steps and the first of their artifacts."""
    read = _read(connection, found, told)
    return [_body(read, job) for job in found]


def _read(connection: Connection, found: Sequence[Job], told: Outlook) -> _Read:
    tellers = [jobs.told_by(job) for job in found]
    of_job: dict[int, list[Attempt]] = {number: [] for number in tellers}
    for attempt in attempts.of_jobs(connection, tellers):
        of_job[attempt.job_id].append(attempt)
    steps: dict[int, list[StepBody]] = {attempt.id: [] for tries in of_job.values() for attempt in tries}
    for step in attempts.steps_of(connection, list(steps)):
        steps[step.attempt_id].append(step_body(step))
    newest = [tries[-1].id for tries in of_job.values() if tries]
    first, totals = attempts.some_artifacts_of(connection, newest, SHOWN_ARTIFACTS)
    artifacts: dict[int, list[Artifact]] = {number: [] for number in newest}
    for artifact in first:
        artifacts[artifact.attempt_id].append(artifact)
    return _Read(
        told=told,
        names={job.id: job.name for job in found},
        nodes=nodes.names(connection),
        attempts=of_job,
        steps=steps,
        artifacts=artifacts,
        totals=totals,
        answers=answers.of_jobs(connection, tellers),
        reused=reused(connection, found),
    )


def _body(read: _Read, job: Job) -> JobBody:
    told, tries = read.told, read.attempts[jobs.told_by(job)]
    newest = tries[-1] if tries else None  # rule 1
    kept = read.artifacts[newest.id] if newest else ()
    total = read.totals.get(newest.id, 0) if newest else 0
    return JobBody(
        id=job.id,
        name=job.name,
        kind=job.kind,
        needs=job.needs,
        runs_when=job.runs_when,
        forgiven=job.forgiven,
        failures=job.failures,
        not_before=job.not_before,
        emitted_by=None if job.emitted_by is None else read.names.get(job.emitted_by),
        question=question_body(job, read.answers.get(jobs.told_by(job))),
        pool=job.pool,
        image=job.spec.get("image"),
        state=job.state,
        attempt=job.attempt,
        losses=job.losses,
        reason=job.reason,
        reused_from=read.reused.get(job.reused_from or 0),
        why=told.why.get(job.id) or _why_asking(job),
        starts_at=told.starts[job.id].starts_at if job.id in told.starts else None,
        estimate=told.words.get(job.id),
        priority=job.priority,
        labels=job.labels,
        group=None if job.exclusion is None else name_of(job.exclusion),
        cancel_asked=job.cancel_asked,
        ready_at=job.ready_at,
        rung_at=job.rung_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        deadline=job.deadline,
        attempts=[_attempt(read, one) for one in tries],
        steps=list(read.steps[newest.id]) if newest else [],
        timings=newest.timings if newest else {},
        artifacts=[_artifact(one) for one in kept],
        artifacts_total=total,
        artifacts_next=f"{job.id}.{kept[-1].id}" if total > len(kept) else None,
    )


def _attempt(read: _Read, attempt: Attempt) -> AttemptBody:
    return AttemptBody(
        number=attempt.number,
        node=read.nodes.get(attempt.node_id, "?"),
        state=attempt.state,
        claimed_at=attempt.claimed_at,
        finished_at=attempt.finished_at,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        timings=attempt.timings,
        log_bytes=attempt.log_bytes,
        log_cut=attempt.log_cut,
        steps=list(read.steps[attempt.id]),
    )


def _artifact(artifact: Artifact) -> ArtifactBody:
    return ArtifactBody(
        path=artifact.path,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        url=f"/api/artifacts/{artifact.sha256}",
    )


def step_body(step: Step) -> StepBody:
    """A step."""
    return StepBody(
        number=step.number,
        name=step.name,
        state=step.state,
        exit_code=step.exit_code,
        started_at=step.started_at,
        finished_at=step.finished_at,
        log_offset=step.log_offset,
    )


def reused(connection: Connection, found: Sequence[Job]) -> dict[int, ReusedBody]:
    """By job: what others took."""
    originals = [job.reused_from for job in found if job.reused_from is not None]
    return {
        row.id: ReusedBody(job=row.id, run=row.run_id, name=row.name, finished_at=row.finished_at)
        for row in jobs.by_ids(connection, originals)
    }


def question_body(job: Job, given: Answer | None) -> QuestionBody | None:
    """What the job asks, and what was answered."""
    asked = job.spec.get("approve")
    if not asked:
        return None
    return QuestionBody(
        text=asked["text"],
        by=list(asked.get("by") or ()),
        verdict=None if given is None else given.verdict,
        answered_by=None if given is None else given.answered_by,
        answer=None if given is None else given.text,
        answered_at=None if given is None else given.answered_at,
    )


def _why_asking(job: Job) -> str | None:
    """Whom a job waits for that asks."""
    asked = job.spec.get("approve")
    if job.state is not states.Job.ASKING or not asked:
        return None
    return f"asks {', '.join(asked.get('by') or ()) or 'whoever may write'}: {asked['text']}"
