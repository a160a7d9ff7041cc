"""What every target keeps: containers, processes, programs, and the scripted one that simulations use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.switch import Switch
from deploy.targets import docker_hosts
from deploy.targets.command import CommandRunTarget
from deploy.targets.contract import Rig, TargetContract, sha
from deploy.targets.docker import DockerRunner
from deploy.targets.fence import Fence
from deploy.targets.instance import keeper_of
from deploy.targets.process import ProcessRunner
from deploy.targets.protocol import Ended, Order, Package, Target
from deploy.targets.scripted import Place, ScriptedTarget
from deploy.targets.switched import SwitchedTarget
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock, random_token, stopwatch
from farmgate.errors import StaleEpoch, TargetError
from farmgate.policy import CommandTarget, DockerTarget, ProcessTarget
from tests.deploy.engines import SecondHost, lane_site, two_hosts
from tests.deploy.parts import CLIENTS, SCRIPT, SERVICE, archive, load, slow

DRAIN = timedelta(seconds=5)
START = timedelta(seconds=30)
SHIFT = 'test "$FARMGATE_SHARE" -gt 0 && printf %s "$FARMGATE_SHA" > "$PLACE/live"'
RESTORE = 'printf %s "$FARMGATE_PREVIOUS_SHA" > "$PLACE/live"'


PROCESS = pytest.param("process", marks=pytest.mark.needs("haproxy"))
DOCKER = pytest.param("docker", marks=pytest.mark.needs("haproxy", "docker", "hosts"))


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[Rig]:
    """One of the kind that the test names."""
    made = _rig(request.param, request, tmp_path, free_port)
    yield made
    made.make().remove(1_000)


class TestEveryTarget(TargetContract):
    """The contract."""

    @pytest.fixture(params=["scripted", "command", PROCESS, DOCKER])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[Rig]:
        made = _rig(request.param, request, tmp_path, free_port)
        yield made
        made.make().remove(1_000)


def _rig(kind: str, request: pytest.FixtureRequest, folder: Path, port: int) -> Rig:
    blobs, clock = MemoryBlobs(), SystemClock()
    if kind == "scripted":
        place = Place()
        target = CommandTarget(shift=("true",), restore=("true",))

        def stillborn(number: int) -> Package:
            place.stillborn.add(sha(number))
            return Package(number, sha(number), {}, target)

        def serving() -> str:
            return "".join(name for name, share in place.serving.items() if share == 100)

        return Rig(
            lambda: ScriptedTarget(place),
            lambda n: Package(n, sha(n), {}, target),
            serving,
            stillborn,
            lose=lambda package: place.gone.add(package.sha),
        )
    if kind == "command":
        stored = blobs.put([b"the artifact"]).sha256
        place_folder = folder / "place"
        place_folder.mkdir()
        program = CommandTarget(
            shift=("sh", "-c", f'test -s "$FARMGATE_ARTIFACT" && {SHIFT}'),
            restore=("sh", "-c", RESTORE),
            artifact="a.bin",
            environment={"PLACE": str(place_folder)},
        )

        def named() -> str:
            return (place_folder / "live").read_text()

        artifacts = {"a.bin": f"sha256:{stored}"}
        return Rig(
            lambda: CommandRunTarget(folder / "lane", blobs, Fence(folder / "lane")),
            lambda n: Package(n, sha(n), artifacts, program),
            named,
            lose=lambda package: blobs.delete(stored),
        )
    farm = "t" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:7]
    image = request.getfixturevalue("busybox_image") if kind == "docker" else ""
    hosts = two_hosts(request.getfixturevalue("second_host")) if image else {}

    def package(number: int, broken: bool = False) -> Package:
        files = {"run_sh": SCRIPT, "app_py": SERVICE, "version": sha(number)}
        artifacts = {"a.tgz": f"sha256:{blobs.put([archive(**files)]).sha256}"}
        command = (
            ("sh", "-c", "echo it broke; exit 3") if broken else ("sh", "run.sh") if image else ("python3", "app.py")
        )
        start = timedelta(seconds=2) if broken else START
        common = {"artifact": "a.tgz", "instances": 2, "drain": DRAIN, "start_within": start}
        if image:
            made: DockerTarget | ProcessTarget = DockerTarget(
                image=image, command=command, port=8080, hosts=hosts, **common
            )
        else:
            made = ProcessTarget(command=command, **common)
        return Package(number, sha(number), artifacts, made)

    def make() -> Target:
        if hosts:
            policy = DockerTarget(image=image, command=("true",), port=8080, hosts=hosts)
            return docker_hosts.make(
                lane_site(farm, folder, port, policy, blobs, request.getfixturevalue("second_host"))
            )
        runner = DockerRunner(farm, "1", blobs) if image else ProcessRunner(folder / "lane", blobs, clock)
        return SwitchedTarget(
            runner, Switch(folder / "lane", clock), Fence(folder / "lane"), f"127.0.0.1:{port}", clock
        )

    def answered() -> str:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return str(answer.read().decode())

    def lose(package: Package) -> None:
        blobs.delete(package.artifacts["a.tgz"].removeprefix("sha256:"))

    return Rig(make, package, answered, lambda n: package(n, broken=True), "it broke", lose=lose)


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_no_request_fails_while_rolling_switching_and_going_back(rig: Rig, free_port: int) -> None:
    first = rig.bring_up(1, None)
    with load(free_port) as seen:
        seen.seen(first.sha)
        second, target = rig.package(2), rig.make()
        order = rig.order(second, first)
        target.prepare(order)
        target.shift(order, 25)
        seen.served.clear()
        seen.seen(second.sha, 50)
        share = seen.served[second.sha] / (seen.served[first.sha] + seen.served[second.sha])
        target.shift(order, 100)
        target.finish(order)
        seen.seen(second.sha)
        third = rig.package(3)
        order = rig.order(third, second)
        target.prepare(order)
        target.shift(order, 50)
        seen.seen(third.sha)
        target.restore(order)
        seen.served.clear()
        seen.seen(second.sha, 50)
    assert seen.failed == []
    assert set(seen.served) == {second.sha}
    assert 0.15 < share < 0.35


@pytest.mark.parametrize("rig", [DOCKER], indirect=True)
def test_no_request_fails_on_two_hosts_of_which_one_dies_in_mid_rollout_and_comes_back(
    rig: Rig, free_port: int, tmp_path: Path, second_host: SecondHost
) -> None:
    first = rig.bring_up(1, None)
    with load(free_port) as seen, ThreadPoolExecutor(4) as asking:
        live = rig.bring_up(2, first, epoch=5)
        seen.seen(live.sha)
        third = rig.package(3)
        order, target = rig.order(third, live, epoch=5), rig.make()
        target.prepare(order)
        target.shift(order, 50)
        seen.seen(third.sha)
        under_way = [asking.submit(slow, free_port) for _ in range(4)]
        SystemClock().sleep(timedelta(seconds=0.3))
        second_host.kill()

        with pytest.raises(TargetError, match=r"the host b does not answer .*: it must take instance 2 of 2"):
            target.shift(order, 100)
        seen.seen(third.sha)
        restored = target.restore(order)
        assert restored.ended is Ended.DONE
        assert "does not answer" in restored.words
        assert "what is left there is removed when it does" in restored.words
        (lost,) = target.observe(order).of(third)
        assert (lost.index, lost.host, lost.lost) == (1, "b", True)
        assert {request.result() for request in under_way} == {"200 slow"}, "also those that the dead host had begun"
        seen.served.clear()
        seen.seen(live.sha, 50)
        assert set(seen.served) == {live.sha}

        second_host.start()
        deadline = stopwatch() + 30
        while True:
            rig.make().tend(live, 5)
            there = rig.make().observe(order).instances
            if set(there) == {2} and all(instance.up for instance in there[2]):
                break
            assert stopwatch() < deadline, there
        seen.seen(live.sha, 50)
    begun = [each for each in seen.failed if each.startswith("IncompleteRead")]
    assert len(begun) <= CLIENTS, "at most the answers that the dead host was in the middle of"
    assert seen.failed == begun
    (tmp_path / "lane" / "epoch").unlink()  # a copy of the farm's files, from before the newer controller came
    with pytest.raises(StaleEpoch, match=r"epoch 4 asked the host . to act, but epoch 5 has taken it over"):
        rig.make().tend(live, 4)


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_what_died_between_rollouts_is_brought_back(rig: Rig, tmp_path: Path, free_port: int) -> None:
    first = rig.bring_up(1, None)
    os.kill(int((tmp_path / "lane" / "haproxy.pid").read_text()), signal.SIGKILL)
    os.kill(int((tmp_path / "lane" / "releases" / "1" / "0.lock").read_text()), signal.SIGKILL)
    deadline = stopwatch() + 15
    while keeper_of(tmp_path / "lane" / "releases" / "1" / "0.lock") is not None:
        assert stopwatch() < deadline
    rig.make().tend(first, 1)
    deadline = stopwatch() + 15
    with load(free_port) as seen:
        seen.seen(first.sha, 20)
    instances = rig.make().observe(rig.order(first, None)).of(first)
    while not all(instance.up for instance in instances):
        assert stopwatch() < deadline
        instances = rig.make().observe(rig.order(first, None)).of(first)


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_a_switch_that_is_killed_in_mid_rollout_comes_back_with_its_shares(
    rig: Rig, tmp_path: Path, free_port: int
) -> None:
    first = rig.bring_up(1, None)
    second, target = rig.package(2), rig.make()
    order = rig.order(second, first)
    target.prepare(order)
    target.shift(order, 50)
    os.kill(int((tmp_path / "lane" / "haproxy.pid").read_text()), signal.SIGKILL)
    assert Switch(tmp_path / "lane", SystemClock()).mend()
    with load(free_port) as seen:
        seen.seen(first.sha)
        seen.seen(second.sha)
    assert seen.failed == []
    target.finish(order)


def test_a_program_that_hangs_or_answers_nonsense_cannot_tell(tmp_path: Path) -> None:
    for argv, words in ((("sleep", "30"), "did not end within"), (("sh", "-c", "exit 7"), "ended with 7")):
        quick = CommandTarget(shift=argv, restore=("true",), timeout=timedelta(milliseconds=300))
        target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path))
        outcome = target.shift(Order("x/y", 1, Package(1, sha(1), {}, quick), None), 50)
        assert outcome.ended is Ended.UNTOLD
        assert words in outcome.words


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_a_restore_starts_the_old_release_again_if_it_is_gone(rig: Rig, tmp_path: Path, free_port: int) -> None:
    first = rig.bring_up(1, None)
    second, target = rig.package(2), rig.make()
    order = rig.order(second, first)
    target.prepare(order)
    target.shift(order, 100)
    ProcessRunner(tmp_path / "lane", MemoryBlobs(), SystemClock()).remove(1)
    assert target.restore(order).ended is Ended.DONE
    assert rig.live() == first.sha


def test_a_place_that_was_left_half_applied_is_told_before_the_start(tmp_path: Path) -> None:
    place, program = Place(), CommandTarget(shift=("true",), restore=("true",))
    packages = [Package(number, sha(number), {}, program) for number in (1, 2, 3)]
    place.up, place.shares = {1: sha(1), 2: sha(2)}, {1: 80, 2: 20}
    (words,) = ScriptedTarget(place).ready(Order("x/y", 1, packages[2], packages[0]))
    assert words == "a release that is not live serves 20 %: the place was left half applied"


def test_the_artifact_that_is_gone_is_infrastructure_and_not_the_change(tmp_path: Path) -> None:
    wanted = CommandTarget(shift=("true",), restore=("true",), artifact="a.bin")
    package = Package(1, sha(1), {"a.bin": "sha256:" + "0" * 64}, wanted)
    target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path))
    with pytest.raises(TargetError, match="gone from the blob store"):
        target.prepare(Order("x/y", 1, package, None))
    with pytest.raises(TargetError, match="has no artifact"):
        target.prepare(Order("x/y", 1, replace(package, artifacts={}), None))
