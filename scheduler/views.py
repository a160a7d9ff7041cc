"""From rows to the API's answers: one reading, shared by the JSON endpoints and whoever shows the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.git.command import without_password
from farmgate.models import Answer, Artifact, Attempt, Commit, Job, Repository, Run, Step
from farmgate.settings import SchedulerSettings
from farmgate.store import answers, attempts, candidates, intakes, jobs, lanes, late_reds, nodes, repositories, runs
from scheduler import outlook
from scheduler.bodies import (
    ArtifactBody,
    AttemptBody,
    CommitBody,
    DeliveryBody,
    FirstRead,
    IntakeBody,
    JobBody,
    JobSummary,
    NodeBody,
    PlaceBody,
    QuestionBody,
    RepositoryBody,
    RepositoryDetail,
    ReusedBody,
    RunDetail,
    RunSummary,
    StepBody,
)
from scheduler.groups import name_of
from scheduler.outlook import Outlook
from scheduler.snapshot import rules_of

SHOWN_ARTIFACTS = 10  # of a job; the others are read in parts, where they are listed


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
        jobs=job_bodies(connection, found, told),
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


def job_bodies(connection: Connection, found: Sequence[Job], told: Outlook) -> list[JobBody]:
    """Jobs with their attempts, steps and the first of their artifacts."""
    tries = attempts.of_jobs(connection, [jobs.told_by(job) for job in found])
    names = {job.id: job.name for job in found}
    given = answers.of_jobs(connection, [jobs.told_by(job) for job in found])
    named = nodes.names(connection)
    ids = [attempt.id for attempt in tries]
    steps: dict[int, list[StepBody]] = {number: [] for number in ids}
    for step in attempts.steps_of(connection, ids):
        steps[step.attempt_id].append(step_body(step))
    of_job: dict[int, list[Attempt]] = {jobs.told_by(job): [] for job in found}
    for attempt in tries:
        of_job[attempt.job_id].append(attempt)
    newest_ids = [mine[-1].id for mine in of_job.values() if mine]
    shown, totals = attempts.some_artifacts_of(connection, newest_ids, SHOWN_ARTIFACTS)
    artifacts: dict[int, list[Artifact]] = {number: [] for number in newest_ids}
    for artifact in shown:
        artifacts[artifact.attempt_id].append(artifact)
    taken = reused(connection, found)
    bodies = []
    for job in found:
        mine = of_job[jobs.told_by(job)]
        newest = mine[-1].id if mine else None
        kept = artifacts[newest] if newest else []
        total = totals.get(newest, 0) if newest else 0
        bodies.append(
            JobBody(
                id=job.id,
                name=job.name,
                kind=job.kind,
                needs=job.needs,
                runs_when=job.runs_when,
                forgiven=job.forgiven,
                failures=job.failures,
                not_before=job.not_before,
                emitted_by=None if job.emitted_by is None else names.get(job.emitted_by),
                question=question_body(job, given.get(jobs.told_by(job))),
                pool=job.pool,
                image=job.spec.get("image"),
                state=job.state,
                attempt=job.attempt,
                losses=job.losses,
                reason=job.reason,
                reused_from=taken.get(job.reused_from or 0),
                why=told.why.get(job.id) or why_asking(job),
                starts_at=told.starts[job.id].starts_at if job.id in told.starts else None,
                estimate=told.words.get(job.id),
                priority=job.priority,
                labels=job.labels,
                group=None if job.exclusion is None else name_of(job.exclusion),
                cancel_asked=job.cancel_asked,
                ready_at=job.ready_at,
                rung_at=job.rung_at,
                started_at=job.started_at,
                finished_at=job.finished_at,
                deadline=job.deadline,
                attempts=[_attempt(one, named, steps[one.id]) for one in mine],
                steps=steps[newest] if newest else [],
                timings=mine[-1].timings if mine else {},
                artifacts=[_artifact(one) for one in kept],
                artifacts_total=total,
                artifacts_next=f"{job.id}.{kept[-1].id}" if total > len(kept) else None,
            )
        )
    return bodies


def reused(connection: Connection, found: Sequence[Job]) -> dict[int, ReusedBody]:
    """By job: what others took."""
    originals = [job.reused_from for job in found if job.reused_from is not None]
    return {
        row.id: ReusedBody(job=row.id, run=row.run_id, name=row.name, finished_at=row.finished_at)
        for row in jobs.by_ids(connection, originals)
    }


def question_body(job: Job, given: Answer | None) -> QuestionBody | None:
    """What the job asks, and what was answered."""
    asked = job.spec.get("approve")
    if not asked:
        return None
    return QuestionBody(
        text=asked["text"],
        by=list(asked.get("by") or ()),
        verdict=None if given is None else given.verdict,
        answered_by=None if given is None else given.answered_by,
        answer=None if given is None else given.text,
        answered_at=None if given is None else given.answered_at,
    )


def why_asking(job: Job) -> str | None:
    """Whom a job waits for that asks."""
    asked = job.spec.get("approve")
    if job.state is not states.Job.ASKING or not asked:
        return None
    return f"asks {', '.join(asked.get('by') or ()) or 'whoever may write'}: {asked['text']}"


def _artifact(artifact: Artifact) -> ArtifactBody:
    return ArtifactBody(
        path=artifact.path,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        url=f"/api/artifacts/{artifact.sha256}",
    )


def step_body(step: Step) -> StepBody:
    """A step."""
    return StepBody(
        number=step.number,
        name=step.name,
        state=step.state,
        exit_code=step.exit_code,
        started_at=step.started_at,
        finished_at=step.finished_at,
        log_offset=step.log_offset,
    )


def _attempt(attempt: Attempt, named: dict[int, str], steps: list[StepBody]) -> AttemptBody:
    return AttemptBody(
        number=attempt.number,
        node=named.get(attempt.node_id, "?"),
        state=attempt.state,
        claimed_at=attempt.claimed_at,
        finished_at=attempt.finished_at,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        timings=attempt.timings,
        log_bytes=attempt.log_bytes,
        log_cut=attempt.log_cut,
        steps=steps,
    )


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
