"""The deploy loop over the real store, with a scripted target: the whole way of a bad batch, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy import apply, snapshot
from deploy.context import AtOnce, Context
from deploy.decisions import CutBatch
from deploy.loop import Deployer
from deploy.plan_lanes import plan_lane
from deploy.targets.protocol import Ended, Outcome
from deploy.targets.scripted import Place, ScriptedProber, ScriptedTarget
from farmgate import states
from farmgate.broker import LocalSignals
from farmgate.clock import VirtualClock
from farmgate.errors import LostRace
from farmgate.models import Rollout
from farmgate.policy import LanePolicy
from farmgate.store import bans, events, holds, lanes, releases, repositories, rollouts, searches
from farmgate.store.database import Store
from tests.databases import prepared
from tests.deploy import rows

POLICY = """
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes:
  production:
    waves: [{share: 20, soak: 10s}, {share: 100, soak: 10s}]
    checks: [{command: [x], every: 2s, failures: 2}]
"""


class Farm:
    """One lane, one controller, a clock that stands still until it is told."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock, self.place = store, VirtualClock(), Place()
        self.culprits: dict[int, int | None] = {}  # position -> of its fix
        self.place.breaks = self._breaks
        self.deployer = self.controller("first")
        with store.writing() as connection:
            rows.connect(connection, self.clock.now())
            rows.apply(connection, POLICY, self.clock.now())

    def controller(self, name: str, minutes: float = 1 / 3) -> Deployer:
        signals = LocalSignals(self.clock)
        prober = ScriptedProber(self.place)
        tick, lease = timedelta(minutes=minutes), timedelta(minutes=6 * minutes)
        return Deployer(
            Context(self.store, self, prober, self.clock, signals, AtOnce(), name, tick, lease, asks_scheduler=False)
        )

    def of(self, lane_id: int, policy: LanePolicy) -> ScriptedTarget:
        return ScriptedTarget(self.place)

    def _breaks(self, sha: str) -> bool:
        at = int(sha, 16)
        return any(bad <= at and (fix is None or at < fix) for bad, fix in self.culprits.items())

    def push(self, *positions: int, message: str = "a change", is_green: bool = True) -> None:
        with self.store.writing() as connection:
            repository = repositories.by_name(connection, "shop")
            rows.push(connection, repository, positions, self.clock.now(), message=message, is_green=is_green)

    def run(self, seconds: float = 200) -> None:
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            pause = min(self.deployer.tick(), end - self.clock.now())
            self.clock.advance(max(pause, timedelta(milliseconds=100)))

    @property
    def live(self) -> int | None:
        with self.store.reading() as connection:
            found = releases.live_of(connection, 1)
        return found.position if found is not None else None

    @property
    def banned(self) -> list[set[int]]:
        with self.store.reading() as connection:
            return [{int(sha, 16) for sha in ban.covers} for ban in bans.standing(connection, 1)]

    @property
    def rollouts(self) -> list[Rollout]:
        with self.store.reading() as connection:
            return rollouts.latest(connection, 1, 100)[::-1]

    def held(self) -> list[str]:
        with self.store.reading() as connection:
            return [hold.reason for hold in holds.standing(connection, 1, self.clock.now())]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def farm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Farm]:
    url = request.getfixturevalue("migrated_postgres") if request.param == "postgres" else f"sqlite:///{tmp_path}/f.db"
    store = prepared(url)
    yield Farm(store)
    store.close()


