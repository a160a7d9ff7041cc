"""Lanes that go together: in order, finished at once, taken back in reverse, searched as one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from farmgate import states
from farmgate.errors import Conflict
from farmgate.models import HoldKind, Unblamed
from farmgate.store import holds, lane_groups, lanes, releases, rollouts
from tests.joint_farm import JointFarm, quick


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


ONE = {"api": "shop", "web": "shop"}
SEVERAL = {"db": "schema", "api": "shop", "web": "shop", "tv": "tv"}


def test_applications_of_one_repository_get_the_same_commit_in_order() -> None:
    farm = JointFarm(ONE)
    farm.order.clear()
    farm.push("shop", ["a", "b"])
    farm.settle()
    assert farm.live == {"api": "b", "web": "b"}
    calls = [each for each in farm.order if each.split()[0] in ("prepare", "shift", "finish", "restore")]
    prepared, shifted, finished = calls[:2], calls[2:6], calls[6:]
    assert set(prepared) == {"prepare api", "prepare web"}
    assert shifted == ["shift api", "shift api", "shift web", "shift web"]
    assert set(finished) == {"finish api", "finish web"}


def test_a_commit_that_is_green_late_rides_with_the_next_one_in_every_lane() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a", "b"], red=["b"])
    farm.settle()
    assert farm.live == {"api": "a", "web": "a"}


def test_a_lane_with_nothing_new_takes_no_part() -> None:
    farm = JointFarm(SEVERAL)
    farm.push("tv", ["t"])
    farm.settle()
    assert farm.joints()[-1][1] == {"tv": "t"}
    farm.push("schema", ["s"])
    farm.push("shop", ["a"])
    farm.settle()
    assert farm.joints()[-1][1] == {"db": "s", "api": "a", "web": "a"}


def test_when_one_goes_sick_all_are_taken_back_in_reverse_order_and_nobody_else_is_blamed() -> None:
    farm = JointFarm(ONE)
    farm.order.clear()
    farm.push("shop", ["a"], breaks={"a": ["web"]})
    farm.settle()
    assert farm.live == {"api": "shop0", "web": "shop0"}
    assert farm.order[-2:] == ["restore web", "restore api"]
    assert farm.banned == {"api": {"a"}, "web": {"a"}}
    assert farm.outcomes("api")[-1] == farm.outcomes("web")[-1] == "forward sick a"
    journal = farm.journal("api")
    assert journal["verdict"].outcome == Unblamed.TOGETHER
    assert "web/live, which goes together with it" in journal["verdict"].detail["words"]
    assert not {"finish", "control"} & set(journal)
    with farm.store.reading() as connection:
        assert rollouts.outcomes(connection, farm.ids["api"], 9) == [True]
        assert rollouts.outcomes(connection, farm.ids["web"], 9) == [False, True]
    farm.push("shop", ["b"], mends={"b": "a"})
    farm.settle()
    assert farm.live == {"api": "b", "web": "b"}


def test_the_culprit_is_searched_among_the_commits_of_all_lanes() -> None:
    farm = JointFarm({"db": "schema", "api": "shop", "tv": "tv"})
    before = len(farm.joints())
    farm.push("schema", ["s1", "s2"])
    farm.push("shop", ["a1", "a2"], breaks={"a2": ["tv"]})
    farm.push("tv", ["t1"])
    farm.settle()
    assert farm.banned == {"db": set(), "api": {"a2"}, "tv": set()}
    assert farm.live == {"db": "s2", "api": "a1", "tv": "t1"}
    searched = [joint for joint, _ in farm.joints()[before:] if joint.kind == "search"]
    assert len(searched) <= 3  # ceil(log2 5)


def test_a_lane_that_takes_no_part_is_asked_too_and_a_change_elsewhere_that_breaks_it_is_blamed() -> None:
    farm = JointFarm({"db": "schema", "tv": "tv"})
    farm.push("schema", ["s1"], breaks={"s1": ["tv"]})
    farm.settle()
    assert farm.live == {"db": "schema0", "tv": "tv0"}
    assert farm.banned == {"db": {"s1"}, "tv": set()}
    assert "tv/live, where nothing changed: tv: s1 breaks tv" in (farm.last("db").reason or "")


def test_while_others_are_not_so_far_the_checks_of_one_that_arrived_go_on() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.until(lambda: "shift web" in farm.order[-3:] and farm.order.count("shift web") > 2)
    farm.places["api"].sick_whatever = False
    farm.commits[farm.shas["a"]] = type(farm.commits[farm.shas["a"]])("a", "shop", 2, {"api": "a"})
    farm.settle()
    assert farm.live == {"api": "shop0", "web": "shop0"}
    assert farm.banned == {"api": {"a"}, "web": {"a"}}


def test_what_holds_one_lane_holds_the_group_and_each_says_so() -> None:
    farm = JointFarm(SEVERAL)
    farm.hold("tv")
    farm.push("shop", ["a"])
    farm.advance(10)
    assert farm.live["api"] == "shop0"
    assert "tv/live goes together with it: held by bob: not today" in farm.why("api", "a")
    farm.lift("tv")
    farm.settle()
    assert farm.live["api"] == "a"


def test_a_freeze_of_one_lane_is_that_of_the_group() -> None:
    farm = JointFarm(ONE)
    opens = farm.clock.now() + timedelta(minutes=20)
    with farm.store.writing() as connection:
        holds.place(connection, farm.ids["web"], "a fair", "bob", farm.clock.now(), opens, kind=HoldKind.FREEZE)
    farm.push("shop", ["a"])
    farm.settle()
    assert farm.last("api").created_at >= opens


def test_a_batch_size_of_one_lane_counts_for_its_line() -> None:
    farm = JointFarm(ONE)
    with farm.store.writing() as connection:
        farm.apply(connection, "web", max_commits=2)
    farm.push("shop", ["a", "b", "c"])
    farm.settle()
    assert [took for _, took in farm.joints()[1:]] == [{"api": "b", "web": "b"}, {"api": "c", "web": "c"}]


def test_a_ban_in_one_lane_keeps_the_commit_from_its_line() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.settle()
    with farm.store.writing() as connection:
        live = releases.live_of(connection, farm.ids["web"])
        assert live is not None
        before = releases.before(connection, live)
        assert before is not None
        lanes.order_rollback(connection, farm.ids["web"], before.id, "bob", "worse", farm.clock.now())
    farm.settle()
    assert farm.live == {"api": "a", "web": "shop0"}
    farm.push("shop", ["b"])
    farm.settle()
    assert farm.live == {"api": "a", "web": "shop0"}
    assert "in web/live: waits for a fix or revert" in farm.why("api", "b")
    farm.push("shop", ["c"], mends={"c": "a"})
    farm.settle()
    assert farm.live == {"api": "c", "web": "c"}


# --- what a commit needs of another repository -----------------------------------------------------------------------


def test_a_commit_waits_for_what_it_needs_and_rides_with_it() -> None:
    farm = JointFarm({"api": "shop", "db": "schema"})
    farm.push("schema", ["s1"], red=["s1"])
    farm.push("shop", ["a1", "a2", "a3"], needs={"a2": "s1"})
    farm.settle()
    assert farm.live == {"api": "a1", "db": "schema0"}
    assert "of schema goes before it or with it, and cannot go yet" in farm.why("api", "a3")
    farm.turn_green("s1")
    farm.settle()
    assert farm.live == {"api": "a3", "db": "s1"}
    assert farm.joints()[-1][1] == {"api": "a3", "db": "s1"}


def test_two_commits_that_need_each_other_go_at_once() -> None:
    farm = JointFarm({"api": "shop", "db": "schema"})
    farm.push("schema", ["s1"], needs={"s1": f"shop@{farm.sha('a1')[:12]}"})
    farm.settle()
    assert farm.live == {"api": "shop0", "db": "schema0"}
    farm.push("shop", ["a1"], needs={"a1": "s1"})
    farm.settle()
    assert farm.joints()[-1][1] == {"api": "a1", "db": "s1"}


# --- people ----------------------------------------------------------------------------------------------------------


def test_a_person_is_asked_once_and_the_others_wait() -> None:
    farm = JointFarm(ONE)
    farm.places["web"].silent.add("x")
    farm.push("shop", ["a"])
    farm.until(lambda: farm.last("web").state is states.Rollout.ASKING)
    assert farm.last("api").state is states.Rollout.RUNNING
    farm.decide("web", "good")
    farm.until(lambda: farm.last("web").state is states.Rollout.ASKING and farm.last("web").wave == 1)
    farm.decide("web", "good")
    farm.settle()
    assert farm.live == {"api": "a", "web": "a"}


def test_nobody_decides_and_the_whole_is_taken_back_without_blame() -> None:
    farm = JointFarm(ONE)
    farm.places["web"].silent.add("x")
    farm.push("shop", ["a"])
    farm.advance(5)
    farm.advance(95, every=timedelta(minutes=2))
    assert farm.live == {"api": "shop0", "web": "shop0"}
    assert farm.banned == {"api": set(), "web": set()}
    assert "nobody can tell" in farm.why("api", "a")


def test_what_was_no_better_before_is_not_blamed_and_that_is_asked_when_all_are_back() -> None:
    farm = JointFarm(ONE)
    root = farm.commits[farm.shas["shop0"]]
    farm.push("shop", ["a"])
    farm.until(lambda: farm.order[-1] == "shift web")
    for sha in list(farm.commits):
        farm.commits[sha] = type(root)(farm.commits[sha].name, "shop", farm.commits[sha].position, {"web": "weather"})
    farm.until(lambda: farm.active("web") is None)
    assert farm.banned == {"api": set(), "web": set()}
    assert "not to blame" in farm.why("api", "a")


def test_the_stop_keeps_a_joint_rollout_where_it_is() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.until(lambda: farm.order[-1] == "shift web")
    with farm.store.writing() as connection:
        holds.place(connection, None, "it burns", "bob", farm.clock.now(), kind=HoldKind.STOP)
    farm.advance(60 * 3, every=timedelta(minutes=5))
    assert farm.last("api").state is farm.last("web").state is states.Rollout.RUNNING
    with farm.store.writing() as connection:
        holds.lift(connection, None, "bob", farm.clock.now())
    farm.settle()
    assert farm.live == {"api": "a", "web": "a"}


def test_a_rollback_of_one_lane_ends_what_is_under_way_in_all() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.settle()
    farm.push("shop", ["b"])
    farm.until(lambda: farm.order[-1] == "shift web")
    with farm.store.writing() as connection:
        live = releases.live_of(connection, farm.ids["api"])
        assert live is not None
        before = releases.before(connection, live)
        assert before is not None
        lanes.order_rollback(connection, farm.ids["api"], before.id, "bob", "worse", farm.clock.now())
    farm.settle()
    assert farm.live == {"api": "shop0", "web": "a"}
    assert farm.outcomes("web")[-1] == "forward sick b"
    assert farm.banned["web"] == set()


def test_a_rollback_together_goes_back_in_reverse_order_each_by_itself() -> None:
    farm = JointFarm(SEVERAL)
    farm.push("schema", ["s1"])
    farm.push("shop", ["a1"])
    farm.settle()
    farm.push("tv", ["t1"])
    farm.settle()
    farm.order.clear()
    farm.roll_back("api", together=True)
    farm.settle()
    assert farm.live == {"db": "schema0", "api": "shop0", "web": "shop0", "tv": "tv0"}
    assert [each for each in farm.order if each.startswith("shift")] == [
        "shift tv",
        "shift web",
        "shift api",
        "shift db",
    ]
    assert farm.banned == {"db": {"s1"}, "api": {"a1"}, "web": {"a1"}, "tv": {"t1"}}
    assert farm.joints()[-1][0].kind == "rollback"


def test_a_person_says_whether_it_goes_back_alone_or_together() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.settle()
    with pytest.raises(Conflict, match="say whether it goes back alone or together"):
        farm.roll_back("api", together=None)
    farm.roll_back("web", together=False)
    farm.settle()
    assert farm.live == {"api": "a", "web": "shop0"}


def test_a_rollback_that_fails_in_one_lane_stops_there_and_the_others_are_back() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.settle()
    farm.places["web"].stillborn.add(farm.shas["shop0"])
    farm.roll_back("api", together=True)
    farm.until(lambda: farm.live["api"] == "shop0" and farm.active("web") is None)
    assert farm.last("web").state is states.Rollout.STUCK
    assert farm.live == {"api": "shop0", "web": "a"}


# --- changes of the group --------------------------------------------------------------------------------------------


def test_a_lane_that_leaves_under_way_goes_on_with_the_others_to_its_end_and_then_by_itself() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a"])
    farm.until(lambda: farm.order[-1] == "shift api")
    with farm.store.writing() as connection:
        lane_groups.apply(connection, "all", ["api/live"], "ada", farm.clock.now())
    farm.settle()
    assert farm.live == {"api": "a", "web": "a"}
    assert farm.joints()[-1][1] == {"api": "a", "web": "a"}
    farm.hold("api")
    farm.push("shop", ["b"])
    farm.settle()
    assert farm.live == {"api": "a", "web": "b"}


def test_a_group_that_searches_keeps_its_lanes() -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a", "b"], breaks={"a": ["web"]})
    farm.until(lambda: any(joint.kind == "search" for joint, _ in farm.joints()))
    with farm.store.writing() as connection, pytest.raises(Conflict, match="a search for a culprit is open"):
        lane_groups.apply(connection, "all", ["api/live"], "ada", farm.clock.now())
    farm.settle()
    assert farm.banned == {"api": {"a"}, "web": {"a"}}


def test_a_lane_is_in_one_group() -> None:
    farm = JointFarm(ONE)
    with farm.store.writing() as connection, pytest.raises(Conflict, match="is in the group all already"):
        lane_groups.apply(connection, "more", ["web/live"], "ada", farm.clock.now())


# --- a restore that fails --------------------------------------------------------------------------------------------


def test_one_that_cannot_be_taken_back_is_stuck_and_the_others_go_back_all_the_same() -> None:
    farm = JointFarm(ONE)
    farm.places["web"].restore_fails = True
    farm.push("shop", ["a"], breaks={"a": ["web"]})
    farm.until(lambda: len(farm.outcomes("web")) == 2 and not farm.active("web") and not farm.active("api"))
    assert farm.last("web").state is states.Rollout.STUCK
    assert farm.last("api").state is states.Rollout.SICK
    assert farm.places["api"].serving == {farm.shas["shop0"]: 100}


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "breaks"),
    [("before a write", {"a2": ["web"]}), ("after a write", {"a2": ["web"]}), ("after a call", {})],
    ids=["before a write", "after a write", "after a call"],
)
def test_a_controller_may_die_anywhere_and_its_successor_ends_the_whole(
    where: str, breaks: dict[str, list[str]]
) -> None:
    farm = JointFarm(ONE)
    farm.push("shop", ["a1", "a2"], breaks=breaks)
    lives = 0
    for _ in range(400):
        if farm.fuse.left is None and farm.fuse.calls_left is None:
            lives += 1  # each life is longer than the one before
            if where == "after a call":
                farm.fuse.calls_left = lives
            else:
                farm.fuse.left, farm.fuse.after = lives, where == "after a write"
        farm.step()
        if farm.is_quiet():
            break
    farm.fuse.left = farm.fuse.calls_left = None
    farm.settle()
    assert farm.lives > 3
    wanted = "a1" if breaks else "a2"
    assert farm.live == {"api": wanted, "web": wanted}
    assert farm.banned["api"] == farm.banned["web"] == ({"a2"} if breaks else set())
