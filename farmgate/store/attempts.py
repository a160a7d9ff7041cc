"""Attempts: one try of a job, from a worker's claim on; with its steps and artifacts.

Rules:
1. An attempt is live while it runs, its job runs, and its number is the job's (I2). Nothing else may write (I3).
2. Its token is known by a keyed hash only, and opens its own door only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, insert, select, update

from farmgate import states
from farmgate.errors import NotFound, StaleAttempt, Unauthorised
from farmgate.models import Artifact, ArtifactKind, Attempt, Job, Step
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import artifacts, attempts, jobs, runs, steps


def claim(
    connection: Connection,
    job_id: int,
    number: int,
    node_id: int,
    token_hash: str,
    now: datetime,
    lease_until: datetime,
) -> None:
    """Write the attempt; the job was moved to RUNNING in the same transaction."""
    connection.execute(
        insert(attempts).values(
            job_id=job_id,
            number=number,
            node_id=node_id,
            state=states.Attempt.RUNNING,
            token_hash=token_hash,
            claimed_at=now,
            lease_until=lease_until,
            finished_at=None,
            exit_code=None,
            reason=None,
            timings={},
            log_bytes=0,
            log_blob=None,
            log_cut=False,
            log_lines=0,
            log_index=None,
        )
    )


def by_number(connection: Connection, job_id: int, number: int) -> Attempt:
    """Raises NotFound."""
    statement = select(attempts).where(attempts.c.job_id == job_id, attempts.c.number == number)
    found = one(connection, Attempt, statement)
    if found is None:
        raise NotFound(f"job {job_id} has no attempt {number}")
    return found


def by_id(connection: Connection, attempt_id: int) -> Attempt:
    """Raises NotFound."""
    found = one(connection, Attempt, select(attempts).where(attempts.c.id == attempt_id))
    if found is None:
        raise NotFound(f"there is no attempt with the id {attempt_id}")
    return found


def newest_of(connection: Connection, job_id: int) -> Attempt | None:
    """The job's last attempt, if it was ever claimed."""
    return one(connection, Attempt, newest(attempts).where(attempts.c.job_id == job_id).limit(1))


def of_jobs(connection: Connection, job_ids: Sequence[int]) -> list[Attempt]:
    """Of several jobs, oldest first."""
    statement = select(attempts).where(attempts.c.job_id.in_(list(job_ids))).order_by(attempts.c.id)
    return many(connection, Attempt, statement)


def live_by_token(connection: Connection, token_hash: str, job_id: int, number: int) -> tuple[Job, Attempt]:
    """The live attempt whose token it is. Raises Unauthorised for a wrong token, StaleAttempt for one that is over."""
    attempt = one(connection, Attempt, select(attempts).where(attempts.c.token_hash == token_hash))
    if attempt is None or attempt.job_id != job_id or attempt.number != number:
        raise Unauthorised(f"this token is not that of job {job_id}, attempt {number}")
    job = one(connection, Job, select(jobs).where(jobs.c.id == job_id))
    live = attempt.state is states.Attempt.RUNNING
    if not live or job is None or job.state is not states.Job.RUNNING or job.attempt != number:
        raise StaleAttempt(f"attempt {number} of job {job_id} is over")
    return job, attempt


def repository_by_token(connection: Connection, token_hash: str) -> int | None:
    """The repository that the live attempt of a token builds; None for any other token."""
    row = connection.execute(
        select(runs.c.repository_id)
        .select_from(attempts.join(jobs, jobs.c.id == attempts.c.job_id).join(runs, runs.c.id == jobs.c.run_id))
        .where(
            attempts.c.token_hash == token_hash,
            attempts.c.state == states.Attempt.RUNNING,
            jobs.c.state == states.Job.RUNNING,
            jobs.c.attempt == attempts.c.number,
        )
    ).first()
    return None if row is None else int(row[0])


