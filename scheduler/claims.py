"""What workers ask, as functions without HTTP: claim, renew, log, step, artifact, result.

Rules:
1. A claim is one guarded update (QUEUED -> RUNNING at this attempt number); losers get LostRace and stop (I2).
2. Whatever an attempt sends is checked in the transaction that stores it: live, or StaleAttempt (I3).
3. A worker that reports 'lost' gives its job the next attempt at once, as if its lease had run out.
4. A job that failed by itself gets its next try while its `retry` lasts; what then remains may be allowed (`ends`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import PurePosixPath

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.clock import random_token
from farmgate.errors import BadPayload, Conflict, LostRace
from farmgate.messages import (
    RESULT_CARRIES_BYTES,
    ArtifactTaken,
    Claim,
    Claimed,
    LogTaken,
    Renew,
    Renewed,
    Result,
    StepReport,
)
from farmgate.models import Repository, Run, Trust
from farmgate.pipeline import JobSpec
from farmgate.refs import TAGS, branch_of
from farmgate.store import attempts, events, jobs, logs, nodes, repositories, reuse, runs
from farmgate.store.intakes import storable
from scheduler import emission, ends, reporting, retention
from scheduler.blob_streams import named
from scheduler.context import Context
from scheduler.giving import given_to, registry_for

TOKEN_PREFIX = "fga_"  # noqa: S105  # what an attempt's token begins with
LONGEST_PATH = 1000


def claim(context: Context, node: models.Node, body: Claim, base_url: str | None = None) -> Claimed:
    """Give the job's attempt to the node. Raises LostRace, Conflict for a node that takes no work.

    `base_url`: the address that the node reaches this server by; default: the public one.
    """
    try:
        return _claim(context, node, body, (base_url or context.public_url).rstrip("/"))
    except LostRace:
        with context.store.writing() as connection:  # it came too late, but it hears the bell
            nodes.claimed(connection, node.id, context.clock.now())
        raise


def _claim(context: Context, node: models.Node, body: Claim, server: str) -> Claimed:
    now = context.clock.now()
    token = TOKEN_PREFIX + random_token()
    if node.state is not states.Node.READY:
        raise Conflict(f"node {node.name} is {node.state} and takes no work")
    with context.store.writing() as connection:
        nodes.claimed(connection, node.id, now)
        job = jobs.by_id(connection, body.job)
        if job.pool != node.pool:
            raise Conflict(f"job {job.id} is for pool {job.pool}, node {node.name} serves {node.pool}")
        missing = [f"{name}={value}" for name, value in job.labels.items() if node.labels.get(name) != value]
        if missing:
            raise Conflict(f"job {job.id} needs a node with {', '.join(missing)}: {node.name} is none")
        if job.cancel_asked is not None:
            raise LostRace(f"job {job.id} is being cancelled")
        run = runs.by_id(connection, job.run_id)
        repository = repositories.by_id(connection, run.repository_id)
        commit = repositories.commit(connection, run.repository_id, run.sha)
        spec = JobSpec.model_validate(job.spec)
        jobs.start(connection, job.id, body.attempt, now, spec.timeout)
        until = now + context.settings.lease
        attempts.claim(connection, job.id, body.attempt, node.id, context.vault.hash(token), now, until)
        runs.begin(connection, run.id, now)
        newest = repositories.tip(connection, repository.id, run.ref) if run.trust is Trust.TRUSTED else None
        given = given_to(context, connection, repository, run, job, spec, now)
    context.changes.touch(job.id)
    return Claimed(
        job=job.id,
        attempt=body.attempt,
        token=token,
        lease_seconds=context.settings.lease.total_seconds(),
        run=run.id,
        repository=repository.name,
        repository_id=repository.id,
        git_url=f"{server}/git/{repository.name}",
        sha=run.sha,
        ref=run.ref,
        trust=str(run.trust),
        name=job.name,
        spec=job.spec,
        variables=variables(context, repository, run, commit.title if commit else ""),
        log_limit_bytes=context.settings.log_limit_bytes,
        result_carries_bytes=RESULT_CARRIES_BYTES,
        newest=newest,
        secrets=given.values,
        notices=given.notices,
        refused=given.refused,
        registry=registry_for(context, run, spec),
    )


def variables(context: Context, repository: Repository, run: Run, title: str) -> dict[str, str]:
    """What every step sees of where it is. Values only: nothing here is ever part of a command."""
    found = {
        "FARMGATE_SERVER": context.public_url,
        "FARMGATE_REPOSITORY": repository.name,
        "FARMGATE_RUN": str(run.id),
        "FARMGATE_SHA": run.sha,
        "FARMGATE_REF": run.ref,
        "FARMGATE_TRIGGER": str(run.trigger),
        "FARMGATE_TRUST": str(run.trust),
        "FARMGATE_TITLE": title,
        "FARMGATE_DEFAULT_BRANCH": repository.default_branch,
    }
    branch = branch_of(run.ref)
    if branch is not None:
        found["FARMGATE_BRANCH"] = branch
    elif run.ref.startswith(TAGS):
        found["FARMGATE_TAG"] = run.ref.removeprefix(TAGS)
    else:
        found["FARMGATE_PULL"] = run.ref.split("/")[2]
    return found


def renew(context: Context, node: models.Node, body: Renew) -> Renewed:
    """Let the leases of a node's live attempts go on; name those to give up."""
    now = context.clock.now()
    with context.store.writing() as connection:
        live = {(found.job_id, found.number): (found, asked) for found, asked in attempts.held_by(connection, node.id)}
        asked_for = [live[held.job, held.attempt][0].id for held in body.held if (held.job, held.attempt) in live]
        going = attempts.renew(connection, asked_for, now + context.settings.lease)
        live = {key: found for key, found in live.items() if found[0].id in going}
        goes_on = [held for held in body.held if (held.job, held.attempt) in live]
    return Renewed(
        lease_seconds=context.settings.lease.total_seconds(),
        cancelled=tuple(held for held in goes_on if live[held.job, held.attempt][1] is not None),
        lost=tuple(held for held in body.held if (held.job, held.attempt) not in live),
    )


