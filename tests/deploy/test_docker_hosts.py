"""Several hosts as the runner sees them: who runs what, what is known of those that do not answer. No engine needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from deploy.checks import Answer, Verdict
from deploy.steps import blameless
from deploy.targets.docker_hosts import HERE, HostsRunner
from deploy.targets.protocol import Instance, Package
from deploy.targets.spot import Spot
from farmgate.blobs import MemoryBlobs
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
