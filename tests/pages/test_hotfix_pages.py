"""Hotfixes on the lane's page, through the same functions as the API."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import insert

from farmgate import states
from farmgate.policy import Approvals
from farmgate.store import lanes, made, repositories, schema
from scheduler import making
from tests.pages.farm import Farm, OneHistory, TestClient
from tests.store import rows

LANE = "/lanes/shop/production"


def live_and_fix(farm: Farm, **policy: Any) -> tuple[str, str]:
    """A lane whose live commit is in the mirror, and a fix on a branch of its own."""
    history = cast("OneHistory", farm.context.mirrors).history
    live = history.add("Checkout", {".farmgate.yml": "jobs: {test: {steps: [make]}}\n", "cart": "1"})
    fix = history.add("Charge once", {"cart": "2"}, branch="fix", parents=[live], author="Grace")
    lane = farm.lane(**policy)
    with farm.context.store.writing() as connection:
        rows.a_commit(connection, farm.repository, live, 1, farm.ago(90))
        made_of = rows.a_candidate(connection, farm.repository, live, farm.ago(80))
    farm.rollout(lane, made_of, 1, states.Rollout.GOOD, 0, 0, until_sha=live, until_position=1)
    return live, fix


def test_a_hotfix_is_asked_for_shown_and_cancelled(farm: Farm, client: TestClient) -> None:
    _, fix = live_and_fix(farm)
    assert "picked onto" in client.get(f"{LANE}/hotfix").text
    assert client.post(f"{LANE}/hotfix", data={"commits": fix, "reason": ""}).status_code == 400
    assert client.post(f"{LANE}/hotfix", data={"commits": "--all", "reason": "x"}).status_code == 400
    assert client.post(f"{LANE}/hotfix", data={"commits": fix, "reason": "it burns"}).status_code == 303
    assert "Hotfix 1" in client.get(LANE).text
    making.make(farm.context, 1)
    shown = client.get(LANE).text
    assert "its checks are under way" in shown
    assert "Charge once" in shown
    assert "is open" in client.get(f"{LANE}/hotfix").text
    assert client.post(f"{LANE}/hotfixes/1/cancel", data={"reason": "not needed"}).status_code == 303
    assert "Hotfix 1" not in client.get(LANE).text
    assert client.get(f"{LANE}/hotfixes/1/cancel").status_code == 409


def test_what_conflicts_is_told_to_who_asks(farm: Farm, client: TestClient) -> None:
    live_and_fix(farm)
    history = cast("OneHistory", farm.context.mirrors).history
    other = history.add("Another cart", {"cart": "3"}, parents=[history.add("Carts", {"cart": "9"})])
    answer = client.post(f"{LANE}/hotfix", data={"commits": other, "reason": "it burns"})
    assert answer.status_code == 409
    assert "conflicts in cart" in answer.text


def test_a_live_hotfix_that_the_branch_does_not_contain_is_shown(farm: Farm, client: TestClient) -> None:
    live, fix = live_and_fix(farm)
    client.post(f"{LANE}/hotfix", data={"commits": fix, "reason": "it burns"})
    making.make(farm.context, 1)
    with farm.context.store.writing() as connection:
        row = made.by_id(connection, 1)
        assert row.sha is not None
        tested = rows.a_candidate(connection, farm.repository, row.sha, farm.ago(20))
        lane = lanes.by_name(connection, "shop", "production").id
        connection.execute(schema.made.update().values(state=states.Made.LIVE))
    number = farm.rollout(lane, tested, 2, states.Rollout.GOOD, 1, 1, until_sha=row.sha, since_sha=live, kind="hotfix")
    with farm.context.store.writing() as connection:
        connection.execute(
            insert(schema.rollout_commits).values(rollout_id=number, lane_id=lane, sha=row.sha, position=1)
        )
        connection.execute(schema.made.update().values(rollout_id=number))
        (there,) = lanes.where_is(connection, farm.repository, fix)
    assert (there.state, there.rollout) == ("live", 2)
    shown = client.get(LANE).text
    assert "does not contain it yet" in shown
    assert "Takes back 1 commit" in client.get(f"{LANE}/rollback").text
    farm.commit(2, "Something else")
    assert "would lose the hotfix" in client.get(LANE).text.lower()
    with farm.context.store.writing() as connection:
        repositories.place(connection, farm.repository, "main", 3, fix)
    assert "it is the commit itself" in client.get(LANE).text


def test_a_lane_that_asks_people_lets_them_approve_exactly_the_hotfix(farm: Farm, client: TestClient) -> None:
    _, fix = live_and_fix(farm, approvals=Approvals(count=1))
    client.post(f"{LANE}/hotfix", data={"commits": fix, "reason": "it burns"})
    making.make(farm.context, 1)
    assert "is not tested yet" in client.get(f"{LANE}/approve").text
    with farm.context.store.writing() as connection:
        row = made.by_id(connection, 1)
        assert row.sha is not None
        rows.a_candidate(connection, farm.repository, row.sha, farm.ago(20))
        made.ready(connection, row)
    shown = client.get(f"{LANE}/approve").text
    assert "Charge once" in shown
    stale = client.post(f"{LANE}/approve", data={"since": "0" * 40, "until": row.sha})
    assert stale.status_code == 409
    assert "needs 1 approval" in client.get(LANE).text
    farm.token("write", name="ada")
    assert client.post(f"{LANE}/approve", data={"since": row.onto, "until": row.sha}).status_code == 303
    assert "needs 1 approval" not in client.get(LANE).text
