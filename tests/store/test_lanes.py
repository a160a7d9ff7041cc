"""Delivery's store, on both databases: what may be cut, what stops it, and who may still write."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate import states
from farmgate.errors import Conflict, LostRace
from farmgate.lanes import Cut
from farmgate.models import Lane, Rollout, RolloutKind
from farmgate.store import bans, holds, lane_views, lanes, releases, repositories, rollouts, searches
from farmgate.store.database import Store
from tests.deploy import rows

POLICY = """
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes:
  production: {}
"""
HOUR = timedelta(hours=1)


@pytest.fixture
def lane(store: Store, now: datetime) -> Lane:
    """A lane with five green commits waiting, taken by epoch 1."""
    with store.writing() as connection:
        repository = rows.connect(connection, now)
        rows.push(connection, repository, range(1, 6), now)
        rows.apply(connection, POLICY, now)
        lanes.take(connection, lanes.by_name(connection, "shop", "production").id, 1)
        return lanes.by_name(connection, "shop", "production")


def cut(connection: Connection, lane: Lane, until: int, now: datetime, epoch: int = 1) -> Rollout:
    """Cut as the plan would have it, from what is live."""
    live = releases.live_of(connection, lane.id)
    queue = {each.sha: each for each in lane_views.view(connection, lane, now).commits}
    new = rollouts.NewRollout(
        lane=lane,
        kind=RolloutKind.FORWARD,
        candidate_id=queue[rows.sha(until)].candidate_id or 0,
        since_position=live.position if live is not None else 0,
        since_sha=live.sha if live is not None else None,
        until_position=until,
        until_sha=rows.sha(until),
        from_release_id=live.id if live is not None else None,
        search_id=None,
        policy=lane.policy,
        branch="main",
        asked_by="farmgate",
        reason=None,
        patience=HOUR,
    )
    return rollouts.cut(connection, new, epoch, now)


def deliver(store: Store, lane: Lane, until: int, now: datetime) -> Rollout:
    with store.writing() as connection:
        made = cut(connection, lane, until, now)
        finish(connection, made, now)
    return made


def finish(connection: Connection, made: Rollout, now: datetime) -> None:
    for before, after in (("pending", "running"), ("running", "finishing"), ("finishing", "good")):
        seen = rollouts.by_id(connection, made.id)
        assert seen.state == before
        over = {"finished_at": now} if after == "good" else {}
        rollouts.moved(connection, seen, states.Rollout(after), **over)
    releases.publish(connection, made, {}, made.policy["target"], now)


def test_a_lane_has_one_rollout_at_a_time(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        cut(connection, lane, 2, now)
    with store.writing() as connection, pytest.raises(LostRace, match="under way"):
        cut(connection, lane, 3, now)


def test_a_batch_is_what_comes_after_the_live_commit(store: Store, lane: Lane, now: datetime) -> None:
    deliver(store, lane, 2, now)
    second = deliver(store, lane, 5, now)
    with store.reading() as connection:
        carried = rollouts.commits_of(connection, [second.id])
        assert [each.position for each in carried] == [3, 4, 5]
        assert lane_views.view(connection, lane, now).commits == ()


def test_a_plan_made_before_something_else_went_live_cuts_nothing(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        made = cut(connection, lane, 2, now)
        rollouts.moved(connection, made, states.Rollout.CANCELLED, finished_at=now)
        releases.publish(connection, made, {}, {}, now)
        stale = rollouts.NewRollout(
            lane, RolloutKind.FORWARD, 3, 0, None, 3, rows.sha(3), None, None, lane.policy, "main", "x", None, HOUR
        )
        with pytest.raises(LostRace, match="what is live"):
            rollouts.cut(connection, stale, 1, now)


def test_a_commit_that_moved_or_was_dropped_is_not_cut(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        repositories.drop_after(connection, lane.repository_id, "main", 3, now)
    with store.writing() as connection, pytest.raises((LostRace, KeyError)):
        cut(connection, lane, 5, now)


def test_a_policy_that_changed_since_the_plan_cuts_nothing(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        rows.apply(connection, POLICY.replace("production: {}", "production: {settle: 1m}"), now)
    with store.writing() as connection, pytest.raises(LostRace, match="policy"):
        cut(connection, lane, 5, now)


def test_an_older_controller_can_neither_cut_nor_write(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        made = cut(connection, lane, 2, now)
        rollouts.begin_step(connection, made, "prepare", now)
        lanes.take(connection, lane.id, 2)
        rollouts.take_over(connection, made, 2)
    with store.writing() as connection:
        with pytest.raises(LostRace):
            rollouts.moved(connection, made, states.Rollout.RUNNING)
        with pytest.raises(LostRace):
            rollouts.end_step(connection, made, "prepare", now, "done", {})
        with pytest.raises(LostRace):
            rollouts.note(connection, made, "verdict", now, "sick", {})
        with pytest.raises(LostRace):
            lanes.take(connection, lane.id, 1)
        with pytest.raises(LostRace):
            cut(connection, lane, 3, now, epoch=1)


def test_an_unfinished_step_is_begun_again_and_ended_once(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        made = cut(connection, lane, 2, now)
        rollouts.begin_step(connection, made, "prepare", now, {"tries": 1})
        rollouts.begin_step(connection, made, "prepare", now, {"tries": 2})
        rollouts.end_step(connection, made, "prepare", now, "done", {"tries": 2})
        with pytest.raises(LostRace):
            rollouts.end_step(connection, made, "prepare", now, "failed", {})
        (entry,) = rollouts.entries(connection, made.id)
        assert (entry.outcome, entry.detail) == ("done", {"tries": 2})


def test_only_one_person_decides_a_wave(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        made = cut(connection, lane, 2, now)
        rollouts.moved(connection, made, states.Rollout.RUNNING)
        rollouts.moved(connection, rollouts.by_id(connection, made.id), states.Rollout.ASKING)
        asking = rollouts.by_id(connection, made.id)
        assert rollouts.decide(connection, asking, "good", "ada", "seen it", now)
        assert not rollouts.decide(connection, asking, "sick", "bob", "no", now)
        rollouts.moved(connection, asking, states.Rollout.FINISHING)
        with pytest.raises(LostRace):
            rollouts.decide(connection, asking, "sick", "bob", "no", now)


def test_a_ban_follows_its_commit_to_another_place(store: Store, lane: Lane, now: datetime) -> None:
    """After a forced push the same commits may stand further up the branch; a banned one must not slip through."""
    deliver(store, lane, 2, now)
    with store.writing() as connection:
        covers = [rows.sha(3), rows.sha(4)]
        bans.put(connection, lane.id, rows.sha(4), 4, covers, "broke it", "ada", now, rollout_id=None)
        repositories.drop_after(connection, lane.repository_id, "main", 0, now)
        for position, each in enumerate([1, 2, 3, 4, 5], start=11):
            repositories.place(connection, lane.repository_id, "main", position, rows.sha(each))
    with store.reading() as connection:
        view = lane_views.view(connection, lane, now)
        assert view.base == 12
        found = rules.cut(view, now)
    assert not isinstance(found, Cut), f"{found} carries the banned commit"


def test_a_live_commit_that_moved_is_still_known_as_live(store: Store, lane: Lane, now: datetime) -> None:
    deliver(store, lane, 2, now)
    with store.writing() as connection:
        repositories.drop_after(connection, lane.repository_id, "main", 0, now)
        for position, each in enumerate([1, 2, 3, 4, 5], start=11):
            repositories.place(connection, lane.repository_id, "main", position, rows.sha(each))
    with store.reading() as connection:
        states_of = {n: lanes.where_is(connection, lane.repository_id, rows.sha(n))[0].state for n in (1, 2, 3)}
    assert states_of == {1: "live", 2: "live", 3: "waiting"}


def test_a_branch_is_not_changed_under_a_rollout_or_a_search(store: Store, lane: Lane, now: datetime) -> None:
    other = POLICY.replace("production: {}", "production: {branch: release}")
    with store.writing() as connection:
        made = cut(connection, lane, 2, now)
    with store.writing() as connection, pytest.raises(Conflict, match="under way"):
        rows.apply(connection, other, now)
    with store.writing() as connection:
        rollouts.moved(connection, made, states.Rollout.CANCELLED, finished_at=now)
        found = searches.open_up(connection, lane.id, made.id, 0, 2, [rows.sha(1), rows.sha(2)], now)
    with store.writing() as connection, pytest.raises(Conflict, match="search"):
        rows.apply(connection, other, now)
    with store.writing() as connection:
        searches.close(connection, found, states.Search.ABANDONED, now, None)
        rows.apply(connection, other, now)


def test_a_rollback_carries_what_was_delivered_beyond_its_end(store: Store, lane: Lane, now: datetime) -> None:
    for until in (1, 3, 5):
        deliver(store, lane, until, now)
    with store.writing() as connection:
        live, first = releases.live_of(connection, lane.id), releases.latest(connection, lane.id)[-1]
        assert live is not None
        back = rollouts.NewRollout(
            lane, RolloutKind.ROLLBACK, first.candidate_id, 5, live.sha, 1, first.sha, live.id, None, lane.policy,
            "main", "ada", "broke", HOUR,
        )  # fmt: skip
        made = rollouts.cut(connection, back, 1, now)
        assert [each.position for each in rollouts.commits_of(connection, [made.id])] == [2, 3, 4, 5]


def test_a_ban_is_lifted_by_the_beginning_of_any_hash_it_covers(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        bans.put(connection, lane.id, rows.sha(4), 4, [rows.sha(3), rows.sha(4)], "x", "ada", now, rollout_id=None)
        assert [each.sha for each in bans.lift(connection, lane.id, rows.sha(3), "bob", now)] == [rows.sha(4)]
        assert bans.standing(connection, lane.id) == []


def test_holds_end_by_themselves_or_by_a_person(store: Store, lane: Lane, now: datetime) -> None:
    with store.writing() as connection:
        holds.place(connection, lane.id, "lunch", "ada", now, now + HOUR)
        holds.place(connection, lane.id, "stuck", "farmgate", now)
        assert len(holds.standing(connection, lane.id, now)) == 2
        assert [each.reason for each in holds.standing(connection, lane.id, now + HOUR)] == ["stuck"]
        assert holds.lift(connection, lane.id, "bob", now + HOUR) == 1
        assert holds.standing(connection, lane.id, now + HOUR) == []
        assert holds.was_lifted(connection, lane.id, "stuck")
        assert not holds.was_lifted(connection, lane.id, "lunch")


def test_of_a_long_batch_the_newest_commits_are_told_and_all_are_counted(
    store: Store, lane: Lane, now: datetime
) -> None:
    first, second = deliver(store, lane, 4, now), deliver(store, lane, 5, now)
    with store.reading() as connection:
        told = rollouts.newest_of(connection, [first.id, second.id], 2)
        assert [(each.rollout_id, each.position) for each in told] == [(first.id, 3), (first.id, 4), (second.id, 5)]
        assert rollouts.sizes(connection, [first.id, second.id]) == {first.id: 4, second.id: 1}
