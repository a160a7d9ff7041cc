"""Before a rollout touches anything, and when its way back is closed: simulated, and looked at after each step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farmgate.store import bans, events, holds
from tests.simulation.acts import act, asking
from tests.simulation.farm import Farm
from tests.simulation.look import Watcher
from tests.simulation.memory import quick


@pytest.fixture
def farm() -> Iterator[Farm]:
    with quick():
        farm = Farm()
        farm.watch = Watcher()
        farm.advance(400)
        yield farm


def told(farm: Farm, kind: str) -> list[str]:
    with farm.store.reading() as connection:
        return [each.text for each in events.latest(connection) if each.kind == kind]


def held(farm: Farm) -> list[str]:
    with farm.store.reading() as connection:
        return [each.reason for each in holds.standing(connection, farm.ids["production"], farm.clock.now())]


def do(farm: Farm, **line: object) -> None:
    act(farm, line)


def test_a_digest_that_is_gone_asks_before_anything_is_touched(farm: Farm) -> None:
    do(farm, gone="root")
    do(farm, push=["a"])
    calls = list(farm.places["production"].calls)
    farm.advance(400)
    assert asking(farm, "production")
    assert farm.places["production"].calls == calls
    (said,) = told(farm, "rollout.asking")
    assert "asks before it starts: the artifact of" in said
    do(farm, decide="good", lane="production")
    farm.advance(400)
    assert farm.live_in("production") == "a"
    (entry,) = [each for each in farm.journal_in("production") if each.key == "start"]
    assert entry.outcome == "good"
    assert farm.rollouts_in("production")[-1].reason is None, "what it asked is answered"


def test_nobody_answers_in_time_it_ends_without_blame_and_asks_again_later(farm: Farm) -> None:
    do(farm, gone="root")
    do(farm, push=["a"])
    farm.advance(25 * 60)
    assert farm.outcomes_in("production")[-1] == "forward cancelled a"
    assert farm.live_in("production") == "root"
    assert "nobody answered in time" in held(farm)[0]
    farm.advance(60 * 60)
    assert asking(farm, "production")
    with farm.store.reading() as connection:
        assert not bans.every(connection, farm.ids["production"])


def test_a_person_says_no_and_the_lane_holds_until_that_is_lifted(farm: Farm) -> None:
    do(farm, push=["a"], one_way=["a"])
    farm.advance(60)
    do(farm, decide="sick", lane="production")
    farm.advance(3 * 60 * 60)
    assert farm.outcomes_in("production") == ["forward good root", "forward cancelled a"]
    assert "did not let it start: I looked" in held(farm)[0]
    do(farm, lift_hold="production")
    farm.advance(60)
    assert asking(farm, "production")


def test_a_scheduler_that_does_not_answer_is_waited_for_and_then_a_person_is_asked(farm: Farm) -> None:
    do(farm, historian="away")
    do(farm, push=["a"])
    farm.advance(4 * 60)
    assert not asking(farm, "production")
    farm.advance(2 * 60)
    assert asking(farm, "production")
    assert "nobody said what it carries" in told(farm, "rollout.asking")[0]


def test_an_engine_that_is_away_for_a_moment_asks_nobody(farm: Farm) -> None:
    do(farm, faults=3, call="ready")
    do(farm, push=["a"])
    farm.advance(400)
    assert farm.live_in("production") == "a"
    assert not told(farm, "rollout.asking")


def test_what_cannot_be_taken_back_stops_pages_again_and_goes_back_only_on_a_persons_word(farm: Farm) -> None:
    do(farm, push=["a"], one_way=["a"], breaks={"a": ["production"]})
    farm.advance(60)
    do(farm, decide="good", lane="production")
    farm.advance(400)
    assert asking(farm, "production")
    assert len(told(farm, "page")) == 1
    farm.advance(45 * 60)
    assert asking(farm, "production")
    assert len(told(farm, "page")) == 3, "once each time that nobody answered"
    do(farm, decide="sick", lane="production")
    farm.advance(200)
    assert farm.outcomes_in("production")[-1] == "forward sick a"
    assert farm.live_in("production") == "root"
    assert [each.outcome for each in farm.journal_in("production") if each.key == "back-1"] == ["sick"]


def test_it_may_go_on_and_counts_as_good(farm: Farm) -> None:
    do(farm, push=["a"], one_way=["a"], breaks={"a": ["production"]})
    farm.doubtful.add("production")
    farm.advance(60)
    for _ in range(3):  # to start, and for each of two waves
        do(farm, decide="good", lane="production")
        farm.advance(400)
    assert farm.live_in("production") == "a"
    assert [
        each.key for each in farm.journal_in("production") if each.key.startswith("back-") and "/" not in each.key
    ] == [
        "back-1",
        "back-2",
    ]


def test_one_that_does_not_come_up_is_begun_again_on_a_persons_word(farm: Farm) -> None:
    do(farm, push=["a"], one_way=["a"], stillborn={"a": ["production"]})
    farm.advance(60)
    do(farm, decide="good", lane="production")
    farm.advance(60)
    assert asking(farm, "production")
    farm.places["production"].stillborn.clear()
    do(farm, decide="good", lane="production")
    farm.advance(400)
    assert farm.live_in("production") == "a"


def test_a_rollback_across_it_asks_once_more(farm: Farm) -> None:
    do(farm, push=["a"], one_way=["a"])
    farm.advance(60)
    do(farm, decide="good", lane="production")
    farm.advance(400)
    do(farm, rollback="production")
    farm.advance(10)
    assert asking(farm, "production")
    do(farm, decide="good", lane="production")
    farm.advance(400)
    assert farm.live_in("production") == "root"
    with farm.store.reading() as connection:
        (ban,) = bans.standing(connection, farm.ids["production"])
    assert ban.reason == "taken back by alice: it is worse"


def test_a_rollback_ends_one_that_asks_before_its_start(farm: Farm) -> None:
    do(farm, push=["a"])
    farm.advance(400)
    do(farm, push=["b"], one_way=["b"])
    farm.advance(60)
    assert asking(farm, "production")
    do(farm, rollback="production")
    farm.advance(400)
    assert farm.live_in("production") == "root"
    assert farm.outcomes_in("production")[-2:] == ["forward cancelled b", "rollback good root"]


@pytest.mark.parametrize("at", range(2, 13, 2))
def test_a_death_at_any_write_of_it_changes_nothing(farm: Farm, at: int) -> None:
    do(farm, push=["a"], one_way=["a"], breaks={"a": ["production"]})
    act(farm, {"at_write": at, "do": "die"})
    farm.advance(300)
    do(farm, decide="good", lane="production")
    farm.advance(500)
    do(farm, decide="sick", lane="production")
    farm.advance(500)
    assert farm.outcomes_in("production")[-1] == "forward sick a"
    assert farm.live_in("production") == "root"
