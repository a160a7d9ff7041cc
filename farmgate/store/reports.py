"""What attempts report: tests, coverage, findings, components; kept by pages, and by row where a test did not pass.

Rules:
1. Whatever is written belongs to an attempt that the caller has fenced; a page or an end that comes twice is the same.
2. A report is sealed with its attempt's end. It counts unless the attempt was lost or cancelled.
3. A test is a row once, whoever saw it first; that it was seen is noted once a day (`scheduler.forgetting_names`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from farmgate.errors import NotFound
from farmgate.messages import CaseRow, ReportEnd
from farmgate.models import Attempt, Job, KnownTest, NotedResult, Report, ReportFile, ReportKind, Run
from farmgate.reports.names import key_of, variant_of
from farmgate.reports.packing import pack_results
from farmgate.store.database import insert_if_absent, many, one
from farmgate.store.schema import report_files, report_pages, reports, test_results, tests

AT_ONCE = 500
SEEN_EVERY = timedelta(days=1)


def of_attempt(connection: Connection, attempt_id: int) -> list[Report]:
    """By kind."""
    return many(connection, Report, select(reports).where(reports.c.attempt_id == attempt_id).order_by(reports.c.kind))


def of_run(connection: Connection, run_id: int) -> list[Report]:
    """Of all attempts of a run, oldest first."""
    return many(connection, Report, select(reports).where(reports.c.run_id == run_id).order_by(reports.c.id))


def of_jobs(connection: Connection, job_ids: Sequence[int]) -> list[Report]:
    """Of all attempts of jobs, oldest first."""
    return many(connection, Report, select(reports).where(reports.c.job_id.in_(list(job_ids))).order_by(reports.c.id))


def by_id(connection: Connection, report_id: int) -> Report:
    """Raises NotFound."""
    found = one(connection, Report, select(reports).where(reports.c.id == report_id))
    if found is None:
        raise NotFound(f"there is no report {report_id}")
    return found


def begin(connection: Connection, attempt: Attempt, job: Job, run: Run, tree: str, kind: ReportKind) -> Report:
    """The attempt's report of a kind, made if it is not there."""
    values = {
        "attempt_id": attempt.id,
        "job_id": job.id,
        "run_id": run.id,
        "repository_id": run.repository_id,
        "kind": kind,
        "variant": variant_of(job.name, job.spec.get("shard") is not None),
        "ref": run.ref,
        "sha": run.sha,
        "tree": tree,
        "complete": False,
        "counts": False,
        "sealed_at": None,
        "figures": {},
    }
    insert_if_absent(connection, reports, values, "attempt_id", "kind")
    found = one(connection, Report, select(reports).where(reports.c.attempt_id == attempt.id, reports.c.kind == kind))
    assert found is not None
    return found


def put_page(connection: Connection, report_id: int, number: int, data: bytes) -> None:
    """Keep a page; one that comes again replaces itself."""
    key = (report_pages.c.report_id == report_id, report_pages.c.number == number)
    connection.execute(delete(report_pages).where(*key))
    connection.execute(insert(report_pages).values(report_id=report_id, number=number, data=data))


def put_cases(connection: Connection, report: Report, number: int, cases: Sequence[CaseRow], now: datetime) -> None:
    """A page of test results, with rows for what did not simply pass."""
    ids = _tests(connection, report, cases, now)
    rows: dict[int, tuple[str, float]] = {}
    noted: dict[int, dict[str, Any]] = {}
    for case in cases:
        test = ids[key_of(report.variant, case.suite, case.class_name, case.name, case.file)]
        rows[test] = (case.outcome, case.seconds)
        if case.outcome in ("failed", "error") or case.failed_tries:
            noted[test] = {
                "report_id": report.id,
                "test_id": test,
                "ordinal": case.ordinal,
                "outcome": case.outcome,
                "failed_tries": case.failed_tries,
                "seconds": case.seconds,
                "message": case.message,
                "text": case.text,
            }
    put_page(connection, report.id, number, pack_results((test, *row) for test, row in rows.items()))
    for some in _slices(list(noted)):
        connection.execute(
            delete(test_results).where(test_results.c.report_id == report.id, test_results.c.test_id.in_(some))
        )
    if noted:
        connection.execute(insert(test_results), list(noted.values()))


def _tests(connection: Connection, report: Report, cases: Sequence[CaseRow], now: datetime) -> dict[str, int]:
    """Rule 3: the ids of tests by their keys."""
    wanted = {key_of(report.variant, case.suite, case.class_name, case.name, case.file): case for case in cases}
    known = _known(connection, report.repository_id, list(wanted), now)
    missing = [key for key in wanted if key not in known]
    if missing:
        if connection.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as put
        else:
            from sqlalchemy.dialects.postgresql import insert as put  # type: ignore[assignment]
        values = [
            {
                "repository_id": report.repository_id,
                "key": key,
                "variant": report.variant,
                "suite": wanted[key].suite,
                "class_name": wanted[key].class_name,
                "name": wanted[key].name,
                "file": wanted[key].file,
                "seen_at": now,
            }
            for key in sorted(missing)  # in one order, so that two attempts do not wait for each other
        ]
        connection.execute(put(tests).on_conflict_do_nothing(index_elements=["repository_id", "key"]), values)
        known |= _known(connection, report.repository_id, missing, now)
    return known


