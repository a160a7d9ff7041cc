"""Runs: one commit's pipeline, created with its jobs in one transaction.

Rules:
1. A run of (repository, ref, commit, ordinal) exists once; who comes second finds it there and adds nothing.
2. A job that is ready at once looks whether its result is there already (`reuse`).
3. A run whose pipeline file cannot be used is stored in ERROR, with the problems as its reason: the author sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import JobKind, Run, Trigger, Trust
from farmgate.store import reuse, superseding
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import jobs, runs

RUN_PATIENCE = timedelta(days=7)
"""How long a run may be open."""
WAIT_PATIENCE = timedelta(days=3)
"""How long a job may wait for its turn."""


LEFT_OUT = "left out: "
"""How the reason of a job begins that its own condition left out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that does not run: it stands as it stood in an earlier run. `of`: the job that made its result."""

    state: states.Job
    reason: str | None
    forgiven: bool
    of: int | None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A node of the graph; `spec` is farmgate.pipeline.JobSpec as JSON."""

    name: str
    needs: tuple[str, ...]
    spec: dict[str, Any]
    pool: str
    kind: JobKind = JobKind.WORK
    family: str = ""
    family_limit: int | None = None
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    runs_when: str = "passed"
    exclusion: str | None = None
    exclusion_limit: int = 1
    exclusion_cancels: bool = False
    skipped: str | None = None  # why its own condition does not hold
    taken: Taken | None = None  # from an earlier run, instead of running
    emitted_by: int | None = None
    inputs_hash: str | None = None  # see farmgate.store.reuse


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be made. `problems`: why it cannot be run as written; then it has no jobs."""

    repository_id: int
    sha: str
    ref: str
    trigger: Trigger
    trust: Trust
    asked_by: str
    created_at: datetime
    jobs: tuple[NewJob, ...] = ()
    problems: str | None = None
    ordinal: int = 1
    hold: str | None = None
    again_of: int | None = None
    reuse: bool = True
    cancel_superseded: bool | None = None
    ends_older: bool = False  # the older open runs of its ref are needless now
    origin: Mapping[str, Any] = field(default_factory=dict)


def create(connection: Connection, new: NewRun, now: datetime) -> int | None:
    """Store a run with its jobs; its id, or None if it was there already."""
    broken = new.problems is not None
    values = {
        "repository_id": new.repository_id,
        "sha": new.sha,
        "ref": new.ref,
        "trigger": new.trigger,
        "trust": new.trust,
        "ordinal": new.ordinal,
        "state": states.Run.ERROR if broken else states.Run.PENDING,
        "reason": new.problems,
        "asked_by": new.asked_by,
        "created_at": new.created_at,
        "started_at": None,
        "finished_at": now if broken else None,
        "deadline": now + RUN_PATIENCE,
        "hold": new.hold,
        "superseded_by": None,
        "again_of": new.again_of,
        "reuse": new.reuse,
        "cancel_superseded": new.cancel_superseded,
        "origin": dict(new.origin),
    }
    if not insert_if_absent(connection, runs, values, "repository_id", "ref", "sha", "ordinal"):
        return None
    run_id: int = connection.execute(
        select(runs.c.id).where(
            runs.c.repository_id == new.repository_id,
            runs.c.ref == new.ref,
            runs.c.sha == new.sha,
            runs.c.ordinal == new.ordinal,
        )
    ).scalar_one()
    if new.jobs and not broken:
        add_jobs(connection, run_id, new.jobs, now, held=new.hold is not None)
    if new.ends_older:
        superseding.mark_older(connection, run_id)
    return run_id


def add_jobs(connection: Connection, run_id: int, new: Sequence[NewJob], now: datetime, *, held: bool = False) -> None:
    """The jobs of a run: at its creation, and those that a job of it emits. Nothing of a held run is ready."""
    connection.execute(insert(jobs), [_job_values(run_id, job, now, held) for job in new])
    if any(job.inputs_hash is not None for job in new):
        reuse.take_ready(connection, run_id, now)


def _job_values(run_id: int, job: NewJob, now: datetime, held: bool) -> dict[str, Any]:
    ready = not (job.needs or held) and job.kind is JobKind.WORK and job.skipped is None and job.runs_when != "failed"
    state = states.Job.READY if ready else states.Job.WAITING if job.skipped is None else states.Job.SKIPPED
    if job.taken is not None:
        ready, state = False, job.taken.state
    over = states.is_final(state)
    return {
        "run_id": run_id,
        "name": job.name,
        "needs": list(job.needs),
        "spec": job.spec,
        "pool": job.pool,
        "state": state,
        "attempt": 1,
        "losses": 0,
        "rings": 0,
        "ready_at": now if ready else None,
        "rung_at": None,
        "started_at": None,
        "finished_at": now if over else None,
        "deadline": now + WAIT_PATIENCE,
        "reason": job.taken.reason if job.taken is not None else job.skipped,
        "cancel_asked": None,
        "kind": job.kind,
        "family": job.family or job.name,
        "family_limit": job.family_limit,
        "priority": job.priority,
        "labels": dict(job.labels),
        "runs_when": job.runs_when,
        "forgiven": job.taken.forgiven if job.taken is not None else job.skipped is not None,
        "failures": 0,
        "not_before": None,
        "exclusion": job.exclusion,
        "exclusion_limit": job.exclusion_limit,
        "exclusion_cancels": job.exclusion_cancels,
        "reuse_key": None,
        "reused_from": job.taken.of if job.taken is not None else None,
        "emitted_by": job.emitted_by,
        "inputs_hash": job.inputs_hash,
        "rung_to": None,
    }


def by_id(connection: Connection, run_id: int) -> Run:
    """Raises NotFound."""
    found = one(connection, Run, select(runs).where(runs.c.id == run_id))
    if found is None:
        raise NotFound(f"there is no run {run_id}")
    return found


def find(
    connection: Connection,
    *,
    repository_id: int | None = None,
    ref: str | None = None,
    sha: str | None = None,
    state: states.Run | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Run]:
    """The newest first; `sha` may be the beginning of a hash."""
    statement = newest(runs).limit(limit)
    if repository_id is not None:
        statement = statement.where(runs.c.repository_id == repository_id)
    if ref is not None:
        statement = statement.where(runs.c.ref == ref)
    if sha is not None:
        statement = statement.where(runs.c.sha >= sha, runs.c.sha < sha + "g")
    if state is not None:
        statement = statement.where(runs.c.state == state)
    if before_id is not None:
        statement = statement.where(runs.c.id < before_id)
    return many(connection, Run, statement)


def of_commit(connection: Connection, repository_id: int, sha: str) -> list[Run]:
    """Every run of a commit, newest first."""
    return many(connection, Run, newest(runs).where(runs.c.repository_id == repository_id, runs.c.sha == sha))


def next_ordinal(connection: Connection, run: Run) -> int:
    """The number of the next run of the same commit on the same ref."""
    highest = connection.execute(
        select(func.max(runs.c.ordinal)).where(
            runs.c.repository_id == run.repository_id, runs.c.ref == run.ref, runs.c.sha == run.sha
        )
    ).scalar_one()
    return int(highest) + 1


def begin(connection: Connection, run_id: int, now: datetime) -> None:
    """The first job was claimed (or ended). No effect on a run that has begun."""
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state == states.Run.PENDING)
        .values(state=states.Run.RUNNING, started_at=now)
    )


def finish(connection: Connection, run_id: int, state: states.Run, now: datetime, reason: str | None) -> None:
    """End it. Raises LostRace."""
    move(
        connection,
        runs,
        {"id": run_id},
        (states.Run.PENDING, states.Run.RUNNING),
        state,
        finished_at=now,
        reason=reason,
    )


def leaning_on(connection: Connection, run: Run, sha: str) -> Run | None:
    """The green run of the same ref whose left-out jobs lean on a commit (`origin`), made after that commit's first."""
    first = (
        select(func.min(runs.c.id))
        .where(runs.c.repository_id == run.repository_id, runs.c.ref == run.ref, runs.c.sha == sha)
        .scalar_subquery()
    )
    statement = select(runs).where(
        runs.c.repository_id == run.repository_id,
        runs.c.id > first,
        runs.c.ref == run.ref,
        runs.c.state == states.Run.PASSED,
        runs.c.origin["leans_on"].as_string() == sha,
    )
    return one(connection, Run, statement.order_by(runs.c.id).limit(1))


