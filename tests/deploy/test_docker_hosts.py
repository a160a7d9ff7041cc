"""Several hosts as the runner sees them: who runs what, what is known of those that do not answer. No engine needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from deploy.checks import Answer, Verdict
from deploy.steps import blameless
from deploy.switch import Route
from deploy.targets.docker_hosts import HERE, HostsRunner
from deploy.targets.fence import Fence
from deploy.targets.protocol import Instance, Order, Package
from deploy.targets.spot import Spot
from deploy.targets.switched import SwitchedTarget
from farmgate.blobs import MemoryBlobs
from farmgate.clock import VirtualClock
from farmgate.errors import TargetError
from farmgate.policy import DockerTarget
from farmgate.policy.targets.engines import Engine


class Machine:
    """A host of a few dictionaries: what it runs, by rollout and index."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.on = True
        self.there: dict[int, dict[int, str]] = {}

    def answers(self) -> None:
        if not self.on:
            raise TargetError("no route")

    def ensure(self, package: Package, indexes: Iterable[int] | None = None) -> tuple[Instance, ...]:
        self.answers()
        target = package.target
        assert isinstance(target, DockerTarget)
        for index in range(target.instances) if indexes is None else indexes:
            self.there.setdefault(package.rollout_id, {}).setdefault(index, f"{self.name}:{package.rollout_id}{index}")
        return self._instances(package.rollout_id)

    def running(self) -> dict[int, tuple[Instance, ...]]:
        self.answers()
        return {rollout: self._instances(rollout) for rollout in self.there}

    def lacking(self, package: Package) -> Sequence[str]:
        self.answers()
        return () if self.name != "web2" else ("no such image",)

    def remove(self, rollout_id: int) -> None:
        self.answers()
        self.there.pop(rollout_id, None)

    def mark(self, epoch: int) -> int:
        return epoch

    def _instances(self, rollout: int) -> tuple[Instance, ...]:
        return tuple(Instance(index, address, True) for index, address in self.there[rollout].items())


class Room:
    """Machines, and lanes whose files stand in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines: dict[str, Machine] = {}

    def runner(self, *hosts: str, instances: int = 4) -> HostsRunner:
        """Another controller's, whenever it is asked for."""
        return HostsRunner(self._at, MemoryBlobs(), self.target(*hosts, instances=instances), self.folder)  # type: ignore[arg-type]

    def target(self, *hosts: str, instances: int = 4) -> DockerTarget:
        engines = {name: Engine(engine=f"unix:///{name}", address="10.0.0.1") for name in hosts}
        return DockerTarget(image="i", command=("c",), port=1, instances=instances, hosts=engines)

    def package(self, rollout: int, *hosts: str, instances: int = 4) -> Package:
        return Package(rollout, f"{rollout:040x}", {}, self.target(*hosts, instances=instances))

    def _at(self, name: str, engine: Engine | None) -> Machine:
        assert (engine is None) == (name == HERE)
        return self.machines.setdefault(name, Machine(name))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_instances_are_dealt_to_hosts_by_their_names_in_turn(room: Room) -> None:
    instances = room.runner("web2", "web1").ensure(room.package(1, "web2", "web1", instances=5))
    assert [(each.index, each.host) for each in instances] == [
        (0, "web1"),
        (1, "web2"),
        (2, "web1"),
        (3, "web2"),
        (4, "web1"),
    ]


def test_what_a_silent_host_runs_is_lost_and_keeps_its_address(room: Room) -> None:
    package = room.package(1, "web1", "web2")
    before = room.runner("web1", "web2").ensure(package)
    room.machines["web2"].on = False
    after = room.runner("web1", "web2").ensure(package)
    assert [each.address for each in after] == [each.address for each in before]
    assert [each.lost for each in after] == [False, True, False, True]
    assert after[1].words == "the host web2 does not answer (no route)"
    assert room.runner("web1", "web2").running()[1] == after


def test_a_host_that_was_silent_all_along_has_instances_without_an_address(room: Room) -> None:
    room.machines["web2"] = Machine("web2")
    room.machines["web2"].on = False
    instances = room.runner("web1", "web2").ensure(room.package(1, "web1", "web2", instances=2))
    assert [(each.address, each.lost) for each in instances] == [("web1:10", False), ("", True)]


def test_what_is_left_on_a_dead_host_is_removed_when_it_is_back_though_no_policy_names_it(room: Room) -> None:
    room.runner("web1", "web2").ensure(room.package(1, "web1", "web2"))
    room.machines["web2"].on = False
    runner = room.runner("web1")
    runner.ensure(room.package(2, "web1"))
    runner.remove(1)
    assert [each.host for each in runner.running()[1]] == ["web2", "web2"]
    room.machines["web2"].on = True
    back = room.runner("web1")
    assert [each.lost for each in back.running()[1]] == [False, False]
    back.remove(1)
    assert set(back.running()) == {2}
    assert room.machines["web2"].there == {}
    assert "web2" not in (room.folder / "hosts.json").read_text()


def test_a_lane_moves_from_this_host_to_others_and_back(room: Room) -> None:
    room.machines[HERE] = Machine(HERE)
    room.machines[HERE].ensure(room.package(1))
    moved = room.runner("web1")
    moved.ensure(room.package(2, "web1"))
    assert set(moved.running()) == {1, 2}
    moved.remove(1)
    back = room.runner()
    back.ensure(room.package(3))
    back.remove(2)
    assert {name: set(machine.there) for name, machine in room.machines.items()} == {HERE: {3}, "web1": set()}


