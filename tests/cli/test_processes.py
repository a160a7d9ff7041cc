"""Processes that are looked after: started again, told about, ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from farmgate.cli import processes
from farmgate.cli.processes import Program, Supervisor, last_lines
from farmgate.clock import SystemClock, stopwatch
from farmgate.errors import ProcessFailed
from farmgate.settings import environment_for_child

CLOCK = SystemClock()


def until(fact: Callable[[], bool], what: str, within: float = 20.0) -> None:
    deadline = stopwatch() + within
    while not fact():
        assert stopwatch() < deadline, f"not within {within} s: {what}"
        CLOCK.sleep(timedelta(milliseconds=20))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(told: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(CLOCK, told.append)
    yield made
    made.kill_all()


def program(tmp_path: Path, text: str, name: str = "it") -> Program:
    return Program(name, (sys.executable, "-c", text), environment_for_child(), tmp_path / "logs" / f"{name}.log")


def test_a_dead_process_is_started_again_and_told(supervisor: Supervisor, told: list[str], tmp_path: Path) -> None:
    child = supervisor.start(program(tmp_path, "import time; time.sleep(100)"))
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: child.process is not None and child.process.pid != first and child.alive, "a second process")
    assert told == ["it ended (SIGKILL); it is started again in 0.5 s"]


def test_what_keeps_failing_shows_its_last_lines(supervisor: Supervisor, told: list[str], tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, "raise SystemExit('no such database')"))
    until(lambda: len(told) > 3, "three deaths")
    assert "it ended (exit 1); it is started again in 1.0 s" in told
    assert told[3] == "  it: no such database"
    assert supervisor.deaths("it") >= 3


def test_stopping_asks_first_and_kills_what_does_not_listen(supervisor: Supervisor, tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    child = supervisor.start(program(tmp_path, deaf))
    until(lambda: last_lines(child.program.log) == ["deaf"], "it listens no more")
    assert child.process is not None
    supervisor.stop("it", patience=0.1, grace=0.1)
    assert child.process.returncode == -signal.SIGKILL


def test_a_second_sigterm_means_now(supervisor: Supervisor, tmp_path: Path) -> None:
    slow = (
        "import signal, sys, time\n"
        "heard = []\n"
        "def on(*_):\n"
        "    heard.append(1)\n"
        "    if len(heard) == 2: sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, on)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    child = supervisor.start(program(tmp_path, slow))
    until(lambda: last_lines(child.program.log) == ["ready"], "it is ready")
    assert child.process is not None
    supervisor.stop("it", patience=0.3, grace=20)
    assert child.process.returncode == 3


def test_after_the_end_nothing_is_started(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.stop_all()
    with pytest.raises(ProcessFailed):
        supervisor.start(program(tmp_path, "pass"))


def test_a_log_past_its_limit_is_moved_aside(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 1000)
    child = supervisor.start(
        program(tmp_path, "import time\nwhile True: print('x' * 50, flush=True); time.sleep(0.01)")
    )
    aside = child.program.log.with_name("it.log.1")
    until(lambda: aside.exists() and 0 < child.program.log.stat().st_size < 1000, "a log that was cut and grows on")
    assert aside.stat().st_size > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel tells a child of its parent's death")
def test_everything_ends_when_we_are_killed(tmp_path: Path) -> None:
    parent = (
        "import sys\n"
        "from pathlib import Path\n"
        "from farmgate.cli.processes import Program, Supervisor\n"
        "from farmgate.clock import SystemClock\n"
        "from farmgate.settings import environment_for_child\n"
        "import threading\n"
        "s = Supervisor(SystemClock(), print)\n"
        "line = (sys.executable, '-c', 'import time; time.sleep(1000)')\n"
        "children = [s.start(Program(n, line, environment_for_child(), Path(sys.argv[1]) / n)) for n in 'ab']\n"
        "print(*(c.process.pid for c in children), flush=True)\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
        process.kill()
    until(lambda: all(gone(pid) for pid in pids), "the children's end")
