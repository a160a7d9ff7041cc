"""The next batch, its reasons and estimates while a rollout is under way: as if that ends good. Simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from farmgate import lanes as rules
from farmgate import states
from farmgate.lanes import Active, OpenSearch, Preview
from farmgate.models import RolloutKind
from farmgate.store import lane_ahead, rollouts
from scheduler import lane_reading
from tests.simulation.acts import act
from tests.simulation.farm import Farm
from tests.simulation.memory import quick
from tests.test_lanes import NOW, green, policy, red, sha, view

LANE = "production"


@pytest.fixture
def farm() -> Iterator[Farm]:
    with quick():
        made = Farm((LANE,))
        made.advance(400)
        do(made, push=["a"])
        made.advance(400)
        yield made


def do(farm: Farm, **line: Any) -> None:
    act(farm, line)


def under_way(farm: Farm) -> None:
    """Until a rollout has begun to run."""
    for _ in range(200):
        with farm.store.reading() as connection:
            active = rollouts.active_of(connection, farm.ids[LANE])
        if active is not None and active.state is states.Rollout.RUNNING:
            return
        farm.advance(2)
    raise AssertionError("no rollout begins")


def coming(farm: Farm) -> Preview:
    with farm.store.reading() as connection:
        return rules.preview(lane_ahead.view(connection, farm.lane(connection, LANE), farm.clock.now()), NOW)


def names(farm: Farm, found: Preview) -> list[str]:
    return [farm.by_sha[each.sha].name for each in found.commits]


def counts(farm: Farm) -> tuple[int, int]:
    with farm.store.reading() as connection:
        lane = farm.lane(connection, LANE)
        body = lane_reading.summary(connection, lane, farm.clock.now())
        detail = lane_reading.detail(connection, lane, farm.clock.now())
    assert (body.waiting, body.on_the_way) == (detail.waiting_count, detail.on_the_way)
    assert len(detail.waiting) == detail.waiting_count
    return body.waiting, body.on_the_way


def test_the_next_batch_comes_after_the_rollout_under_way(farm: Farm) -> None:
    do(farm, push=["b", "c"])
    under_way(farm)
    assert coming(farm).candidate is None
    do(farm, push=["d", "e"])
    found = coming(farm)
    assert names(farm, found) == ["d", "e"]
    assert found.after is not None
    assert found.after.startswith("after rollout ")
    assert found.after.endswith(", if it is good")
    assert counts(farm) == (2, 2)
    farm.advance(400)
    assert farm.live_in(LANE) == "e"
    assert coming(farm).after is None


def test_what_a_rollback_takes_back_is_not_the_next_batch(farm: Farm) -> None:
    do(farm, push=["b", "c"])
    farm.advance(400)
    do(farm, rollback=LANE)
    under_way(farm)
    found = coming(farm)
    assert found.candidate is None, "what is being taken back is as good as banned"
    assert counts(farm) == (2, 0)
    farm.advance(400)
    assert farm.live_in(LANE) == "a"
    assert coming(farm).candidate is None


def test_a_rollout_that_is_taken_back_counts_for_nothing(farm: Farm) -> None:
    do(farm, push=["b"])
    under_way(farm)
    with farm.store.reading() as connection:
        lane = farm.lane(connection, LANE)
        active = rollouts.active_of(connection, lane.id)
        assert active is not None
        ahead = lane_ahead.live(connection, lane, active)
        back = lane_ahead.live(connection, lane, replace(active, state=states.Rollout.RESTORING))
    assert ahead is not None
    assert back is not None
    assert farm.by_sha[ahead.sha].name == "b"
    assert farm.by_sha[back.sha].name == "a"


# --- pure ------------------------------------------------------------------------------------------------------------


def test_while_a_culprit_is_searched_the_next_batch_is_what_the_search_tries() -> None:
    search = OpenSearch(1, 0, 4, tuple(sha(each) for each in range(1, 5)), 0, NOW + timedelta(days=7))
    found = rules.preview(view(*(green(each) for each in range(1, 9)), search=search), NOW)
    assert [each.position for each in found.commits] == [1, 2]
    assert found.at == NOW
    told = rules.explain(view(*(green(each) for each in range(1, 9)), search=search), NOW)
    assert [each.batch for each in told] == [0, 0, *[None] * 6]


def test_a_search_that_comes_to_its_end_says_who_is_to_blame() -> None:
    search = OpenSearch(1, 1, 2, (sha(1), sha(2)), 1, NOW + timedelta(days=7))
    found = rules.preview(view(green(2), red(3), at=1, search=search), NOW)
    assert found.candidate is None
    assert f"{sha(2)[:9]} is the culprit, by elimination" in found.reasons[-1].words


@pytest.mark.parametrize("state", [states.Rollout.ASKING, states.Rollout.RESTORING])
def test_what_a_person_or_a_restore_decides_has_no_estimate(state: states.Rollout) -> None:
    active = Active(1, 7, RolloutKind.FORWARD, sha(1), 1, NOW - timedelta(minutes=4), state)
    looked = view(green(2), at=1, active=active, policy=policy())
    assert rules.preview(looked, NOW).at is None
    assert [each.live_at for each in rules.explain(looked, NOW)] == [None]
    timed = replace(looked, active=replace(active, state=states.Rollout.RUNNING))
    assert rules.preview(timed, NOW).at is not None