def take_log(context: Context, attempt: models.Attempt, offset: int, data: bytes) -> LogTaken:
    """Append to the log; what overlaps is trimmed, a gap is not taken. Raises StaleAttempt."""
    limit = context.settings.log_limit_bytes
    with context.store.writing() as connection:
        attempts.still_live(connection, attempt.id)
        length, cut = logs.append(connection, attempt.id, offset, data, context.clock.now(), limit)
    context.changes.touch(attempt.job_id)
    return LogTaken(length=length, cut=cut)


def take_step(context: Context, attempt: models.Attempt, body: StepReport) -> None:
    """Note a step's state. Raises StaleAttempt."""
    with context.store.writing() as connection:
        attempts.still_live(connection, attempt.id)
        attempts.report_step(connection, _step(attempt, body))
    context.changes.touch(attempt.job_id)


def _step(attempt: models.Attempt, body: StepReport) -> models.Step:
    return models.Step(
        attempt_id=attempt.id,
        number=body.number,
        name=storable(body.name),
        state=states.Step(body.state),
        exit_code=body.exit_code,
        started_at=body.started_at,
        finished_at=body.finished_at,
        log_offset=body.log_offset,
    )


def take_artifact(
    context: Context,
    attempt: models.Attempt,
    path: str,
    chunks: Iterable[bytes],
    *,
    executable: bool = False,
    kind: models.ArtifactKind = models.ArtifactKind.FILE,
    image_id: str | None = None,
) -> ArtifactTaken:
    """Store an artifact's bytes and note them. Raises StaleAttempt, TooLarge, and BadPayload for a path outside."""
    checked_path(path)
    stored = context.blobs.put(chunks, context.settings.artifact_limit_bytes)
    with context.store.writing() as connection:
        attempts.still_live(connection, attempt.id)
        now = context.clock.now()
        named(context, connection, stored.sha256)
        spec = jobs.by_id(connection, attempt.job_id).spec
        attempts.keep_artifact(
            connection,
            attempt,
            path,
            stored.sha256,
            stored.size_bytes,
            now,
            retention.ends_at(spec, path, now, context.settings.artifact_keep),
            executable=executable,
            kind=kind,
            image_id=storable(image_id)[:LONGEST_PATH] if image_id else None,
        )
    return ArtifactTaken(sha256=stored.sha256, size_bytes=stored.size_bytes)


