"""The processes of the embedded farm, and who looks after them.

Rules:
1. One thread starts, watches and restarts all of them, and lives as long as we do: children that are to die with us
   are bound to the thread that started them (`farmgate.cli.guard`).
2. Each has its own session, so that a Ctrl-C in the terminal reaches only us and we end them in order.
3. A process that dies is started again, after a pause that doubles from half a second to fifteen; a minute's good
   running forgets the past. Each death is told; from the third in a row with the last lines of its log.
4. Logs are files that the process appends to. Past the limit the file is copied to `.1` and cut, so that nobody has to
   open it anew; a line that falls between the two is lost.
5. Stopping is SIGTERM, then a second SIGTERM ('now'), then SIGKILL to what is left of its session.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from farmgate.cli import guard
from farmgate.clock import Clock, stopwatch
from farmgate.errors import ProcessFailed

LOOK_AGAIN = timedelta(milliseconds=100)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
GOOD_AFTER = 60.0
LOG_LIMIT_BYTES = 16 * 2**20
TOLD_LINES = 12

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a name for people, the command line and its environment."""

    name: str
    line: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


@dataclass(slots=True)
class Child:
    """A program, and how it does."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0  # in a row
    began: float = 0.0
    again_at: float = 0.0
    wanted: bool = True
    exits: list[int] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Looks after children until `stop`. `tell` gets one line per event, from the supervising thread."""

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()
        self._ends = threading.Event()
        self._asked: list[Callable[[], None]] = []
        self._also: list[Callable[[], None]] = []
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def run(self, act: Callable[[], None]) -> None:
        """Do something in the supervising thread, as starting a guarded process needs; raises what it raises."""
        if self._ends.is_set():
            raise ProcessFailed("the farm is being stopped")
        done = threading.Event()
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - carried over to the caller
                failed.append(error)
            finally:
                done.set()

        with self._lock:
            self._asked.append(ask)
        self._look.set()
        done.wait()
        if failed:
            raise failed[0]

    def tend_also(self, look: Callable[[], None]) -> None:
        """Call `look` at every look, in the supervising thread: for what is started otherwise."""
        with self._lock:
            self._also.append(look)

    def start(self, program: Program) -> Child:
        """Start a program and look after it from now on."""
        child = Child(program)
        self.run(lambda: self._start(child))
        with self._lock:
            self._children[program.name] = child
        return child

    def deaths(self, name: str) -> int:
        """How often in a row a program ended by itself."""
        with self._lock:
            child = self._children.get(name)
            return 0 if child is None else child.deaths

    def stop(self, name: str, *, patience: float = 5.0, grace: float = 10.0) -> None:
        """End a program: asked, after `patience` seconds asked again, after `grace` more killed. Waits."""
        with self._lock:
            child = self._children.pop(name, None)
        if child is None or child.process is None:
            return
        child.wanted = False
        process = child.process
        for seconds in (patience, grace):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
                break
        _kill_session(process.pid)
        process.wait()

    def stop_all(self, *, patience: float = 5.0) -> None:
        """End what is left, newest first, and the supervision."""
        for name in reversed(list(self._children)):
            self.stop(name, patience=patience)
        self._ends.set()
        self._look.set()
        self._thread.join(timeout=10)

    def kill_all(self) -> None:
        """No more patience: kill everything at once."""
        with self._lock:
            for child in self._children.values():
                child.wanted = False
                if child.process is not None:
                    _kill_session(child.process.pid)
                    child.process.wait()
        self._ends.set()
        self._look.set()

    def _run(self) -> None:
        while not self._ends.is_set():
            self._clock.wait(self._look, LOOK_AGAIN)
            self._look.clear()
            with self._lock:
                asked, self._asked = self._asked, []
                children, also = list(self._children.values()), list(self._also)
            for ask in (*asked, *also):
                ask()
            for child in children:
                self._tend(child)

    def _tend(self, child: Child) -> None:
        if not child.wanted:
            return
        _rotate(child.program.log)
        now = stopwatch()
        if child.alive:
            if child.deaths and now - child.began > GOOD_AFTER:
                child.deaths = 0
            return
        if child.process is not None:
            code = child.process.returncode
            child.process = None
            child.exits.append(code)
            child.deaths += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (child.deaths - 1))
            child.again_at = now + pause
            self._tell(f"{child.program.name} ended ({_in_words(code)}); it is started again in {pause:.1f} s")
            if child.deaths >= 3:
                for text in last_lines(child.program.log):
                    self._tell(f"  {child.program.name}: {text}")
        elif now >= child.again_at:
            self._start(child)

    def _start(self, child: Child) -> None:
        program = child.program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            child.process = subprocess.Popen(
                guard.line(list(program.line), signal.SIGTERM),
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        child.began = stopwatch()


def last_lines(log: Path, count: int = TOLD_LINES) -> list[str]:
    """The end of a log, for showing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _rotate(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
