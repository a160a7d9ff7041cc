"""What is too old goes: logs, single results, runs; never what is live, in the ledger, or shown by something newer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from farmgate import invariants, states
from farmgate.store import schema as t
from scheduler import forgetting, retention
from scheduler.forgetting import Forgotten
from tests.scheduler.farm import Farm
from tests.scheduler.reported import PIPELINE, report
from tests.store import rows

DAY = timedelta(days=1)


@pytest.fixture
def old(farm: Farm) -> Farm:
    """Five red runs with logs, reports and artifacts, of which the newest two stay whole."""
    farm.repository.add("first", {".farmgate.yml": PIPELINE})
    farm.connect()
    worker = farm.join()
    for number in range(1, 6):
        if number > 1:
            farm.push(f"commit {number}")
        held = worker.claim(number)
        held.log(0, log(number))
        held.step(1, "failed", exit_code=1, log_offset=5)
        held.artifact("out.txt", f"artifact {number}".encode())
        report(held, test_a="f")
        held.end("failed", reason="no", exit_code=1)
        farm.settle()
    keep(farm, log_keep=10 * DAY, report_keep=20 * DAY, run_keep=30 * DAY, runs_kept=2)
    return farm


def log(number: int) -> bytes:
    return f"a line of run {number}\n".encode() * 200


def keep(farm: Farm, **settings: Any) -> None:
    object.__setattr__(farm.context, "settings", farm.context.settings.model_copy(update=settings))


def count(farm: Farm, table: Any) -> int:
    with farm.store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def log_of(farm: Farm, job: int) -> str:
    answer = farm.http.get(f"/api/jobs/{job}/log")
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def sound(farm: Farm) -> None:
    farm.settle()
    with farm.store.reading() as connection:
        found = invariants.look(connection, farm.clock.now())
    assert [str(one) for one in found] == []


def test_a_log_gives_way_to_a_line_that_says_so_and_its_bytes_go(old: Farm) -> None:
    assert forgetting.forget(old.context) == Forgotten()
    old.clock.advance(11 * DAY)
    assert forgetting.forget(old.context) == Forgotten(logs=3)
    assert log_of(old, 3) == (
        f"farmgate: this log of {len(log(3))} bytes was removed on {old.clock.now():%Y-%m-%d}: "
        "its time was over (FARMGATE_LOG_KEEP)\n"
    )
    assert old.run(3)["jobs"][0]["steps"][0]["log_offset"] is None
    assert log_of(old, 4) == log(4).decode(), "the newest runs stay whole"
    assert forgetting.forget(old.context) == Forgotten(), "once is enough"
    retention.sweep(old.context)
    old.clock.advance(timedelta(hours=2))
    assert retention.sweep(old.context) == 3, "the logs; their indexes are the same bytes as those of the newest runs"
    assert log_of(old, 4) == log(4).decode()
    sound(old)


def test_of_a_report_the_figures_stay(old: Farm) -> None:
    old.clock.advance(21 * DAY)
    assert forgetting.forget(old.context) == Forgotten(logs=3, reports=3)
    assert (count(old, t.reports), count(old, t.report_pages), count(old, t.test_results)) == (5, 2, 2)
    assert forgetting.forget(old.context) == Forgotten()


def test_a_run_goes_with_all_that_belongs_to_it(old: Farm) -> None:
    old.clock.advance(31 * DAY)
    found = forgetting.forget(old.context)
    assert (found.logs, found.reports, found.runs) == (3, 3, 3)
    assert found.messages > 0
    assert [run["id"] for run in old.runs()] == [4, 5]
    for table in (t.jobs, t.attempts, t.steps, t.artifacts, t.reports, t.test_results):
        assert count(old, table) == 2
    assert count(old, t.commits) == 5
    assert count(old, t.audit) > 0
    assert old.http.get("/api/runs/3").status_code == 404
    old.push("one more")
    old.settle()
    sound(old)


@pytest.mark.parametrize("who", ["ledger", "reused", "open"])
def test_what_something_still_needs_is_kept(old: Farm, who: str) -> None:
    with old.store.writing() as connection:
        now = old.clock.now()
        if who == "ledger":
            lane = rows.a_lane(connection, 1, now)
            sha = connection.execute(select(t.runs.c.sha).where(t.runs.c.id == 2)).scalar_one()
            candidate = rows.a_candidate(connection, 1, sha, now)
            connection.execute(update(t.candidates).where(t.candidates.c.id == candidate).values(run_id=2))
            rows.a_rollout(connection, lane, candidate, 1, states.Rollout.GOOD, now)
        elif who == "reused":
            connection.execute(update(t.jobs).where(t.jobs.c.id == 5).values(reused_from=2))
        else:
            connection.execute(update(t.runs).where(t.runs.c.id == 2).values(state=states.Run.RUNNING))
    old.clock.advance(31 * DAY)
    found = forgetting.forget(old.context)
    assert (found.logs, found.runs) == (2, 2)
    assert log_of(old, 2) == log(2).decode()
    assert 2 in [run["id"] for run in old.runs()]


def test_a_run_whose_cache_is_still_there_is_kept(old: Farm) -> None:
    cache = {"repository_id": 1, "key": "k", "sha256": "a" * 64, "size_bytes": 1, "job_id": 1}
    with old.store.writing() as connection:
        now = old.clock.now()
        connection.execute(insert(t.caches).values(**cache, created_at=now, used_at=now))
    old.clock.advance(31 * DAY)
    assert forgetting.forget(old.context).runs == 2


def test_one_round_does_so_much_and_the_next_goes_on(old: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 1)
    monkeypatch.setattr(forgetting, "ROUND", 2)
    old.clock.advance(31 * DAY)
    found = forgetting.forget(old.context)
    assert (found.logs, found.reports, found.runs) == (2, 2, 2)
    found = forgetting.forget(old.context)
    assert (found.logs, found.reports, found.runs) == (1, 1, 1)


def test_more_runs_than_a_repository_may_have_go_whatever_their_age_but_never_the_newest(old: Farm) -> None:
    keep(old, runs_most=3)
    assert forgetting.forget(old.context).runs == 2
    assert [run["id"] for run in old.runs()] == [3, 4, 5]
    keep(old, runs_most=1)
    assert forgetting.forget(old.context).runs == 1
    assert [run["id"] for run in old.runs()] == [4, 5], "runs_kept holds"
    sound(old)


def test_more_runs_than_a_branch_may_have_go_and_those_of_others_stay(old: Farm) -> None:
    with old.store.writing() as connection:
        connection.execute(update(t.runs).where(t.runs.c.id == 1).values(ref="refs/heads/quiet"))
    keep(old, branch_runs_most=3)
    assert forgetting.forget(old.context).runs == 1
    assert [run["id"] for run in old.runs()] == [1, 3, 4, 5]


def test_a_run_beyond_the_bound_that_delivery_knows_or_that_is_not_over_stays(old: Farm) -> None:
    with old.store.writing() as connection:
        sha = connection.execute(select(t.runs.c.sha).where(t.runs.c.id == 1)).scalar_one()
        candidate = rows.a_candidate(connection, 1, sha, old.clock.now())
        connection.execute(update(t.candidates).where(t.candidates.c.id == candidate).values(run_id=1))
        connection.execute(update(t.runs).where(t.runs.c.id == 2).values(state=states.Run.RUNNING))
    keep(old, runs_most=2, branch_runs_most=2)
    assert forgetting.forget(old.context).runs == 1
    assert [run["id"] for run in old.runs()] == [1, 2, 4, 5]


def test_a_tests_name_goes_once_nothing_tells_of_it(old: Farm) -> None:
    with old.store.writing() as connection:  # the oldest run had a test that was renamed since
        seen = old.clock.now() - 50 * DAY
        gone = {"repository_id": 1, "variant": "test", "suite": "s", "class_name": "tests.test_a", "file": ""}
        for name in ("test_old", "test_held"):
            connection.execute(insert(t.tests).values(key=name, name=name, seen_at=seen, **gone))
        standing = {"owner": "ada", "reason": "r", "until": seen, "created_by": "ada", "created_at": seen}
        connection.execute(insert(t.quarantines).values(repository_id=1, name="tests.test_a.test_held", **standing))
    assert count(old, t.tests) == 3
    assert forgetting.forget(old.context).tests == 1
    assert count(old, t.tests) == 2
    assert forgetting.forget(old.context).tests == 0


def test_a_name_that_a_report_still_tells_stays_and_so_does_one_that_was_seen_since(old: Farm) -> None:
    old.clock.advance(35 * DAY)
    assert forgetting.forget(old.context).tests == 0, "the newest two runs tell of it in detail"
    old.push("one more")
    held = old.join("n2").claim(6)
    report(held, test_a="p")
    held.end("passed")
    with old.store.reading() as connection:
        assert connection.execute(select(t.tests.c.seen_at)).scalar_one() == old.clock.now()
