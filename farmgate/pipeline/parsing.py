"""From the text of a pipeline file to a Pipeline, or to every problem in it."""

from __future__ import annotations

from typing import Final

from farmgate.documents import Document, read, validate
from farmgate.errors import Problem
from farmgate.pipeline import graph
from farmgate.pipeline.file import JobFile, PipelineFile, StepFile
from farmgate.pipeline.models import JobSpec, Pipeline, StepSpec

FILE_NAME: Final = ".farmgate.yml"
JOB_LIMIT: Final = 500


def parse(text: str | bytes, source: str = FILE_NAME) -> Pipeline:
    """Read a pipeline file. Raises BadDocument with every problem at `source`:line:column."""
    document = read(text, source)
    document.refuse(_too_many(document))
    written = validate(document, PipelineFile)
    needs = {name: job.needs for name, job in written.jobs.items()}
    document.refuse(
        document.problem(("jobs", flaw.job, "needs", flaw.index), flaw.message, flaw.suggestion)
        for flaw in graph.flaws(needs)
    )
    return Pipeline(jobs={name: _job(name, job, written) for name, job in written.jobs.items()})


def order(pipeline: Pipeline) -> tuple[str, ...]:
    """The names of the jobs, each after what it needs."""
    return graph.order({name: job.needs for name, job in pipeline.jobs.items()})


def _too_many(document: Document) -> tuple[Problem, ...]:
    """Refused before anything else is looked at: a file of this size is answered at once."""
    jobs = document.data.get("jobs")
    if not isinstance(jobs, dict) or len(jobs) <= JOB_LIMIT:
        return ()
    first_beyond = list(jobs)[JOB_LIMIT]
    message = f"{len(jobs):,} jobs; a pipeline has at most {JOB_LIMIT}"
    return (document.problem(("jobs", first_beyond), message, key=True),)


def _job(name: str, job: JobFile, written: PipelineFile) -> JobSpec:
    return JobSpec(
        name=name,
        image=job.image if job.image is not None else written.image,
        needs=job.needs,
        steps=tuple(_step(step) for step in job.steps),
        timeout=job.timeout,
        environment={**written.environment, **job.environment},
        artifacts=job.artifacts,
        memory_bytes=job.memory,
        cpus=job.cpus,
        pool=job.pool,
    )


def _step(step: StepFile) -> StepSpec:
    first = next(line.strip() for line in step.run.splitlines() if line.strip())
    return StepSpec(name=step.name or (first if len(first) <= 80 else first[:79] + "…"), run=step.run)