def checked_path(path: str) -> None:
    """Raises BadPayload unless the path is relative, plain, and stays inside."""
    pure = PurePosixPath(path)
    plain = path == str(pure) and path != "." and path.isprintable() and len(path) <= LONGEST_PATH
    if not plain or pure.is_absolute() or ".." in pure.parts:
        raise BadPayload(f"path: {path[:100]!r} is not a plain path inside the workspace")


def take_result(context: Context, attempt: models.Attempt, body: Result) -> None:
    """The end of an attempt with the end of its log; of its job too, unless infrastructure was lost. Raises
    StaleAttempt."""
    now = context.clock.now()
    reason = storable(body.reason)[:4000] if body.reason else None
    emitted = emission.read(context, attempt, body)
    with context.store.writing() as connection:
        attempts.still_live(connection, attempt.id)
        if body.log:
            logs.append(connection, attempt.id, body.log_offset, body.log, now, context.settings.log_limit_bytes)
        for step in body.steps:
            attempts.report_step(connection, _step(attempt, step))
        job = jobs.by_id(connection, attempt.job_id)
        ended = states.Attempt(body.outcome)
        attempts.finish(
            connection, attempt.id, ended, now, reason=reason, exit_code=body.exit_code, timings=body.timings
        )
        if body.outcome == "lost" and job.cancel_asked is None:
            try_again(context, connection, job, reason or "the worker lost its infrastructure", "worker")
        else:
            pardon = reporting.settle(connection, attempt, job, body.outcome, body.exit_code, now)
            _end(connection, job, body, reason, now, emitted, pardon)
            if job.cancel_asked is None and body.outcome == "passed" and body.image_digest is not None:
                used = {JobSpec.model_validate(job.spec).image or "": body.image_digest, **body.image_digests}
                reuse.file_result(connection, job, used, now)
    context.changes.touch(attempt.job_id)
    context.wake()


def _end(
    connection: Connection,
    job: models.Job,
    body: Result,
    reason: str | None,
    now: datetime,
    emitted: emission.Emitted | None,
    pardon: reporting.Pardon | None,
) -> None:
    """The job's end, or its next try (rule 4). The caller has ended the attempt."""
    if job.cancel_asked is not None and body.outcome in ("cancelled", "lost"):
        jobs.finish(connection, job.id, job.attempt, states.Job.CANCELLED, now, job.cancel_asked)
        return
    if emitted is not None and job.cancel_asked is None:
        problems = emission.add(connection, job, emitted, now)
        state = states.Job.PASSED if problems is None else states.Job.ERROR
        jobs.finish(connection, job.id, job.attempt, state, now, reason if problems is None else problems)
        return
    spec = JobSpec.model_validate(job.spec)
    spared = pardon is not None and pardon.forgiven
    tries = job.cancel_asked is None and not spared
    pause = ends.pause_before_next_try(spec, job.failures, body) if tries else None
    if pause is not None:
        told = f"try {job.failures + 1} failed: {reason or 'not told why'}"
        jobs.try_again(connection, job.id, job.attempt, now, pause, told)
        return
    if job.failures and body.outcome == "failed":
        reason = f"{reason or 'it failed'}; it failed {job.failures + 1} times, no try is left"
    if pardon is not None:
        reason = f"{reason}; {pardon.words}"
    allowed = spared or ends.is_allowed(spec, body)
    jobs.finish(connection, job.id, job.attempt, states.Job(body.outcome), now, reason, forgiven=allowed)


def try_again(context: Context, connection: Connection, job: models.Job, reason: str, who: str) -> None:
    """Rule 3: infrastructure was lost. The caller has ended the attempt."""
    now = context.clock.now()
    if job.losses < context.settings.infrastructure_retries:
        jobs.retry(connection, job.id, job.attempt, now, reason)
    else:
        reason = f"{reason}; lost {job.losses + 1} times, no retry is left"
        jobs.finish(connection, job.id, job.attempt, states.Job.LOST, now, reason)
    events.record(connection, now, "job.lost", f"job/{job.id}", who, reason)
