"""`python -m scheduler` as a process: starts, is refused clearly, survives kill -9, ends in order."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.settings import environment_for_child
from tests.git.repositories import RealRepository
from tests.scheduler.farm import ONE_JOB

ROOT = Path(__file__).parents[2]
CLOCK = SystemClock()
pytestmark = pytest.mark.needs("redis", "git")


def start(data: Path, port: int, redis_url: str) -> subprocess.Popen[bytes]:
    child = environment_for_child(
        FARMGATE_DATA=str(data), FARMGATE_PORT=str(port), FARMGATE_BROKER_URL=redis_url, FARMGATE_POLL_EVERY="PT1S"
    )
    log = (data.parent / "log").open("ab")
    with log:
        return subprocess.Popen([sys.executable, "-m", "scheduler"], cwd=ROOT, env=child, stdout=log, stderr=log)


@contextmanager
def running(data: Path, port: int, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler that answers."""
    process = start(data, port, redis_url)
    try:
        wait_until(lambda: process.poll() is not None or ready(port))
        assert process.poll() is None, (data.parent / "log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(fact: object, seconds: float = 30) -> None:
    assert callable(fact)
    deadline = stopwatch() + seconds
    while not fact():
        assert stopwatch() < deadline, "it never came true"
        CLOCK.sleep(timedelta(milliseconds=20))


def people(data: Path, port: int) -> httpx.Client:
    token = (data / "admin.token").read_text().strip()
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=20)


def test_a_scheduler_starts_from_nothing_and_ends_in_order(tmp_path: Path, free_port: int, redis_url: str) -> None:
    data = tmp_path / "data"
    with running(data, free_port, redis_url) as process:
        assert stat.S_IMODE((data / "admin.token").stat().st_mode) == 0o600
        with people(data, free_port) as http:
            assert http.get("/api/runs").json() == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "the scheduler ended" in (tmp_path / "log").read_text()


def test_after_kill_nine_a_scheduler_goes_on_where_the_rows_are(tmp_path: Path, free_port: int, redis_url: str) -> None:
    data = tmp_path / "data"
    remote = RealRepository(tmp_path / "shop.git")
    remote.add("first", {".farmgate.yml": ONE_JOB})
    with running(data, free_port, redis_url) as process, people(data, free_port) as http:
        made = http.post("/api/repositories", json={"name": "shop", "url": str(remote.path)}).json()
        assert made["first_read"]["state"] == "done"
        remote.add("while it lives")
        process.kill()
        process.wait()
    remote.add("while it is dead")
    with running(data, free_port, redis_url), people(data, free_port) as http:
        wait_until(lambda: len(http.get("/api/runs").json()) == 3)
        assert [run["title"] for run in http.get("/api/runs").json()] == [
            "while it is dead",
            "while it lives",
            "first",
        ]


def test_a_taken_port_is_named(tmp_path: Path, free_port: int, redis_url: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        process = start(tmp_path / "data", free_port, redis_url)
        assert process.wait(30) == 1
    told = (tmp_path / "log").read_text()
    assert f"127.0.0.1:{free_port}" in told
    assert "FARMGATE_PORT" in told
    assert "Traceback" not in told


def test_a_second_scheduler_on_the_same_folder_is_refused_and_names_the_first(
    tmp_path: Path, free_port: int, redis_url: str
) -> None:
    data = tmp_path / "data"
    with running(data, free_port, redis_url) as first:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            other = probe.getsockname()[1]
        second = start(data, other, redis_url)
        assert second.wait(30) == 1
        assert f"process {first.pid}" in (tmp_path / "log").read_text()
        assert ready(free_port)


def test_a_scheduler_without_a_broker_says_what_is_missing(tmp_path: Path) -> None:
    child = environment_for_child(FARMGATE_DATA=str(tmp_path / "data"), FARMGATE_PORT="18999")
    child.pop("FARMGATE_BROKER_URL", None)
    done = subprocess.run([sys.executable, "-m", "scheduler"], cwd=ROOT, env=child, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"FARMGATE_BROKER_URL" in done.stderr
    assert os.fsencode("Traceback") not in done.stderr
