"""I1 to I4: from a webhook to a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, and_, exists, func, or_, select

from farmgate import states
from farmgate.invariants.registry import Finding, invariant, rows, with_states
from farmgate.models import JobKind, Trust, Verdict
from farmgate.store import schema as t


@invariant
def i1(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Every accepted webhook ends in a run or a recorded rejection."""
    silent = select(t.deliveries.c.id).where(
        t.deliveries.c.outcome == "", ~exists().where(t.intakes.c.delivery_id == t.deliveries.c.id)
    )
    for row in rows(connection, silent):
        yield f"delivery/{row.id}", "it reported no change, and nothing says why not"
    unexplained = select(t.intakes.c.id).where(
        t.intakes.c.state == states.Intake.REJECTED, or_(t.intakes.c.reason.is_(None), t.intakes.c.reason == "")
    )
    for row in rows(connection, unexplained):
        yield f"intake/{row.id}", "it was rejected, and nothing says why"
    ran = exists().where(t.runs.c.repository_id == t.intakes.c.repository_id, t.runs.c.sha == t.intakes.c.after)
    vanished = select(t.intakes.c.id, t.intakes.c.ref, t.intakes.c.after).where(
        t.intakes.c.state == states.Intake.DONE,
        t.intakes.c.kind.in_(("push", "pull")),
        t.intakes.c.after.is_not(None),
        t.intakes.c.reason.is_(None),
        ~ran,
    )
    for row in rows(connection, vanished):
        yield f"intake/{row.id}", f"{row.ref} was read at {row.after}, which has neither a run nor a reason"


@invariant
def i2(connection: Connection, now: datetime) -> Iterator[Finding]:
    """At most one live attempt per job, and it is the job's current one."""
    running = t.attempts.c.state == states.Attempt.RUNNING
    doubled = (
        select(t.attempts.c.job_id, func.count().label("many"))
        .where(running)
        .group_by(t.attempts.c.job_id)
        .having(func.count() > 1)
    )
    for row in rows(connection, doubled):
        yield f"job/{row.job_id}", f"{row.many} attempts are live"
    stray = (
        select(t.attempts.c.job_id, t.attempts.c.number, t.jobs.c.state, t.jobs.c.attempt)
        .join(t.jobs, t.jobs.c.id == t.attempts.c.job_id)
        .where(running, or_(t.jobs.c.state != states.Job.RUNNING, t.jobs.c.attempt != t.attempts.c.number))
    )
    for row in rows(connection, stray):
        yield f"job/{row.job_id}", f"attempt {row.number} is live, the job is {row.state} at attempt {row.attempt}"
    live = exists().where(t.attempts.c.job_id == t.jobs.c.id, t.attempts.c.number == t.jobs.c.attempt, running)
    for row in rows(connection, select(t.jobs.c.id).where(t.jobs.c.state == states.Job.RUNNING, ~live)):
        yield f"job/{row.id}", "it is running, and no attempt of it is live"


