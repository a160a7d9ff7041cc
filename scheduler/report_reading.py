"""From rows to answers about tests, coverage, findings and components: one reading for the API and the pages.

Rules:
1. A job is told by the newest of its attempts that reported; a job whose result was used again by the original's.
2. What is compared is compared with the newest earlier report of the same job's variant on the same ref, of another
   commit; on a ref without one, with the default branch's.
3. Lists are bounded, and say what they leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from farmgate.errors import NotFound
from farmgate.models import Job, KnownTest, NotedResult, Quarantine, Report, ReportKind, Repository, Run
from farmgate.refs import HEADS
from farmgate.reports.history import BAD, Point, Red
from farmgate.reports.names import called
from farmgate.reports.packing import unpack_results, unpack_rows
from farmgate.store import attempts, courses, jobs, quarantines, reports, repositories, runs
from scheduler.report_bodies import (
    ComponentsBody,
    CoverageBody,
    CoveredBody,
    FailureBody,
    FileBody,
    FindingBody,
    FindingsBody,
    FlakeBody,
    FlakyBody,
    PointBody,
    QuarantineBody,
    RedBody,
    RedTestBody,
    RepositoryTests,
    RunReports,
    SlowBody,
    TestBody,
    TestsBody,
    VariantBody,
)

SHOWN_FAILURES: Final = 50
SHOWN_NEW: Final = 50
SHOWN_FILES: Final = 20
SHOWN_POINTS: Final = 60
SHOWN_VARIANTS: Final = 40
FLAKY_FOR: Final = timedelta(days=30)


# --- a run -------------------------------------------------------------------------------------------------------


def of_run(connection: Connection, run_id: int, now: datetime) -> RunReports | None:
    """All that its jobs reported; None: nothing. Raises NotFound."""
    run = runs.by_id(connection, run_id)
    rows = jobs.of_run(connection, run_id)
    told = {job.reused_from or job.id: job for job in rows}
    newest: dict[tuple[int, ReportKind], Report] = {}
    for report in reports.of_jobs(connection, list(told)):
        newest[report.job_id, report.kind] = report
    if not newest:
        return None
    of = repositories.by_id(connection, run.repository_id)
    in_order = [newest[key] for id_ in told for key in ((id_, kind) for kind in ReportKind) if key in newest]
    files = _files(connection, in_order)
    numbers = {one.id: one.number for one in attempts.of_jobs(connection, list(told))}
    by_kind = {kind: [report for report in in_order if report.kind is kind] for kind in ReportKind}
    tests = by_kind[ReportKind.TESTS]
    sums: dict[str, float] = {}
    for report in tests:
        for name, value in report.figures.items():
            sums[name] = sums.get(name, 0) + value
    rows_of = reports.noted(connection, [report.id for report in tests])
    rows_of.sort(key=lambda row: row.outcome not in BAD)  # what passed in the end comes last
    return RunReports(
        run=run.id,
        repository=of.name,
        sums=sums,
        tests=[
            TestsBody(
                job=told[report.job_id].name,
                attempt=numbers.get(report.attempt_id, 1),
                complete=report.complete,
                figures=report.figures,
                files=files[report.id],
            )
            for report in tests
        ],
        failures=_failures(connection, of, run, tests, told, rows_of[:SHOWN_FAILURES], now),
        more=max(0, len(rows_of) - SHOWN_FAILURES),
        coverage=[_coverage(connection, of, one, told, files) for one in by_kind[ReportKind.COVERAGE]],
        findings=[_findings(connection, of, one, told, files) for one in by_kind[ReportKind.FINDINGS]],
        components=[
            ComponentsBody(
                job=told[report.job_id].name,
                complete=report.complete,
                figures=report.figures,
                files=files[report.id],
            )
            for report in by_kind[ReportKind.COMPONENTS]
        ],
    )


def _files(connection: Connection, found: Sequence[Report]) -> dict[int, list[FileBody]]:
    told: dict[int, list[FileBody]] = {report.id: [] for report in found}
    for file in reports.files_of(connection, list(told)):
        told[file.report_id].append(
            FileBody(
                path=file.path,
                size_bytes=file.size_bytes,
                problem=file.problem,
                url=f"/api/reports/{file.report_id}/files/{file.number}" if file.sha256 else None,
            )
        )
    return told


def _failures(
    connection: Connection,
    of: Repository,
    run: Run,
    tests: Sequence[Report],
    told: dict[int, Job],
    rows: Sequence[NotedResult],
    now: datetime,
) -> list[FailureBody]:
    by_id = {report.id: report for report in tests}
    known = reports.known_tests(connection, [row.test_id for row in rows])
    flaky = courses.flaky_tests(connection, list(known))
    standing = quarantines.standing(connection, of.id)
    looks: dict[str, courses.Course] = {}
    reds: dict[int, Red | None] = {}
    for row in rows:
        if row.outcome in BAD:
            variant = by_id[row.report_id].variant
            if variant not in looks:
                looks[variant] = courses.Course(connection, of.id, variant, run.ref)
            reds[row.test_id] = looks[variant].red(row.test_id, run.sha)
    bodies = _red_bodies(connection, of.id, reds)
    return [
        _failure(
            row,
            known[row.test_id],
            told[by_id[row.report_id].job_id].name,
            bodies.get(row.test_id),
            row.test_id in flaky,
            _quarantine(standing.get(called(known[row.test_id].class_name, known[row.test_id].name)), now),
        )
        for row in rows
    ]


def _failure(
    row: NotedResult, test: KnownTest, job: str, red: RedBody | None, flaky: bool, quarantine: QuarantineBody | None
) -> FailureBody:
    return FailureBody(
        test=called(test.class_name, test.name),
        job=job,
        variant=test.variant,
        suite=test.suite,
        file=test.file,
        outcome=row.outcome,
        failed_tries=row.failed_tries,
        seconds=row.seconds,
        message=row.message,
        text=row.text,
        red=red,
        flaky=flaky,
        quarantine=quarantine,
    )


def _red_bodies(connection: Connection, repository_id: int, reds: dict[int, Red | None]) -> dict[int, RedBody]:
    found = {test: red for test, red in reds.items() if red is not None}
    commits = repositories.commits_of(connection, repository_id, sorted({red.since.sha for red in found.values()}))
    told = {}
    for test, red in found.items():
        commit = commits.get(red.since.sha)
        told[test] = RedBody(
            sha=red.since.sha,
            run=red.since.run_id,
            title=commit.title if commit else "",
            author=commit.author_name if commit else "",
            commits=red.commits,
            untested=red.untested,
            known=red.green is not None,
        )
    return told


def _quarantine(row: Quarantine | None, now: datetime) -> QuarantineBody | None:
    if row is None:
        return None
    return QuarantineBody(
        test=row.name,
        owner=row.owner,
        reason=row.reason,
        until=row.until,
        ended=row.until <= now,
        created_by=row.created_by,
        created_at=row.created_at,
    )


# --- compared with the report before -----------------------------------------------------------------------------


def _before(connection: Connection, of: Repository, report: Report) -> Report | None:
    """Rule 2."""
    for ref in dict.fromkeys((report.ref, default_ref(of))):
        earlier = reports.latest(connection, of.id, report.kind, report.variant, ref=ref, limit=50)
        found = next((one for one in earlier if one.id < report.id and one.sha != report.sha), None)
        if found is not None:
            return found
    return None


def _rows(connection: Connection, report: Report | None) -> list[list[object]]:
    if report is None:
        return []
    return [row for page in reports.pages_of(connection, [report.id])[report.id] for row in unpack_rows(page)]


def _coverage(
    connection: Connection, of: Repository, report: Report, told: dict[int, Job], files: dict[int, list[FileBody]]
) -> CoverageBody:
    before = _before(connection, of, report)
    was = {str(row[0]): (_int(row[1]), _int(row[2])) for row in _rows(connection, before)}
    changed = []
    for row in _rows(connection, report):
        path, covered, lines = str(row[0]), _int(row[1]), _int(row[2])
        if before is not None and was.get(path) != (covered, lines):
            changed.append(CoveredBody(path=path, covered=covered, lines=lines, before=was.get(path)))
    changed.sort(key=lambda one: (_share(one.covered, one.lines) - _share(*(one.before or (0, 0))), one.path))
    return CoverageBody(
        job=told[report.job_id].name,
        complete=report.complete,
        figures=report.figures,
        before=before.figures if before else None,
        before_run=before.run_id if before else None,
        changed=changed[:SHOWN_FILES],
        files=files[report.id],
    )


def _share(covered: int, lines: int) -> float:
    return covered / lines if lines else 1.0


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _findings(
    connection: Connection, of: Repository, report: Report, told: dict[int, Job], files: dict[int, list[FileBody]]
) -> FindingsBody:
    before = _before(connection, of, report)
    was = {str(row[5]) for row in _rows(connection, before)}
    rows = _rows(connection, report)
    new = [row for row in rows if str(row[5]) not in was]
    new.sort(key=lambda row: ("error", "warning", "note", "none").index(str(row[1])))
    return FindingsBody(
        job=told[report.job_id].name,
        complete=report.complete,
        figures=report.figures,
        before_run=before.run_id if before else None,
        new_count=len(new),
        gone=len(was - {str(row[5]) for row in rows}),
        new=[
            FindingBody(rule=str(row[0]), level=str(row[1]), path=str(row[2]), line=_int(row[3]), message=str(row[4]))
            for row in new[:SHOWN_NEW]
        ],
        files=files[report.id],
    )


# --- a test, and a repository's tests ----------------------------------------------------------------------------


def of_test(connection: Connection, of: Repository, name: str, ref: str, now: datetime) -> TestBody:
    """A test's history on a ref, in every variant. Raises NotFound."""
    known = courses.tests_named(connection, of.id, name)
    if not known:
        raise NotFound(f"no test of {of.name} is called {name[:200]!r}: write its class and name, as a run shows them")
    standing = quarantines.standing(connection, of.id)
    full = called(known[0].class_name, known[0].name)
    looks: dict[str, courses.Course] = {}
    variants = []
    for test in known[:SHOWN_VARIANTS]:
        course = looks.setdefault(test.variant, courses.Course(connection, of.id, test.variant, ref))
        points = [point for point, _ in zip(course.points(test.id), range(SHOWN_POINTS), strict=False)]
        red = course.red(test.id, points[0].sha) if points else None
        last = next((point for point in points if point.is_bad or point.flaky), None)
        rows = reports.noted(connection, [last.report_id]) if last else []
        row = next((one for one in rows if one.test_id == test.id), None)
        reds = _red_bodies(connection, of.id, {test.id: red})
        variants.append(
            VariantBody(
                variant=test.variant,
                suite=test.suite,
                file=test.file,
                points=[_point(point) for point in points],
                red=reds.get(test.id),
                flakes=_flakes(connection, test.id),
                failure=_failure(row, test, test.variant, reds.get(test.id), False, None) if row else None,
            )
        )
    return TestBody(
        repository=of.name, test=full, ref=ref, variants=variants, quarantine=_quarantine(standing.get(full), now)
    )


