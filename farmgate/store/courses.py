"""The results of a job's tests along a branch: read as far as an answer needs, never as a whole.

Rules:
1. Commits are ordered by their place in the branch; of a ref that is no branch, by their runs.
2. What did not simply pass is asked for by row; a page is unpacked only to tell a pass from not having run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Row, func, select

from farmgate.models import Flake, KnownTest, NotedResult, Report, ReportKind
from farmgate.refs import HEADS
from farmgate.reports.history import BAD, Point, Red, red_since
from farmgate.reports.packing import Packed, unpack_results
from farmgate.store import reports
from farmgate.store.database import insert_if_absent, many
from farmgate.store.schema import branch_commits, test_flakes, test_results, tests
from farmgate.store.schema import reports as reports_table

DEPTH: Final = 400
"""Reports looked at along a branch."""
SAME_TREE: Final = 30


@dataclass(frozen=True, slots=True)
class _Commit:
    sha: str
    place: int
    reports: tuple[Report, ...]  # newest first


class Course:
    """The test reports of a job's variant along a ref, newest commit first; what is unpacked is kept."""

    def __init__(self, connection: Connection, repository_id: int, variant: str, ref: str, depth: int = DEPTH) -> None:
        self._connection = connection
        found = reports.latest(connection, repository_id, ReportKind.TESTS, variant, ref=ref, limit=depth)
        places = _places(connection, repository_id, ref)
        by_sha: dict[str, list[Report]] = {}
        for report in found:
            by_sha.setdefault(report.sha, []).append(report)
        self._commits = sorted(
            (
                _Commit(sha, places.get(sha, of[-1].run_id), tuple(of))
                for sha, of in by_sha.items()
                if not places or sha in places
            ),
            key=lambda commit: -commit.place,
        )
        self._ids = [report.id for commit in self._commits for report in commit.reports]
        self._pages: dict[int, list[Packed]] = {}
        self._noted: dict[int, dict[int, NotedResult]] = {}

    def points(self, test_id: int, upto: str | None = None) -> Iterator[Point]:
        """How the test ended, commit by commit, newest first. `upto`: the commit to begin with."""
        noted = self._noted_of(test_id)
        begun = upto is None
        for commit in self._commits:
            begun = begun or commit.sha == upto
            if begun and (point := self._at(commit, test_id, noted)) is not None:
                yield point

    def red(self, test_id: int, sha: str) -> Red | None:
        """Since when the test fails, seen from a commit."""
        return red_since(self.points(test_id, sha))

    def _noted_of(self, test_id: int) -> dict[int, NotedResult]:
        """By report."""
        if test_id not in self._noted:
            statement = select(test_results).where(test_results.c.test_id == test_id)
            rows = many(self._connection, NotedResult, statement.order_by(test_results.c.report_id.desc()).limit(2000))
            self._noted[test_id] = {row.report_id: row for row in rows}
        return self._noted[test_id]

    def _at(self, commit: _Commit, test_id: int, noted: dict[int, NotedResult]) -> Point | None:
        there = next((report for report in commit.reports if report.id in noted), None)
        for report in commit.reports:
            if there is not None and report.id == there.id:
                row = noted[report.id]
                return _point(commit, report, row.outcome, row.seconds, row.outcome not in BAD)
            # Shards of the run that has the row hold other tests; only a later try can say otherwise.
            if there is not None and report.run_id == there.run_id and report.job_id != there.job_id:
                continue
            found = next((one for page in self._unpacked(report.id) if (one := page.find(test_id))), None)
            if found is not None:
                return _point(commit, report, *found, False)
        return None

    def _unpacked(self, report_id: int) -> list[Packed]:
        if report_id not in self._pages:
            at = self._ids.index(report_id)
            wanted = [one for one in self._ids[at : at + 10] if one not in self._pages]
            for one, pages in reports.pages_of(self._connection, wanted).items():
                self._pages[one] = [unpack_results(page) for page in pages]
        return self._pages[report_id]


def _point(commit: _Commit, report: Report, outcome: str, seconds: float, flaky: bool) -> Point:
    return Point(commit.sha, commit.place, report.run_id, report.job_id, report.id, outcome, seconds, flaky)