def _known(connection: Connection, repository_id: int, keys: Sequence[str], now: datetime) -> dict[str, int]:
    """Those that are there; once a day each is noted as seen."""
    found: dict[str, int] = {}
    for some in _slices(keys):
        columns = (tests.c.key, tests.c.id, tests.c.seen_at)
        statement = select(*columns).where(tests.c.repository_id == repository_id, tests.c.key.in_(some))
        rows = connection.execute(statement.order_by(tests.c.id)).all()
        found.update((row.key, row.id) for row in rows)
        stale = [row.id for row in rows if row.seen_at < now - SEEN_EVERY]
        if stale:
            done = connection.execute(update(tests).where(tests.c.id.in_(stale)).values(seen_at=now)).rowcount
            if done != len(stale):  # some were being forgotten: they are new ones now
                left = set(connection.execute(select(tests.c.id).where(tests.c.id.in_(stale))).scalars())
                found = {key: number for key, number in found.items() if number not in stale or number in left}
    return found


def end(connection: Connection, report: Report, body: ReportEnd) -> None:
    """All of it was sent. It is complete only if every page arrived."""
    there = connection.execute(
        select(func.count()).select_from(report_pages).where(report_pages.c.report_id == report.id)
    ).scalar_one()
    connection.execute(delete(report_files).where(report_files.c.report_id == report.id))
    if body.files:
        rows = [{"report_id": report.id, "number": at, **dict(file)} for at, file in enumerate(body.files)]
        connection.execute(insert(report_files), rows)
    connection.execute(
        update(reports)
        .where(reports.c.id == report.id)
        .values(
            complete=body.complete and int(there) == body.pages,
            figures=dict(body.figures),
        )
    )


def seal(connection: Connection, attempt_id: int, now: datetime, *, counts: bool) -> list[Report]:
    """Rule 2. What the attempt reported."""
    connection.execute(
        update(reports)
        .where(reports.c.attempt_id == attempt_id, reports.c.sealed_at.is_(None))
        .values(sealed_at=now, counts=counts)
    )
    return of_attempt(connection, attempt_id)


def pages_of(connection: Connection, report_ids: Sequence[int]) -> dict[int, list[bytes]]:
    """The pages of several reports, in order."""
    found: dict[int, list[bytes]] = {report_id: [] for report_id in report_ids}
    for some in _slices(report_ids):
        statement = (
            select(report_pages.c.report_id, report_pages.c.data)
            .where(report_pages.c.report_id.in_(some))
            .order_by(report_pages.c.report_id, report_pages.c.number)
        )
        for row in connection.execute(statement):
            found[row.report_id].append(row.data)
    return found


def noted(connection: Connection, report_ids: Sequence[int], limit: int | None = None) -> list[NotedResult]:
    """What did not simply pass, in the order of the reports and of their files."""
    statement = (
        select(test_results)
        .where(test_results.c.report_id.in_(list(report_ids)))
        .order_by(test_results.c.report_id, test_results.c.ordinal, test_results.c.test_id)
    )
    return many(connection, NotedResult, statement if limit is None else statement.limit(limit))


def known_tests(connection: Connection, test_ids: Iterable[int]) -> dict[int, KnownTest]:
    """Tests by their ids."""
    found: dict[int, KnownTest] = {}
    for some in _slices(sorted(set(test_ids))):
        for test in many(connection, KnownTest, select(tests).where(tests.c.id.in_(some))):
            found[test.id] = test
    return found


def variants(connection: Connection, repository_id: int, kind: ReportKind) -> list[str]:
    """The jobs of a repository that report something of the kind."""
    statement = (
        select(reports.c.variant)
        .where(reports.c.repository_id == repository_id, reports.c.kind == kind)
        .distinct()
        .order_by(reports.c.variant)
    )
    return [row[0] for row in connection.execute(statement)]


def latest(
    connection: Connection,
    repository_id: int,
    kind: ReportKind,
    variant: str,
    *,
    ref: str | None = None,
    sealed_by: datetime | None = None,
    limit: int = 100,
) -> list[Report]:
    """Reports that count, newest first. `sealed_by`: nothing that came after then."""
    statement = (
        select(reports)
        .where(
            reports.c.repository_id == repository_id,
            reports.c.kind == kind,
            reports.c.variant == variant,
            reports.c.counts.is_(True),
        )
        .order_by(reports.c.id.desc())
        .limit(limit)
    )
    if ref is not None:
        statement = statement.where(reports.c.ref == ref)
    if sealed_by is not None:
        statement = statement.where(reports.c.sealed_at < sealed_by)
    return many(connection, Report, statement)


def of_tree(connection: Connection, like: Report, limit: int) -> list[Report]:
    """Other reports of the same code by the same job's variant that count, newest first."""
    statement = (
        select(reports)
        .where(
            reports.c.tree == like.tree,
            reports.c.repository_id == like.repository_id,
            reports.c.kind == like.kind,
            reports.c.variant == like.variant,
            reports.c.counts.is_(True),
            reports.c.id != like.id,
        )
        .order_by(reports.c.id.desc())
        .limit(limit)
    )
    return many(connection, Report, statement)


def files_of(connection: Connection, report_ids: Sequence[int]) -> list[ReportFile]:
    """The files of several reports, in order."""
    statement = (
        select(report_files)
        .where(report_files.c.report_id.in_(list(report_ids)))
        .order_by(report_files.c.report_id, report_files.c.number)
    )
    return many(connection, ReportFile, statement)


def _slices(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(values), AT_ONCE):
        yield values[at : at + AT_ONCE]