def still_live(connection: Connection, attempt_id: int) -> None:
    """Inside the writing transaction: raises StaleAttempt unless the attempt is live, and keeps it so until its end.

    The job's row is locked first, as every move of a job does: otherwise PostgreSQL would let the job be given away
    between this look and what is written after it.
    """
    row = connection.execute(
        select(attempts.c.id)
        .select_from(attempts.join(jobs, jobs.c.id == attempts.c.job_id))
        .where(
            attempts.c.id == attempt_id,
            attempts.c.state == states.Attempt.RUNNING,
            jobs.c.state == states.Job.RUNNING,
            jobs.c.attempt == attempts.c.number,
        )
        .with_for_update(of=jobs)
    ).first()
    if row is None:
        raise StaleAttempt("this attempt is over")


def running(connection: Connection) -> list[Row[Any]]:
    """What a plan needs of every attempt under way."""
    return list(connection.execute(_RUNNING))


_RUNNING: Final = select(
    attempts.c.id, attempts.c.job_id, attempts.c.number, attempts.c.node_id, attempts.c.lease_until
).where(attempts.c.state == states.Attempt.RUNNING)


def held_by(connection: Connection, node_id: int) -> list[tuple[Attempt, str | None]]:
    """A node's live attempts, with who asked to cancel the job."""
    statement = (
        select(attempts, jobs.c.cancel_asked.label("asked"))
        .select_from(attempts.join(jobs, and_(jobs.c.id == attempts.c.job_id, jobs.c.attempt == attempts.c.number)))
        .where(
            attempts.c.node_id == node_id,
            attempts.c.state == states.Attempt.RUNNING,
            jobs.c.state == states.Job.RUNNING,
        )
    )
    found: list[tuple[Attempt, str | None]] = []
    for row in connection.execute(statement):
        values = dict(row._mapping)
        asked = values.pop("asked")
        found.append((Attempt(**values), asked))
    return found


def renew(connection: Connection, attempt_ids: Sequence[int], lease_until: datetime) -> frozenset[int]:
    """Go on until then; which of them do. The others were given up at this moment."""
    if not attempt_ids:
        return frozenset()
    going = connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(list(attempt_ids)), attempts.c.state == states.Attempt.RUNNING)
        .values(lease_until=lease_until)
        .returning(attempts.c.id)
    )
    return frozenset(row[0] for row in going)


def lose(
    connection: Connection,
    attempt_id: int,
    state: states.Attempt,
    now: datetime,
    reason: str,
    lease_until: datetime | None,
) -> None:
    """End an attempt that nobody reported. Raises LostRace; also where its lease is not `lease_until` any more, since
    it was renewed at the last moment."""
    key = {"id": attempt_id} if lease_until is None else {"id": attempt_id, "lease_until": lease_until}
    move(connection, attempts, key, states.Attempt.RUNNING, state, finished_at=now, reason=reason)


def finish(
    connection: Connection,
    attempt_id: int,
    state: states.Attempt,
    now: datetime,
    *,
    reason: str | None = None,
    exit_code: int | None = None,
    timings: dict[str, float] | None = None,
) -> None:
    """End an attempt. Raises LostRace."""
    values: dict[str, Any] = {"finished_at": now, "reason": reason, "exit_code": exit_code}
    if timings is not None:
        values["timings"] = timings
    move(connection, attempts, {"id": attempt_id}, states.Attempt.RUNNING, state, **values)


# --- steps -------------------------------------------------------------------------------------------------------


def report_step(connection: Connection, step: Step) -> None:
    """A step as its worker tells it; told twice it is the same. Raises LostRace for a step that has ended otherwise."""
    values = {name: getattr(step, name) for name in Step.__dataclass_fields__}
    if insert_if_absent(connection, steps, values, "attempt_id", "number"):
        return
    known = one(
        connection,
        Step,
        select(steps).where(steps.c.attempt_id == step.attempt_id, steps.c.number == step.number),
    )
    if known is None or known.state is step.state:
        return
    later = {
        "exit_code": step.exit_code,
        "finished_at": step.finished_at,
        "started_at": step.started_at or known.started_at,
        "log_offset": step.log_offset if step.log_offset is not None else known.log_offset,
    }
    key = {"attempt_id": step.attempt_id, "number": step.number}
    if states.may_move(known.state, step.state):
        move(connection, steps, key, known.state, step.state, **later)


