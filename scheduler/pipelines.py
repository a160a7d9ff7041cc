"""A commit's pipeline file, as a run to be made. A file that cannot be used is a run in error, never a silence."""

from __future__ import annotations

from datetime import datetime

from farmgate.errors import BadDocument, NotAFile
from farmgate.git import History
from farmgate.models import JobKind, Trigger, Trust
from farmgate.pipeline import FILE_NAME, JobSpec, Pipeline, parse
from farmgate.pipeline.builtin import BUILT_IN
from farmgate.pipeline.templates import Templates
from farmgate.store.runs import NewJob, NewRun
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
    ref: str,
    trigger: Trigger,
    trust: Trust,
    asked_by: str,
    created_at: datetime,
    ordinal: int = 1,
    templates: Templates = BUILT_IN,
) -> NewRun:
    """The run of a commit, with its jobs or with its problems. Raises NotInRepository."""
    pipeline, problems = read_pipeline(history, sha, templates)
    specs = () if pipeline is None else tuple(pipeline.jobs.values())
    return NewRun(
        repository_id=repository_id,
        sha=sha,
        ref=ref,
        trigger=trigger,
        trust=trust,
        asked_by=asked_by,
        created_at=created_at,
        jobs=tuple(
            new_job(
                spec,
                repository_id=repository_id,
                ref=ref,
                trust=trust,
                inputs_hash=inputs_hash(history, sha, spec),
            )
            for spec in specs
        ),
        problems=problems,
        ordinal=ordinal,
        cancel_superseded=None if pipeline is None else pipeline.cancel_superseded,
        origin={} if pipeline is None else pipeline.origin,
    )


def read_pipeline(history: History, sha: str, templates: Templates) -> tuple[Pipeline | None, str | None]:
    """The pipeline of the file at a commit, or what is wrong with it."""
    try:
        text = history.read(sha, FILE_NAME)
        if text is None:
            return None, MISSING
        return parse(text, FILE_NAME, templates), None
    except (BadDocument, NotAFile) as error:
        return None, str(error)


def new_job(spec: JobSpec, *, repository_id: int, ref: str, trust: Trust, inputs_hash: str | None = None) -> NewJob:
    """A job of a pipeline, as a row to be made."""
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
        inputs_hash=inputs_hash,
        exclusion=None if group is None else exclusion_of(group, repository_id, ref, trust),
        exclusion_limit=1 if group is None else group.limit,
        exclusion_cancels=group is not None and group.when_full == "cancel_older",
    )
