"""Candidates from outside: what makes one, what waits, what is refused; and a token that can do nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farmgate.models import Candidate
from farmgate.states import Run, Submission
from farmgate.store import candidates, lanes, repositories
from scheduler.decisions import Settle
from scheduler.outside import Standing, settled, waits_for
from tests.scheduler.farm import Farm

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATE = NOW + timedelta(hours=2)
IMAGE = {"web": "registry.example/shop@sha256:" + "a" * 64}
SEEN = Standing(1, NOW + timedelta(hours=1), IMAGE, on_a_branch=True, own_run=None, candidate=None)
GREEN = [{"name": "unit", "result": "passed"}]
POLICY = """
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes: {production: {}}
"""


@pytest.mark.parametrize(
    ("seen", "now", "after"),
    [
        (SEEN, NOW, Submission.ACCEPTED),
        (replace(SEEN, on_a_branch=False), NOW, None),
        (replace(SEEN, on_a_branch=False), LATE, Submission.EXPIRED),
        (replace(SEEN, own_run=(7, Run.RUNNING)), NOW, None),
        (replace(SEEN, own_run=(7, Run.PENDING)), LATE, Submission.EXPIRED),
        (replace(SEEN, own_run=(7, Run.PASSED)), LATE, Submission.ACCEPTED),
        (replace(SEEN, own_run=(7, Run.FAILED)), NOW, Submission.REFUSED),
        (replace(SEEN, own_run=(7, Run.CANCELLED)), NOW, Submission.REFUSED),
        (replace(SEEN, own_run=(7, Run.LOST), on_a_branch=False), NOW, Submission.REFUSED),
        (replace(SEEN, candidate=(3, "farmgate", IMAGE)), NOW, Submission.ACCEPTED),
        (replace(SEEN, candidate=(3, "farmgate", {})), NOW, Submission.REFUSED),
    ],
)
def test_what_becomes_of_one_that_waits(seen: Standing, now: datetime, after: Submission | None) -> None:
    found = settled(seen, now)
    assert (found.after if found is not None else None) == after
    if found is None:
        assert waits_for(seen)


def test_a_second_time_says_whose_it_is() -> None:
    again = settled(replace(SEEN, candidate=(3, "jenkins", IMAGE)), NOW)
    assert again == Settle(1, Submission.ACCEPTED, "it was a candidate of jenkins already, just so")


def submit(farm: Farm, sha: str, http: TestClient | None = None, **more: Any) -> Any:
    body = {"sha": sha, "source": "jenkins", "checks": GREEN, "artifacts": IMAGE, **more}
    return (http or farm.http).post("/api/candidates/shop", json=body)


def candidate(farm: Farm, sha: str) -> Candidate | None:
    with farm.store.reading() as connection:
        return candidates.of_commit(connection, repositories.by_name(connection, "shop").id, sha)


@pytest.fixture
def outside(farm: Farm) -> tuple[Farm, str]:
    """A repository whose checks run elsewhere: it has no pipeline file."""
    sha = farm.repository.add("first", {"README": "a shop"})
    farm.connect()
    return farm, sha


def test_a_green_commit_is_a_candidate_at_once_and_only_once(outside: tuple[Farm, str]) -> None:
    farm, sha = outside
    made = submit(farm, sha, url="https://jenkins.example/job/7/")
    assert made.status_code == 201, made.text
    assert (made.json()["state"], made.json()["url"]) == ("accepted", "https://jenkins.example/job/7/")
    found = candidate(farm, sha)
    assert found is not None
    assert (found.source, found.run_id, found.artifacts) == ("jenkins", None, IMAGE)
    assert made.json()["candidate"] == found.id
    assert farm.deploy.woken
    again = submit(farm, sha, url="https://jenkins.example/job/7/")
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    other = submit(farm, sha, artifacts={})
    assert (other.status_code, "never changes" in other.json()["error"]) == (409, True)
    kinds = [row["kind"] for row in farm.http.get("/api/audit", params={"kind": "candidate."}).json()]
    assert kinds == ["candidate.accepted", "candidate.submitted"]


def test_it_stands_in_the_lane_like_one_of_our_own(outside: tuple[Farm, str]) -> None:
    farm, sha = outside
    farm.http.put("/api/lanes/policy", content=POLICY)
    (before,) = farm.http.get("/api/lanes/shop/production").json()["waiting"]
    assert "checks" in before["kinds"]
    submit(farm, sha)
    lane = farm.http.get("/api/lanes/shop/production").json()
    assert (lane["next"]["sha"], lane["waiting"][0]["checks"]) == (sha, "green")


def test_a_red_check_makes_no_candidate_and_a_repeated_run_may(outside: tuple[Farm, str]) -> None:
    farm, sha = outside
    red = submit(farm, sha, checks=[*GREEN, {"name": "e2e", "result": "failed"}])
    assert (red.json()["state"], red.json()["reason"]) == ("refused", "not green: e2e")
    assert candidate(farm, sha) is None
    assert submit(farm, sha).json()["state"] == "accepted"
    listed = farm.http.get("/api/candidates/shop").json()
    assert [each["state"] for each in listed["submissions"]] == ["accepted", "refused"]
    assert listed["candidates"][0]["source"] == "jenkins"


def test_a_commit_that_is_not_known_yet_waits_until_it_is_seen(outside: tuple[Farm, str]) -> None:
    farm, _ = outside
    sha = farm.repository.add("second", {"README": "two"})
    early = submit(farm, sha)
    assert (early.status_code, early.json()["state"]) == (201, "waiting")
    assert "seen on a branch" in early.json()["reason"]
    farm.settle()
    assert candidate(farm, sha) is not None, "the repository was asked at once"
    nowhere = submit(farm, "e" * 40).json()
    farm.clock.advance(timedelta(hours=2))
    farm.settle()
    gone = {each["id"]: each for each in farm.http.get("/api/candidates/shop").json()["submissions"]}[nowhere["id"]]
    assert (gone["state"], "submit it again" in gone["reason"]) == ("expired", True)
    assert submit(farm, "e" * 40).status_code == 201, "which is then a new one"


def test_nobody_goes_round_a_gate_that_stands_here(shop: Farm) -> None:
    sha = shop.http.get("/api/runs/1").json()["sha"]
    waiting = submit(shop, sha).json()
    assert (waiting["state"], waiting["reason"]) == ("waiting", "run 1 of the commit here must pass")
    shop.http.post("/api/runs/1/cancel", json={"reason": "red"})
    shop.settle()
    (row,) = shop.http.get("/api/candidates/shop").json()["submissions"]
    assert (row["state"], row["reason"]) == ("refused", "run 1 of the commit here is cancelled")
    assert candidate(shop, sha) is None


def test_bytes_are_put_first_and_named_by_digest(outside: tuple[Farm, str]) -> None:
    farm, sha = outside
    name = f"sha256:{hashlib.sha256(b'a site').hexdigest()}"
    early = submit(farm, sha, artifacts={"site.tar.gz": name})
    assert (early.status_code, "upload them first" in early.json()["error"]) == (400, True)
    put = farm.http.put("/api/candidates/shop/bytes", content=b"a site")
    assert put.json() == {"sha256": name[7:], "size_bytes": 6}
    assert submit(farm, sha, artifacts={"site.tar.gz": name}).json()["state"] == "accepted"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"artifacts": {"web": "registry.example/shop:latest"}}, "a tag can move"),
        ({"artifacts": {"web": "sha256:12"}}, "by digest"),
        ({"checks": []}, "checks"),
        ({"checks": [*GREEN, *GREEN]}, "told twice: unit"),
        ({"checks": [{"name": "unit", "result": "green"}]}, "result"),
        ({"source": "farmgate"}, "name the system"),
        ({"sha": "abc"}, "sha"),
        ({"url": "javascript:alert(1)"}, "url"),
    ],
)
def test_what_is_wrong_is_named(outside: tuple[Farm, str], wrong: dict[str, Any], said: str) -> None:
    farm, sha = outside
    refused = submit(farm, wrong.pop("sha", sha), **wrong)
    assert refused.status_code in (400, 422)
    assert said in refused.text
    assert farm.http.get("/api/candidates/shop").json() == {"candidates": [], "submissions": []}


def test_its_token_submits_for_its_repository_and_nothing_else(outside: tuple[Farm, str]) -> None:
    farm, sha = outside

    def holder(right: str) -> TestClient:
        made = farm.http.post("/api/tokens", json={"name": "ci", "rights": [right]}).json()
        return TestClient(farm.app, base_url="http://farm", headers={"Authorization": f"Bearer {made['token']}"})

    ours, others, writer = holder("candidates:shop"), holder("candidates:bakery"), holder("write")
    assert submit(farm, sha, others).status_code == 403
    assert submit(farm, sha, writer).status_code == 403, "who may roll back may still not say that tests passed"
    assert others.put("/api/candidates/shop/bytes", content=b"x").status_code == 403
    assert submit(farm, sha, ours).status_code == 201
    assert ours.get("/api/candidates/shop").status_code == 403
    assert ours.get("/api/lanes").status_code == 403
    assert farm.stranger.post("/api/candidates/shop", json={}).status_code in (401, 422)


def test_what_waits_keeps_its_bytes(outside: tuple[Farm, str]) -> None:
    from farmgate.store import holdings

    farm, _ = outside
    sha256 = farm.http.put("/api/candidates/shop/bytes", content=b"a site").json()["sha256"]
    submit(farm, "e" * 40, artifacts={"site": f"sha256:{sha256}"})
    with farm.store.reading() as connection:
        assert sha256 in holdings.delivered(connection)
        assert lanes.every(connection) == []
