"""A run once more: the whole of it, only what failed, or one job.

Rules:
1. The inputs are exactly those of before: the commit, the ref, why it ran, whom it is trusted for, and each job's
   specification as its row has it. Only a run without jobs (its file could not be used) is read from git again.
2. What failed is all that did not pass, and all that needs any of it; the rest is taken over as it stands, with its
   artifacts, and says from where. One job: that one, and what needs it.
3. Jobs that a job emitted belong to it: it emits them anew if it runs anew, and they are taken over with it if not.
4. Jobs that their own condition left out stay left out.
5. It is marked as a repetition (`again_of`): whatever asks for the newest run of a ref passes it over, and it may make
   a candidate of its own commit only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import BadPayload, Conflict, NotFound
from farmgate.models import Job, Run
from farmgate.store import events, jobs, repositories, runs
from farmgate.store.runs import LEFT_OUT, NewJob, NewRun, Taken
from scheduler.compared import Place
from scheduler.context import Context
from scheduler.pipelines import run_of
from scheduler.templates import FarmTemplates


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run again: everything, only what failed, or the job of this name."""

    failed: bool = False
    job: str | None = None
    reuse: bool = True


def run_again(context: Context, run_id: int, wish: Wish, who: str) -> int:
    """The new run's id. Raises NotFound, NotInRepository, BadPayload, Conflict."""
    if wish.failed and wish.job is not None:
        raise BadPayload("either what failed, or one job: not both")
    now = context.clock.now()
    with context.store.reading() as connection:
        before = runs.by_id(connection, run_id)
        repository = repositories.by_id(connection, before.repository_id)
        found = jobs.of_run(connection, run_id)
    if repository.removed_at is not None:
        raise Conflict(f"the repository of run {run_id} was removed")
    if (wish.failed or wish.job is not None) and not states.is_final(before.state):
        raise Conflict(f"run {run_id} is not over yet: wait for it, or cancel it")
    if found:
        new = _of_rows(before, found, wish, who, now)
    else:
        base = before.origin.get("base")
        place = Place(before.ref, before.trigger, base=None if base is None else str(base))
        history = context.mirrors.of(repository)
        templates = FarmTemplates(context, repository, before.trust)
        new = run_of(
            history, repository.id, before.sha, place, before.trust, who, now, templates=templates, hold=before.hold
        )
    with context.store.writing() as connection:
        ordinal = runs.next_ordinal(connection, before)
        new = replace(new, ordinal=ordinal, again_of=before.id, reuse=wish.reuse)
        made = runs.create(connection, new, now)
        if made is None:
            raise Conflict("somebody else asked for the same at this moment: look at the newest run")
        _name_emitters(connection, made, found)
        events.record(connection, now, "run.again", f"run/{made}", who, f"run {run_id} once more{_told(wish)}")
    context.changes.touch()
    context.wake()
    return made


def _told(wish: Wish) -> str:
    what = f": job {wish.job}" if wish.job is not None else ": what failed" if wish.failed else ""
    return what + ("" if wish.reuse else ", without earlier results")


def _of_rows(before: Run, found: Sequence[Job], wish: Wish, who: str, now: datetime) -> NewRun:
    anew = chosen(found, wish)
    emitters = {job.id: job for job in found}
    dropped: set[int] = set()
    made: list[NewJob] = []
    for job in found:  # an emitter stands before what it emitted
        if job.emitted_by is not None and (job.emitted_by in dropped or emitters[job.emitted_by].name in anew):
            dropped.add(job.id)
            continue
        made.append(_new(job) if job.name in anew else replace(_new(job), taken=_taken(job, before)))
    return NewRun(
        repository_id=before.repository_id,
        sha=before.sha,
        ref=before.ref,
        trigger=before.trigger,
        trust=before.trust,
        asked_by=who,
        created_at=now,
        jobs=tuple(made),
        hold=before.hold,
        cancel_superseded=before.cancel_superseded,
        origin=before.origin,
    )


def chosen(found: Sequence[Job], wish: Wish) -> frozenset[str]:
    """Rule 2: the names of the jobs that run anew. Raises NotFound, Conflict."""
    by_name = {job.name: job for job in found}
    if wish.job is not None:
        if wish.job not in by_name:
            raise NotFound(f"the run has no job {wish.job}: it has {', '.join(list(by_name)[:10])}")
        job = by_name[wish.job]
        bad = [name for name in job.needs if name in by_name and not _passed(by_name[name])]
        if bad and job.runs_when == "passed":
            raise Conflict(f"{job.name} needs {', '.join(bad)}, which did not pass: run again what failed")
        return _with_followers(found, [job.name])
    if wish.failed:
        failed = [job.name for job in found if not _passed(job) or job.state is states.Job.FAILED]
        if not failed:
            raise Conflict("nothing of the run failed: run the whole of it again, or one job")
        return _with_followers(found, failed)
    return frozenset(by_name)


def _passed(job: Job) -> bool:
    return states.counted(job.state, job.forgiven) is states.Job.PASSED


def _with_followers(found: Sequence[Job], names: Iterable[str]) -> frozenset[str]:
    followers: dict[str, list[str]] = defaultdict(list)
    for job in found:
        for name in job.needs:
            followers[name].append(job.name)
    reached: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += followers[name]
    return frozenset(reached)


def _new(job: Job) -> NewJob:
    """Rule 1: the row, as it was made."""
    left_out = job.state is states.Job.SKIPPED and job.forgiven and (job.reason or "").startswith(LEFT_OUT)
    return NewJob(
        name=job.name,
        needs=tuple(job.needs),
        spec=job.spec,
        pool=job.pool,
        kind=job.kind,
        family=job.family,
        family_limit=job.family_limit,
        priority=job.priority,
        labels=job.labels,
        runs_when=job.runs_when,
        exclusion=job.exclusion,
        exclusion_limit=job.exclusion_limit,
        exclusion_cancels=job.exclusion_cancels,
        skipped=job.reason if left_out else None,
        inputs_hash=job.inputs_hash,
    )


def _taken(job: Job, before: Run) -> Taken:
    """As it stands; of something that was taken over itself, from where it was made first."""
    origin = job.reused_from if job.reused_from is not None else job.id
    reason = job.reason if job.state is states.Job.SKIPPED else f"taken over from run {before.id}"
    if job.reason and job.state not in (states.Job.PASSED, states.Job.SKIPPED):
        reason = f"{reason}: {job.reason}"
    return Taken(job.state, reason, job.forgiven, None if job.state is states.Job.SKIPPED else origin)


def _name_emitters(connection: Connection, run_id: int, found: Sequence[Job]) -> None:
    """Rule 3: who emitted what, in the new run's own numbers."""
    names = {job.id: job.name for job in found}
    emitted = {job.name: names[job.emitted_by] for job in found if job.emitted_by is not None}
    if emitted:
        jobs.name_emitters(connection, run_id, emitted)
