"""From rows to the API's answers: one reading, shared by the JSON endpoints and whoever shows the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.git.command import without_password
from farmgate.models import Commit, Job, Repository, Run
from farmgate.settings import SchedulerSettings
from farmgate.store import candidates, intakes, jobs, lanes, late_reds, repositories, runs
from scheduler import job_views, outlook
from scheduler.bodies import (
    CommitBody,
    DeliveryBody,
    FirstRead,
    IntakeBody,
    JobSummary,
    NodeBody,
    PlaceBody,
    RepositoryBody,
    RepositoryDetail,
    RunDetail,
    RunSummary,
)
from scheduler.snapshot import rules_of


def repository(connection: Connection, row: Repository, public_url: str) -> RepositoryBody:
    """A repository, without its secret."""
    first = intakes.first_read(connection, row.id)
    return RepositoryBody(
        id=row.id,
        name=row.name,
        url=without_password(row.url),
        forge=row.forge,
        default_branch=row.default_branch,
        created_at=row.created_at,
        polled_at=row.polled_at,
        poll_error=row.poll_error,
        webhook_url=f"{public_url}/hooks/{row.name}",
        weight=row.weight,
        forks=row.fork_policy,
        first_read=None if first is None else FirstRead(state=first.state, reason=first.reason),
    )


def repository_detail(connection: Connection, row: Repository, public_url: str) -> RepositoryDetail:
    """With its refs, its webhooks and their changes."""
    known = repositories.known_refs(connection, row.id)
    return RepositoryDetail(
        **repository(connection, row, public_url).model_dump(),
        refs={ref.name: ref.sha for ref in known.values() if ref.sha is not None},
        deliveries=[
            DeliveryBody(delivery_id=one.delivery_id, event=one.event, received_at=one.received_at, outcome=one.outcome)
            for one in intakes.deliveries_of(connection, row.id)
        ],
        intakes=[
            IntakeBody(
                id=one.id,
                kind=one.kind,
                ref=one.ref,
                before=one.before,
                after=one.after,
                state=one.state,
                reason=one.reason,
                created_at=one.created_at,
                found_by="poll" if one.delivery_id is None else "webhook",
            )
            for one in intakes.recent(connection, row.id)
        ],
    )


def summaries(connection: Connection, found: Sequence[Run]) -> list[RunSummary]:
    """Runs as a list shows them."""
    known: dict[int, Repository] = {}
    commits: dict[tuple[int, str], Commit] = {}
    by_repository: dict[int, list[str]] = {}
    for run in found:
        by_repository.setdefault(run.repository_id, []).append(run.sha)
    for repository_id, shas in by_repository.items():
        known[repository_id] = repositories.by_id(connection, repository_id)
        for sha, commit in repositories.commits_of(connection, repository_id, shas).items():
            commits[repository_id, sha] = commit
    of_runs = jobs.of_runs(connection, [run.id for run in found])
    return [
        _summary(run, known[run.repository_id], commits.get((run.repository_id, run.sha)), of_runs[run.id])
        for run in found
    ]


def _summary(
    run: Run, of: Repository, commit: Commit | None, of_run: Sequence[tuple[str, states.Job, bool]]
) -> RunSummary:
    return RunSummary(
        id=run.id,
        repository=of.name,
        sha=run.sha,
        ref=run.ref,
        title=commit.title if commit else "",
        author=commit.author_name if commit else "",
        trigger=run.trigger,
        trust=run.trust,
        ordinal=run.ordinal,
        state=run.state,
        reason=run.reason,
        asked_by=run.asked_by,
        hold=run.hold,
        again_of=run.again_of,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        superseded_by=run.superseded_by,
        jobs=[JobSummary(name=name, state=state, forgiven=forgiven) for name, state, forgiven in of_run],
    )


def run_detail(connection: Connection, run_id: int, settings: SchedulerSettings, now: datetime) -> RunDetail:
    """All of one run. Raises NotFound."""
    run = runs.by_id(connection, run_id)
    of = repositories.by_id(connection, run.repository_id)
    commit = repositories.commit(connection, run.repository_id, run.sha)
    found = jobs.of_run(connection, run.id)
    waiting = [job.id for job in found if job.state in outlook.WAITS]
    told = outlook.of_jobs(connection, rules_of(settings), waiting, now) if waiting else outlook.NOTHING
    return RunDetail(
        id=run.id,
        repository=of.name,
        sha=run.sha,
        ref=run.ref,
        title=commit.title if commit else "",
        message=commit.message if commit else "",
        author=commit.author_name if commit else "",
        committed_at=commit.committed_at if commit else None,
        trigger=run.trigger,
        trust=run.trust,
        ordinal=run.ordinal,
        state=run.state,
        reason=run.reason,
        asked_by=run.asked_by,
        hold=run.hold,
        again_of=run.again_of,
        reuse=run.reuse,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        deadline=run.deadline,
        superseded_by=run.superseded_by,
        delays=_delays(run, found),
        jobs=job_views.job_bodies(connection, found, told),
        templates=run.origin.get("templates", []),
    )


def _delays(run: Run, found: Sequence[Job]) -> dict[str, float]:
    stages = {
        "ready": min((job.ready_at for job in found if job.ready_at), default=None),
        "rung": min((job.rung_at for job in found if job.rung_at), default=None),
        "started": run.started_at,
        "finished": run.finished_at,
    }
    return {name: (at - run.created_at).total_seconds() for name, at in stages.items() if at is not None}


def commit_body(connection: Connection, of: Repository, prefix: str) -> CommitBody:
    """A commit by the beginning of its hash. Raises NotFound, Conflict."""
    commit = repositories.by_prefix(connection, of.id, prefix.lower())
    candidate = candidates.of_commit(connection, of.id, commit.sha)
    return CommitBody(
        repository=of.name,
        sha=commit.sha,
        parents=commit.parents,
        title=commit.title,
        message=commit.message,
        author=commit.author_name,
        committed_at=commit.committed_at,
        seen_at=commit.seen_at,
        branches=[
            PlaceBody(branch=place.branch, position=place.position, gone_at=place.gone_at)
            for place in repositories.branches_of(connection, of.id, commit.sha)
        ],
        runs=summaries(connection, runs.of_commit(connection, of.id, commit.sha)),
        candidate=None if candidate is None else candidate.artifacts,
        red=[dataclasses.asdict(each) for each in late_reds.of_commit(connection, of.id, commit.sha)],
        lanes=[dataclasses.asdict(place) for place in lanes.where_is(connection, of.id, commit.sha)],
    )


def node_body(node: models.Node) -> NodeBody:
    """A node."""
    return NodeBody(**dataclasses.asdict(node))
