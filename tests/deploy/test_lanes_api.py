"""The API of lanes, over the real application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from farmgate import states
from farmgate.models import RolloutKind
from farmgate.store import candidates, lanes, rollouts
from farmgate.store.schema import rollouts as rollout_table
from tests.deploy import rows
from tests.deploy.test_loop import POLICY
from tests.scheduler.farm import Farm


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    with made.store.writing() as connection:
        repository = rows.connect(connection, made.clock.now())
        rows.push(connection, repository, range(1, 4), made.clock.now())
        rows.push(connection, repository, [4], made.clock.now(), is_green=False)
    yield made
    made.close()


def test_a_policy_is_applied_by_an_administrator_all_or_nothing(farm: Farm) -> None:
    bad = farm.http.put("/api/lanes/policy?source=d.yml", content=POLICY.replace("share: 20", "share: 100"))
    assert bad.status_code == 422
    assert "d.yml:6:46: a share must rise" in bad.json()["error"]
    assert farm.http.get("/api/lanes").json() == []
    assert farm.stranger.put("/api/lanes/policy", content=POLICY).status_code == 401
    done = farm.http.put("/api/lanes/policy", content=POLICY)
    expected = {"application": "shop", "environment": "production", "version": 1, "change": "created"}
    assert done.json() == {"lanes": [expected]}
    process = POLICY.replace("type: command, shift: [x], restore: [x]", "type: process, command: [x]")
    refused = farm.http.put("/api/lanes/policy", content=process.replace("waves", "listen: 127.0.0.1:9\n    waves"))
    assert refused.status_code == 409
    assert farm.deploy.woken


def test_a_lane_says_what_waits_and_why(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    lane = farm.http.get("/api/lanes/shop/production").json()
    assert lane["live"] is None
    assert [each["position"] for each in lane["waiting"]] == [4, 3, 2, 1]
    assert lane["next"]["sha"] == rows.sha(3)
    assert [each["position"] for each in lane["next"]["commits"]] == [1, 2, 3]
    assert "rides with" in lane["waiting"][-1]["reasons"][0]
    assert farm.http.get("/api/lanes").json()[0]["waiting"] == 4
    assert farm.http.get("/api/lanes/shop/moon").status_code == 404


def test_a_hold_stops_a_lane_until_it_is_lifted(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    held = farm.http.post("/api/lanes/shop/production/hold", json={"reason": "lunch", "for": "30m"})
    assert held.status_code == 201
    lane = farm.http.get("/api/lanes/shop/production").json()
    assert lane["problem"] == "held by ada: lunch"
    assert all("held by ada: lunch" in each["reasons"] for each in lane["waiting"])
    assert farm.http.request("DELETE", "/api/lanes/shop/production/hold").json() == {"lifted": 1}
    assert farm.http.get("/api/lanes/shop/production").json()["holds"] == []


def test_what_cannot_be_done_is_refused_with_its_reason(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    back = farm.http.post("/api/lanes/shop/production/rollback", json={"reason": "x"})
    assert (back.status_code, "nothing is live" in back.json()["error"]) == (409, True)
    decided = farm.http.post("/api/lanes/shop/production/decide", json={"verdict": "good", "reason": "x"})
    assert (decided.status_code, "no rollout" in decided.json()["error"]) == (409, True)
    lifted = farm.http.post(f"/api/lanes/shop/production/bans/{rows.sha(1)}/lift", json={"reason": "x"})
    assert lifted.status_code == 404
    with farm.store.reading() as connection:
        assert rollouts.active_of(connection, lanes.by_name(connection, "shop", "production").id) is None


def test_where_a_wave_names_who_answers_nobody_else_does(farm: Farm) -> None:
    asking = POLICY.replace("{share: 100, soak: 10s}", "{share: 100, soak: 10s, checks: [{ask: [ben]}]}")
    assert asking != POLICY
    assert farm.http.put("/api/lanes/policy", content=asking).status_code == 200
    with farm.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        candidate = candidates.of_commit(connection, lane.repository_id, rows.sha(3))
        assert candidate is not None
        new = rollouts.NewRollout(
            lane=lane,
            kind=RolloutKind.FORWARD,
            candidate_id=candidate.id,
            since_position=0,
            since_sha=None,
            until_position=3,
            until_sha=rows.sha(3),
            from_release_id=None,
            search_id=None,
            policy=lane.policy,
            branch="main",
            asked_by="farmgate",
            reason=None,
            patience=timedelta(hours=1),
        )
        made = rollouts.cut(connection, new, 0, farm.clock.now())
        connection.execute(update(rollout_table).values(state=states.Rollout.ASKING, wave=1))
    said = {"verdict": "good", "reason": "looks right"}
    refused = farm.http.post("/api/lanes/shop/production/decide", json=said)
    assert (refused.status_code, "wave 2 of rollout 1 asks ben, not ada" in refused.json()["error"]) == (403, True)
    with farm.store.writing() as connection:
        connection.execute(update(rollout_table).where(rollout_table.c.id == made.id).values(wave=0))
    assert farm.http.post("/api/lanes/shop/production/decide", json=said).status_code == 200
