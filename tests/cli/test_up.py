"""`farmgate up` for real: one farm per folder, a port of its own, everything ends with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from farmgate.cli import door
from farmgate.cli.demo.forge import Forge
from farmgate.cli.demo.story import Change, Part
from farmgate.cli.exits import Exit
from farmgate.client.api import Api
from farmgate.clock import SystemClock, stopwatch
from tests.cli.test_processes import until

pytestmark = pytest.mark.needs("redis", "git")
CLOCK = SystemClock()
PIPELINE = "jobs:\n  hello:\n    steps: [echo hello from $FARMGATE_SHA, touch made]\n    artifacts: [made]\n"


class Up:
    """A `farmgate up --json` of ours."""

    def __init__(self, data: Path, port: int, *more: str, folder: Path | None = None) -> None:
        self.data = data
        line = [sys.executable, "-P", "-m", "farmgate.cli", "up", "--json", "--engine", "process"]  # as ./farm does
        self.process = subprocess.Popen(
            [*line, "--data", str(data), "--port", str(port), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
        )

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                facts: dict[str, Any] = json.loads(text)
                return facts
        assert self.process.stderr is not None
        raise AssertionError(self.process.stderr.read())

    def api(self) -> Api:
        address = door.address_in(self.data)
        assert address is not None
        return Api(address, door.admin_token(self.data))

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path, free_port: int) -> Iterator[Start]:
    made: list[Up] = []

    def begin(*more: str, data: Path | None = None, port: int | None = None, folder: Path | None = None) -> Up:
        made.append(Up(data or tmp_path / "data", port or free_port, *more, folder=folder))
        return made[-1]

    yield begin
    for one in made:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


def processes_of(data: Path) -> set[int]:
    """Every process whose command line or environment names the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if os.fsencode(data) in told:
                    found.add(int(entry.name))
    return found


def test_a_farm_comes_up_builds_a_commit_and_ends_cleanly(start: Start, tmp_path: Path) -> None:
    up = start()
    facts = up.ready()
    assert facts["engine"] == "process"
    assert facts["why_not_docker"]
    assert httpx.get(facts["signin"], trust_env=False).status_code in (200, 303)
    forge = Forge(tmp_path / "git", "hello", CLOCK)
    with up.api() as api:
        assert [row["state"] for row in api.nodes()] == ["ready"]
        row = api.add_repository("hello", str(forge.bare), forge="github", branch="main")
        forge.connect(row["webhook_url"], row["secret"])
        sha = forge.push([Change(Part.OPENS, "Hello", ("Ada", "ada@example.org"), {".farmgate.yml": PIPELINE})])[0].sha
        until(lambda: any(run["state"] == "passed" for run in api.runs(sha=sha)), "the commit's answer", within=60)
        job = api.run(api.runs(sha=sha)[0]["id"])["jobs"][0]
        log, complete = api.log(job["id"])
        assert complete
        assert f"hello from {sha}" in log.decode()
        assert api.doctor()["violations"] == []
    forge.close()
    code, err = up.end()
    assert code == Exit.OK, err
    until(lambda: not processes_of(up.data), "the end of all its processes")
    assert door.address_in(up.data) is None


def test_files_in_the_users_folder_shadow_no_module(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("farmgate", "scheduler", "deploy", "agents", "workers", "structlog", "json"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    up = start(folder=folder)
    up.ready()
    with up.api() as api:
        assert [row["state"] for row in api.nodes()] == ["ready"]
    code, err = up.end()
    assert (code, "ended" in err) == (Exit.OK, False), err


def test_a_second_farm_on_the_folder_is_refused_by_name(start: Start) -> None:
    first = start()
    first.ready()
    second = start()
    _, err = second.process.communicate(timeout=30)
    assert second.process.returncode == Exit.MACHINE
    assert f"process {first.process.pid}" in err
    assert "--data" in err


def test_a_taken_port_is_told(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start(port=port)
        _, err = up.process.communicate(timeout=30)
    assert up.process.returncode == Exit.MACHINE
    assert f"port {port}" in err
    assert "--port" in err


def test_killed_with_9_nothing_is_left_and_the_next_start_goes_on(start: Start) -> None:
    up = start()
    up.ready()
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.communicate()
    until(lambda: not processes_of(up.data), "the end of all its processes", within=40)
    again = start()
    again.ready()
    with again.api() as api:
        names = [row["name"] for row in api.nodes() if row["state"] != "removed"]
        assert len(names) == 1, "its node is the same as before"


def test_a_killed_scheduler_is_back_by_itself(start: Start) -> None:
    up = start()
    up.ready()
    scheduler = next(
        pid for pid in processes_of(up.data) if b"-m\0scheduler" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(scheduler, signal.SIGKILL)
    deadline = stopwatch() + 30
    with up.api() as api:
        until(lambda: not api.ready(), "its death", within=5)
        until(api.ready, "its return")
    assert stopwatch() < deadline + timedelta(seconds=30).total_seconds()
