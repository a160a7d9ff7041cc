"""Signing: provenance of what was built here, records of what rollouts left live. In the background.

Rules:
1. What is signed is what was recorded when it became a candidate or a release; it is signed once, within seconds.
2. A candidate of another system is not ours to speak of: it brings its own envelope.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from farmgate import __version__
from farmgate.models import AttestationKey, Candidate, Release
from farmgate.provenance import statements
from farmgate.provenance.dsse import draw, signed
from farmgate.store import attestations, components, jobs, lanes, repositories, rollouts, runs
from farmgate.store.schema import approvals as approvals_table
from scheduler.context import Context

ACTOR: Final = "scheduler"
AT_ONCE: Final = 50


def signer(context: Context) -> tuple[AttestationKey, bytes]:
    """The key that signs, made if there is none; and its private half."""
    with context.store.reading() as connection:
        found = attestations.keys(connection)
    if not found:
        rotate(context, ACTOR, first=True)
        with context.store.reading() as connection:
            found = attestations.keys(connection)
    return found[0], attestations.private_half(context.vault.keyring, found[0])


def rotate(context: Context, who: str, *, first: bool = False) -> None:
    """A new key signs from now on; what older ones signed holds."""
    drawn = draw()
    with context.store.writing() as connection:
        attestations.add_key(connection, context.vault.keyring, drawn, who, context.clock.now(), first=first)


def sign_new(context: Context, *, all_of_them: bool) -> int:
    """How many statements were made."""
    with context.store.reading() as connection:
        built = attestations.unsigned(connection, AT_ONCE, all_of_them=all_of_them)
        left = attestations.unrecorded(connection, AT_ONCE, all_of_them=all_of_them)
    if not built and not left:
        return 0
    key, private = signer(context)
    for candidate in built:
        with context.store.reading() as connection:
            said = _provenance(context, connection, candidate)
        _keep(context, candidate.repository_id, candidate.sha, signed(said, key.kid, private), key.kid, None)
    for release in left:
        with context.store.reading() as connection:
            repository_id, said = _record(context, connection, release)
        _keep(context, repository_id, release.sha, signed(said, key.kid, private), key.kid, release.rollout_id)
    return len(built) + len(left)


def _keep(context: Context, repository_id: int, sha: str, envelope: str, kid: str, rollout_id: int | None) -> None:
    with context.store.writing() as connection:
        now = context.clock.now()
        attestations.put(connection, repository_id, sha, envelope, kid, ACTOR, now, rollout_id=rollout_id)


def _provenance(context: Context, connection: Connection, candidate: Candidate) -> dict[str, Any]:
    of = repositories.by_id(connection, candidate.repository_id)
    assert candidate.run_id is not None
    run = runs.by_id(connection, candidate.run_id)
    told = jobs.of_run(connection, run.id)
    return statements.provenance(
        artifacts=candidate.artifacts,
        sha=candidate.sha,
        url=of.url,
        ref=run.ref,
        builder=context.public_url,
        version=__version__,
        invocation=f"{context.public_url}/runs/{run.id}",
        parameters={"trigger": str(run.trigger), "trust": str(run.trust), "origin": run.origin},
        jobs=[
            {
                "name": job.name,
                "attempt": job.attempt,
                "result": str(job.state),
                "image": str(job.spec.get("image") or ""),
            }
            for job in told
        ],
        byproducts=components.documents_of(connection, candidate),
        started=run.started_at,
        finished=run.finished_at or candidate.created_at,
    )


def _record(context: Context, connection: Connection, release: Release) -> tuple[int, dict[str, Any]]:
    lane = lanes.by_id(connection, release.lane_id)
    rollout = rollouts.by_id(connection, release.rollout_id)
    of = repositories.by_id(connection, lane.repository_id)
    about = next(
        (a for a in attestations.of_commit(connection, of.id, release.sha) if a.source == attestations.OURS), None
    )
    said = {
        "lane": f"{lane.application}/{lane.environment}",
        "rollout": rollout.number,
        "kind": str(rollout.kind),
        "repository": statements.plain_address(of.url),
        "since": rollout.since_sha,
        "until": rollout.until_sha,
        "policyVersion": rollout.policy_version,
        "askedBy": rollout.asked_by,
        "approvedBy": _approvers(connection, release, rollout.created_at),
        "farm": context.public_url,
        "startedOn": _time(rollout.started_at or rollout.created_at),
        "liveFrom": _time(release.live_from),
        "provenance": {"digest": {"sha256": about.digest}} if about is not None else None,
    }
    return of.id, statements.release(artifacts=release.artifacts, sha=release.sha, config=release.config, said=said)


def _approvers(connection: Connection, release: Release, before: datetime) -> list[str]:
    """Who approved the candidate in this lane before it was cut."""
    column = approvals_table.c
    statement = select(column.approved_by).where(
        column.lane_id == release.lane_id,
        column.candidate_id == release.candidate_id,
        column.created_at <= before,
        column.withdrawn_at.is_(None),
    )
    return sorted(set(connection.execute(statement).scalars()))


def _time(moment: datetime) -> str:
    return moment.isoformat()