def explain(connection: Connection, run_id: int, state: states.Run, reason: str | None) -> None:
    """Another reason for where it stands; no effect if it does not stand there."""
    connection.execute(update(runs).where(runs.c.id == run_id, runs.c.state == state).values(reason=reason))


def set_origin(connection: Connection, run_id: int, origin: Mapping[str, Any]) -> None:
    """What it is compared with, once more of it is known."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(origin=dict(origin)))


def allow(connection: Connection, run_id: int, sha: str) -> bool:
    """Let a held run of exactly this commit begin; False if it is not held any more."""
    held = update(runs).where(
        runs.c.id == run_id,
        runs.c.sha == sha,
        runs.c.hold.is_not(None),
        runs.c.state.in_(states.open_states(states.Run)),
    )
    return connection.execute(held.values(hold=None)).rowcount == 1


def held(connection: Connection, limit: int = 50) -> list[Run]:
    """Those that wait for a maintainer, the oldest first."""
    statement = select(runs).where(runs.c.state.in_(states.open_states(states.Run)), runs.c.hold.is_not(None))
    return many(connection, Run, statement.order_by(runs.c.id).limit(limit))


def counts(connection: Connection) -> dict[states.Run, int]:
    """How many runs are open, by state."""
    statement = (
        select(runs.c.state, func.count())
        .where(runs.c.state.in_(states.open_states(states.Run)))
        .group_by(runs.c.state)
    )
    return {row[0]: int(row[1]) for row in connection.execute(statement)}
