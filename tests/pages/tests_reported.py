"""Test reports as a farm of the pages' tests has them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from farmgate import states
from farmgate.messages import CaseRow, CoveredFile, FindingRow, ReportEnd, ReportFile
from farmgate.models import ReportKind
from farmgate.reports.packing import pack_rows
from farmgate.store import attempts, courses, jobs, reports, repositories, runs
from tests.pages.farm import Farm, sha
from tests.scheduler.reported import row


def built(farm: Farm, position: int, seconds: float = 0.25, problem: str | None = None, **endings: str) -> int:
    """A run whose job `test` told of these tests; see `reported.row`."""
    bad = any(ending in "fe" for ending in endings.values())
    run = farm.run(position, states.Run.FAILED if bad else states.Run.PASSED, finished_at=farm.now)
    job = farm.job(run, "test", states.Job.FAILED if bad else states.Job.PASSED)
    attempt = farm.attempt(job, states.Attempt.FAILED if bad else states.Attempt.PASSED)
    rows = [
        CaseRow(**{**row(name, ending, n), "seconds": seconds * n})
        for n, (name, ending) in enumerate(endings.items(), 1)
    ]
    figures = {"passed": 0.0, "failed": 0.0, "errors": 0.0, "skipped": 0.0, "flaky": 0.0, "seconds": 1.5}
    for one in rows:
        figures["errors" if one.outcome == "error" else one.outcome] += 1
        figures["flaky"] += bool(one.failed_tries)
    report(farm, attempt, ReportKind.TESTS, rows, figures, problem)
    return run


def report(
    farm: Farm, attempt: int, kind: ReportKind, rows: list[Any], figures: dict[str, float], problem: str | None = None
) -> None:
    with farm.context.store.writing() as connection:
        found = next(a for a in attempts.of_jobs(connection, range(1, 500)) if a.id == attempt)
        job = jobs.by_id(connection, found.job_id)
        run = runs.by_id(connection, job.run_id)
        commit = repositories.commit(connection, run.repository_id, run.sha)
        assert commit is not None
        made = reports.begin(connection, found, job, run, commit.tree, kind)
        if kind is ReportKind.TESTS:
            reports.put_cases(connection, made, 0, rows, farm.now)
        else:
            reports.put_page(connection, made.id, 0, pack_rows([list(dict(one).values()) for one in rows]))
        file = ReportFile(path="out/r.xml", size_bytes=812, problem=problem, modified_at=farm.now)
        end = ReportEnd(kind=str(kind), pages=1, complete=problem is None, files=(file,), figures=figures)
        reports.end(connection, made, end)
        for sealed in reports.seal(connection, attempt, farm.now, counts=True):
            if sealed.kind is ReportKind.TESTS:
                courses.note_flakes(connection, sealed, farm.now)


def a_history(farm: Farm) -> int:
    """Six commits; `test_total` red since the fourth, `test_net` flaky. The newest run's id."""
    for position, title in enumerate(("Start", "Cart", "Prices", "Round <b>totals</b>", "Docs", "Faster"), 1):
        farm.commit(position, title, seconds_ago=600 - 60 * position)
    for position in (1, 2, 3):
        built(farm, position, test_total="p", test_net="p", test_slow="p")
    built(farm, 4, 0.4, test_total="f", test_net="f", test_slow="p")
    farm_again(farm, 4)
    built(farm, 5, 0.5, test_total="f", test_net="p", test_slow="s")
    return built(
        farm, 6, 0.9, test_net="ok after 1", test_total="f", test_slow="p", problem="line 9, column 1: unclosed token"
    )


def farm_again(farm: Farm, position: int) -> None:
    """The same commit once more: only `test_total` fails."""
    run = farm.run(position, states.Run.FAILED, ordinal=2, finished_at=farm.now)
    job = farm.job(run, "test", states.Job.FAILED)
    attempt = farm.attempt(job, states.Attempt.FAILED)
    rows = [CaseRow(**row("test_total", "f")), CaseRow(**row("test_net", "p", 2)), CaseRow(**row("test_slow", "p", 3))]
    report(farm, attempt, ReportKind.TESTS, rows, {"passed": 2, "failed": 1})


def more_reports(farm: Farm, run: int, gain: int = 0, *prints: str) -> None:
    """Coverage and findings of a run's job."""
    with farm.context.store.reading() as connection:
        (job,) = jobs.of_run(connection, run)
        (attempt,) = attempts.of_jobs(connection, [job.id])
    covered = [CoveredFile(path="src/cart.py", covered=80 + gain, lines=100, branches_covered=3, branches=8)]
    sums = {"covered": 80.0 + gain, "lines": 100.0, "branches_covered": 3.0, "branches": 8.0, "files": 1.0}
    report(farm, attempt.id, ReportKind.COVERAGE, covered, sums)
    found = [
        FindingRow(rule="S608", level="error", path="src/db.py", line=7, message=f"<i>SQL</i> {one}", print=one)
        for one in prints
    ]
    report(farm, attempt.id, ReportKind.FINDINGS, found, {"all": float(len(found)), "error": float(len(found))})


LATER = timedelta(days=3)
NEWEST = sha(6)
