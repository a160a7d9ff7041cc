"""The same work is not done twice, on a farm of real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.real_farm import RealFarm

pytestmark = pytest.mark.needs("git", "redis", "haproxy")


def test_a_commit_that_touches_no_input_is_answered_without_running(tmp_path: Path) -> None:
    farm = RealFarm(tmp_path, inputs=["service.py"])
    try:
        farm.start()
        farm.connect()
        first = farm.push(1)
        farm.wait_for("the first answer", lambda: farm.answered(first))
        second = farm.push(1)
        farm.wait_for("the second answer", lambda: farm.answered(second))
        runs = {run["sha"]: farm.api.run(run["id"]) for run in farm.runs()}
        assert [runs[sha]["state"] for sha in first + second] == ["passed", "passed"]
        (job,) = runs[second[0]]["jobs"]
        assert job["reused_from"]["run"] == runs[first[0]]["id"]
        assert [one["path"] for one in job["artifacts"]] == ["service.tar.gz"]
        assert farm.ran.read_text().split() == first, "nothing ran for the second"
        assert farm.violations() == []
    finally:
        farm.stop()
