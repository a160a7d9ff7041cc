"""Reading JUnit XML: our reader against a plain `xml.etree` parse of the same file, and rows into the store.

The plain parse keeps no rule (it expands entities, holds the whole tree, makes no result out of it); it is what the
ratio is over. Both read from memory, in pieces of 256 KiB.
"""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from farmgate import states
from farmgate.clock import stopwatch
from farmgate.messages import CaseRow
from farmgate.models import ReportKind
from farmgate.reports import junit
from farmgate.store import attempts, jobs, reports, runs
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from tests.store import rows

TESTS = 100_000
STORED = 10_000
PAGE = 2_000
_PIECE = 256 * 1024


def main() -> int:
    """Print the figures."""
    data = a_file(TESTS)
    plain, plain_memory = _measured(lambda: _plain(data))
    ours, ours_memory = _measured(lambda: sum(1 for _ in junit.read(_pieces(data))))
    first, again, size = _stored()
    size_mb = len(data) / 1e6
    table = Table(title=f"JUnit XML: {TESTS} tests, {size_mb:.1f} MB; one in 50 fails with a text of 2 kB")
    for column in ("what", "plain xml.etree", "ours", "ours / plain"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row("MB/s", f"{size_mb / plain:.1f}", f"{size_mb / ours:.1f}", f"{plain / ours:.2f}")
    table.add_row("tests/s", f"{TESTS / plain:.0f}", f"{TESTS / ours:.0f}", f"{plain / ours:.2f}")
    table.add_row(
        "peak memory, MB", f"{plain_memory / 1e6:.1f}", f"{ours_memory / 1e6:.1f}", f"{ours_memory / plain_memory:.3f}"
    )
    out = Console()
    out.print(table)
    out.print(
        f"into SQLite, {STORED} tests of a run: {STORED / first:.0f} rows/s the first time, {STORED / again:.0f} after"
    )
    out.print(f"kept per run of {STORED} tests that pass: {size / 1000:.1f} kB; per 1,000 runs: {size / 1000:.0f} MB")
    return 0


def a_file(count: int) -> bytes:
    """A file of `count` tests."""
    made = io.BytesIO()
    made.write(b'<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">')
    text = b"E   assert 1 == 2\n" * 110
    for number in range(count):
        head = b'<testcase classname="tests.unit.test_%d.TestCase" name="test_%d[case-%d]" time="0.%03d"'
        made.write(head % (number // 100, number, number % 7, number % 1000))
        made.write(b'><failure message="no">%s</failure></testcase>' % text if number % 50 == 0 else b" />")
    made.write(b"</testsuite></testsuites>")
    return made.getvalue()


def _plain(data: bytes) -> int:
    return sum(1 for _ in ElementTree.parse(io.BytesIO(data)).iter("testcase"))


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))


def _measured(read: Callable[[], int]) -> tuple[float, int]:
    """The best of three, in seconds; and the peak of memory, measured apart since that costs time."""
    best = 1e9
    for _ in range(3):
        began = stopwatch()
        assert read() == TESTS
        best = min(best, stopwatch() - began)
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return best, peak


def _stored() -> tuple[float, float, float]:
    """Seconds for the rows of a run's tests, when they are new and when they are known; bytes kept per run."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with tempfile.TemporaryDirectory(prefix="farmgate-bench-") as folder:
        store = Store.at(f"sqlite:///{Path(folder)}/farm.db")
        migrate(store)
        took: list[float] = []
        with store.writing() as connection:
            repository, node = rows.a_repository(connection, now), rows.a_node(connection, now)
        for number in range(3):
            with store.writing() as connection:
                run = rows.a_run(connection, repository, f"{number:040x}", now, states.Run.RUNNING)
                job = rows.a_job(connection, run, now, states.Job.RUNNING, "test", spec={})
                attempt = rows.an_attempt(connection, job, node, now)
            began = stopwatch()
            for page in range(STORED // PAGE):
                cases = [_case(page * PAGE + at, number) for at in range(PAGE)]
                with store.writing() as connection:
                    found = attempts.by_number(connection, job, 1)
                    of = runs.by_id(connection, run)
                    report = reports.begin(connection, found, jobs.by_id(connection, job), of, of.sha, ReportKind.TESTS)
                    reports.put_cases(connection, report, page, cases, now)
            took.append(stopwatch() - began)
            assert attempt
        with store.reading() as connection:
            pages = reports.pages_of(connection, [report.id])[report.id]
        store.close()
        return took[0], min(took[1:]), float(sum(len(page) for page in pages))


def _case(number: int, run: int) -> CaseRow:
    return CaseRow(
        suite="pytest",
        class_name=f"tests.unit.test_{number // 100}.TestCase",
        name=f"test_{number}",
        file="",
        outcome="passed",
        seconds=(number * 7919 + run * 104_729) % 977 / 1000,
    )
