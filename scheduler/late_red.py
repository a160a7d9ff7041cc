"""Candidates that turn red: what a later check of the same commit means.

Rules:
1. A run of a trusted branch that fails on a commit that is a candidate already (a re-run, a nightly) turns it red:
   each of its failed jobs does. Lost infrastructure says nothing.
2. The same job that passes in a later run of the commit ends that; so does a person, with a reason.
3. What another system says late counts alike, by its name.
4. Lanes where the commit is live are told at once, each by an event of its own; what follows there the deploy loop
   decides (`on_late_red`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.models import Run, Trust
from farmgate.refs import HEADS
from farmgate.store import candidates, events, jobs, lanes, late_reds, releases, repositories
from scheduler.context import Context
from scheduler.lane_bodies import LateRedBody

OURS = "run"


def of_run(connection: Connection, run: Run, state: states.Run, now: datetime) -> bool:
    """Rules 1 and 2, in the transaction that ends the run. True if lanes should look."""
    trusted = run.trust is Trust.TRUSTED and run.ref.startswith(HEADS)
    if not trusted or candidates.of_commit(connection, run.repository_id, run.sha) is None:
        return False  # what nearly every run is: nothing was handed over before
    found = jobs.of_run(connection, run.id)
    passed = [job.name for job in found if job.state is states.Job.PASSED]
    failed = [job.name for job in found if job.state is states.Job.FAILED and not job.forgiven]
    by = f"run {run.id}"
    ended = late_reds.end(connection, run.repository_id, run.sha, by, "it passed", now, source=OURS, checks=passed)
    if ended:
        tell_green(connection, run.repository_id, run.sha, ended, by, "it passed", now)
    if state is not states.Run.FAILED or not failed:
        return bool(ended)
    new = late_reds.put(connection, run.repository_id, run.sha, OURS, failed, f"{by} failed", by, now, run_id=run.id)
    tell_red(connection, run.repository_id, run.sha, new, by, now)
    return bool(new or ended)


def tell_red(
    connection: Connection, repository_id: int, sha: str, checks: Iterable[str], by: str, now: datetime
) -> None:
    """Rule 4."""
    named = ", ".join(checks)
    if not named:
        return
    for subject in _subjects(connection, repository_id, sha):
        live = " is live and" if subject.startswith("lane/") else ""
        events.record(connection, now, "commit.late_red", subject, by, f"{sha[:12]}{live} turned red: {named}")


def tell_green(
    connection: Connection, repository_id: int, sha: str, checks: Iterable[str], by: str, reason: str, now: datetime
) -> None:
    named = ", ".join(checks)
    for subject in _subjects(connection, repository_id, sha):
        events.record(connection, now, "commit.green_again", subject, by, f"{sha[:12]}: {named}: {reason}")


def _subjects(connection: Connection, repository_id: int, sha: str) -> list[str]:
    """The lanes where it is live; where there is none, its repository."""
    found = []
    for lane in lanes.every(connection, repository_id):
        live = releases.live_of(connection, lane.id)
        if live is not None and live.sha == sha:
            found.append(f"lane/{lane.application}/{lane.environment}")
    return found or [f"repository/{repositories.by_id(connection, repository_id).name}"]


def say(
    context: Context, repository: str, commit: str, source: str, check: str, reason: str, who: str
) -> list[LateRedBody]:
    """Rule 3. Raises NotFound, Conflict."""
    now = context.clock.now()
    with context.store.writing() as connection:
        of = repositories.by_name(connection, repository)
        sha = repositories.by_prefix(connection, of.id, commit.lower()).sha
        new = late_reds.put(connection, of.id, sha, source, [check], reason, who, now)
        tell_red(connection, of.id, sha, new, who, now)
        bodies = told(connection, of.id, sha)
    context.acted_on_lanes()
    return bodies


def forgive(
    context: Context, repository: str, commit: str, check: str | None, reason: str, who: str
) -> list[LateRedBody]:
    """Rule 2: a person's word. Raises NotFound, Conflict."""
    now = context.clock.now()
    with context.store.writing() as connection:
        of = repositories.by_name(connection, repository)
        sha = repositories.by_prefix(connection, of.id, commit.lower()).sha
        checks = None if check is None else [check]
        ended = late_reds.end(connection, of.id, sha, who, reason, now, checks=checks)
        if ended:
            tell_green(connection, of.id, sha, ended, who, reason, now)
        bodies = told(connection, of.id, sha)
    context.acted_on_lanes()
    return bodies


def told(connection: Connection, repository_id: int, sha: str) -> list[LateRedBody]:
    """Of a commit, the newest first."""
    found = late_reds.of_commit(connection, repository_id, sha)
    return [LateRedBody.model_validate(each, from_attributes=True) for each in found]
