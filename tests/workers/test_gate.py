"""A worker whose engine is away, or whose disk is full, claims nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.node_folder import NodeFolder
from workers.engines.fake import FakeEngine
from workers.gate import Gate

CLOCK = SystemClock()


def gate(folder: Path, engine: FakeEngine, patience: float, floor_bytes: int = 0) -> Gate:
    return Gate(engine, NodeFolder(folder), CLOCK, floor_bytes, timedelta(seconds=patience))


def test_an_engine_that_answers_is_passed_at_once(tmp_path: Path) -> None:
    assert gate(tmp_path, FakeEngine(), 0).passes()
    assert NodeFolder(tmp_path).problem() is None


def test_without_an_engine_nothing_passes_and_the_node_says_why(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.lost = True
    assert not gate(tmp_path, engine, 0).passes()
    assert "does not answer" in (NodeFolder(tmp_path).problem() or "")


def test_who_waits_goes_on_when_the_engine_is_back_and_the_problem_is_over(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.lost = True
    waiting, passed = gate(tmp_path, engine, 30), list[bool]()
    thread = threading.Thread(target=lambda: passed.append(waiting.passes()))
    thread.start()
    deadline = stopwatch() + 10
    while NodeFolder(tmp_path).problem() is None and stopwatch() < deadline:
        CLOCK.sleep(timedelta(milliseconds=10))
    assert passed == []
    engine.lost = False
    thread.join(10)
    assert passed == [True]
    assert NodeFolder(tmp_path).problem() is None


def test_nothing_is_claimed_on_a_full_disk_and_no_attempt_is_burnt(tmp_path: Path) -> None:
    assert not gate(tmp_path, FakeEngine(), 0, floor_bytes=2**62).passes()


def test_who_waits_for_room_goes_on_when_there_is_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, looked = [0], threading.Event()

    def free_bytes(_: NodeFolder) -> int:
        looked.set()
        return free[0]

    monkeypatch.setattr(NodeFolder, "free_bytes", free_bytes)
    waiting, passed = gate(tmp_path, FakeEngine(), 30, floor_bytes=1000), list[bool]()
    thread = threading.Thread(target=lambda: passed.append(waiting.passes()))
    thread.start()
    assert looked.wait(10)
    assert passed == []
    free[0] = 1000
    thread.join(10)
    assert passed == [True]


def test_nobody_waits_in_a_worker_that_ends(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.lost = True
    closing = gate(tmp_path, engine, 30)
    closing.close()
    since = stopwatch()
    assert not closing.passes()
    assert stopwatch() - since < 5


def test_a_worker_that_ends_claims_nothing_even_if_its_engine_answers(tmp_path: Path) -> None:
    closing = gate(tmp_path, FakeEngine(), 30)
    closing.close()
    assert not closing.passes()
