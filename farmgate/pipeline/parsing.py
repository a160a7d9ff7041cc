"""From the text of a pipeline file to a Pipeline, or to every problem in it.

Rules:
1. What is too large is refused before anything else is looked at: a file of any size is answered at once.
2. What only makes sense in a file that is otherwise right (needs, circles) is told after that.
3. A file may use a template: its jobs come first, the file's own after them.
4. A job may write further jobs for its run. They are checked as a file's are; they may need the run's jobs and each
   other, and have new names. They may emit in turn, and what these emit may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from farmgate.documents import Document, Location, read
from farmgate.documents.validation import check
from farmgate.errors import Problem
from farmgate.pipeline import graph
from farmgate.pipeline.builtin import BUILT_IN
from farmgate.pipeline.file import EmittedFile, FileHead
from farmgate.pipeline.models import JobSpec, Pipeline
from farmgate.pipeline.specs import Base
from farmgate.pipeline.standing import Standing, checked, refuse, standing, too_many, unfolded
from farmgate.pipeline.substitution import Room, fill
from farmgate.pipeline.templates import Brought, Templates, Using, bring
from farmgate.pipeline.use import UseFile
from farmgate.pipeline.values import Written

FILE_NAME: Final = ".farmgate.yml"
H = TypeVar("H", bound=Written)
EMITTED_LEVELS: Final = 2
"""Jobs of the file may emit jobs, which may emit jobs, which may not."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was read, with the jobs of its template. `origin`: what a run records of the templates."""

    document: Document
    head: FileHead
    jobs: tuple[Standing, ...]
    origin: Mapping[str, Any]


def parse(text: str | bytes, source: str = FILE_NAME, templates: Templates = BUILT_IN) -> Pipeline:
    """Read a pipeline file. Raises BadDocument with every problem at `source`:line:column."""
    opened = open_file(text, source, templates)
    jobs, wrong = checked(opened.jobs)
    refuse(wrong)
    made = unfolded(jobs, Base(opened.head.image, opened.head.environment), {})
    return Pipeline(
        jobs={job.name: job for job in made},
        cancel_superseded=opened.head.cancel_superseded,
        origin=opened.origin,
    )


def open_file(text: str | bytes, source: str = FILE_NAME, templates: Templates = BUILT_IN) -> Opened:
    """The file with its template's jobs before its own. Raises BadDocument."""
    document = read(text, source)
    refuse(too_many(document))
    own = standing(document)
    head, wrong = _read_head(document, FileHead)
    if head is None:
        _, more = checked(own)
        refuse((*wrong, *more))
        raise AssertionError("a failed validation has problems")
    if head.use is None:
        refuse(wrong)
        return Opened(document, head, own, {})
    brought = bring(Using(head.use, head.parameters, head.tier, document), templates, head.environment)
    problems = [*wrong, *brought.problems, *_same_names(own, brought, str(head.use))]
    if problems:
        problems += checked(own)[1]
    refuse(problems)
    return Opened(document, head, (*brought.jobs.values(), *own), {"templates": brought.origins})


def used_by(text: str | bytes) -> UseFile | None:
    """What a file uses, without looking any further. Raises BadDocument."""
    head, _ = _read_head(read(text, FILE_NAME), FileHead)
    return None if head is None else head.use


def _same_names(own: Sequence[Standing], brought: Brought, template: str) -> Iterator[Problem]:
    for job in own:
        if job.name in brought.jobs:
            hint = "take another name, or write the template's jobs into this file: farmgate pipeline eject"
            yield job.problem((), f"template {template!r} has a job {job.name!r} already", hint, key=True)


def parse_emitted(
    text: str | bytes, source: str, *, existing_names: Mapping[str, Sequence[str]], room: int, level: int = 1
) -> tuple[JobSpec, ...]:
    """The jobs that a job wrote. Raises BadDocument with every problem at `source`:line:column.

    `existing_names`: the run's jobs by family (a job without matrix and shards is its own family). `room`: how many
    jobs the run may still get. `level`: 1 for what a job of the pipeline file emits, 2 for what such a job emits.
    """
    document = read(text, source)
    refuse(too_many(document, max(room, 0)))
    head, wrong = _read_head(document, EmittedFile)
    own = standing(document)
    jobs, more = checked(own)
    refuse((*wrong, *more, *_taken(own, existing_names), *_too_deep(own, level)))
    if head is None:
        raise AssertionError("a failed validation has problems")
    existing = {family: tuple(names) for family, names in existing_names.items()}
    return tuple(unfolded(jobs, Base(head.image, head.environment), existing, max(room, 0)))


def order(pipeline: Pipeline) -> tuple[str, ...]:
    """The names of the jobs, each after what it needs."""
    return graph.order({name: job.needs for name, job in pipeline.jobs.items()})


def _read_head(document: Document, model: type[H]) -> tuple[H | None, tuple[Problem, ...]]:
    """All of the document but its jobs."""
    problems: list[Problem] = []

    def complain(location: Location, message: str, suggestion: str | None) -> None:
        problems.append(document.problem(location, message, suggestion))

    data = {
        key: value if key == "jobs" else fill(value, {}, complain, (key,), room=Room())
        for key, value in document.data.items()
    }
    made, wrong = check(document, model, data)
    return made, (*problems, *wrong)


def _taken(jobs: Sequence[Standing], existing: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    taken = {*existing, *(name for names in existing.values() for name in names)}
    for job in jobs:
        if job.name in taken:
            yield job.problem((), f"this run has a job {job.name!r} already", "take another name", key=True)


def _too_deep(jobs: Sequence[Standing], level: int) -> Iterator[Problem]:
    for job in jobs:
        if level >= EMITTED_LEVELS and isinstance(job.raw, dict) and job.raw.get("emits") is not None:
            message = f"jobs that an emitted job emitted cannot emit further ones (at most {EMITTED_LEVELS} levels)"
            yield job.problem(("emits",), message, key=True)