def test_what_goes_wrong_on_a_host_that_answers_is_told_as_it_is(room: Room) -> None:
    room.machines["web1"] = machine = Machine("web1")
    machine.ensure = lambda *_: (_ for _ in ()).throw(TargetError("the disk is full"))  # type: ignore[method-assign]
    with pytest.raises(TargetError, match="the disk is full"):
        room.runner("web1").ensure(room.package(1, "web1"))


def test_before_the_start_it_is_told_what_could_not_be_had_back_and_where(room: Room) -> None:
    package = room.package(1, "web1", "web2", "web3")
    room.runner("web1", "web2", "web3").ensure(package)
    room.machines["web3"].on = False
    lacks = room.runner("web1", "web2", "web3").lacking(package)
    assert tuple(lacks) == (
        "the host web2: no such image",
        "1 of 4 instances of 000000000000 could not be had back: the host web3 does not answer (no route)",
    )


class Routes:
    """What a switch was told last, which is all that a target asks of it here."""

    def __init__(self) -> None:
        self.told: dict[int, Route] = {}

    def route(self, listen: str, health: str, routes: Sequence[Route]) -> None:
        self.told = {each.rollout_id: each for each in routes}

    def shares(self) -> dict[int, int]:
        return {rollout: route.share for rollout, route in self.told.items()}

    def addresses(self, rollout: int) -> tuple[str, ...]:
        return self.told[rollout].addresses if rollout in self.told else ()

    def sessions(self, rollout: int) -> int:
        return 0

    def mend(self) -> bool:
        return False

    def stop(self) -> None:
        self.told = {}


@pytest.fixture
def switch() -> Routes:
    return Routes()


def _target(room: Room, switch: Routes, *hosts: str) -> SwitchedTarget:
    runner = room.runner(*hosts)
    return SwitchedTarget(runner, switch, Fence(room.folder), "127.0.0.1:1", VirtualClock())  # type: ignore[arg-type]


def test_a_wave_waits_for_a_host_that_must_take_it_in_and_its_end_does_not(room: Room, switch: Routes) -> None:
    order = Order("x/y", 1, room.package(2, "web1", "web2"), room.package(1, "web1", "web2"))
    _target(room, switch, "web1", "web2").shift(order, 100)
    room.machines["web2"].on = False
    target = _target(room, switch, "web1", "web2")
    with pytest.raises(TargetError, match=r"web2 does not answer \(no route\): it must take instances 2 and 4 of 4"):
        target.shift(order, 100)
    finished = target.finish(order)
    assert finished.words == (
        "the host web2 does not answer (no route): 2 of 4 instances are missing until it is back; "
        "the host web2 does not answer (no route): what is left there is removed when it does"
    )
    assert switch.told[2].addresses == ("web1:20", "web2:21", "web1:22", "web2:23"), "the switch sees for itself"
    room.machines["web2"].on = True
    _target(room, switch, "web1", "web2").tend(order.new, 1)
    assert [set(room.machines[name].there) for name in ("web1", "web2")] == [{2}, {2}]


def test_the_hosts_of_the_old_release_may_be_gone_when_a_new_one_goes_elsewhere(room: Room, switch: Routes) -> None:
    order = Order("x/y", 1, room.package(2, "web2"), room.package(1, "web1"))
    room.runner("web1").ensure(order.old or order.new)
    room.machines["web1"].on = False
    target = _target(room, switch, "web2")
    target.shift(order, 50)
    assert switch.shares() == {1: 50, 2: 50}
    target.finish(order)
    assert switch.shares() == {2: 100}


def test_going_back_waits_if_no_host_of_the_old_release_answers(room: Room, switch: Routes) -> None:
    order = Order("x/y", 1, room.package(2, "web2"), room.package(1, "web1"))
    _target(room, switch, "web2").shift(order, 50)
    room.machines["web1"].on = False
    with pytest.raises(TargetError, match=r"the host web1 does not answer"):
        _target(room, switch, "web2").restore(order)
    assert switch.shares() == {1: 50, 2: 50}


def test_who_takes_a_lane_down_is_told_where_something_is_left(room: Room, switch: Routes) -> None:
    room.runner("web1", "web2").ensure(room.package(1, "web1", "web2"))
    room.machines["web2"].on = False
    with pytest.raises(TargetError, match=r"web2 does not answer .*: something is left there, take it down again"):
        _target(room, switch, "web1", "web2").remove(1)
    assert room.machines["web1"].there == {}
    room.machines["web2"].on = True
    _target(room, switch, "web1", "web2").remove(1)
    assert room.machines["web2"].there == {}


def test_a_check_that_is_sick_blames_nobody_while_a_host_is_silent() -> None:
    sick, silent = Answer(Verdict.SICK, "answers 503"), Instance(1, "", False, "the host b does not answer", lost=True)
    assert blameless(sick, [Instance(0, "", True)]) == sick
    told = blameless(sick, [Instance(0, "", True), silent])
    assert (told.verdict, told.words) == (Verdict.UNTOLD, "answers 503; but the host b does not answer")
    assert blameless(Answer(Verdict.HEALTHY, ""), [silent]).verdict is Verdict.HEALTHY


def test_an_instance_is_given_another_port_for_each_attempt_always_within_the_span() -> None:
    spot = Spot("web1", "10.0.0.1", 20000, 20099)
    drawn = [spot.port("farm/1/2/0", attempt) for attempt in range(200)]
    assert min(drawn) >= 20000
    assert max(drawn) <= 20099
    assert len(set(drawn)) > 60
    assert drawn[0] == spot.port("farm/1/2/0", 0)
