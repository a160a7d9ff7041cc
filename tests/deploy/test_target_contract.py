"""What every target keeps: containers, processes, programs, and the scripted one that simulations use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.switch import Switch
from deploy.targets.command import CommandRunTarget
from deploy.targets.docker import DockerRunner
from deploy.targets.fence import Fence
from deploy.targets.instance import keeper_of
from deploy.targets.process import ProcessRunner
from deploy.targets.protocol import Ended, Order, Package, Target
from deploy.targets.scripted import Place, ScriptedTarget
from deploy.targets.switched import SwitchedTarget
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock, random_token, stopwatch
from farmgate.errors import StaleEpoch
from farmgate.policy import CommandTarget, DockerTarget, ProcessTarget
from tests.deploy.parts import SCRIPT, SERVICE, archive, load

DRAIN = timedelta(seconds=5)
START = timedelta(seconds=30)
SHIFT = 'test "$FARMGATE_SHARE" -gt 0 && printf %s "$FARMGATE_SHA" > "$PLACE/live"'
RESTORE = 'printf %s "$FARMGATE_PREVIOUS_SHA" > "$PLACE/live"'


@dataclass
class Rig:
    """A target of some kind, and how to make packages for it and to see what is live."""

    kind: str
    make: Callable[[], Target]  # another controller's handle on the same place
    package: Callable[[int], Package]
    broken: Callable[[int], Package] | None
    live: Callable[[], str]
    port: int = 0

    def order(self, new: Package, old: Package | None, epoch: int = 1) -> Order:
        return Order("shop/production", epoch, new, old)


def sha(number: int) -> str:
    return f"{number:040x}"


PROCESS = pytest.param("process", marks=pytest.mark.needs("haproxy"))
DOCKER = pytest.param("docker", marks=pytest.mark.needs("haproxy", "docker"))


@pytest.fixture(params=["scripted", "command", PROCESS, DOCKER])
def rig(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[Rig]:
    """One of each."""
    kind: str = request.param
    made = _rig(kind, request, tmp_path, free_port)
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

        return Rig(kind, lambda: ScriptedTarget(place), lambda n: Package(n, sha(n), {}, target), stillborn, serving)
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
            kind,
            lambda: CommandRunTarget(folder / "lane", blobs, Fence(folder / "lane")),
            lambda n: Package(n, sha(n), artifacts, program),
            None,
            named,
        )
    farm = "t" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:7]
    image = request.getfixturevalue("busybox_image") if kind == "docker" else ""

    def package(number: int, broken: bool = False) -> Package:
        files = {"run_sh": SCRIPT, "app_py": SERVICE, "version": sha(number)}
        artifacts = {"a.tgz": f"sha256:{blobs.put([archive(**files)]).sha256}"}
        command = (
            ("sh", "-c", "echo it broke; exit 3") if broken else ("sh", "run.sh") if image else ("python3", "app.py")
        )
        start = timedelta(seconds=2) if broken else START
        common = {"artifact": "a.tgz", "instances": 2, "drain": DRAIN, "start_within": start}
        if image:
            made: DockerTarget | ProcessTarget = DockerTarget(image=image, command=command, port=8080, **common)
        else:
            made = ProcessTarget(command=command, **common)
        return Package(number, sha(number), artifacts, made)

    def make() -> Target:
        runner = DockerRunner(farm, "1", blobs) if image else ProcessRunner(folder / "lane", blobs, clock)
        return SwitchedTarget(
            runner, Switch(folder / "lane", clock), Fence(folder / "lane"), f"127.0.0.1:{port}", clock
        )

    def answered() -> str:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return str(answer.read().decode())

    return Rig(kind, make, package, lambda n: package(n, broken=True), answered, port)


def bring_up(rig: Rig, number: int, old: Package | None, epoch: int = 1) -> Package:
    """A whole rollout in one wave."""
    new, target = rig.package(number), rig.make()
    order = rig.order(new, old, epoch)
    assert target.prepare(order).ended is Ended.DONE
    assert target.shift(order, 100).ended is Ended.DONE
    assert target.finish(order).ended is Ended.DONE
    return new


def test_a_finished_rollout_serves_the_new_release_and_nothing_else(rig: Rig) -> None:
    first = bring_up(rig, 1, None)
    second = bring_up(rig, 2, first)
    assert rig.live() == second.sha
    if rig.kind != "command":
        assert set(rig.make().observe(rig.order(second, None)).instances) == {2}


def test_a_restore_leaves_what_was_there_before(rig: Rig) -> None:
    first = bring_up(rig, 1, None)
    order, target = rig.order(rig.package(2), first), rig.make()
    target.prepare(order)
    target.shift(order, 20)
    assert target.restore(order).ended is Ended.DONE
    assert rig.live() == first.sha
    if rig.kind != "command":
        assert set(target.observe(order).instances) == {1}


def test_every_call_may_be_repeated_by_another_controller(rig: Rig) -> None:
    first = bring_up(rig, 1, None)
    new = rig.package(2)
    for epoch, share in enumerate((20, 20, 60, 100, 100), start=2):
        order = rig.order(new, first, epoch)
        assert rig.make().prepare(order).ended is Ended.DONE
        assert rig.make().shift(order, share).ended is Ended.DONE
    order = rig.order(new, first, 9)
    assert rig.make().finish(order).ended is Ended.DONE
    assert rig.make().finish(order).ended is Ended.DONE
    assert rig.live() == new.sha


def test_a_restore_before_anything_was_prepared_is_harmless(rig: Rig) -> None:
    first = bring_up(rig, 1, None)
    order = rig.order(rig.package(2), first)
    assert rig.make().restore(order).ended is Ended.DONE
    assert rig.make().restore(order).ended is Ended.DONE
    assert rig.live() == first.sha


def test_an_older_controller_is_refused(rig: Rig) -> None:
    first = bring_up(rig, 1, None, epoch=5)
    late = rig.order(rig.package(2), first, epoch=4)
    target = rig.make()
    for call in (target.prepare, lambda order: target.shift(order, 50), target.finish, target.restore):
        with pytest.raises(StaleEpoch):
            call(late)
    with pytest.raises(StaleEpoch):
        target.remove(4)
    assert rig.live() == first.sha


@pytest.mark.parametrize("rig", ["scripted", PROCESS, DOCKER], indirect=True)
def test_a_release_that_does_not_come_up_is_told_and_taken_back(rig: Rig) -> None:
    assert rig.broken is not None
    first = bring_up(rig, 1, None)
    order, target = rig.order(rig.broken(2), first), rig.make()
    outcome = target.prepare(order)
    assert outcome.ended is Ended.FAILED
    if rig.port:
        assert "it broke" in outcome.words
    assert target.restore(order).ended is Ended.DONE
    assert rig.live() == first.sha


@pytest.mark.parametrize("rig", [PROCESS, DOCKER], indirect=True)
def test_no_request_fails_while_rolling_switching_and_going_back(rig: Rig) -> None:
    first = bring_up(rig, 1, None)
    with load(rig.port) as seen:
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


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_what_died_between_rollouts_is_brought_back(rig: Rig, tmp_path: Path) -> None:
    first = bring_up(rig, 1, None)
    os.kill(int((tmp_path / "lane" / "haproxy.pid").read_text()), signal.SIGKILL)
    os.kill(int((tmp_path / "lane" / "releases" / "1" / "0.lock").read_text()), signal.SIGKILL)
    deadline = stopwatch() + 15
    while keeper_of(tmp_path / "lane" / "releases" / "1" / "0.lock") is not None:
        assert stopwatch() < deadline
    rig.make().tend(first, 1)
    deadline = stopwatch() + 15
    with load(rig.port) as seen:
        seen.seen(first.sha, 20)
    instances = rig.make().observe(rig.order(first, None)).of(first)
    while not all(instance.up for instance in instances):
        assert stopwatch() < deadline
        instances = rig.make().observe(rig.order(first, None)).of(first)


@pytest.mark.parametrize("rig", [PROCESS], indirect=True)
def test_a_switch_that_is_killed_in_mid_rollout_comes_back_with_its_shares(rig: Rig, tmp_path: Path) -> None:
    first = bring_up(rig, 1, None)
    second, target = rig.package(2), rig.make()
    order = rig.order(second, first)
    target.prepare(order)
    target.shift(order, 50)
    os.kill(int((tmp_path / "lane" / "haproxy.pid").read_text()), signal.SIGKILL)
    assert Switch(tmp_path / "lane", SystemClock()).mend()
    with load(rig.port) as seen:
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
def test_a_restore_starts_the_old_release_again_if_it_is_gone(rig: Rig, tmp_path: Path) -> None:
    first = bring_up(rig, 1, None)
    second, target = rig.package(2), rig.make()
    order = rig.order(second, first)
    target.prepare(order)
    target.shift(order, 100)
    ProcessRunner(tmp_path / "lane", MemoryBlobs(), SystemClock()).remove(1)
    assert target.restore(order).ended is Ended.DONE
    assert rig.live() == first.sha


def test_the_artifact_that_is_gone_is_infrastructure_and_not_the_change(tmp_path: Path) -> None:
    from farmgate.errors import TargetError

    wanted = CommandTarget(shift=("true",), restore=("true",), artifact="a.bin")
    package = Package(1, sha(1), {"a.bin": "sha256:" + "0" * 64}, wanted)
    target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path))
    with pytest.raises(TargetError, match="gone from the blob store"):
        target.prepare(Order("x/y", 1, package, None))
    with pytest.raises(TargetError, match="has no artifact"):
        target.prepare(Order("x/y", 1, replace(package, artifacts={}), None))
