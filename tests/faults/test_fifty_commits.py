"""Fifty commits pushed at once, on real processes: left in peace, and with parts of the farm killed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from farmgate import states
from farmgate.store.schema import attempts
from tests.faults.real_farm import LANES, RealFarm

COMMITS = 50


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[RealFarm]:
    farm = RealFarm(tmp_path)
    try:
        farm.start()
        farm.connect()
        yield farm
    finally:
        farm.stop()


@pytest.mark.needs("haproxy", "git")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_of_fifty_commits_gets_one_run_and_rides_in_exactly_one_batch_per_lane(farm: RealFarm) -> None:
    shas = farm.push(COMMITS)
    farm.wait_for("an answer for each commit", lambda: farm.answered(shas), 120)
    everything_ended_well(farm, shas)
    ran = Counter(farm.ran.read_text().split())
    assert ran == dict.fromkeys(shas, 1), "a step ran twice, or never"


@pytest.mark.needs("haproxy", "git")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_killed_meanwhile_costs_time_and_nothing_else(farm: RealFarm) -> None:
    shas = farm.push(COMMITS)
    farm.wait_for("a first answer", lambda: [run for run in farm.runs() if run["state"] == "passed"])
    farm.kill("workers")
    farm.wait_for("work after the worker's death", lambda: passed_runs(farm) > 5)
    farm.flush_redis()
    farm.kill("scheduler")
    farm.wait_for("work after the scheduler's death", lambda: passed_runs(farm) > 12)
    farm.wait_for("a rollout under way", lambda: farm.api.lane("web", "staging")["active"])
    farm.kill("deploy")
    farm.flush_redis()
    farm.kill("agents")
    farm.wait_for("an answer for each commit", lambda: farm.answered(shas), 240)
    everything_ended_well(farm, shas)


def passed_runs(farm: RealFarm) -> int:
    return sum(1 for run in farm.runs() if run["state"] == "passed")


def everything_ended_well(farm: RealFarm, shas: list[str]) -> None:
    assert Counter(run["sha"] for run in farm.runs()) == dict.fromkeys(shas, 1)
    assert {run["state"] for run in farm.runs()} == {"passed"}
    for lane in LANES:
        farm.wait_for(f"the last commit live in {lane}", partial(farm.live_and_quiet, lane, shas[-1]), 120)
        carried = [sha for batch in farm.batches(lane) for sha in batch]
        assert carried == shas, f"{lane}: not each commit in exactly one batch, in order"
    assert passed_twice(farm) == 0
    assert farm.violations() == []


def passed_twice(farm: RealFarm) -> int:
    """Jobs of which more than one attempt passed."""
    passed = (
        select(attempts.c.job_id)
        .where(attempts.c.state == states.Attempt.PASSED)
        .group_by(attempts.c.job_id)
        .having(func.count() > 1)
    )
    with farm.store.reading() as connection:
        return len(connection.execute(passed).all())
