"""The API and the page of groups, over the real application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from farmgate.models import Rollout, RolloutKind
from farmgate.store import joints, lane_groups, lane_views, lanes, releases, rollouts
from tests.deploy import rows
from tests.deploy.test_loop import POLICY
from tests.scheduler.farm import Farm

GROUP = "group: all\nlanes: [shop/production, web/production]\n"


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    with made.store.writing() as connection:
        repository = rows.connect(connection, made.clock.now())
        rows.push(connection, repository, range(1, 4), made.clock.now())
    assert made.http.put("/api/lanes/policy", content=POLICY).status_code == 200
    web = POLICY.replace("application: shop", "application: web\nrepository: shop")
    assert made.http.put("/api/lanes/policy", content=web).status_code == 200
    yield made
    made.close()


def deliver(farm: Farm, position: int) -> None:
    """Both lanes have this commit live, by a joint rollout."""
    now = farm.clock.now()
    with farm.store.writing() as connection:
        made: dict[int, Rollout] = {}
        for place, lane in enumerate(lanes.every(connection)):
            view = lane_views.of_lane(connection, lane, now)
            commit = next(each for each in view.commits if each.position == position)
            assert commit.candidate_id is not None
            new = rollouts.NewRollout(
                lane, RolloutKind.FORWARD, commit.candidate_id, view.base, None, position, commit.sha,
                view.live.release_id if view.live else None, None, lane.policy, "main", "farmgate", None,
                timedelta(hours=1),
            )  # fmt: skip
            made[place] = rollouts.cut(connection, new, 0, now)
        group = lane_groups.by_name(connection, "all")
        joints.tie(connection, group.id, RolloutKind.FORWARD, made, now)
        for rollout in made.values():
            moved = rollout
            for state in ("running", "finishing", "good"):
                moved_to = type(rollout.state)(state)
                rollouts.moved(connection, moved, moved_to, finished_at=now if state == "good" else None)
                moved = rollouts.by_id(connection, rollout.id)
            releases.publish(connection, moved, {}, {"type": "command"}, now)


def test_a_lane_that_goes_on_without_culprits_is_in_no_group(farm: Farm) -> None:
    reverting = POLICY + "    on_culprit: revert\n"
    assert farm.http.put("/api/lanes/policy", content=reverting).status_code == 200
    refused = farm.http.put("/api/groups", content=GROUP)
    assert refused.status_code == 409
    assert "shop/production says on_culprit: revert" in refused.text
    assert farm.http.put("/api/lanes/policy", content=POLICY).status_code == 200
    assert farm.http.put("/api/groups", content=GROUP).status_code == 200
    refused = farm.http.put("/api/lanes/policy", content=reverting)
    assert refused.status_code == 409
    assert "is in the group all, where on_culprit: revert does not apply" in refused.text


def test_a_group_is_applied_by_an_administrator_and_kept_in_versions(farm: Farm) -> None:
    bad = farm.http.put("/api/groups?source=t.yml", content="group: all\nlanes: [shop/production, moon/production]\n")
    assert bad.status_code == 404
    assert farm.http.get("/api/groups").json() == []
    assert farm.stranger.put("/api/groups", content=GROUP).status_code == 401
    assert farm.http.put("/api/groups", content=GROUP).json() == {"name": "all", "version": 1, "change": "created"}
    assert farm.http.put("/api/groups", content=GROUP).json()["change"] == "unchanged"
    taken = farm.http.put("/api/groups", content=GROUP.replace("group: all", "group: more"))
    assert taken.status_code == 409
    assert "shop/production is in the group all already" in taken.json()["error"]
    assert farm.http.get("/api/lanes/web/production").json()["group"] == "all"
    assert farm.http.delete("/api/groups/all").json() == {"name": "all", "version": 2, "change": "dissolved"}
    assert farm.http.get("/api/groups").json() == []
    versions = farm.http.get("/api/groups/all").json()["versions"]
    assert [each["lanes"] for each in versions] == [[], ["shop/production", "web/production"]]
    assert farm.http.get("/api/groups/moon").status_code == 404
    assert farm.deploy.woken


def test_a_group_says_what_goes_next_and_why_nothing_does(farm: Farm) -> None:
    farm.http.put("/api/groups", content=GROUP)
    found = farm.http.get("/api/groups/all").json()
    assert [(each["lane"], each["sha"]) for each in found["next"]] == [
        ("shop/production", rows.sha(3)),
        ("web/production", rows.sha(3)),
    ]
    farm.http.post("/api/lanes/web/production/hold", json={"reason": "a fair"})
    found = farm.http.get("/api/groups/all").json()
    assert any("web/production goes together with it: held by" in reason for reason in found["reasons"])


def test_who_rolls_back_a_lane_of_a_group_says_whether_alone(farm: Farm) -> None:
    farm.http.put("/api/groups", content=GROUP)
    deliver(farm, 1)
    deliver(farm, 2)
    path = "/api/lanes/shop/production/rollback"
    refused = farm.http.post(path, json={"reason": "worse"})
    assert refused.status_code == 409
    assert "say whether it goes back alone or together" in refused.json()["error"]
    done = farm.http.post(path, json={"reason": "worse", "together": True})
    assert done.json()["together"] == [{"lane": "web/production", "to_sha": rows.sha(1)}]
    with farm.store.reading() as connection:
        orders = [lane.rollback or {} for lane in lanes.every(connection)]
    assert {order["asked_at"] for order in orders} == {orders[0]["asked_at"]}
    assert all(order["together"] == ["shop/production", "web/production"] for order in orders)
    history = farm.http.get("/api/groups/all").json()["history"]
    assert [each["state"] for each in history] == ["good", "good"]
