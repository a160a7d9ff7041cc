"""What every engine promises. Docker and plain processes are real; the fake plays the same parts."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.errors import EngineError
from farmgate.node_folder import Key
from tests.conftest import BUSYBOX
from workers.engines.docker import DockerEngine
from workers.engines.engine import Ended, Engine, Limits, Order
from workers.engines.fake import FOREVER, Act, FakeEngine
from workers.engines.process import ProcessEngine
from workers.script import NAME
from workers.workspace import give_away, owner

MEMORY_BYTES = 64 * 2**20


def wait_until(fact: object, seconds: float = 20) -> None:
    """Wait for a fact, with a deadline."""
    deadline, clock = stopwatch() + seconds, SystemClock()
    assert callable(fact)
    while not fact():
        assert stopwatch() < deadline, "it did not become true"
        clock.wait(threading.Event(), timedelta(milliseconds=20))


@dataclass
class Rig:
    """An engine, and scripts for it."""

    engine: Engine
    path: Path
    identity: str
    numbers: int = 0

    def order(self, sh: str, *play: Act, pids: int = 64) -> Order:
        self.numbers += 1
        key = Key(self.numbers, 1)
        if isinstance(self.engine, FakeEngine):
            self.engine.plays[key] = play
        folder = self.path / str(key)
        for name in ("steps", "workspace", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "steps" / NAME).write_text("exec 2>&1\n" + sh)
        give_away(folder, owner())
        limits = Limits(MEMORY_BYTES, 1.0, pids)
        return Order(key, BUSYBOX, folder, {"GREETING": "it's $HOME"}, limits, owner(), network=False)

    def run(self, sh: str, *play: Act, pids: int = 64) -> tuple[Ended, bytes]:
        order, said = self.order(sh, *play, pids=pids), bytearray()
        self.engine.prepare(order.image)
        try:
            return self.engine.run(order, said.extend), bytes(said)
        finally:
            self.engine.discard(order.key)

    def start(self, order: Order) -> tuple[threading.Thread, list[Ended], threading.Event]:
        """Run it in a thread; the event is set at its first output."""
        ended: list[Ended] = []
        speaks = threading.Event()
        self.engine.prepare(order.image)
        thread = threading.Thread(target=lambda: ended.append(self.engine.run(order, lambda _: speaks.set())))
        thread.start()
        return thread, ended, speaks


@pytest.fixture(params=["docker", "process", "fake"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    identity = f"t{os.getpid()}{tmp_path.name[-8:].strip('_-').lower()}".replace("_", "")
    engine: Engine
    match request.param:
        case "docker":
            request.getfixturevalue("busybox_image")
            engine = DockerEngine(identity)
        case "process":
            engine = ProcessEngine(identity)
        case _:
            engine = FakeEngine()
    yield Rig(engine, tmp_path, identity)
    engine.sweep(frozenset)
    engine.close()


def test_output_comes_in_order_and_the_exit_code_is_the_scripts(rig: Rig) -> None:
    ended, said = rig.run("echo one; echo two >&2; echo three; exit 3", b"one\ntwo\nthree\n", 3)
    assert (ended.exit_code, said) == (3, b"one\ntwo\nthree\n")


def test_bytes_that_are_no_text_arrive_as_they_are(rig: Rig) -> None:
    _, said = rig.run(r"printf '\377\000\376\033[1m'", b"\xff\x00\xfe\x1b[1m", 0)
    assert said == b"\xff\x00\xfe\x1b[1m"


def test_what_was_reserved_runs(rig: Rig) -> None:
    order, said = rig.order("echo hello", b"hello\n", 0), bytearray()
    rig.engine.prepare(order.image)
    rig.engine.reserve(order)
    assert rig.engine.run(order, said.extend).exit_code == 0
    rig.engine.discard(order.key)
    assert said == b"hello\n"


def test_what_was_reserved_can_be_given_back(rig: Rig) -> None:
    order = rig.order("echo hello", 0)
    rig.engine.prepare(order.image)
    rig.engine.reserve(order)
    rig.engine.discard(order.key)
    rig.engine.discard(order.key)
    assert rig.engine.sweep(frozenset) == frozenset()


def test_a_killed_script_ends_at_once(rig: Rig) -> None:
    order = rig.order("echo up; sleep 100", b"up\n", FOREVER)
    thread, ended, speaks = rig.start(order)
    assert speaks.wait(20)
    rig.engine.kill(order.key)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert ended[0].exit_code == 137
    rig.engine.kill(order.key)
    rig.engine.discard(order.key)


def test_killing_what_does_not_run_is_no_error(rig: Rig) -> None:
    rig.engine.kill(Key(999, 1))


def test_a_sink_that_raises_ends_the_script(rig: Rig) -> None:
    order = rig.order("echo up; sleep 100", b"up\n", FOREVER)
    rig.engine.prepare(order.image)

    def refuse(_: bytes) -> None:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        rig.engine.run(order, refuse)
    rig.engine.discard(order.key)
    assert rig.engine.sweep(frozenset) == frozenset()


def test_a_sweep_leaves_what_is_held(rig: Rig) -> None:
    order = rig.order("echo up; sleep 100", b"up\n", FOREVER)
    thread, _, speaks = rig.start(order)
    assert speaks.wait(20)
    assert rig.engine.sweep(lambda: {order.key}) == frozenset()
    assert thread.is_alive()
    rig.engine.kill(order.key)
    thread.join(timeout=10)
    rig.engine.discard(order.key)


class TestRealEngines:
    """What only processes can show."""

    @pytest.fixture(params=["docker", "process"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
        identity = f"r{os.getpid()}{abs(hash(str(tmp_path))) % 10**8}"
        engine: Engine
        if request.param == "docker":
            request.getfixturevalue("busybox_image")
            engine = DockerEngine(identity)
        else:
            engine = ProcessEngine(identity)
        yield Rig(engine, tmp_path, identity)
        engine.sweep(frozenset)
        engine.close()

    def test_values_come_by_the_environment_and_are_never_code(self, rig: Rig) -> None:
        _, said = rig.run('printf "%s" "$GREETING"')
        assert said == b"it's $HOME"

    def test_a_job_sees_nothing_of_our_environment(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FARMGATE_CREDENTIAL", "fgn_secret")
        _, said = rig.run("env")
        assert b"fgn_secret" not in said

    def test_what_daemonizes_is_killed_with_its_script(self, rig: Rig) -> None:
        began = stopwatch()
        ended, said = rig.run("setsid sh -c 'echo $$; sleep 60' & sleep 0.3; exit 0")
        assert ended.exit_code == 0
        assert stopwatch() - began < 15
        if rig.engine.name == "process":
            pid = Path("/proc") / said.split()[0].decode()
            wait_until(lambda: not pid.exists() or ") Z " in (pid / "stat").read_text())

    def test_a_sweep_of_another_engine_object_finds_what_a_dead_worker_left(self, rig: Rig) -> None:
        order = rig.order("echo up; sleep 100")
        thread, _, speaks = rig.start(order)
        assert speaks.wait(20)
        other: Engine = (
            DockerEngine(rig.identity) if isinstance(rig.engine, DockerEngine) else ProcessEngine(rig.identity)
        )
        assert other.sweep(frozenset) == {order.key}
        thread.join(timeout=10)
        assert not thread.is_alive()
        other.close()

    def test_a_slow_reader_holds_the_script_up_and_loses_nothing(self, rig: Rig) -> None:
        count, order = 0, rig.order("dd if=/dev/zero bs=1048576 count=30 2>/dev/null | tr '\\000' x")
        gate = threading.Event()

        def slowly(data: bytes) -> None:
            nonlocal count
            if count == 0:
                SystemClock().wait(gate, timedelta(milliseconds=300))
            count += len(data)

        rig.engine.prepare(order.image)
        assert rig.engine.run(order, slowly).exit_code == 0
        rig.engine.discard(order.key)
        assert count == 30 * 2**20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker-py leaves a failed socket open
def test_an_engine_that_does_not_answer_is_an_engine_error(tmp_path: Path) -> None:
    engine = DockerEngine("nobody", base_url=f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match="does not answer"):
        engine.prepare("busybox")
    with pytest.raises(EngineError):
        engine.sweep(frozenset)
    engine.close()
    gc.collect()


def test_the_fake_fails_when_it_is_called_in_the_wrong_order(tmp_path: Path) -> None:
    engine = FakeEngine()
    order = Rig(engine, tmp_path, "f").order("", 0)
    with pytest.raises(AssertionError):
        engine.run(order, bytearray().extend)
