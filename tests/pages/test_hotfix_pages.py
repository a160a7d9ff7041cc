"""Hotfixes on the lane's page, through the same functions as the API."""

from __future__ import annotations

import html
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import insert

from farmgate import states
from farmgate.invariants import INVARIANTS
from farmgate.lanes import OpenRevert
from farmgate.models import MadeKind, RolloutKind
from farmgate.policy import Approvals
from farmgate.store import bans, lane_views, lanes, made, repositories, reverts, rollouts, schema
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


def without_culprit(farm: Farm, **policy: Any) -> tuple[str, str]:
    """A lane with a culprit in what waits, and a commit without it that is asked for."""
    history = cast("OneHistory", farm.context.mirrors).history
    live_and_fix(farm, on_culprit="revert", **policy)
    bad = history.add("Faster `checkout`", {"cart": "3"}, author="Linus")
    later = history.add("A footer", {"footer": "1"})
    with farm.context.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        for position, sha, title in ((2, bad, "Faster `checkout`"), (3, later, "A footer")):
            rows.a_commit(connection, farm.repository, sha, position, farm.ago(50))
            named = schema.commits.update().where(schema.commits.c.sha == sha)
            connection.execute(named.values(title=title, author_name="Linus"))
            tested = rows.a_candidate(connection, farm.repository, sha, farm.ago(40))
    sick = farm.rollout(lane.id, tested, 2, states.Rollout.SICK, 1, 2, until_sha=bad, reason="http /: answers 500")
    farm.journal(sick, "wave-0/shift", "done", 30)
    detail = {
        "check": "http /",
        "asked": 5,
        "healthy": 2,
        "last": "sick",
        "words": "answers 500",
        "figures": {"p95": 0.81241},
    }
    farm.journal(sick, "wave-0/check-0", "sick", 20, **detail)
    farm.journal(sick, "verdict", "sick", 10, words="http /: answers 500")
    with farm.context.store.writing() as connection:
        reason = "rollout 2 went sick: http /: answers 500"
        bans.put(connection, lane.id, bad, 2, [bad], reason, "farmgate", farm.ago(30), rollout_id=sick)
        told = f"everything up to {later[:9]} but {bad[:9]}: {reason}"
        made.ask(connection, lane, made.Wish(MadeKind.REVERT, "main", (bad,), later, 3, told, "farmgate"), farm.now)
    return bad, later


def test_a_commit_without_a_culprit_is_offered_as_a_pull_request(farm: Farm, client: TestClient) -> None:
    bad, _ = without_culprit(farm)
    assert client.get(f"{LANE}/reverts/1/patch").status_code == 409
    making.make(farm.context, 1)
    shown = client.get(LANE).text
    assert "Revert 1" in shown
    assert "As a pull request" in shown
    text = html.unescape(client.get(f"{LANE}/reverts/1").text)
    assert 'Revert "Faster `checkout`"' in text
    assert "`Faster 'checkout'` by `Linus`" in text
    assert "wave 1, `http /`: sick, 2 of 5 healthy, p95 0.8124 `answers 500`" in text
    assert "farmgate lane revert-text shop/production 1 --patch | git am -3" in text
    patch = client.get(f"{LANE}/reverts/1/patch").text
    assert f"This reverts commit {bad}." in patch
    assert "-3\n" in patch
    assert "is open" not in client.get(f"{LANE}/hotfix").text  # a hotfix may be asked for: the revert gives way
    assert client.get(f"{LANE}/reverts/7").status_code == 404


def test_people_approve_a_batch_without_its_culprit_as_one_commit(farm: Farm, client: TestClient) -> None:
    without_culprit(farm, approvals=Approvals(count=1))
    making.make(farm.context, 1)
    assert "is not tested yet" in client.get(f"{LANE}/approve").text
    with farm.context.store.writing() as connection:
        row = made.by_id(connection, 1)
        assert row.sha is not None
        rows.a_candidate(connection, farm.repository, row.sha, farm.ago(20))
        made.ready(connection, row)
        live = connection.execute(schema.releases.select()).one().sha
    shown = client.get(f"{LANE}/approve").text
    assert "A footer" in shown
    assert f"({row.sha[:9]}) needs 1 approval" in client.get(LANE).text
    stale = client.post(f"{LANE}/approve", data={"since": row.onto, "until": row.sha})
    assert stale.status_code == 409
    farm.token("write", name="ada")
    assert client.post(f"{LANE}/approve", data={"since": live, "until": row.sha}).status_code == 303
    assert f"({row.sha[:9]}) needs 1 approval" not in client.get(LANE).text
    with farm.context.store.reading() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        assert lane_views.of_lane(connection, lane, farm.now).revert == OpenRevert(
            1, states.Made.READY, row.sha, 4, row.run_id, row.onto, 3, tuple(row.picks), stands=True, agreed=True
        )
        own = reverts.of_lane(connection, lane, lanes.policy_of(lane), 1, farm.now)[0]
        assert own is not None
        connection.execute(schema.commits.update().values(author_name="ada"))
        ours = reverts.of_lane(connection, lane, lanes.policy_of(lane), 1, farm.now)[0]
        assert (own.agreed, ours.agreed if ours is not None else None) == (True, False)
    with farm.context.store.writing() as connection:
        view = lane_views.of_lane(connection, lane, farm.now)
        assert view.live is not None
        ends = view.base, live, row.onto_position, row.sha, view.live.release_id
        new = rollouts.NewRollout(
            lane, RolloutKind.REVERT, 4, *ends, None, lane.policy, "main", "farmgate", None, timedelta(hours=1)
        )
        number = rollouts.cut(connection, new, 0, farm.now).id
        made.deliver(connection, row.id, row.sha, number, farm.now)
    shown = client.get(f"{LANE}/rollouts/3").text
    assert shown.count("taken back in it") == 1
    assert shown.index("A footer") < shown.index("Faster `checkout`") < shown.index("taken back in it")
    with farm.context.store.reading() as connection:
        now = farm.now + timedelta(seconds=1)
        asked = ("I9", "I14")
        assert [list(INVARIANTS[name](connection, now)) for name in asked] == [[], []]
        connection.execute(schema.approvals.update().values(withdrawn_at=farm.ago(5), withdrawn_by="ada"))
        connection.execute(schema.made.update().values(picks=[]))
        found = [words for name in asked for _, words in INVARIANTS[name](connection, now)]
    assert [words[:9] for words in found if "needs 1 approvals; nobody" in words] == [row.picks[0][:9], row.onto[:9]]
    assert f"it holds a commit of the ban of {row.picks[0][:9]}, and no fix of it" in found
