"""A commit's pipeline file, as a run to be made. A file that cannot be used is a run in error, never a silence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from farmgate.errors import BadDocument, NotAFile
from farmgate.git import History
from farmgate.models import JobKind, Trust
from farmgate.pipeline import FILE_NAME, JobSpec, Pipeline, parse
from farmgate.pipeline.builtin import BUILT_IN
from farmgate.pipeline.conditions import Facts
from farmgate.pipeline.templates import Templates
from farmgate.store.runs import NewJob, NewRun
from scheduler.compared import Place, facts_of, left_out, origin_of
from scheduler.groups import exclusion_of
from scheduler.reuse import inputs_hash

MISSING = (
    f"{FILE_NAME}:1:1: the commit has no such file: add one with at least one job, such as\n"
    "jobs:\n  test:\n    steps: [make test]"
)


def run_of(
    history: History,
    repository_id: int,
    sha: str,
    place: Place,
    trust: Trust,
    asked_by: str,
    created_at: datetime,
    ordinal: int = 1,
    templates: Templates = BUILT_IN,
    hold: str | None = None,
) -> NewRun:
    """The run of a commit, with its jobs or with its problems. Raises NotInRepository."""
    jobs, problems, pipeline, origin = read_pipeline(history, sha, place, templates, repository_id, trust)
    return NewRun(
        repository_id=repository_id,
        sha=sha,
        ref=place.ref,
        trigger=place.trigger,
        trust=trust,
        asked_by=asked_by,
        created_at=created_at,
        jobs=jobs,
        problems=problems,
        ordinal=ordinal,
        cancel_superseded=None if pipeline is None else pipeline.cancel_superseded,
        hold=hold,
        origin=origin if pipeline is None else {**pipeline.origin, **origin},
    )


def read_pipeline(
    history: History, sha: str, place: Place, templates: Templates, repository_id: int, trust: Trust
) -> tuple[tuple[NewJob, ...], str | None, Pipeline | None, dict[str, str]]:
    """The jobs of the file at a commit, or what is wrong with it; the pipeline, if nothing is; and what the run is
    compared with."""
    origin = {} if place.base is None else {"base": place.base}
    try:
        text = history.read(sha, FILE_NAME)
        if text is None:
            return (), MISSING, None, origin
        pipeline = parse(text, FILE_NAME, templates)
    except (BadDocument, NotAFile) as error:
        return (), str(error), None, origin
    specs = pipeline.jobs.values()
    facts, since = facts_of(history, sha, place, specs)
    owner = Owner(repository_id, place.ref, trust)
    made = tuple(new_job(history, sha, spec, facts, owner) for spec in specs)
    return made, None, pipeline, origin | origin_of(specs, facts, since)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose jobs they are: what a concurrency group belongs to."""

    repository_id: int
    ref: str
    trust: Trust


def new_job(history: History, sha: str, spec: JobSpec, facts: Facts, owner: Owner) -> NewJob:
    """A job of a pipeline at a commit, as a row to be made."""
    skipped = left_out(spec, facts)
    group = spec.concurrency
    return NewJob(
        name=spec.name,
        needs=spec.needs,
        spec=spec.model_dump(mode="json"),
        pool=spec.pool,
        kind=JobKind.WORK if spec.approve is None else JobKind.APPROVAL,
        family=spec.family,
        family_limit=spec.family_at_once,
        priority=spec.priority,
        labels=spec.labels,
        runs_when=spec.when.result,
        skipped=skipped,
        inputs_hash=None if skipped is not None else inputs_hash(history, sha, spec),
        exclusion=None if group is None else exclusion_of(group, owner.repository_id, owner.ref, owner.trust),
        exclusion_limit=1 if group is None else group.limit,
        exclusion_cancels=group is not None and group.when_full == "cancel_older",
    )