@invariant
def i3(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Nothing is accepted from a stale attempt."""
    for table, column in ((t.log_chunks, t.log_chunks.c.received_at), (t.artifacts, t.artifacts.c.created_at)):
        late = (
            select(t.attempts.c.job_id, t.attempts.c.number)
            .join(t.attempts, t.attempts.c.id == table.c.attempt_id)
            .where(column > t.attempts.c.finished_at)
            .distinct()
        )
        for row in rows(connection, late):
            yield f"job/{row.job_id}", f"attempt {row.number} was over when some of its {table.name} were taken"
    verdicts = (states.Attempt.PASSED, states.Attempt.FAILED, states.Attempt.ERROR)
    old = (
        select(t.attempts.c.job_id, t.attempts.c.number, t.attempts.c.state, t.jobs.c.attempt)
        .join(t.jobs, t.jobs.c.id == t.attempts.c.job_id)
        .where(t.attempts.c.number != t.jobs.c.attempt, t.attempts.c.state.in_(verdicts))
    )
    tried_again = and_(t.attempts.c.state == states.Attempt.FAILED, t.attempts.c.number < t.jobs.c.attempt)
    for row in rows(connection, old.where(~tried_again)):
        yield f"job/{row.job_id}", f"attempt {row.number} {row.state}, and the job is at attempt {row.attempt}"
    failed = (
        select(t.jobs.c.id, t.jobs.c.failures, func.count(t.attempts.c.id).label("many"))
        .join(t.attempts, and_(t.attempts.c.job_id == t.jobs.c.id, tried_again), isouter=True)
        .group_by(t.jobs.c.id, t.jobs.c.failures)
        .having(func.count(t.attempts.c.id) != t.jobs.c.failures)
    )
    for row in rows(connection, failed):
        yield f"job/{row.id}", f"{row.many} attempts failed before its last, and it counts {row.failures}"
    disagree = (
        select(t.jobs.c.id, t.jobs.c.state, t.attempts.c.state.label("attempted"))
        .join(t.attempts, and_(t.attempts.c.job_id == t.jobs.c.id, t.attempts.c.number == t.jobs.c.attempt))
        .where(t.jobs.c.state == states.Job.PASSED, t.attempts.c.state != states.Attempt.PASSED)
    )
    for row in rows(connection, disagree):
        yield f"job/{row.id}", f"it {row.state}, its attempt {row.attempted}"
    never = select(t.jobs.c.id).where(
        t.jobs.c.state == states.Job.PASSED,
        t.jobs.c.kind == JobKind.WORK,
        t.jobs.c.reused_from.is_(None),
        ~exists().where(t.attempts.c.job_id == t.jobs.c.id, t.attempts.c.number == t.jobs.c.attempt),
    )
    for row in rows(connection, never):
        yield f"job/{row.id}", "it passed without an attempt"
    original = t.jobs.alias()
    taken = select(t.jobs.c.id).where(
        t.jobs.c.reused_from.is_not(None),
        t.jobs.c.reuse_key.is_not(None),  # else a person asked for it: it stands as it stood
        ~exists().where(
            original.c.id == t.jobs.c.reused_from,
            original.c.state == states.Job.PASSED,
            original.c.reused_from.is_(None),
            original.c.reuse_key == t.jobs.c.reuse_key,
        ),
    )
    for row in rows(connection, taken):
        yield f"job/{row.id}", "it took the result of a job that did not pass under the same key"
    approved = exists().where(t.answers.c.job_id == t.jobs.c.id, t.answers.c.verdict == Verdict.APPROVED)
    by_itself = select(t.jobs.c.id).where(
        t.jobs.c.state == states.Job.PASSED,
        t.jobs.c.kind == JobKind.APPROVAL,
        t.jobs.c.reused_from.is_(None),
        ~approved,
    )
    for row in rows(connection, by_itself):
        yield f"job/{row.id}", "it asks a person, and passed without an approval"
    begun = (
        select(t.jobs.c.id, t.jobs.c.state, t.runs.c.id.label("run"))
        .join(t.runs, t.runs.c.id == t.jobs.c.run_id)
        .where(
            t.runs.c.hold.is_not(None),
            t.jobs.c.state.in_((states.Job.READY, states.Job.QUEUED, states.Job.RUNNING, states.Job.ASKING)),
        )
    )
    for row in rows(connection, begun):
        yield f"job/{row.id}", f"it is {row.state}, and run {row.run} is held"
    handed = (
        select(t.candidates.c.id, t.runs.c.id.label("run"), t.runs.c.state, t.runs.c.trust)
        .join(t.runs, t.runs.c.id == t.candidates.c.run_id)
        .where(or_(t.runs.c.state != states.Run.PASSED, t.runs.c.trust != Trust.TRUSTED))
    )
    for row in rows(connection, handed):
        yield f"candidate/{row.id}", f"it came of run {row.run}, which is {row.trust} and {row.state}"


@invariant
def i4(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Final states are final, and say when they came."""
    for table, kind in with_states():
        if "finished_at" not in table.c or kind is states.Step:
            continue
        still_open = table.c.state.in_(states.open_states(kind))
        wrong = select(table).where(
            or_(and_(still_open, table.c.finished_at.is_not(None)), and_(~still_open, table.c.finished_at.is_(None)))
        )
        for row in rows(connection, wrong):
            yield f"{table.name}/{row.id}", f"{row.state}, finished at {row.finished_at}"
    early = (
        select(t.jobs.c.id, t.jobs.c.state, t.runs.c.id.label("run"), t.runs.c.state.label("verdict"))
        .join(t.runs, t.runs.c.id == t.jobs.c.run_id)
        .where(
            t.runs.c.state.not_in(states.open_states(states.Run)), t.jobs.c.state.in_(states.open_states(states.Job))
        )
    )
    for row in rows(connection, early):
        yield f"run/{row.run}", f"it {row.verdict}, and job {row.id} is {row.state}"
    green = (
        select(t.runs.c.id, t.jobs.c.name, t.jobs.c.state)
        .join(t.jobs, t.jobs.c.run_id == t.runs.c.id)
        .where(t.runs.c.state == states.Run.PASSED, t.jobs.c.state != states.Job.PASSED, ~t.jobs.c.forgiven)
    )
    for row in rows(connection, green):
        yield f"run/{row.id}", f"it passed, and its job {row.name} {row.state}"
    spared = select(t.jobs.c.id, t.jobs.c.state).where(
        t.jobs.c.forgiven, t.jobs.c.state.not_in((states.Job.FAILED, states.Job.SKIPPED))
    )
    for row in rows(connection, spared):
        yield f"job/{row.id}", f"it {row.state}, and is forgiven, which only a failure or a job left out can be"