def steps_of(connection: Connection, attempt_ids: Sequence[int]) -> list[Step]:
    """Of several attempts, in order."""
    statement = (
        select(steps).where(steps.c.attempt_id.in_(list(attempt_ids))).order_by(steps.c.attempt_id, steps.c.number)
    )
    return many(connection, Step, statement)


# --- artifacts ---------------------------------------------------------------------------------------------------


def keep_artifact(
    connection: Connection,
    attempt: Attempt,
    path: str,
    sha256: str,
    size_bytes: int,
    now: datetime,
    expires_at: datetime | None = None,
    *,
    executable: bool = False,
    kind: ArtifactKind = ArtifactKind.FILE,
    image_id: str | None = None,
) -> None:
    """Note an artifact; the same path sent again replaces it (a retried upload)."""
    told = {
        "sha256": sha256,
        "size_bytes": size_bytes,
        "created_at": now,
        "expires_at": expires_at,
        "removed_at": None,
        "executable": executable,
        "kind": kind,
        "image_id": image_id,
    }
    values = {"attempt_id": attempt.id, "job_id": attempt.job_id, "path": path, **told}
    if not insert_if_absent(connection, artifacts, values, "attempt_id", "path"):
        connection.execute(
            update(artifacts).where(artifacts.c.attempt_id == attempt.id, artifacts.c.path == path).values(**told)
        )


def artifacts_of(connection: Connection, attempt_ids: Sequence[int]) -> list[Artifact]:
    """Of several attempts, by path."""
    statement = select(artifacts).where(artifacts.c.attempt_id.in_(list(attempt_ids))).order_by(artifacts.c.path)
    return many(connection, Artifact, statement)


def some_artifacts_of(
    connection: Connection, attempt_ids: Sequence[int], most: int
) -> tuple[list[Artifact], dict[int, int]]:
    """The first of each attempt, as they came, at most `most`; and how many there are of each."""
    ids = list(attempt_ids)
    place = func.row_number().over(partition_by=artifacts.c.attempt_id, order_by=artifacts.c.id)
    ranked = select(artifacts.c.id, place.label("place")).where(artifacts.c.attempt_id.in_(ids)).subquery()
    wanted = select(artifacts).join(ranked, ranked.c.id == artifacts.c.id).where(ranked.c.place <= most)
    counts = select(artifacts.c.attempt_id, func.count()).where(artifacts.c.attempt_id.in_(ids))
    by_attempt = {number: int(count) for number, count in connection.execute(counts.group_by(artifacts.c.attempt_id))}
    return many(connection, Artifact, wanted.order_by(artifacts.c.attempt_id, ranked.c.place)), by_attempt


def artifacts_for(connection: Connection, job: Job, names: Iterable[str]) -> list[tuple[str, Artifact]]:
    """The files that jobs of the same run left, each with its job's name: of each job's newest attempt, or of the one
    whose result it took."""
    wanted = set(names)
    rows = connection.execute(
        select(jobs.c.id, jobs.c.name, jobs.c.reused_from).where(jobs.c.run_id == job.run_id).order_by(jobs.c.id)
    )
    found = []
    for row in rows:
        attempt = newest_of(connection, row.reused_from or row.id) if row.name in wanted else None
        if attempt is not None:
            made = artifacts_of(connection, [attempt.id])
            found += [(str(row.name), one) for one in made if one.kind is ArtifactKind.FILE and not one.removed_at]
    return found


def artifact(connection: Connection, sha256: str) -> Artifact | None:
    """One that has these bytes."""
    statement = newest(artifacts).where(artifacts.c.sha256 == sha256, artifacts.c.removed_at.is_(None))
    return one(connection, Artifact, statement.limit(1))