def _point(point: Point) -> PointBody:
    return PointBody(sha=point.sha, run=point.run_id, outcome=point.outcome, seconds=point.seconds, flaky=point.flaky)


def _flakes(connection: Connection, test_id: int) -> list[FlakeBody]:
    found = courses.flakes_of(connection, test_id, 20)
    at = {id_: reports.by_id(connection, id_) for one in found for id_ in (one.failed_report_id, one.passed_report_id)}
    return [
        FlakeBody(
            tree=one.tree,
            seen_at=one.seen_at,
            failed_run=at[one.failed_report_id].run_id,
            passed_run=at[one.passed_report_id].run_id,
        )
        for one in found
    ]


def default_ref(of: Repository) -> str:
    """The default branch as a whole ref."""
    return of.default_branch if of.default_branch.startswith("refs/") else HEADS + of.default_branch


def of_repository(connection: Connection, of: Repository, ref: str, now: datetime) -> RepositoryTests:
    """What is worth knowing of a repository's tests."""
    red: list[RedTestBody] = []
    slow: list[tuple[float, int]] = []
    for variant in reports.variants(connection, of.id, ReportKind.TESTS)[:SHOWN_VARIANTS]:
        found = reports.latest(connection, of.id, ReportKind.TESTS, variant, ref=ref, limit=200)
        newest = [report for report in found if report.run_id == found[0].run_id]
        pages = reports.pages_of(connection, [report.id for report in newest])
        for report in newest:
            for page in pages[report.id]:
                slow += [(seconds, test) for test, _, seconds in unpack_results(page).rows()]
        slow = sorted(slow, reverse=True)[:SHOWN_FILES]
        bad = [row for row in reports.noted(connection, [report.id for report in newest]) if row.outcome in BAD]
        known = reports.known_tests(connection, [row.test_id for row in bad[:SHOWN_FAILURES]])
        if known:
            course = courses.Course(connection, of.id, variant, ref)
            reds = _red_bodies(connection, of.id, {test: course.red(test, newest[0].sha) for test in known})
            red += [
                RedTestBody(
                    test=called(known[row.test_id].class_name, known[row.test_id].name),
                    variant=variant,
                    message=row.message,
                    red=reds[row.test_id],
                )
                for row in bad[:SHOWN_FAILURES]
                if row.test_id in reds
            ]
    red.sort(key=lambda one: (one.red.commits, one.test))
    slowest = reports.known_tests(connection, [test for _, test in slow])
    standing = quarantines.standing(connection, of.id)
    return RepositoryTests(
        repository=of.name,
        ref=ref,
        red=red[: 2 * SHOWN_FAILURES],
        flaky=_flaky(connection, of.id, now),
        slowest=[
            SlowBody(
                test=called(slowest[test].class_name, slowest[test].name),
                variant=slowest[test].variant,
                seconds=seconds,
            )
            for seconds, test in slow
            if seconds > 0
        ],
        quarantined=[body for one in standing.values() if (body := _quarantine(one, now)) is not None],
    )


def _flaky(connection: Connection, repository_id: int, now: datetime) -> list[FlakyBody]:
    """Ranked by rate."""
    found = courses.flakiest(connection, repository_id, now - FLAKY_FOR)
    known = reports.known_tests(connection, [row.test_id for row in found])
    often = courses.runs_since(connection, repository_id, now - FLAKY_FOR)
    told = []
    for row in found:
        test = known[row.test_id]
        evidence = _flakes(connection, test.id)[0]
        told.append(
            FlakyBody(
                test=called(test.class_name, test.name),
                variant=test.variant,
                times=row.often,
                rate=row.often / max(1, often.get(test.variant, 1)),
                last_seen=row.last,
                failed_run=evidence.failed_run,
                passed_run=evidence.passed_run,
            )
        )
    return sorted(told, key=lambda one: (-one.rate, one.test))
