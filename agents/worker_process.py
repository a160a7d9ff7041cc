"""The node's Celery worker, as the agent's child.

Rules:
1. It has a session of its own, and standard input is a pipe that only we hold: when we die, it ends (workers.tasks).
2. Warm first: SIGTERM lets it finish what it holds, for at most the drain time; `patiently` means without that limit.
3. Kill reaches its whole session.
4. Its environment holds its settings and never the join token.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Final

from farmgate.clock import stopwatch
from farmgate.settings import NodeSettings, WorkerSettings, environment_for_child

PATIENT: Final = b"d"  # on its standard input: drain, and take all the time you need


class WorkerProcess:
    """At most one process at a time."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # on the stopwatch
        self.stopping_since: float | None = None
        self.patient = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers"],
            stdin=subprocess.PIPE,
            env=child_environment(self._settings),
            start_new_session=True,
        )
        self.started_at, self.stopping_since, self.patient = stopwatch(), None, False

    def stop(self, *, patiently: bool = False) -> None:
        """Ask it to finish what it holds and end; does not wait. May be repeated, to become less patient."""
        if self._process is None or not self.alive:
            return
        if self.stopping_since is not None and (patiently or not self.patient):
            return
        self.stopping_since, self.patient = stopwatch(), patiently
        if patiently and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(PATIENT)
                self._process.stdin.flush()
        else:
            self._process.terminate()

    def kill(self) -> None:
        """End it and all that is in its session, now."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def reap(self) -> None:
        """Forget a process that has ended."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process = None


class Sweep:
    """`python -m workers sweep` beside the agent, since only the workers know their engine."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def succeeded(self) -> bool:
        """True if the last one did all that it was asked."""
        return self._process is not None and self._process.poll() == 0

    def start(self, *arguments: str) -> None:
        self.wait()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers", "sweep", *arguments],
            stdin=subprocess.DEVNULL,
            env=child_environment(self._settings),
            start_new_session=True,
        )

    def wait(self, seconds: float = 60.0) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def child_environment(settings: NodeSettings) -> dict[str, str]:
    environment = environment_for_child(settings)
    environment.pop("FARMGATE_JOIN_TOKEN", None)
    return environment
