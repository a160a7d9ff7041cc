"""Reports where they land: fenced, sealed with the result, and what quarantine makes of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from farmgate import states
from farmgate.models import ReportKind
from farmgate.store import courses, quarantines, reports
from scheduler import reporting
from tests.scheduler.farm import Farm, Held, Worker
from tests.scheduler.reported import PIPELINE, begin, finish, report, row


@pytest.fixture
def built(farm: Farm) -> tuple[Farm, Worker]:
    farm.repository.add("first", {".farmgate.yml": PIPELINE})
    farm.connect()
    return farm, farm.join()


def push(farm: Farm, title: str) -> str:
    return farm.push(title, files={"x": title})[0]


def job_of(farm: Farm, held: Held) -> dict[str, Any]:
    return farm.job(held.claimed["run"], "test")


def keep(farm: Farm, name: str, days: int = 7) -> None:
    with farm.store.writing() as connection:
        now = farm.clock.now()
        quarantines.place(connection, 1, name, "ada", "flaky since May", now + timedelta(days=days), "ada", now)


def test_pages_are_fenced_and_a_page_sent_twice_is_the_same(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    held = begin(farm, worker)
    report(held, a="p", b="f")
    report(held, a="p", b="f")
    with farm.store.reading() as connection:
        (kept,) = reports.of_attempt(connection, 1)
        assert [one.outcome for one in reports.noted(connection, [kept.id])] == ["failed"]
        assert len(reports.pages_of(connection, [kept.id])[kept.id]) == 1
        assert kept.sealed_at is None
    finish(held, "failed")
    with farm.store.reading() as connection:
        (kept,) = reports.of_attempt(connection, 1)
        assert (kept.complete, kept.counts) == (True, True)
        assert kept.sealed_at == farm.clock.now()
    late = {"kind": "tests", "number": 1, "cases": [row("c", "f")]}
    assert held.http.post(f"{held.path}/reports", json=late, headers=held.headers).status_code == 409
    assert held.http.post(f"{held.path}/reports", json=late).status_code == 401


def test_what_a_lost_attempt_reported_does_not_count(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    held = begin(farm, worker)
    report(held, a="f")
    held.end("lost", reason="the engine went away")
    with farm.store.reading() as connection:
        assert not reports.of_attempt(connection, 1)[0].counts


def test_it_turned_red_at_the_commit_that_broke_it(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    shas = []
    for title, ending in (("one", "p"), ("two", "f"), ("three", "f"), ("four", "s"), ("five", "f")):
        shas.append(push(farm, title))
        held = begin(farm, worker)
        report(held, a=ending, b="p")
        finish(held, "failed" if ending == "f" else "passed")
    with farm.store.reading() as connection:
        course = courses.Course(connection, 1, "test", "refs/heads/main")
        test = next(t for t in courses.tests_named(connection, 1, "tests.test_a.a"))
        red = course.red(test.id, shas[-1])
        assert red is not None
        assert (red.since.sha, red.commits, red.untested) == (shas[1], 3, 0)
        assert red.green is not None
        assert red.green.sha == shas[0]
        assert course.red(test.id, shas[0]) is None
        assert [point.outcome for point in course.points(test.id)] == [
            "failed",
            "skipped",
            "failed",
            "failed",
            "passed",
        ]


def test_commits_that_were_never_tested_are_told(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    held = begin(farm, worker)
    report(held, a="p")
    finish(held)
    for title in ("one", "two"):
        push(farm, title)
    last = push(farm, "three")
    held = begin(farm, worker)
    assert held.claimed["sha"] == last
    report(held, a="f")
    finish(held, "failed")
    with farm.store.reading() as connection:
        test = courses.tests_named(connection, 1, "a")[0]
        red = courses.Course(connection, 1, "test", "refs/heads/main").red(test.id, last)
        assert red is not None
        assert (red.commits, red.untested) == (1, 2)


def test_the_same_tree_with_different_results_is_flaky(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    held = begin(farm, worker)
    report(held, a="f", b="p", c="ok after 1", d="f")
    finish(held, "failed")
    run = held.claimed["run"]
    assert farm.http.post(f"/api/runs/{run}/rerun").status_code == 201
    farm.settle()
    held = begin(farm, worker)
    report(held, a="p", b="f", c="p", d="f")
    finish(held, "failed")
    with farm.store.reading() as connection:
        since = farm.clock.now() - timedelta(days=1)
        found = courses.flakiest(connection, 1, since)
        names = reports.known_tests(connection, [one.test_id for one in found])
        assert {names[one.test_id].name: one.often for one in found} == {"a": 1, "b": 1, "c": 1}
        assert courses.runs_since(connection, 1, since) == {"test": 2}
    push(farm, "another tree")
    held = begin(farm, worker)
    report(held, a="f", b="p", c="p", d="p")
    finish(held, "failed")
    with farm.store.reading() as connection:
        assert len(courses.flakiest(connection, 1, since)) == 3


def test_only_tests_in_quarantine_failed_so_the_job_is_forgiven(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    keep(farm, "tests.test_a.a")
    held = begin(farm, worker)
    report(held, a="f", b="p")
    finish(held, "failed")
    job = job_of(farm, held)
    assert job["state"] == "failed"
    assert "forgiven: only tests in quarantine failed: tests.test_a.a (until " in job["reason"]
    with farm.store.reading() as connection:
        found = connection.exec_driver_sql("SELECT forgiven FROM jobs").scalar()
    assert found


@pytest.mark.parametrize(
    ("endings", "more", "said"),
    [
        ({"a": "f", "b": "f"}, {}, None),
        ({"a": "f"}, {"complete": False}, "its test report is not complete"),
        ({"a": "f"}, {"late": True}, "was not written by step 1"),
        ({"a": "f"}, {"exit_code": 137}, "did not end by a test's failure"),
        ({"a": "p"}, {}, None),
        ({"a": "f"}, {"expired": True}, "the quarantine of tests.test_a.a ended on"),
        ({"a": "f"}, {"steps": "[make test, make dist]"}, "the steps after step 1 did not run"),
        ({"a": "f"}, {"artifacts": True}, "what the job makes was not made"),
    ],
)
def test_it_is_not_forgiven(farm: Farm, endings: dict[str, str], more: dict[str, Any], said: str | None) -> None:
    text = PIPELINE.replace("[make test]", more.get("steps", "[make test]"))
    farm.repository.add("first", {".farmgate.yml": text + ("    artifacts: dist/*\n" if more.get("artifacts") else "")})
    farm.connect()
    keep(farm, "tests.test_a.a", days=1)
    if more.get("expired"):
        farm.clock.advance(timedelta(days=2))
    held = begin(farm, farm.join())
    old = farm.clock.now() - timedelta(minutes=5) if more.get("late") else None
    report(held, complete=more.get("complete", True), at=old, **endings)
    finish(held, "failed", more.get("exit_code", 1))
    reason = job_of(farm, held)["reason"]
    assert "forgiven:" not in reason
    if said is None:
        assert reason.endswith(f"failed with exit code {more.get('exit_code', 1)}")
    else:
        assert said in reason
    with farm.store.reading() as connection:
        assert not connection.exec_driver_sql("SELECT forgiven FROM jobs").scalar()
    assert states.Job(job_of(farm, held)["state"]) is states.Job.FAILED


def test_shards_of_a_run_are_told_the_same_times(farm: Farm) -> None:
    farm.repository.add("first", {".farmgate.yml": PIPELINE + "    parallel: 2\n"})
    farm.connect()
    worker = farm.join()
    rung = farm.bell.heard()
    first, second = worker.claim(*rung[0]), worker.claim(*rung[1])
    assert reporting.times(farm.context, _attempt(farm, first)).tests == ()
    report(first, a="p", b="p")
    farm.clock.advance(timedelta(seconds=1))
    finish(first)
    farm.clock.advance(timedelta(seconds=1))
    assert reporting.times(farm.context, _attempt(farm, second)).tests == (), (
        "what came after the run began is not told"
    )
    report(second, c="f")
    finish(second, "failed")
    farm.clock.advance(timedelta(seconds=1))
    push(farm, "next")
    rung = farm.bell.heard()
    first, second = worker.claim(*rung[0]), worker.claim(*rung[1])
    told = reporting.times(farm.context, _attempt(farm, second))
    assert [(one.name, one.seconds) for one in told.tests] == [("a", 0.25), ("b", 0.25), ("c", 0.25)]
    report(first, a="p", d="p")
    finish(first)
    assert reporting.times(farm.context, _attempt(farm, second)) == told
    answer = second.http.get(f"{second.path}/times", headers=second.headers)
    assert [one["name"] for one in answer.json()["tests"]] == ["a", "b", "c"]


def _attempt(farm: Farm, held: Held) -> Any:
    from farmgate.store import attempts

    with farm.store.reading() as connection:
        return attempts.by_number(connection, held.job, held.attempt)


def test_coverage_is_kept_by_page(built: tuple[Farm, Worker]) -> None:
    farm, worker = built
    held = begin(farm, worker)
    covered = [{"path": "a.py", "covered": 1, "lines": 2, "branches_covered": 0, "branches": 0}]
    body = {"kind": "coverage", "number": 0, "covered": covered}
    assert held.http.post(f"{held.path}/reports", json=body, headers=held.headers).status_code == 204
    end = {"kind": "coverage", "pages": 1, "complete": True, "figures": {"covered": 1, "lines": 2}}
    lying = {
        **end,
        "files": [{"path": "x", "size_bytes": 1, "sha256": "0" * 64, "modified_at": "2026-01-01T00:00:00Z"}],
    }
    assert held.http.post(f"{held.path}/reports/end", json=lying, headers=held.headers).status_code == 400
    kept = held.http.put(f"{held.path}/reports/file", content=b"<x/>", headers=held.headers).json()
    true = {
        **end,
        "files": [{"path": "x", "size_bytes": 4, "sha256": kept["sha256"], "modified_at": "2026-01-01T00:00:00Z"}],
    }
    assert held.http.post(f"{held.path}/reports/end", json=true, headers=held.headers).status_code == 204
    with farm.store.reading() as connection:
        (found,) = reports.of_attempt(connection, 1)
        assert (found.kind, found.complete) == (ReportKind.COVERAGE, True)
        assert reports.files_of(connection, [found.id])[0].sha256 == kept["sha256"]