def test_a_bad_batch_is_searched_and_all_before_the_culprit_goes_live(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.culprits[6] = None
    farm.push(*range(2, 10))
    farm.run(300)
    assert farm.live == 5
    assert farm.banned == [{6}]
    assert farm.place.serving == {rows.sha(5): 100}
    further = [each for each in farm.rollouts if each.search_id is not None]
    assert 0 < len(further) <= 4
    farm.push(10)
    farm.run()
    assert farm.live == 5
    farm.culprits[6] = 11
    farm.push(11, message=f"Revert\n\nThis reverts commit {rows.sha(6)}.")
    farm.run()
    assert farm.live == 11


def test_red_commits_that_rode_along_are_covered_by_the_ban(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.culprits[3] = None
    farm.push(2, 3, is_green=False)
    farm.push(4)
    farm.run()
    assert farm.banned == [{2, 3, 4}]
    farm.culprits[3] = 5
    farm.push(5, message=f"Mend it\n\nFixes-commit: {rows.sha(3)}")
    farm.run()
    assert farm.live == 5


def test_a_first_rollout_that_goes_sick_is_taken_down(farm: Farm) -> None:
    farm.culprits[1] = None
    farm.push(1)
    farm.run()
    assert farm.live is None
    assert farm.place.serving == {}
    assert farm.banned == [{1}]


def test_a_failing_check_that_fails_without_the_change_too_blames_nobody(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.place.sick_whatever = True
    farm.push(2, 3)
    farm.run(60)
    assert farm.banned == []
    assert "is not to blame" in farm.held()[0]
    farm.place.sick_whatever = False
    farm.run(16 * 60)
    assert farm.live == 3


def test_a_rollback_bans_what_it_took_back_and_is_not_undone(farm: Farm) -> None:
    for each in (1, 2, 3):
        farm.push(each)
        farm.run(60)
    farm.push(4)
    farm.run(5)
    assert farm.rollouts[-1].state is states.Rollout.RUNNING
    with farm.store.writing() as connection:
        first = releases.by_rollout_number(connection, 1, 1)
        lanes.order_rollback(connection, 1, first.id, "ada", "prices are wrong", farm.clock.now())
    farm.run(120)
    assert farm.live == 1
    assert farm.banned == [{2, 3}]
    farm.push(5)
    farm.run(120)
    assert farm.live == 1
    farm.push(6, message=f"This reverts commit {rows.sha(2)}.")
    farm.run(120)
    assert farm.live == 6


def test_a_restore_that_fails_stops_pages_and_never_loops(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.culprits[2] = None
    farm.place.restore_fails = True
    farm.push(2)
    farm.run(3600)
    assert farm.rollouts[-1].state is states.Rollout.STUCK
    assert sum(call.startswith("restore") for call in farm.place.calls) == 1
    assert len(farm.held()) == 1
    with farm.store.reading() as connection:
        assert any(event.kind == "page" for event in events.latest(connection))


def test_cannot_tell_is_for_a_person(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.place.silent.add(rows.sha(2))
    farm.push(2)
    farm.run(30)
    asking = farm.rollouts[-1]
    assert asking.state is states.Rollout.ASKING
    with farm.store.writing() as connection:
        assert rollouts.decide(connection, asking, "good", "ada", "I looked", farm.clock.now())
        assert not rollouts.decide(connection, asking, "sick", "bob", "me too", farm.clock.now())
    farm.place.silent.clear()
    farm.run(60)
    assert farm.live == 2


def test_missing_infrastructure_is_tried_again_and_blames_nobody(farm: Farm) -> None:
    farm.push(1)
    farm.place.faults["prepare"] = 3
    farm.run()
    assert farm.live == 1
    farm.place.faults["shift"] = 99
    farm.push(2)
    farm.run(300)
    assert farm.live == 1
    assert farm.banned == []
    assert "nobody can tell" in farm.held()[0]


def test_a_successor_takes_over_and_the_old_controller_is_refused(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.push(2)
    farm.run(3)
    old = farm.deployer
    farm.clock.advance(timedelta(minutes=3))
    farm.deployer = farm.controller("second")
    farm.run(60)
    assert farm.live == 2
    assert farm.rollouts[-1].epoch == 2
    calls = len(farm.place.calls)
    old.tick()
    assert old.epoch is None
    assert len(farm.place.calls) == calls


def test_a_search_that_a_person_overtakes_is_abandoned(farm: Farm) -> None:
    for each in (1, 2):
        farm.push(each)
        farm.run(60)
    farm.culprits[5] = None
    farm.push(*range(3, 11))
    farm.run(6)
    with farm.store.writing() as connection:
        assert searches.open_of(connection, 1) is not None
        first = releases.by_rollout_number(connection, 1, 1)
        lanes.order_rollback(connection, 1, first.id, "ada", "enough", farm.clock.now())
    farm.run(100)
    assert farm.live == 1
    with farm.store.reading() as connection:
        assert searches.latest(connection, 1)[0].state is states.Search.ABANDONED


def test_taking_back_what_is_under_way_leaves_what_was_live_and_is_not_undone(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.push(2, 3)
    farm.deployer.tick()
    with farm.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        active, live = rollouts.active_of(connection, lane.id), releases.live_of(connection, lane.id)
        assert active is not None
        assert live is not None
        lanes.order_rollback(connection, lane.id, live.id, "ada", "I saw it break", farm.clock.now())
    farm.run()
    assert farm.live == 1
    assert farm.banned == [{2, 3}]
    assert len(farm.rollouts) == 2


def test_a_hold_written_after_the_plan_stops_the_cut(farm: Farm) -> None:
    farm.push(1)
    farm.run()
    farm.push(2)
    with farm.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        seen = snapshot.read(connection, lane, farm.clock.now())
        decision = plan_lane(seen.view, None, "", farm.clock.now())
        assert isinstance(decision, CutBatch)
        holds.place(connection, lane.id, "wait", "ada", farm.clock.now())
    with pytest.raises(LostRace):
        apply.to_lane(farm.deployer._context, seen, farm.deployer.epoch or 0, decision)
    assert len(farm.rollouts) == 1


STORE = """
application: shop
target: {type: command, shift: [x], restore: [x], status: {command: [x], every: 1h, within: 14d}, when_newer: WAIT}
lanes: {production: {}}
"""
HOUR = 3600


def in_review(farm: Farm, when_newer: str) -> None:
    with farm.store.writing() as connection:
        rows.apply(connection, STORE.replace("WAIT", when_newer), farm.clock.now())
    for position in (2, 3):
        farm.place.goes_on[rows.sha(position)] = Outcome(Ended.GOES_ON, "in review", {"served": 0})
    farm.push(1)
    farm.run()
    farm.deployer.resign()
    farm.deployer = farm.controller("patient", minutes=60)
    farm.push(2)
    farm.run(24 * HOUR)


def test_a_review_of_days_survives_its_controllers_and_ends_live(farm: Farm) -> None:
    in_review(farm, "wait")
    farm.deployer = farm.controller("second", minutes=60)  # the first is dead
    farm.push(3)
    farm.run(24 * HOUR)
    assert (farm.live, len(farm.rollouts), farm.rollouts[-1].state) == (1, 2, states.Rollout.RUNNING)
    farm.place.goes_on[rows.sha(2)] = Outcome(Ended.GOES_ON, "phased at 20 %", {"served": 20})
    farm.run(3 * HOUR)
    with farm.store.reading() as connection:
        shift = {entry.key: entry for entry in rollouts.entries(connection, farm.rollouts[-1].id)}["wave-0/shift"]
    assert (shift.outcome, shift.detail["words"], shift.detail["served"]) == ("goes on", "phased at 20 %", 20)
    farm.place.goes_on.clear()
    farm.run(3 * HOUR)
    assert farm.live == 3
    assert [row.state for row in farm.rollouts] == [states.Rollout.GOOD] * 3


def test_a_newer_batch_replaces_what_is_in_review_and_nobody_is_blamed(farm: Farm) -> None:
    in_review(farm, "replace")
    farm.push(3)
    farm.run(3 * HOUR)
    assert [row.state for row in farm.rollouts] == [states.Rollout.GOOD, states.Rollout.SICK, states.Rollout.RUNNING]
    assert f"{rows.sha(3)[:12]} takes its place; it was: in review" in (farm.rollouts[1].reason or "")
    assert (farm.banned, farm.held()) == ([], [])
    farm.place.goes_on.clear()
    farm.run(3 * HOUR)
    assert farm.live == 3


def test_a_rejected_review_is_the_change_to_blame(farm: Farm) -> None:
    in_review(farm, "wait")
    farm.place.goes_on[rows.sha(2)] = Outcome(Ended.FAILED, "rejected: no icon")
    farm.run(3 * HOUR)
    assert farm.banned == [{2}]
    assert "rejected: no icon" in (farm.rollouts[-1].reason or "")
