"""A cancelled run ends, but what cleans up after it still runs, for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farmgate import invariants, states
from farmgate.states import Job
from scheduler.decisions import Supersede
from scheduler.supersede import older_runs
from scheduler.view import Snapshot
from tests.scheduler.farm import Farm, Held, Worker
from tests.scheduler.test_plan import job, run

PIPELINE = """\
jobs:
  test: {steps: [make test]}
  ship: {needs: test, steps: [make ship]}
  clean: {needs: [test, ship], steps: [make clean], when: {result: always}}
  mail: {needs: clean, steps: [mail], when: {result: always}}
  tell: {needs: test, steps: [mail], when: {result: failed}}
  late: {needs: clean, steps: [make late]}
"""


@pytest.fixture
def worker(farm: Farm) -> Worker:
    farm.repository.add("first", {".farmgate.yml": PIPELINE})
    farm.connect()
    return farm.join()


def cancel(farm: Farm) -> None:
    assert farm.http.post("/api/runs/1/cancel", json={"reason": "wrong"}).status_code == 202
    farm.settle()


def now(farm: Farm) -> dict[str, str]:
    return {row["name"]: row["state"] for row in farm.run(1)["jobs"]}


def claimed(farm: Farm, worker: Worker) -> Held:
    ((number, attempt),) = farm.bell.heard()
    return worker.claim(number, attempt)


def test_what_always_runs_cleans_up_after_a_cancelled_run(farm: Farm, worker: Worker) -> None:
    test = claimed(farm, worker)
    cancel(farm)
    assert [name for name, state in now(farm).items() if state == "waiting"] == ["clean", "mail"]
    assert [name for name, state in now(farm).items() if state == "cancelled"] == ["ship", "tell", "late"]
    assert worker.renew(test)["cancelled"], "its worker hears of it"
    test.end("cancelled")
    farm.settle()
    clean = claimed(farm, worker)
    assert clean.claimed["name"] == "clean"
    assert worker.renew(clean)["cancelled"] == []
    clean.end("passed")
    farm.settle()
    claimed(farm, worker).end("passed")
    farm.settle()
    row = farm.run(1)
    assert row["state"] == "cancelled"
    assert row["reason"].startswith("test: cancelled by ada: wrong")
    assert now(farm)["mail"] == "passed"
    with farm.store.reading() as connection:
        assert not invariants.look(connection, farm.clock.now())


def test_a_second_cancellation_ends_the_cleaning_too(farm: Farm, worker: Worker) -> None:
    test = claimed(farm, worker)
    cancel(farm)
    test.end("cancelled")
    farm.settle()
    clean = claimed(farm, worker)
    cancel(farm)
    assert worker.renew(clean)["cancelled"]
    clean.end("cancelled")
    farm.settle()
    assert now(farm)["mail"] == "cancelled"
    assert farm.run(1)["state"] == "cancelled"


def test_nothing_is_cleaned_up_where_nothing_has_begun(farm: Farm, worker: Worker) -> None:
    cancel(farm)
    assert set(now(farm).values()) == {"cancelled"}
    assert farm.run(1)["state"] == "cancelled"


def test_what_cleans_up_has_so_much_time(farm: Farm, worker: Worker) -> None:
    test = claimed(farm, worker)
    cancel(farm)
    test.end("cancelled")
    farm.settle()
    clean = claimed(farm, worker)
    farm.clock.advance(farm.context.settings.clean_up_within - timedelta(seconds=1))
    worker.renew(clean)
    farm.settle()
    assert now(farm)["clean"] == "running"
    farm.clock.advance(timedelta(seconds=2))
    farm.settle()
    assert worker.renew(clean)["cancelled"]
    clean.end("cancelled")
    farm.settle()
    row = farm.run(1)
    assert row["state"] == "cancelled"
    assert farm.job(1, "clean")["reason"] == "the run was not over by its deadline"


def test_a_failed_clean_up_is_not_hidden_by_the_cancellation(farm: Farm, worker: Worker) -> None:
    test = claimed(farm, worker)
    cancel(farm)
    test.end("cancelled")
    farm.settle()
    claimed(farm, worker).end("failed", reason="step 1 failed", exit_code=1)
    farm.settle()
    claimed(farm, worker).end("passed")
    farm.settle()
    assert (farm.run(1)["state"], farm.run(1)["reason"]) == ("failed", "clean: step 1 failed")


@pytest.mark.parametrize(
    ("state", "asked"), [(states.Run.RUNNING, (1,)), (states.Run.PENDING, (1, 2))], ids=["begun", "not begun"]
)
def test_a_superseded_run_cleans_up_as_well_if_it_has_begun(state: states.Run, asked: tuple[int, ...]) -> None:
    jobs = job(1, Job.READY), job(2, Job.WAITING, "j1", runs_when="always")
    found = list(older_runs(Snapshot(runs=(run(*jobs, state=state, superseded_by=2),)), frozenset()))
    assert found == [Supersede(1, 2, asked, "run 2 is newer")]
