"""`farmgate tests` and `farmgate test ...` against what the server's models promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler import report_bodies as bodies
from tests.cli.conftest import CannedFarm, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "tests.test_a.test_total"
RED = bodies.RedBody(
    sha="ab" * 20, run=4, title="Round \x1b[31mtotals", author="Ada", commits=3, untested=2, known=True
)
SINCE = (
    "red since 3 commits, first in ababababab by Ada: 'Round  [31mtotals'; or in one of 2 commits before it that were "
    "not tested"
)
HELD = bodies.QuarantineBody(
    test=NAME, owner="grace", reason="slow", until=NOW, ended=False, created_by="ada", created_at=NOW
)
FAILURE = bodies.FailureBody(
    test=NAME,
    job="test",
    variant="test",
    suite="s",
    file="",
    outcome="failed",
    failed_tries=0,
    seconds=0.5,
    message="no",
    text="E  no",
    red=RED,
    flaky=True,
    quarantine=HELD,
)


def told(model: Any) -> Any:
    return model.model_dump(mode="json")


def a_test(quarantine: bodies.QuarantineBody | None = None) -> Any:
    points = [
        bodies.PointBody(sha=f"{n:040x}", run=n, outcome=outcome, seconds=0.5, flaky=n == 2)
        for n, outcome in ((3, "failed"), (2, "passed"), (1, "passed"))
    ]
    variant = bodies.VariantBody(variant="test", suite="s", file="", points=points, red=RED, flakes=[], failure=None)
    of = bodies.TestBody(repository="shop", test=NAME, ref="refs/heads/main", variants=[variant], quarantine=quarantine)
    return told(of)


def test_a_runs_tests_say_what_failed_since_when_and_by_whom(farm: CannedFarm, run: Run) -> None:
    file = bodies.FileBody(path="r.xml", size_bytes=1, problem="line 9, column 1: unclosed token", url=None)
    job = bodies.TestsBody(job="test", attempt=1, complete=False, figures={}, files=[file])
    farm.answers["GET /api/runs/7"] = {"id": 7}
    farm.answers["GET /api/runs/7/reports"] = told(
        bodies.RunReports(
            run=7,
            repository="shop",
            sums={"failed": 1, "passed": 2},
            tests=[job],
            failures=[FAILURE],
            more=4,
            coverage=[],
            findings=[],
            components=[],
        )
    )
    said = run("tests", "7")
    assert said.code == 0
    assert said.out.splitlines() == [
        "run 7 of shop: 1 failed, 2 passed, 0 skipped, 0 flaky",
        "  r.xml: line 9, column 1: unclosed token",
        "",
        f"failed  {NAME}  (test)",
        f"  {SINCE}",
        "  known to be flaky",
        "  in quarantine until 2026-01-01, owner grace: slow",
        "    E  no",
        "and 4 more",
    ]


def test_a_test_shows_its_history_as_a_strip(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/repositories/shop/test"] = a_test()
    said = run("test", "show", "shop", NAME, "--ref", "main")
    assert farm.asked[-1].url.params["name"] == NAME
    assert "  test: .~F" in said.out.splitlines()


def test_quarantine_asks_for_an_owner_a_day_and_a_reason(farm: CannedFarm, run: Run) -> None:
    farm.answers["POST /api/repositories/shop/quarantine"] = a_test(HELD)
    given = ("--owner", "grace", "--until", "2026-01-01", "--reason", "slow")
    said = run("test", "quarantine", "shop", NAME, *given)
    assert farm.body() == {"test": NAME, "owner": "grace", "until": "2026-01-01T00:00:00+00:00", "reason": "slow"}
    assert "in quarantine until 2026-01-01, owner grace: slow" in said.out
    assert run("test", "quarantine", "shop", NAME, *given[2:]).code != 0
    wrong = run("test", "quarantine", "shop", NAME, "--owner", "g", "--until", "soon", "--reason", "r")
    assert wrong.code != 0
    assert "--until: 'soon' is not a day: write it as 2026-12-01" in wrong.err


def test_a_quarantine_is_ended_by_name(farm: CannedFarm, run: Run) -> None:
    farm.answers["DELETE /api/repositories/shop/quarantine"] = {}
    assert run("test", "release", "shop", "a b&c").out == "a b&c decides again\n"
    assert farm.asked[-1].url.params["name"] == "a b&c"


@pytest.mark.parametrize("empty", [True, False])
def test_a_repositorys_tests_are_listed(farm: CannedFarm, run: Run, empty: bool) -> None:
    flaky = bodies.FlakyBody(
        test=NAME, variant="test", times=2, rate=0.25, last_seen=NOW - timedelta(days=1), failed_run=1, passed_run=2
    )
    farm.answers["GET /api/repositories/shop/tests"] = told(
        bodies.RepositoryTests(
            repository="shop",
            ref="refs/heads/main",
            red=[] if empty else [bodies.RedTestBody(test=NAME, variant="test", message="no", red=RED)],
            flaky=[] if empty else [flaky],
            slowest=[] if empty else [bodies.SlowBody(test=NAME, variant="test", seconds=9)],
            quarantined=[] if empty else [HELD],
        )
    )
    out = run("test", "list", "shop").out
    if empty:
        assert out == "no tests yet: name JUnit files under 'reports' of a job\n"
    else:
        assert [line.split()[0] for line in out.splitlines()] == ["what", "red", "flaky", "slow", "quarantine"]
        assert "2 times, 25% of runs" in out
