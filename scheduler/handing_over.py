"""What of a run that passed is handed over to delivery.

Rules:
1. A green run of a trusted branch, or of a commit that Farmgate made for one, makes its commit a candidate, in the
   transaction that ends the run. A tag, a pull request, a fork's run hand nothing over. A run of something old hands
   over its own commit only: a branch never moves.
2. A run whose jobs were all left out by their conditions is green too: nothing that the pipeline asks stood against it.
3. A run with jobs left out for their paths leans on the commit that it was compared with: it is handed over only with
   that commit, and with that commit's artifacts under its own. Else a typo mended after a red commit would deliver it.
   Where that commit becomes good later, those that lean on it follow at once.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.models import ArtifactKind, Run, Trigger, Trust
from farmgate.refs import branch_of
from farmgate.store import attempts, candidates, jobs, runs


def is_for_delivery(run: Run) -> bool:
    """Rule 1."""
    trusted = run.trust is Trust.TRUSTED
    return trusted and branch_of(run.ref) is not None and run.trigger in (Trigger.PUSH, Trigger.PERSON)


def leans_on(run: Run) -> str | None:
    """Rule 3: the commit whose good name it needs."""
    found = run.origin.get("leans_on")
    return str(found) if found else None


def why_not_alone(connection: Connection, run: Run) -> str | None:
    """Rule 3, in words: why a green run is no candidate yet."""
    base = leans_on(run)
    if base is None or not is_for_delivery(run) or candidates.of_commit(connection, run.repository_id, base):
        return None
    return (
        f"not handed over: jobs were left out because nothing they look at changed since {base[:10]}, "
        "and that commit is not good itself (yet)"
    )


def hand_over(connection: Connection, run: Run, now: datetime) -> bool:
    """Make the commit of a green run a candidate, and those that lean on it (rule 3). True if there is a new one."""
    made = False
    while is_for_delivery(run):
        if not _put(connection, run, now):
            break
        made = True
        following = runs.leaning_on(connection, run, run.sha)
        if following is None:
            break
        runs.explain(connection, following.id, states.Run.PASSED, None)
        run = following
    return made


def _put(connection: Connection, run: Run, now: datetime) -> bool:
    artifacts = artifacts_of_run(connection, run.id)
    base = leans_on(run)
    if base is not None:
        below = candidates.of_commit(connection, run.repository_id, base)
        if below is None:
            return False
        artifacts = {**below.artifacts, **artifacts}
    return candidates.put(connection, run.repository_id, run.sha, artifacts, now, run_id=run.id)


def artifacts_of_run(connection: Connection, run_id: int) -> dict[str, str]:
    """Path -> digest, of the attempts that passed, those of an earlier run where a job took its result from there; the
    later job of the pipeline file wins a path."""
    order = {jobs.told_by(job): place for place, job in enumerate(jobs.of_run(connection, run_id))}
    passed = {
        attempt.id: order[attempt.job_id]
        for attempt in attempts.of_jobs(connection, list(order))
        if attempt.state is states.Attempt.PASSED
    }
    made = attempts.artifacts_of(connection, list(passed))
    kept = [artifact for artifact in made if artifact.kind is not ArtifactKind.LOG]
    kept.sort(key=lambda artifact: passed[artifact.attempt_id])
    return {artifact.path: f"sha256:{artifact.sha256}" for artifact in kept}
