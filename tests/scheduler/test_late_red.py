"""A candidate that turns red: by a run of ours, by another system, by a person; and how that ends."""

from __future__ import annotations

from typing import Any

import pytest

from farmgate.pipeline import FILE_NAME
from tests.scheduler.farm import ONE_JOB, Farm

pytestmark = pytest.mark.needs("git")


def red(farm: Farm, sha: str) -> list[tuple[str, bool]]:
    """The checks that said no of a commit, the newest first, and whether they still do."""
    body: dict[str, Any] = farm.http.get(f"/api/commits/shop/{sha}").json()
    return [(each["check"], each["over_at"] is None) for each in body["red"]]


def test_a_run_again_that_fails_turns_a_candidate_red_and_one_that_passes_ends_that(farm: Farm) -> None:
    farm.connect()
    worker = farm.join()
    (sha,) = farm.push("one", files={FILE_NAME: ONE_JOB})
    worker.work("failed")
    assert red(farm, sha) == [], "it was no candidate"
    for outcome, wanted in (("passed", []), ("failed", [("test", True)]), ("passed", [("test", False)])):
        first = farm.http.post(f"/api/runs/{farm.runs()[0]['id']}/rerun", json={"reuse": False})
        assert first.status_code < 300, first.text
        farm.settle()
        worker.work(outcome)
        assert red(farm, sha) == wanted, outcome
    assert farm.http.get(f"/api/commits/shop/{sha}").json()["candidate"] is not None


def test_others_say_no_late_and_a_person_says_yes(farm: Farm) -> None:
    farm.connect()
    worker = farm.join()
    (sha,) = farm.push("one", files={FILE_NAME: ONE_JOB})
    where = f"/api/candidates/shop/{sha[:10]}"
    said = {"check": "load-test", "reason": "p99 doubled", "source": "jenkins"}
    assert farm.http.post(f"{where}/red", json=said).json() == [], "it is no candidate yet"
    worker.work()
    for _ in range(2):
        (body,) = farm.http.post(f"{where}/red", json=said).json()
    assert (body["check"], body["source"], body["told_by"]) == ("load-test", "jenkins", "ada")
    assert farm.http.post(f"{where}/green", json={"check": "other", "reason": "x"}).json()[0]["over_at"] is None
    (over,) = farm.http.post(f"{where}/green", json={"reason": "the machine was busy"}).json()
    assert (over["over_by"], over["over_reason"]) == ("ada", "the machine was busy")


def test_who_has_no_right_says_nothing(farm: Farm) -> None:
    farm.connect()
    (sha,) = farm.push("one", files={FILE_NAME: ONE_JOB})
    for verb in ("red", "green"):
        answer = farm.stranger.post(f"/api/candidates/shop/{sha}/{verb}", json={"check": "x", "reason": "y"})
        assert answer.status_code == 401
