"""How a candidate from outside is kept and settled: the effects of `outside`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from farmgate import states
from farmgate.audit import digest
from farmgate.errors import BadPayload, BlobsUnreachable
from farmgate.models import Submission
from farmgate.store import candidates, events, late_reds, repositories, submissions
from scheduler import late_red
from scheduler.blob_streams import named
from scheduler.context import DEPLOY, Context
from scheduler.decisions import Settle
from scheduler.outside import PATIENCE, Standing, settled

BYTES: Final = re.compile(r"sha256:([0-9a-f]{64})")
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,400}@sha256:[0-9a-f]{64}")


def standing(connection: Connection, row: Submission) -> Standing:
    """What `settled` looks at."""
    of = (row.repository_id, row.sha)
    return Standing(
        row.id,
        row.deadline,
        row.artifacts,
        submissions.stands_on_a_branch(connection, *of),
        submissions.own_run(connection, *of),
        submissions.candidate_of(connection, *of),
    )


def submit(
    context: Context,
    repository: str,
    sha: str,
    source: str,
    url: str,
    checks: Sequence[Mapping[str, Any]],
    artifacts: Mapping[str, str],
    who: str,
) -> tuple[Submission, bool]:
    """Keep it, and settle it at once if that can be. False: it was there. Raises NotFound, Conflict, BadPayload."""
    bytes_of = checked(artifacts)
    now = context.clock.now()
    said = {"source": source, "url": url, "checks": [dict(each) for each in checks], "artifacts": dict(artifacts)}
    red = [str(each["name"]) for each in checks if each["result"] != "passed"]
    with context.store.writing() as connection:
        of = repositories.by_name(connection, repository)
        try:
            named(context, connection, *bytes_of)
        except BlobsUnreachable:
            raise BadPayload("artifacts: names bytes that are not here (any more): upload them first") from None
        values: dict[str, Any] = {
            "repository_id": of.id,
            "sha": sha,
            **said,
            "digest": digest(said),
            "state": states.Submission.REFUSED if red else states.Submission.WAITING,
            "reason": f"not green: {', '.join(red)}" if red else None,
            "submitted_by": who,
            "created_at": now,
            "settled_at": now if red else None,
            "deadline": now + PATIENCE,
        }
        row, new = submissions.put(connection, values)
        if new and red:  # where it is a candidate already, by another's word
            reason = f"{source} says so: {url}" if url else f"{source} says so"
            late = late_reds.put(connection, of.id, sha, source, red, reason, who, now)
            late_red.tell_red(connection, of.id, sha, late, who, now)
        if new:
            told = f"{source}: {sha[:12]}, {len(checks)} checks, {len(artifacts)} artifacts"
            events.record(connection, now, "candidate.submitted", f"repository/{of.name}", who, told, after=said)
        decision = settled(standing(connection, row), now) if row.state is states.Submission.WAITING else None
        if decision is not None:
            settle(connection, decision, now)
        elif row.state is states.Submission.WAITING:
            repositories.poll_now(connection, of.id)
        row = submissions.by_id(connection, row.id)
    context.wake()
    if row.state is states.Submission.ACCEPTED:
        context.deploy_signals.wake(DEPLOY)
    context.changes.touch()
    return row, new


def settle(connection: Connection, decision: Settle, now: datetime) -> None:
    """Do what was decided. Raises LostRace."""
    row = submissions.by_id(connection, decision.submission_id)
    reason = decision.reason
    if decision.after is states.Submission.ACCEPTED and reason is None:
        candidates.put(connection, row.repository_id, row.sha, row.artifacts, now, run_id=None, source=row.source)
    submissions.settle(connection, row.id, decision.after, reason, now)
    of = repositories.by_id(connection, row.repository_id)
    told = f"{row.source}: {row.sha[:12]} {decision.after}" + (f": {reason}" if reason else "")
    events.record(connection, now, f"candidate.{decision.after}", f"repository/{of.name}", row.submitted_by, told)


def checked(artifacts: Mapping[str, str]) -> list[str]:
    """Rule 5: the blobs that they name. Raises BadPayload."""
    blobs = []
    for name, value in artifacts.items():
        found = BYTES.fullmatch(value)
        if found is not None:
            blobs.append(found[1])
        elif not _IMAGE.fullmatch(value):
            raise BadPayload(
                f"artifacts: {name[:100]!r} is neither sha256:<hex> of uploaded bytes nor an image by digest "
                "(registry/name@sha256:<hex>); a tag can move, so it names nothing that was tested"
            )
    return blobs
