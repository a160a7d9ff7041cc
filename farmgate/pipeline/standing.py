"""Jobs as they stand in a file (or in a template that it uses), on the way to what is run.

Rules:
1. A job remembers the document that it stands in: its problems are told there, wherever the job ends up.
2. Cells and sizes are counted before anything is unfolded: a matrix of a million cells, or a job of a megabyte in two
   thousand cells, is answered at once.
3. A job is checked once for each of its cells; a problem that several cells share is told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from farmgate.documents import Document, Location
from farmgate.documents.validation import check
from farmgate.errors import BadDocument, Problem
from farmgate.pipeline import graph, matrix, specs
from farmgate.pipeline.contradictions import contradictions
from farmgate.pipeline.file import JobFile, Matrix
from farmgate.pipeline.matrix import CELL_LIMIT
from farmgate.pipeline.models import JobSpec
from farmgate.pipeline.parts import MatrixFile
from farmgate.pipeline.specs import Base
from farmgate.pipeline.substitution import Room, fill, placeholder_in
from farmgate.pipeline.values import Written

JOB_LIMIT: Final = 2000
"""Jobs of a run, with every matrix unfolded."""
TEXT_LIMIT: Final = 32 * 2**20
"""Characters of all jobs of a run together, with every matrix unfolded."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A job as it stands at `at` of `document`; `raw` has the placeholders of its matrix still in it."""

    name: str
    raw: Any
    document: Document
    at: Location
    used: str = ""  # of a template's job: where the template was used

    def problem(self, below: Location, message: str, suggestion: str | None = None, *, key: bool = False) -> Problem:
        return self.document.problem((*self.at, *below), message + self.used, suggestion, key=key)

    def told(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Problems of the document, with where the template was used."""
        for found in problems:
            yield Problem(found.source, found.line, found.column, found.message + self.used, found.suggestion)


def standing(document: Document) -> tuple[Standing, ...]:
    """The jobs of a document."""
    jobs = document.data.get("jobs")
    if not isinstance(jobs, dict):
        return ()
    return tuple(Standing(name, raw, document, ("jobs", name)) for name, raw in jobs.items())


def refuse(problems: Iterable[Problem]) -> None:
    """Raise BadDocument with the problems, by document and place, if there are any."""
    found = list(dict.fromkeys(problems))
    if found:
        sources = list(dict.fromkeys(problem.source for problem in found))
        found.sort(key=lambda problem: (sources.index(problem.source), problem.line, problem.column))
        raise BadDocument(tuple(found))


def too_many(document: Document, limit: int = JOB_LIMIT) -> tuple[Problem, ...]:
    """A file with more jobs than there can be is not looked at any further."""
    jobs = document.data.get("jobs")
    if not isinstance(jobs, dict) or len(jobs) <= limit:
        return ()
    message = f"{len(jobs):,} jobs; {_at_most(limit)}"
    return (document.problem(("jobs", list(jobs)[limit]), message, key=True),)


def _at_most(limit: int) -> str:
    if limit == JOB_LIMIT:
        return f"a pipeline has at most {JOB_LIMIT}"
    return f"a run has at most {JOB_LIMIT} in all, which leaves {limit} here"


# --- cells -----------------------------------------------------------------------------------------------------------


class _MatrixOnly(Written):
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class Checked:
    """A job with its cells, and as it reads with the first of them put in."""

    job: Standing
    cells: tuple[matrix.Cell, ...]
    first: JobFile


def _cells(job: Standing) -> tuple[tuple[matrix.Cell, ...], tuple[Problem, ...]]:
    """The cells of a job with a matrix; none: it has none."""
    if not isinstance(job.raw, dict) or job.raw.get("matrix") is None:
        return (), ()
    made, wrong = check(job.document, _MatrixOnly, {"matrix": job.raw["matrix"]}, job.at)
    if made is None:
        return (), tuple(job.told(wrong))
    problems = tuple(_wrong_matrix(job, made.matrix))
    if problems:
        return (), problems
    found = matrix.cells(made.matrix)
    if not found:
        return (), (job.problem(("matrix",), "no combination is left", "exclude less"),)
    return found, ()


def _wrong_matrix(job: Standing, written: MatrixFile) -> Iterator[Problem]:
    at: Location = ("matrix",)
    number = matrix.count(written)
    if number == 0:
        yield job.problem(at, "a matrix needs at least one axis, such as python: ['3.11', '3.12'], or 'include'")
    if number > CELL_LIMIT:
        message = f"{number:,} combinations; a matrix has at most {CELL_LIMIT:,}"
        yield job.problem(at, message, "leave values out, or name the wanted ones in 'include'")
    for index, entry in enumerate(written.exclude):
        for name in entry:
            if name not in written.axes:
                message = f"'exclude' names {name!r}, which is not an axis of this matrix"
                yield job.problem((*at, "exclude", index, name), message, key=True)


def _filled(
    job: Standing, cell: matrix.Cell, room: Room, like: JobFile | None = None
) -> tuple[JobFile | None, tuple[Problem, ...]]:
    """The job with the cell's values put in. `like`: as it reads with its first cell, which has the matrix: a matrix of
    a thousand values is not read a thousand times."""
    of = job.raw
    if like is not None:
        of = {key: value for key, value in job.raw.items() if key != "matrix"}
        if not placeholder_in(of):
            return like, ()
    problems: list[Problem] = []

    def complain(location: Location, message: str, suggestion: str | None) -> None:
        problems.append(job.problem(location, message, suggestion))

    raw = fill(of, {"matrix": cell} if cell else {}, complain, room=room)
    if problems:
        return None, tuple(problems)
    made, wrong = check(job.document, JobFile, raw, job.at)
    if made is None:
        return None, tuple(job.told(wrong))
    if like is not None:
        made = made.model_copy(update={"matrix": like.matrix})
    against = tuple(
        job.problem(below, f"jobs.{job.name}: {message}", hint, key=True)
        for below, message, hint in contradictions(made)
    )
    return (None, against) if against else (made, ())


# --- all together ----------------------------------------------------------------------------------------------------


def checked(jobs: Iterable[Standing]) -> tuple[tuple[Checked, ...], tuple[Problem, ...]]:
    """The jobs, each with the first of its cells put in; or all that is wrong with them."""
    found: list[Checked] = []
    problems: list[Problem] = []
    room = Room(TEXT_LIMIT)
    for job in jobs:
        cells, wrong = _cells(job)
        if not wrong:
            made, wrong = _filled(job, cells[0] if cells else {}, room)
            if made is not None:
                found.append(Checked(job, cells, made))
        problems += wrong
    return tuple(found), tuple(problems)


def unfolded(
    jobs: Iterable[Checked],
    base: Base,
    existing: Mapping[str, tuple[str, ...]],
    limit: int = JOB_LIMIT,
) -> Iterator[JobSpec]:
    """Every job, with every matrix unfolded. `existing`: the run's own jobs by family. Raises BadDocument."""
    of = {job.job.name: job for job in jobs}
    refuse(_too_many_cells(of.values(), limit))
    refuse(_graph(of, existing))
    refuse(_nothing_to_take(of))
    unfolded = {name: tuple(matrix.unfold(name, one.cells, one.first.parallel)) for name, one in of.items()}
    names = {**existing, **{family: tuple(job.name for job in jobs) for family, jobs in unfolded.items()}}
    room = Room(TEXT_LIMIT)
    made: list[JobSpec] = []
    problems: list[Problem] = []
    for family, parts in unfolded.items():
        one, last, written = of[family], None, None
        for part in parts:
            if part.cell is not last:  # the shards of a cell share it
                last = part.cell
                written, wrong = _filled(one.job, part.cell, room, one.first)
                problems += wrong
            if written is not None:
                made.append(specs.job_spec(family, part, written, base, names))
    refuse(problems)
    yield from made


def _too_many_cells(jobs: Iterable[Checked], limit: int) -> Iterator[Problem]:
    total = characters = 0
    for one in jobs:
        number = max(1, len(one.cells)) * (one.first.parallel or 1)
        total += number
        characters += number * _characters(one.job.raw)
        if total > limit:
            yield one.job.problem((), f"with matrices and shards these are more than {limit} jobs", key=True)
            return
        if characters > TEXT_LIMIT:
            message = f"the jobs become more than {TEXT_LIMIT >> 20} MiB of text with matrices, shards and aliases"
            yield one.job.problem((), message, "put long commands into a script of the repository", key=True)
            return


def _characters(raw: Any) -> int:
    match raw:
        case str():
            return len(raw) + 16
        case dict():
            return 16 + sum(len(key) + _characters(below) for key, below in raw.items())
        case list():
            return 16 + sum(_characters(below) for below in raw)
        case _:
            return 16


def _graph(jobs: Mapping[str, Checked], existing: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    needs: dict[str, list[str]] = {name: [] for name in existing}
    needs |= {name: [need.job for need in one.first.needs] for name, one in jobs.items()}
    for flaw in graph.flaws(needs):
        raw = jobs[flaw.job].job.raw["needs"]
        below = ("needs", flaw.index) if isinstance(raw, list) else ("needs",)
        yield jobs[flaw.job].job.problem(below, flaw.message, flaw.suggestion)


def _nothing_to_take(jobs: Mapping[str, Checked]) -> Iterator[Problem]:
    """A need that names artifacts of a job that keeps none."""
    for one in jobs.values():
        for at, need in enumerate(one.first.needs):
            needed = jobs.get(need.job)
            if isinstance(need.artifacts, tuple) and needed is not None and not needed.first.artifacts:
                message = f"job {need.job!r} keeps no artifacts that could be taken"
                below = ("needs", at) if isinstance(one.job.raw["needs"], list) else ("needs",)
                yield one.job.problem(below, message, f"add 'artifacts' to {need.job!r}")
