"""Never the same work twice: a green result under the same key is taken instead of running the job.

Rules:
1. The key of a job is the hash of its inputs (`farmgate.pipeline.reuse`), of the images as its pool's nodes had them
   last, and of the artifacts that it fetches. An image that no node has told of has no key yet: the job runs.
2. A job looks once, in the transaction that makes it ready. What it takes is green, of its repository, ran by itself,
   and was trusted if the job is: a fork's result never stands for ours.
3. What it takes must still be whole: no artifact of it removed. Its artifacts are kept as long as new ones would be.
4. A job that passes is filed under the key with the images that it really used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from farmgate import states
from farmgate.models import Job, Run, Trust
from farmgate.pipeline import JobSpec
from farmgate.pipeline.reuse import digest, images_of
from farmgate.store.database import insert_if_absent, many, move, one
from farmgate.store.schema import artifacts, attempts, images, jobs, runs

LOOKED_AT = 20
"""Green results under one key that are looked at, the newest first."""
SEEN_AGAIN = timedelta(hours=1)


def take_ready(connection: Connection, run_id: int, now: datetime, job_id: int | None = None) -> list[int]:
    """Rule 2 for the jobs of a run that are ready, or for one of them; which took a result."""
    statement = select(jobs).where(
        jobs.c.run_id == run_id,
        jobs.c.state == states.Job.READY,
        jobs.c.inputs_hash.is_not(None),
        jobs.c.cancel_asked.is_(None),
        jobs.c.attempt == 1,
    )
    if job_id is not None:
        statement = statement.where(jobs.c.id == job_id)
    waiting = many(connection, Job, statement)
    if not waiting:
        return []
    run = one(connection, Run, select(runs).where(runs.c.id == run_id))
    if run is None or not run.reuse or run.hold is not None:
        return []
    return [job.id for job in waiting if _take(connection, run, job, now)]


def _take(connection: Connection, run: Run, job: Job, now: datetime) -> bool:
    key = key_of(connection, job)
    if key is None:
        return False
    statement = (
        select(jobs.c.id, attempts.c.id.label("attempt"))
        .select_from(
            jobs.join(runs, runs.c.id == jobs.c.run_id).join(
                attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == jobs.c.attempt)
            )
        )
        .where(
            jobs.c.reuse_key == key,
            jobs.c.state == states.Job.PASSED,
            jobs.c.reused_from.is_(None),
            runs.c.repository_id == run.repository_id,
        )
        .order_by(jobs.c.id.desc())
        .limit(LOOKED_AT)
    )
    if run.trust is Trust.TRUSTED:
        statement = statement.where(runs.c.trust == Trust.TRUSTED)
    for found in connection.execute(statement).all():
        if _keep_whole(connection, found.attempt, now):
            move(
                connection,
                jobs,
                {"id": job.id, "attempt": job.attempt},
                states.Job.READY,
                states.Job.PASSED,
                finished_at=now,
                reuse_key=key,
                reused_from=found.id,
            )
            return True
    return False


def _keep_whole(connection: Connection, attempt_id: int, now: datetime) -> bool:
    """Rule 3: also against who removes them at this moment, since both write the same rows."""
    mine = artifacts.c.attempt_id == attempt_id
    count = connection.execute(select(func.count()).select_from(artifacts).where(mine)).scalar_one()
    if not count:
        return True
    kept = connection.execute(
        update(artifacts).where(mine, artifacts.c.removed_at.is_(None)).values(created_at=artifacts.c.created_at)
    )
    if kept.rowcount != count:
        return False
    for row in connection.execute(select(artifacts.c.id, artifacts.c.created_at, artifacts.c.expires_at).where(mine)):
        if row.expires_at is not None:
            again = now + (row.expires_at - row.created_at)
            if again > row.expires_at:
                connection.execute(update(artifacts).where(artifacts.c.id == row.id).values(expires_at=again))
    return True


def key_of(connection: Connection, job: Job, used: Mapping[str, str] | None = None) -> str | None:
    """Rule 1. `used`: the digests of the images that it really ran in. None: it has none."""
    if job.inputs_hash is None:
        return None
    spec = JobSpec.model_validate(job.spec)
    wanted = images_of(spec)
    known = dict(used) if used is not None else _digests(connection, job.pool, wanted)
    if any(name not in known for name in wanted):
        return None
    fetched = _fetched(connection, job, spec)
    return digest(job.inputs_hash, {name: known[name] for name in wanted}, fetched)


def _digests(connection: Connection, pool: str, names: tuple[str, ...]) -> dict[str, str]:
    statement = select(images.c.name, images.c.digest).where(images.c.pool == pool, images.c.name.in_(names))
    return {row.name: row.digest for row in connection.execute(statement)}


def _fetched(connection: Connection, job: Job, spec: JobSpec) -> list[tuple[str, str, str]]:
    """Job, path and hash of all that the jobs left which it fetches from."""
    names = [fetch.job for fetch in spec.fetch]
    if not names:
        return []
    source = func.coalesce(jobs.c.reused_from, jobs.c.id)
    statement = (
        select(jobs.c.name, artifacts.c.path, artifacts.c.sha256)
        .select_from(
            jobs.join(attempts, attempts.c.job_id == source).join(artifacts, artifacts.c.attempt_id == attempts.c.id)
        )
        .where(jobs.c.run_id == job.run_id, jobs.c.name.in_(names), attempts.c.state == states.Attempt.PASSED)
    )
    return sorted((row.name, row.path, row.sha256) for row in connection.execute(statement))


def file_result(connection: Connection, job: Job, used: Mapping[str, str], now: datetime) -> None:
    """Rule 4, for a job that has just passed; what is told of images is remembered for the next ones."""
    for name, told in used.items():
        values = {"pool": job.pool, "name": name, "digest": told, "seen_at": now}
        if not insert_if_absent(connection, images, values, "pool", "name"):
            connection.execute(
                update(images)
                .where(images.c.pool == job.pool, images.c.name == name)
                .where((images.c.digest != told) | (images.c.seen_at < now - SEEN_AGAIN))
                .values(digest=told, seen_at=now)
            )
    key = key_of(connection, job, used)
    if key is not None:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(reuse_key=key))
