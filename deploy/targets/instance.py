"""The keeper of one process instance: starts it, starts it again when it ends, and outlives the deploy loop.

`python -m deploy.targets.instance FILE`: FILE is JSON: command, folder, environment, log, state, lock, secrets (names).

Rules:
1. It holds its lock file while it lives; a second keeper of the same instance finds it held and ends.
2. It leads a session of its own; its child leads a process group of its own, written to the state file.
3. A child that ends is started again, after a pause that grows while it keeps ending quickly.
4. Lines of the log have no time of their own: a mark every second says how much was written by then.
5. Secrets come by standard input, once, and stay in its memory.
6. SIGTERM ends the child (SIGTERM, then SIGKILL) and then the keeper.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from farmgate.clock import Clock, SystemClock, stopwatch

_GRACE: Final = 5.0
_LONGEST_PAUSE: Final = 10.0
_LOG_LIMIT: Final = 16 * 2**20
_MARK_EVERY: Final = 1.0
_MARKS_LIMIT: Final = 2**19


def main(path: str) -> None:
    """Keep the instance until told to stop."""
    spec: dict[str, Any] = json.loads(Path(path).read_text())
    if spec.get("secrets"):
        spec["environment"] |= json.loads(sys.stdin.buffer.read() or b"{}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    clock, pause, starts = SystemClock(), 0.1, 0
    marked, size = stopwatch(), -1
    if not _only_one(Path(spec["lock"]), clock):
        return
    while not stop.is_set():
        began = stopwatch()
        child = _start(spec)
        if child is not None:
            starts += 1
            _write(spec, child.pid, starts)
            while child.poll() is None and not stop.is_set():
                clock.wait(stop, timedelta(milliseconds=100))
                if stopwatch() - marked >= _MARK_EVERY:
                    marked = stopwatch()
                    size = _mark(spec, clock, size)
            if stop.is_set():
                _end(child)
                return
            _say(spec, f"the instance ended with {child.returncode}; starting it again in {pause:g} s")
        pause = 0.1 if stopwatch() - began > 10 else min(pause * 2, _LONGEST_PAUSE)
        clock.wait(stop, timedelta(seconds=pause))


def keeper_of(lock: Path) -> int | None:
    """The process number of the keeper that holds the lock file; None if none does."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(handle, 20).decode()
        return int(text) if text.strip().isdigit() else None
    finally:
        os.close(handle)
    return None


def _only_one(lock: Path, clock: SystemClock) -> bool:
    """Take the lock for life. Someone who only looks holds it for a moment, so a few tries are made."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.sleep(timedelta(milliseconds=25))
            continue
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return True
    return False


def _start(spec: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    log = Path(spec["log"])
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".old"))
        log.with_suffix(".marks").unlink(missing_ok=True)  # they counted what is dropped now
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                spec["command"],
                cwd=spec["folder"],
                env=spec["environment"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
    except OSError as error:
        _say(spec, f"cannot start {spec['command']}: {error}")
        return None


def _write(spec: dict[str, Any], child: int, starts: int) -> None:
    state = Path(spec["state"])
    aside = state.with_suffix(".new")
    aside.write_text(json.dumps({"keeper": os.getpid(), "child": child, "starts": starts}))
    aside.replace(state)


def _mark(spec: dict[str, Any], clock: Clock, before: int) -> int:
    """Mark how much is written, if that is more than before; how much it is."""
    log = Path(spec["log"])
    size = sum(file.stat().st_size for file in (log.with_suffix(".old"), log) if file.exists())
    if size == before:
        return size
    marks = log.with_suffix(".marks")
    if marks.exists() and marks.stat().st_size > _MARKS_LIMIT:
        kept = marks.read_bytes()[-_MARKS_LIMIT // 2 :]
        marks.write_bytes(kept[kept.index(b"\n") + 1 :])
    with marks.open("a") as file:
        file.write(f"{clock.now().timestamp():.3f} {size}\n")
    return size


def _say(spec: dict[str, Any], text: str) -> None:
    with Path(spec["log"]).open("a") as log:
        log.write(f"farmgate: {text}\n")


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        pass
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    main(sys.argv[1])
