"""Jobs: every move of a job is one function here, guarded by its state and its attempt number.

WAITING -> READY        make_ready        what it needs is over as its `when` asks
WAITING -> ASKING       ask               the same, of a job that asks a person
WAITING -> SKIPPED      skip              something it needs did not end as its `when` asks
ASKING  -> final        answer            a person answered
READY   -> QUEUED       queue             the bell is about to be rung
QUEUED  -> RUNNING      start             a worker claimed it
RUNNING -> final        finish            its worker reported
RUNNING -> READY        retry             infrastructure was lost: the next attempt
RUNNING -> READY        try_again         it failed by itself, and may try again
open    -> final        end               cancelled, or its deadline has passed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Text, and_, case, cast, func, literal, or_, select, update

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import Job
from farmgate.store import exclusion, reuse
from farmgate.store.database import many, move, one
from farmgate.store.runs import WAIT_PATIENCE
from farmgate.store.schema import jobs, refs, repositories, runs

UNDER_WAY = (states.Job.QUEUED, states.Job.RUNNING)
FINISHING = timedelta(minutes=10)
"""What a job gets beyond its own time limit, for its workspace, its image and its artifacts."""
RUNS_LOOKED_AT, JOBS_LOOKED_AT = 200, 5000
"""How far back a repository's history goes where durations are asked for."""


def by_id(connection: Connection, job_id: int) -> Job:
    """Raises NotFound."""
    found = one(connection, Job, select(jobs).where(jobs.c.id == job_id))
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return found


def by_ids(connection: Connection, job_ids: Sequence[int]) -> list[Job]:
    """Those that are there."""
    return many(connection, Job, select(jobs).where(jobs.c.id.in_(list(job_ids)))) if job_ids else []


def told_by(job: Job) -> int:
    """The job whose attempts, log, artifacts and reports are this one's: the one whose result it took, else itself."""
    return job.id if job.reused_from is None else job.reused_from


def of_run(connection: Connection, run_id: int) -> list[Job]:
    """In the order of the pipeline file."""
    return many(connection, Job, select(jobs).where(jobs.c.run_id == run_id).order_by(jobs.c.id))


def of_runs(connection: Connection, run_ids: Sequence[int]) -> dict[int, list[tuple[str, states.Job, bool]]]:
    """The names and states of the jobs of several runs, and whether they are forgiven, by run."""
    found: dict[int, list[tuple[str, states.Job, bool]]] = {run_id: [] for run_id in run_ids}
    statement = (
        select(jobs.c.run_id, jobs.c.name, jobs.c.state, jobs.c.forgiven)
        .where(jobs.c.run_id.in_(list(run_ids)))
        .order_by(jobs.c.id)
    )
    for row in connection.execute(statement):
        found[row.run_id].append((row.name, row.state, row.forgiven))
    return found


def of_open_runs(connection: Connection) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """What a plan needs of every open run, oldest first, and of each of their jobs, by id: no specification.
    Needs and labels are JSON as it is stored: few differ.

    Two readings, since what is said of a run would else be read again with each of its jobs: ten thousand of them are
    looked at in every tick.
    """
    return connection.execute(_OPEN_RUNS).all(), connection.execute(_THEIR_JOBS).all()  # type: ignore[return-value]


# Built once: in every tick, building them took as long as asking.
_IS_OPEN: Final = runs.c.state.in_(states.open_states(states.Run))
_OPEN_RUNS: Final = (
    select(
        runs.c.id,
        runs.c.repository_id,
        runs.c.sha,
        runs.c.ref,
        runs.c.trigger,
        runs.c.trust,
        runs.c.state,
        runs.c.created_at,
        runs.c.deadline,
        (runs.c.ref == literal("refs/heads/") + repositories.c.default_branch).label("delivered"),
        runs.c.ordinal,
        runs.c.hold,
        runs.c.superseded_by,
        runs.c.again_of,
        repositories.c.weight,
        repositories.c.name,
        (refs.c.sha == runs.c.sha).label("newest"),
    )
    .select_from(
        runs.join(repositories).outerjoin(
            refs, and_(refs.c.repository_id == runs.c.repository_id, refs.c.name == runs.c.ref)
        )
    )
    .where(_IS_OPEN)
    .order_by(runs.c.id)
)
_THEIR_JOBS: Final = (
    select(
        jobs.c.id,
        jobs.c.run_id,
        jobs.c.name,
        cast(jobs.c.needs, Text),
        jobs.c.pool,
        jobs.c.state,
        jobs.c.attempt,
        jobs.c.losses,
        jobs.c.rings,
        jobs.c.ready_at,
        jobs.c.rung_at,
        jobs.c.deadline,
        jobs.c.cancel_asked,
        jobs.c.reason,
        jobs.c.started_at,
        jobs.c.kind,
        jobs.c.family,
        jobs.c.family_limit,
        jobs.c.priority,
        cast(jobs.c.labels, Text),
        jobs.c.runs_when,
        jobs.c.forgiven,
        jobs.c.failures,
        jobs.c.not_before,
        jobs.c.exclusion,
        jobs.c.exclusion_limit,
        jobs.c.exclusion_cancels,
        jobs.c.rung_to,
        case((jobs.c.state == states.Job.RUNNING, jobs.c.spec["deploys_to"].as_string())),
    )
    .select_from(runs.join(jobs, jobs.c.run_id == runs.c.id))
    .where(_IS_OPEN)
    .order_by(jobs.c.id)
)


