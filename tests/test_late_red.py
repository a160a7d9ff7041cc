"""What is live and turns red: it is told, held or taken back, and nobody takes it on meanwhile. Simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from farmgate.models import Rollout
from farmgate.store import bans, holds, lane_views, lanes, late_reds, rollouts, searches
from tests.simulation.acts import act
from tests.simulation.farm import Farm
from tests.simulation.look import Watcher
from tests.simulation.memory import quick


@pytest.fixture
def farm() -> Iterator[Farm]:
    with quick():
        yield started(Farm(("production",)))


def started(farm: Farm) -> Farm:
    farm.watch = Watcher()
    farm.advance(400)
    do(farm, push=["a"])
    farm.advance(400)
    return farm


def do(farm: Farm, **line: Any) -> None:
    act(farm, line)


def held(farm: Farm) -> list[str]:
    with farm.store.reading() as connection:
        return [each.reason for each in holds.standing(connection, farm.ids["production"], farm.clock.now())]


def test_what_is_live_and_red_is_told_and_stays(farm: Farm) -> None:
    do(farm, turns_red="a")
    farm.advance(600)
    assert farm.live_in("production") == "a"
    assert held(farm) == []
    with farm.store.reading() as connection:
        view = lane_views.view(connection, farm.lane(connection, "production"), farm.clock.now())
    assert view.turned_red is not None
    assert view.turned_red.reason.endswith("UTC: nightly")


def test_the_lane_holds_itself_once(farm: Farm) -> None:
    do(farm, policy="production", on_late_red="hold")
    do(farm, turns_red="a")
    do(farm, push=["b"])
    farm.advance(600)
    assert farm.live_in("production") == "a"
    assert "is red since" in held(farm)[0]
    do(farm, lift_hold="production")
    farm.advance(600)
    assert farm.live_in("production") == "b", "who lifts it has decided"
    assert held(farm) == []


def test_it_goes_back_and_what_is_taken_back_is_banned(farm: Farm) -> None:
    do(farm, policy="production", on_late_red="restore")
    farm.doubtful.add("production")  # the ban's evidence is a check of another place
    do(farm, turns_red="a")
    farm.advance(600)
    assert farm.live_in("production") == "root"
    assert farm.outcomes_in("production")[-1] == "rollback good root"
    with farm.store.reading() as connection:
        (ban,) = bans.standing(connection, farm.ids["production"])
    assert ban.created_by == "farmgate"
    assert "which is live, is red since" in ban.reason
    do(farm, fix="a")
    farm.advance(600)
    assert farm.live_in("production") == "mends-a"


def test_where_there_is_no_earlier_good_release_it_holds(farm: Farm) -> None:
    do(farm, policy="production", on_late_red="restore")
    do(farm, turns_red="root")
    do(farm, turns_red="a")
    farm.advance(600)
    assert farm.live_in("production") == "a"
    assert "is red since" in held(farm)[0]


def test_nobody_goes_back_to_what_turned_red(farm: Farm) -> None:
    do(farm, push=["b"])
    farm.advance(400)
    do(farm, turns_red="a")
    do(farm, rollback="production", to=2)
    farm.advance(400)
    assert farm.live_in("production") == "b", "rollout 2 left a, which is red"
    do(farm, rollback="production")
    farm.advance(400)
    assert farm.live_in("production") == "root"


def test_a_candidate_that_turns_red_while_it_waits_is_not_delivered(farm: Farm) -> None:
    do(farm, hold="production")
    do(farm, push=["b"])
    do(farm, turns_red="b")
    do(farm, lift_hold="production")
    farm.advance(400)
    assert farm.live_in("production") == "a"
    with farm.store.reading() as connection:
        view = lane_views.view(connection, farm.lane(connection, "production"), farm.clock.now(), full=True)
    assert view.commits[0].checks_reason == "nightly turned red after it was a candidate"
    do(farm, green_again="b")
    farm.advance(400)
    assert farm.live_in("production") == "b"


def test_a_lane_that_follows_does_not_take_it(farm: Farm) -> None:
    both = started(Farm(("staging", "production")))
    do(both, hold="production")
    do(both, push=["b"])
    both.advance(400)
    assert both.live_in("staging") == "b"
    do(both, turns_red="b")
    do(both, lift_hold="production")
    both.advance(400)
    assert both.live_in("production") == "a"
    do(both, push=["c"])
    both.advance(800)
    assert both.live_in("production") == "c", "a later one that is green carries it on"


def test_the_same_check_is_told_once_and_ends_with_its_green(farm: Farm) -> None:
    sha, now = farm.known["a"].sha, farm.clock.now()
    with farm.store.writing() as connection:
        of = lanes.by_id(connection, farm.ids["production"]).repository_id

        def put(sha: str, *checks: str) -> list[str]:
            return late_reds.put(connection, of, sha, "run", checks, "run 7 failed", "run 7", now)

        assert put("f" * 40, "test") == [], "it is no candidate"
        assert put(sha, "test", "lint") == ["test", "lint"]
        assert put(sha, "test") == []
        assert late_reds.end(connection, of, sha, "run 8", "it passed", now, source="run", checks=["test"]) == ["test"]
        assert [each.check for each in late_reds.standing(connection, of)] == ["lint"]
        assert late_reds.end(connection, of, sha, "ada", "a flake", now) == ["lint"]
        assert put(sha, "test") == ["test"]
        assert len(late_reds.of_commit(connection, of, sha)) == 3


# --- between the cut and the end -------------------------------------------------------------------------------------


def test_what_has_begun_goes_on_to_its_end_and_what_follows_is_for_what_is_live(farm: Farm) -> None:
    do(farm, policy="production", on_late_red="restore")
    farm.doubtful.add("production")
    do(farm, push=["b"])
    begun(farm)
    do(farm, turns_red="b")
    farm.advance(400)
    assert farm.outcomes_in("production")[-2:] == ["forward good b", "rollback good a"]


def test_a_rollback_whose_aim_turns_red_meanwhile_is_refused_and_pages(farm: Farm) -> None:
    do(farm, push=["b"])
    farm.advance(400)
    do(farm, push=["c"])
    begun(farm)
    do(farm, rollback="production")
    do(farm, turns_red="b")
    do(farm, turns_red="a")
    farm.advance(400)
    assert farm.outcomes_in("production")[-1] == "forward sick c", "nobody went back, and nothing went forward"
    assert farm.live_in("production") == "b"
    assert "turned red since it was ordered" in held(farm)[0]
    do(farm, rollback="production")
    farm.advance(400)
    assert farm.live_in("production") == "root", "another one goes, whatever holds the lane"


def test_a_half_of_a_search_that_turns_red_before_it_begins_is_withdrawn_and_not_counted(farm: Farm) -> None:
    do(farm, push=["b", "c", "d", "e"], breaks={"d": ["production"]})
    begun(farm)
    do(farm, historian="away")
    searched(farm)
    farm.advance(30)
    do(farm, turns_red="c")
    do(farm, historian="back")
    farm.advance(1500)
    assert farm.outcomes_in("production")[-3:] == ["search cancelled c", "search good b", "search sick d"]
    with farm.store.reading() as connection:
        (search,) = searches.latest(connection, farm.ids["production"], 1)
    assert (farm.by_sha[search.culprit or ""].name, search.rollouts) == ("d", 2)


def test_a_forced_push_that_drops_a_sealed_batch_ends_its_search(farm: Farm) -> None:
    do(farm, push=["b", "c", "d", "e"], breaks={"d": ["production"]})
    searched(farm)
    do(farm, force=4, commits=["x"])
    farm.advance(600)
    do(farm, lift_hold="production")
    farm.advance(600)
    assert farm.live_in("production") == "x"


def begun(farm: Farm) -> None:
    """Until a rollout runs."""
    _until(farm, lambda connection: (found := _active(farm, connection)) is not None and found.started_at is not None)


def searched(farm: Farm) -> None:
    """Until the culprit of a sick batch is searched."""
    _until(farm, lambda connection: searches.open_of(connection, farm.ids["production"]) is not None)


def _active(farm: Farm, connection: Connection) -> Rollout | None:
    return rollouts.active_of(connection, farm.ids["production"])


def _until(farm: Farm, holds_now: Callable[[Connection], bool]) -> None:
    for _ in range(400):
        with farm.store.reading() as connection:
            if holds_now(connection):
                return
        farm.advance(2)
    raise AssertionError("it does not come to that")
