"""From the text of a pipeline file to a Pipeline, or to every problem in it.

Rules:
1. What is too large is refused before anything else is looked at: a file of any size is answered at once.
2. A job with a matrix is checked once for each of its cells; problems of several cells at one place are told once.
3. What only makes sense in a file that is otherwise right (needs, circles) is told after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from farmgate.documents import Document, Location, read
from farmgate.documents.validation import check
from farmgate.errors import Problem
from farmgate.pipeline import graph, matrix, specs, substitution
from farmgate.pipeline.file import JobFile, Matrix, PipelineFile
from farmgate.pipeline.matrix import CELL_LIMIT, Unfolded
from farmgate.pipeline.models import JobSpec, Pipeline
from farmgate.pipeline.parts import MatrixFile
from farmgate.pipeline.values import Written

FILE_NAME: Final = ".farmgate.yml"
JOB_LIMIT: Final = 2000
"""Jobs of a run, with every matrix unfolded."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A job of the file, as it stands there: `raw` has its placeholders still in it."""

    name: str
    raw: Mapping[str, Any]
    cells: tuple[matrix.Cell, ...]
    at_once: int | None


class _MatrixOnly(Written):
    matrix: Matrix


def parse(text: str | bytes, source: str = FILE_NAME) -> Pipeline:
    """Read a pipeline file. Raises BadDocument with every problem at `source`:line:column."""
    document = read(text, source)
    document.refuse(_too_many(document))
    cells = _cells(document)
    written = _validate(document, cells)
    unfolded = {
        name: tuple(matrix.unfold(name, cells.get(name, ()), job.parallel)) for name, job in written.jobs.items()
    }
    document.refuse(_too_many_cells(document, unfolded))
    document.refuse(_graph(document, written))
    return Pipeline(jobs=dict(_jobs(document, written, unfolded)), cancel_superseded=written.cancel_superseded)


def order(pipeline: Pipeline) -> tuple[str, ...]:
    """The names of the jobs, each after what it needs."""
    return graph.order({name: job.needs for name, job in pipeline.jobs.items()})


def _too_many(document: Document) -> tuple[Problem, ...]:
    jobs = document.data.get("jobs")
    if not isinstance(jobs, dict) or len(jobs) <= JOB_LIMIT:
        return ()
    first_beyond = list(jobs)[JOB_LIMIT]
    message = f"{len(jobs):,} jobs; a pipeline has at most {JOB_LIMIT}"
    return (document.problem(("jobs", first_beyond), message, key=True),)


def _too_many_cells(document: Document, unfolded: Mapping[str, tuple[Unfolded, ...]]) -> Iterator[Problem]:
    total = 0
    for name, jobs in unfolded.items():
        total += len(jobs)
        if total > JOB_LIMIT:
            message = f"with matrices and shards these are more than {JOB_LIMIT} jobs"
            yield document.problem(("jobs", name), message, key=True)
            return


# --- cells -----------------------------------------------------------------------------------------------------------


def _raw_jobs(document: Document) -> Mapping[str, Any]:
    jobs = document.data.get("jobs")
    return jobs if isinstance(jobs, dict) else {}


def _cells(document: Document) -> dict[str, tuple[matrix.Cell, ...]]:
    """Of every job with a matrix."""
    found: dict[str, tuple[matrix.Cell, ...]] = {}
    problems: list[Problem] = []
    for name, job in _raw_jobs(document).items():
        if not isinstance(job, dict) or job.get("matrix") is None:
            continue
        at = ("jobs", name)
        made, wrong = check(document, _MatrixOnly, {"matrix": job["matrix"]}, at)
        problems += wrong
        if made is None:
            continue
        problems += _wrong_matrix(document, (*at, "matrix"), made.matrix)
        if not problems:
            found[name] = matrix.cells(made.matrix)
            if not found[name]:
                problems.append(document.problem((*at, "matrix"), "no combination is left", "exclude less"))
    document.refuse(problems)
    return found


def _wrong_matrix(document: Document, at: Location, written: MatrixFile) -> Iterator[Problem]:
    number = matrix.count(written)
    if number == 0:
        yield document.problem(at, "a matrix needs at least one axis, such as python: ['3.11', '3.12'], or 'include'")
    if number > CELL_LIMIT:
        message = f"{number:,} combinations; a matrix has at most {CELL_LIMIT:,}"
        yield document.problem(at, message, "leave values out, or name the wanted ones in 'include'")
    for index, entry in enumerate(written.exclude):
        for name in entry:
            if name not in written.axes:
                place = (*at, "exclude", index, name)
                yield document.problem(
                    place, f"'exclude' names {name!r}, which is not an axis of this matrix", key=True
                )


def _validate(document: Document, cells: Mapping[str, tuple[matrix.Cell, ...]]) -> PipelineFile:
    """The file with the first cell of each matrix put in; every cell is checked (rule 2)."""
    problems: list[Problem] = []

    def complain(location: Location, message: str, suggestion: str | None) -> None:
        problems.append(document.problem(location, message, suggestion))

    first: dict[str, Any] = {}
    for name, job in _raw_jobs(document).items():
        of = cells.get(name)
        values: substitution.Values = {"matrix": of[0]} if of else {}
        first[name] = substitution.fill(job, values, complain, ("jobs", name))
    rest = {
        key: value if key == "jobs" else substitution.fill(value, {}, complain, (key,))
        for key, value in document.data.items()
    }
    document.refuse(problems)
    data = {**rest, "jobs": first} if "jobs" in document.data else rest
    written, wrong = check(document, PipelineFile, data)
    document.refuse(wrong)
    if written is None:
        raise AssertionError("a failed validation has problems")
    return written


def _filled(document: Document, name: str, cell: matrix.Cell) -> JobFile:
    """The job of the file with the cell's values put in. Raises BadDocument."""
    at: Location = ("jobs", name)
    raw = substitution.fill(_raw_jobs(document)[name], {"matrix": cell}, lambda *_: None, at)
    made, wrong = check(document, JobFile, raw, at)
    document.refuse(wrong)
    if made is None:
        raise AssertionError("a failed validation has problems")
    return made


# --- the graph -------------------------------------------------------------------------------------------------------


def _graph(document: Document, written: PipelineFile) -> Iterator[Problem]:
    needs = {name: [need.job for need in job.needs] for name, job in written.jobs.items()}
    for flaw in graph.flaws(needs):
        yield document.problem(("jobs", flaw.job, "needs", flaw.index), flaw.message, flaw.suggestion)


def _jobs(
    document: Document, written: PipelineFile, unfolded: Mapping[str, tuple[Unfolded, ...]]
) -> Iterator[tuple[str, JobSpec]]:
    names = {family: tuple(job.name for job in jobs) for family, jobs in unfolded.items()}
    for family, jobs in unfolded.items():
        filled = partial(_filled, document, family)
        for at, job in enumerate(jobs):
            same = written.jobs[family] if not job.cell or at == 0 else filled(job.cell)
            yield job.name, specs.job_spec(family, job, same, written, names)