def name_emitters(connection: Connection, run_id: int, emitters: Mapping[str, str]) -> None:
    """Note who emitted which job of a run: name of the job -> name of its emitter."""
    ids = {
        row.name: row.id for row in connection.execute(select(jobs.c.id, jobs.c.name).where(jobs.c.run_id == run_id))
    }
    for name, emitter in emitters.items():
        if name in ids and emitter in ids:
            connection.execute(update(jobs).where(jobs.c.id == ids[name]).values(emitted_by=ids[emitter]))


def make_ready(connection: Connection, job_id: int, now: datetime) -> None:
    """It has passed at once if its result is there already (`reuse`). Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id},
        states.Job.WAITING,
        states.Job.READY,
        ready_at=now,
        deadline=now + WAIT_PATIENCE,
    )
    job = by_id(connection, job_id)
    if job.inputs_hash is not None:
        reuse.take_ready(connection, job.run_id, now, job_id)


def ask(connection: Connection, job_id: int, now: datetime, within: timedelta) -> None:
    """A person is asked from now on, for at most this long. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id},
        states.Job.WAITING,
        states.Job.ASKING,
        ready_at=now,
        deadline=now + within,
    )


def skip(connection: Connection, job_id: int, now: datetime, reason: str, *, forgiven: bool = False) -> None:
    """`forgiven`: nothing is wrong with that, as of a notice of failures where nothing failed. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id},
        states.Job.WAITING,
        states.Job.SKIPPED,
        finished_at=now,
        reason=reason,
        forgiven=forgiven,
    )


def answer(
    connection: Connection, job_id: int, after: states.Job, now: datetime, reason: str, *, forgiven: bool = False
) -> None:
    """A person answered, or nobody did in time. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id},
        states.Job.ASKING,
        after,
        started_at=jobs.c.ready_at,
        finished_at=now,
        reason=reason,
        forgiven=forgiven,
    )


def queue(connection: Connection, job_id: int, attempt: int, now: datetime, rung_to: int | None = None) -> None:
    """Before the bell is rung for the first time: the pool's, or one node's. Raises LostRace."""
    exclusion.take(connection, job_id, UNDER_WAY)
    move(
        connection,
        jobs,
        {"id": job_id, "attempt": attempt},
        states.Job.READY,
        states.Job.QUEUED,
        rung_at=now,
        rings=1,
        rung_to=rung_to,
    )


def rung_again(
    connection: Connection, job_id: int, attempt: int, now: datetime, rings: int, rung_to: int | None = None
) -> bool:
    """Before the bell is rung once more; False if the job is not waiting for it any more."""
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state == states.Job.QUEUED)
        .values(rung_at=now, rings=rings, rung_to=rung_to)
    )
    return changed.rowcount == 1


def start(connection: Connection, job_id: int, attempt: int, now: datetime, timeout: timedelta) -> None:
    """A worker claims it. Raises LostRace."""
    exclusion.take(connection, job_id, (states.Job.RUNNING,))
    move(
        connection,
        jobs,
        {"id": job_id, "attempt": attempt},
        states.Job.QUEUED,
        states.Job.RUNNING,
        started_at=now,
        deadline=now + timeout + FINISHING,
    )


