"""The API of lanes, over the real application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from farmgate import lanes as rules
from farmgate import states
from farmgate.models import RolloutKind
from farmgate.store import bans, candidates, lane_views, lanes, rollouts
from farmgate.store.schema import rollouts as rollout_table
from farmgate.store.schema import tokens as token_table
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
        values = {"state": states.Rollout.ASKING, "wave": 1, "started_at": farm.clock.now()}
        connection.execute(update(rollout_table).values(**values))
    said = {"verdict": "good", "reason": "looks right"}
    refused = farm.http.post("/api/lanes/shop/production/decide", json=said)
    assert (refused.status_code, "wave 2 of rollout 1 asks ben, not ada" in refused.json()["error"]) == (403, True)
    with farm.store.writing() as connection:
        connection.execute(update(rollout_table).where(rollout_table.c.id == made.id).values(wave=0))
    assert farm.http.post("/api/lanes/shop/production/decide", json=said).status_code == 200


def test_one_button_stops_every_lane_and_one_lets_them_go_on(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    stopped = farm.http.post("/api/stop", json={"reason": "it burns", "for": "1h"})
    assert (stopped.status_code, stopped.json()["kind"]) == (201, "stop")
    lane = farm.http.get("/api/lanes/shop/production").json()
    assert lane["problem"] == "every lane is stopped by ada: it burns"
    assert all("every lane is stopped by ada: it burns" in each["reasons"] for each in lane["waiting"])
    assert [each["reason"] for each in farm.http.get("/api/stop").json()] == ["it burns"]
    assert farm.http.request("DELETE", "/api/lanes/shop/production/hold").json() == {"lifted": 0}
    assert farm.http.request("DELETE", "/api/stop").json() == {"lifted": 1}
    assert farm.http.get("/api/lanes/shop/production").json()["problem"] is None
    assert farm.stranger.post("/api/stop", json={"reason": "x"}).status_code == 401


def test_a_freeze_is_planned_and_one_that_makes_no_sense_is_refused(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    where, now = "/api/lanes/shop/production/freeze", farm.clock.now()
    begins, until = (now + timedelta(hours=1)).isoformat(), (now + timedelta(hours=2)).isoformat()
    planned = farm.http.post(where, json={"reason": "fair", "from": begins, "until": until})
    assert (planned.status_code, planned.json()["kind"]) == (201, "freeze")
    lane = farm.http.get("/api/lanes/shop/production").json()
    assert (lane["problem"], [each["reason"] for each in lane["holds"]]) == (None, ["fair"])
    for wrong, status, said in (
        ({"from": until, "until": begins}, 409, "would end before it begins"),
        ({"from": (now - timedelta(hours=2)).isoformat(), "until": now.isoformat()}, 409, "over before it began"),
        ({"from": "2026-01-01T00:00", "until": until}, 422, "say the time zone"),
        ({"until": until}, 422, "from"),
    ):
        answer = farm.http.post(where, json={"reason": "x", **wrong})
        assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_a_policy_that_leaves_no_moment_is_refused(farm: Farm) -> None:
    never = POLICY.replace("waves", "freezes: [{from: 2020-01-01, to: 2099-01-01, reason: the end}]\n    waves", 1)
    answer = farm.http.put("/api/lanes/policy", content=never)
    assert (answer.status_code, "leave it no moment" in answer.text) == (409, True)


ASKS = POLICY.replace("waves", "approvals: {by: [ada, eve], not_author: false}\n    waves", 1)


def test_what_is_approved_is_what_was_shown_and_of_more_only_the_difference(farm: Farm) -> None:
    where = "/api/lanes/shop/production"
    assert farm.http.get(f"{where}/approval").status_code == 404
    farm.http.put(
        "/api/lanes/policy",
        content=ASKS,
    )
    waits = farm.http.get(where).json()
    assert (waits["next"]["sha"], "needs 1 approval of ada, eve" in waits["waiting"][1]["reasons"][0]) == (None, True)
    shown = farm.http.get(f"{where}/approval").json()
    assert (shown["until_sha"], shown["since_sha"], shown["commit_count"]) == (rows.sha(3), None, 3)
    wrong = farm.http.post(f"{where}/approval", json={"since_sha": rows.sha(9), "until_sha": shown["until_sha"]})
    assert (wrong.status_code, "changed since you looked" in wrong.text) == (409, True)
    gone = farm.http.post(f"{where}/approval", json={"since_sha": None, "until_sha": rows.sha(4)})
    assert (gone.status_code, "does not wait here" in gone.text) == (409, True)
    early = farm.http.get(f"{where}/approval", params={"until": rows.sha(2)}).json()
    given = farm.http.post(f"{where}/approval", json={"until_sha": early["until_sha"], "reason": "read it"})
    assert given.status_code == 201
    assert farm.http.get(where).json()["next"]["sha"] == rows.sha(2)
    more = farm.http.get(f"{where}/approval").json()
    assert (more["since_sha"], more["until_sha"], more["commit_count"]) == (rows.sha(2), rows.sha(3), 1)
    farm.http.post(f"{where}/approval", json={"since_sha": rows.sha(2), "until_sha": rows.sha(3)})
    lane = farm.http.get(where).json()
    assert lane["next"]["sha"] == rows.sha(3)
    assert [each["approved_by"] for each in lane["approvals"]] == ["ada", "ada"]
    assert farm.http.request("DELETE", f"{where}/approval").json() == {"lifted": 2}
    assert farm.http.get(where).json()["next"]["sha"] is None


def test_an_approver_who_lost_the_right_or_left_the_policy_does_not_count(farm: Farm) -> None:
    where = "/api/lanes/shop/production"
    asks = ASKS
    farm.http.put("/api/lanes/policy", content=asks)
    farm.http.post(f"{where}/approval", json={"until_sha": rows.sha(3)})
    assert farm.http.get(where).json()["next"]["sha"] == rows.sha(3)
    farm.http.put("/api/lanes/policy", content=asks.replace("ada, eve", "eve"))
    assert farm.http.get(where).json()["next"]["sha"] is None
    refused = farm.http.post(f"{where}/approval", json={"until_sha": rows.sha(3)})
    assert (refused.status_code, "asks eve, not ada" in refused.text) == (403, True)
    farm.http.put("/api/lanes/policy", content=asks)
    assert farm.http.get(where).json()["next"]["sha"] == rows.sha(3)
    with farm.store.writing() as connection:
        connection.execute(update(token_table).where(token_table.c.name == "ada").values(rights=["read"]))
        view = lane_views.view(connection, lanes.by_name(connection, "shop", "production"), farm.clock.now())
    assert isinstance(rules.cut(view, farm.clock.now()), rules.Wait)


def test_nobody_approves_a_batch_that_they_wrote_alone(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY.replace("waves", "approvals: {count: 1}\n    waves", 1))
    shown = farm.http.get("/api/lanes/shop/production/approval").json()
    assert (shown["own"], shown["commit_count"]) == (3, 3)
    refused = farm.http.post("/api/lanes/shop/production/approval", json={"until_sha": shown["until_sha"]})
    assert (refused.status_code, "ada wrote all of it" in refused.text) == (403, True)


def test_a_person_names_what_fixes_a_banned_commit(farm: Farm) -> None:
    farm.http.put("/api/lanes/policy", content=POLICY)
    with farm.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        now = farm.clock.now()
        bans.put(connection, lane.id, rows.sha(2), 2, [rows.sha(2)], "went sick", "farmgate", now, rollout_id=None)
    path = f"/api/lanes/shop/production/bans/{rows.sha(2)}/fixed"
    blocked = farm.http.get("/api/lanes/shop/production").json()
    assert blocked["next"]["sha"] == rows.sha(1)
    early = farm.http.post(path, json={"commit": rows.sha(1), "reason": "x"})
    assert (early.status_code, "a fix comes after it" in early.json()["error"]) == (409, True)
    assert farm.http.post(path, json={"commit": "beef", "reason": "x"}).status_code == 404
    assert farm.http.post(path, json={"commit": "; rm", "reason": "x"}).status_code == 422
    assert farm.stranger.post(path, json={"commit": rows.sha(3), "reason": "x"}).status_code == 401
    said = farm.http.post(path, json={"commit": rows.sha(3), "reason": "seen on staging"})
    assert said.json() == {"banned": rows.sha(2), "fix": rows.sha(3), "title": "commit 3"}
    assert farm.http.get("/api/lanes/shop/production").json()["next"]["sha"] == rows.sha(3)
