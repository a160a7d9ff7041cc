"""Jobs that a job emits: the file that it wrote, checked like the pipeline file, as further jobs of its run.

Rules:
1. The jobs come into being in the transaction that ends their emitter, or not at all: a stale attempt, one that did not
   pass, and one whose job was to be cancelled emit nothing.
2. A file with problems ends its emitter in ERROR, with every problem at its line and column. So does a file that was
   not handed over, or is larger than is read.
3. A run has at most JOB_LIMIT jobs, emitted ones included. Two emitters of a run that take the same name: the second
   one is told.
4. The jobs are of their run: as trusted as it is, compared with what it is compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from farmgate import models
from farmgate.errors import BadDocument
from farmgate.messages import EMITTED_LIMIT, Result
from farmgate.models import Job, Run
from farmgate.pipeline import JOB_LIMIT, JobSpec, parse_emitted
from farmgate.store import events, jobs, repositories, runs
from farmgate.store.runs import NewJob
from scheduler.compared import Place, facts_of, origin_of
from scheduler.context import Context
from scheduler.pipelines import Owner, new_job


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a job wrote, and what was made of it: jobs, or problems. `text` None: nothing was handed over."""

    source: str
    text: str | None
    jobs: tuple[NewJob, ...] = ()
    problems: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)


def read(context: Context, attempt: models.Attempt, body: Result) -> Emitted | None:
    """Before the transaction: git may be asked. None: the job emits nothing, or did not pass."""
    if body.outcome != "passed":
        return None
    with context.store.reading() as connection:
        job = jobs.by_id(connection, attempt.job_id)
        source = JobSpec.model_validate(job.spec).emits
        if source is None:
            return None
        run = runs.by_id(connection, job.run_id)
        repository = repositories.by_id(connection, run.repository_id)
        existing = jobs.of_run(connection, run.id)
    found = Emitted(source, body.emitted)
    if body.emitted is None:
        return replace(found, problems=f"{source}: the job emits this file, and it was not handed over")
    size = len(body.emitted.encode(errors="surrogatepass"))
    if size > EMITTED_LIMIT:
        told = f"{source}: {size} bytes; a file of further jobs has at most {EMITTED_LIMIT}"
        return replace(found, problems=told)
    try:
        specs = _parsed(found, job, existing)
    except BadDocument as error:
        return replace(found, problems=str(error))
    place = Place(run.ref, run.trigger, run.origin.get("compared_with"), run.origin.get("base"))
    history = context.mirrors.of(repository)
    facts, since = facts_of(history, run.sha, place, specs)
    owner = Owner(run.repository_id, run.ref, run.trust)
    made = tuple(new_job(history, run.sha, spec, facts, owner) for spec in specs)
    return replace(found, jobs=made, origin=origin_of(specs, facts, since))


def add(connection: Connection, job: Job, emitted: Emitted, now: datetime) -> str | None:
    """Rule 1: the jobs, or what is wrong. The caller holds the emitter's row and ends it."""
    if emitted.problems is not None:
        return emitted.problems
    existing = jobs.of_run(connection, job.run_id)
    try:  # once more, with what others emitted meanwhile (rule 3)
        _parsed(emitted, job, existing)
    except BadDocument as error:
        return str(error)
    run: Run = runs.by_id(connection, job.run_id)
    made = [replace(new, emitted_by=job.id) for new in emitted.jobs]
    if made:
        runs.add_jobs(connection, run.id, made, now, held=run.hold is not None)
        runs.set_origin(connection, run.id, {**emitted.origin, **run.origin})
    told = f"{len(made)} jobs from {emitted.source}"
    events.record(connection, now, "job.emitted", f"job/{job.id}", "worker", told)
    return None


def _parsed(emitted: Emitted, job: Job, existing: list[Job]) -> tuple[JobSpec, ...]:
    """Raises BadDocument."""
    families: dict[str, list[str]] = defaultdict(list)
    for other in existing:
        families[other.family or other.name].append(other.name)
    return parse_emitted(
        emitted.text or "",
        emitted.source,
        existing_names=families,
        room=JOB_LIMIT - len(existing),
        level=1 if job.emitted_by is None else 2,
    )