def finish(
    connection: Connection,
    job_id: int,
    attempt: int,
    state: states.Job,
    now: datetime,
    reason: str | None,
    *,
    forgiven: bool = False,
) -> None:
    """Its worker reported, or it is given up; `forgiven`: its failure was allowed. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id, "attempt": attempt},
        states.Job.RUNNING,
        state,
        finished_at=now,
        reason=reason,
        forgiven=forgiven,
    )


def try_again(connection: Connection, job_id: int, attempt: int, now: datetime, pause: timedelta, reason: str) -> None:
    """It failed by itself and may try again, after a pause: its next attempt. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id, "attempt": attempt},
        states.Job.RUNNING,
        states.Job.READY,
        attempt=attempt + 1,
        failures=jobs.c.failures + 1,
        rings=0,
        ready_at=now + pause,
        not_before=now + pause if pause else None,
        rung_at=None,
        started_at=None,
        deadline=now + pause + WAIT_PATIENCE,
        reason=reason,
    )


def retry(connection: Connection, job_id: int, attempt: int, now: datetime, reason: str) -> None:
    """Infrastructure was lost: the next attempt is ready at once. Raises LostRace."""
    move(
        connection,
        jobs,
        {"id": job_id, "attempt": attempt},
        states.Job.RUNNING,
        states.Job.READY,
        attempt=attempt + 1,
        losses=jobs.c.losses + 1,
        rings=0,
        ready_at=now,
        rung_at=None,
        rung_to=None,
        started_at=None,
        deadline=now + WAIT_PATIENCE,
        reason=reason,
    )


def end(connection: Connection, job: int, before: states.Job, after: states.Job, now: datetime, reason: str) -> None:
    """End a job that no worker ends: cancelled, or past its deadline. Raises LostRace."""
    move(connection, jobs, {"id": job}, before, after, finished_at=now, reason=reason)


def ask_to_end(connection: Connection, job_ids: Sequence[int], why: str) -> int:
    """Ask these jobs to end, but none in the middle of what it does to an environment. How many."""
    deploys = and_(jobs.c.state == states.Job.RUNNING, jobs.c.spec["deploys_to"].as_string().is_not(None))
    return connection.execute(
        update(jobs)
        .where(
            jobs.c.id.in_(list(job_ids)),
            jobs.c.state.in_(states.open_states(states.Job)),
            jobs.c.cancel_asked.is_(None),
            ~deploys,
        )
        .values(cancel_asked=why)
    ).rowcount


def counts(connection: Connection) -> dict[states.Job, int]:
    """How many jobs are open, by state."""
    statement = (
        select(jobs.c.state, func.count())
        .where(jobs.c.state.in_(states.open_states(states.Job)))
        .group_by(jobs.c.state)
    )
    return {row[0]: int(row[1]) for row in connection.execute(statement)}


def oldest_waiting(connection: Connection) -> datetime | None:
    """Since when the job that waits longest could have run."""
    found: datetime | None = connection.execute(
        select(func.min(jobs.c.ready_at)).where(jobs.c.state.in_((states.Job.READY, states.Job.QUEUED)))
    ).scalar_one()
    return found


def unanswered(connection: Connection, pool: str, node_id: int, since: datetime) -> bool:
    """True if a bell of the pool or of the node, rung again at least once, has gone unanswered since then."""
    statement = (
        select(jobs.c.id)
        .where(
            jobs.c.pool == pool,
            jobs.c.state == states.Job.QUEUED,
            jobs.c.rings > 1,
            jobs.c.ready_at <= since,
            or_(jobs.c.rung_to.is_(None), jobs.c.rung_to == node_id),
        )
        .limit(1)
    )
    return connection.execute(statement).first() is not None


def recently_passed(connection: Connection, repository_id: int) -> list[tuple[int, str, timedelta]]:
    """How long the jobs of a repository's latest runs took that passed by themselves, by family, the newest first."""
    latest = (
        select(runs.c.id).where(runs.c.repository_id == repository_id).order_by(runs.c.id.desc()).limit(RUNS_LOOKED_AT)
    )
    statement = (
        select(jobs.c.family, jobs.c.started_at, jobs.c.finished_at)
        .where(
            jobs.c.run_id.in_(latest),
            jobs.c.state == states.Job.PASSED,
            jobs.c.reused_from.is_(None),
            jobs.c.started_at.is_not(None),
        )
        .order_by(jobs.c.id.desc())
        .limit(JOBS_LOOKED_AT)
    )
    return [
        (repository_id, row.family, row.finished_at - row.started_at) for row in connection.execute(statement).all()
    ]