def _places(connection: Connection, repository_id: int, ref: str) -> dict[str, int]:
    """Of the newest commits of a branch; nothing for another ref."""
    if not ref.startswith(HEADS):
        return {}
    table = branch_commits.c
    statement = (
        select(table.sha, table.position)
        .where(table.repository_id == repository_id, table.branch == ref.removeprefix(HEADS), table.gone_at.is_(None))
        .order_by(table.position.desc())
        .limit(5000)
    )
    return {row.sha: row.position for row in connection.execute(statement)}


# --- flaky tests -------------------------------------------------------------------------------------------------


def note_flakes(connection: Connection, report: Report, now: datetime) -> int:
    """What this report shows together with itself and with others of the same tree; how many are new."""
    mine = {row.test_id: row for row in reports.noted(connection, [report.id])}
    found = [(test, report.id, report.id) for test, row in mine.items() if row.outcome not in BAD]
    failed = {test for test, row in mine.items() if row.outcome in BAD}
    others = reports.of_tree(connection, report, SAME_TREE)
    theirs = reports.noted(connection, [other.id for other in others]) if others else []
    failed_there = [(row.test_id, row.report_id) for row in theirs if row.outcome in BAD]
    if failed:
        pages = reports.pages_of(connection, [other.id for other in others])
        for other, packed in pages.items():
            unpacked = [unpack_results(page) for page in packed]
            found += [(test, report.id, other) for test in failed if _passed(unpacked, test)]
    if failed_there:
        own = [unpack_results(page) for page in reports.pages_of(connection, [report.id])[report.id]]
        found += [(test, there, report.id) for test, there in failed_there if test not in failed and _passed(own, test)]
    values = {"tree": report.tree, "seen_at": now}
    return sum(
        insert_if_absent(
            connection,
            test_flakes,
            {"test_id": test, "failed_report_id": red, "passed_report_id": green, **values},
            "test_id",
            "tree",
            "failed_report_id",
        )
        for test, red, green in found
    )


def _passed(pages: list[Packed], test_id: int) -> bool:
    return any(found is not None and found[0] == "passed" for found in (page.find(test_id) for page in pages))


def flakiest(
    connection: Connection, repository_id: int, since: datetime, limit: int = 100
) -> list[Row[tuple[int, int, datetime]]]:
    """(test, how often, last seen) since then, the most frequent first."""
    often = func.count(test_flakes.c.id)
    statement = (
        select(test_flakes.c.test_id, often.label("often"), func.max(test_flakes.c.seen_at).label("last"))
        .select_from(test_flakes.join(tests))
        .where(tests.c.repository_id == repository_id, test_flakes.c.seen_at >= since)
        .group_by(test_flakes.c.test_id)
        .order_by(often.desc(), test_flakes.c.test_id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def flakes_of(connection: Connection, test_id: int, limit: int = 50) -> list[Flake]:
    """The newest first."""
    statement = select(test_flakes).where(test_flakes.c.test_id == test_id).order_by(test_flakes.c.id.desc())
    return many(connection, Flake, statement.limit(limit))


def flaky_tests(connection: Connection, test_ids: list[int]) -> frozenset[int]:
    """Those of them that were ever seen flaky."""
    statement = select(test_flakes.c.test_id).where(test_flakes.c.test_id.in_(test_ids)).distinct()
    return frozenset(row[0] for row in connection.execute(statement)) if test_ids else frozenset()


def runs_since(connection: Connection, repository_id: int, since: datetime) -> dict[str, int]:
    """How many runs told of their tests since then, by variant."""
    table = reports_table.c
    statement = (
        select(table.variant, func.count(table.run_id.distinct()))
        .where(
            table.repository_id == repository_id,
            table.kind == ReportKind.TESTS,
            table.counts.is_(True),
            table.sealed_at >= since,
        )
        .group_by(table.variant)
    )
    return {row[0]: int(row[1]) for row in connection.execute(statement)}


def tests_named(connection: Connection, repository_id: int, name: str) -> list[KnownTest]:
    """Tests called so, in every variant: by class and name, or by the name alone."""
    plain = (tests.c.class_name + "." + tests.c.name) == name
    statement = (
        select(tests).where(tests.c.repository_id == repository_id, (tests.c.name == name) | plain).order_by(tests.c.id)
    )
    return many(connection, KnownTest, statement.limit(500))
