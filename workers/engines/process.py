"""Jobs as plain processes of this machine: for the embedded farm where there is no container engine.

Rules:
1. There is no isolation: a job can do what the farm's own user can. So this engine is never chosen by itself.
2. A script has a session of its own and an environment of its own: PATH, HOME, LANG and the job's, nothing of ours.
3. Every process it starts inherits a mark in its environment. Whatever still has the mark when the script is over is
   killed, also what made itself a daemon. A process that wipes its environment and leaves its session escapes.
4. Memory is limited per process, where the shell can (RLIMIT_DATA); processors and the number of processes are not.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import IO, BinaryIO, Final

from farmgate.clock import stopwatch
from farmgate.errors import EngineError
from farmgate.node_folder import Key
from farmgate.registries import Registry
from workers.engines.engine import BuildOrder, Ended, NotHere, Order, Places, ServiceOrder, ServiceState, Sink

MARK: Final = "FARMGATE_HELD_BY"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIMITED: Final = 'ulimit -c 0; ulimit -d "$1" 2>/dev/null; shift; exec "$@"'
_CHUNK_BYTES: Final = 64 * 1024
_DRAIN_SECONDS: Final = 5.0  # for what is still in the pipe once every process is dead


class ProcessEngine:
    """Runs scripts as processes; `node` marks them."""

    name = "process"
    isolates = False

    def __init__(self, node: str) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._running: dict[Key, subprocess.Popen[bytes]] = {}

    def warm_up(self) -> None:
        """Nothing is shared."""

    def check(self) -> None:
        """Nothing can be away."""

    def prepare(self, image: str, registry: Registry | None = None) -> None:
        """Images mean nothing here."""

    def image_id(self, image: str) -> str | None:
        return f"process:{self._node}"  # the machine itself is what its jobs run in

    def places(self, folder: Path) -> Places:
        at = [str(folder / name) for name in ("steps", "workspace", "home", "tmp")]
        return Places(*at)

    def serve(self, order: ServiceOrder) -> None:
        raise NotHere(
            f"the service {order.name!r} needs containers, and this node runs jobs as plain processes: give the job a "
            "pool whose nodes have a Docker engine"
        )

    def service(self, key: Key, name: str) -> ServiceState:
        raise NotHere(f"there is no service {name!r}")

    def ask_service(self, key: Key, name: str, command: str) -> int:
        raise NotHere(f"there is no service {name!r}")

    def service_log(self, key: Key, name: str) -> Iterator[bytes]:
        raise NotHere(f"there is no service {name!r}")

    def reserve(self, order: Order) -> None:
        """A process needs no preparation."""

    def run(self, order: Order, sink: Sink) -> Ended:
        begun = stopwatch()
        kilobytes = str(max(order.limits.memory_bytes, 2**24) // 1024)
        line = ["sh", "-c", _LIMITED, "sh", kilobytes, "sh", str(order.folder / "steps" / order.script)]
        environment = {"PATH": _PATH, "LANG": "C.UTF-8", **order.environment, MARK: self._mark(order.key)}
        try:
            process = subprocess.Popen(
                line,
                env=environment,
                cwd=order.folder,
                stdin=subprocess.PIPE if order.given else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise EngineError(f"no process could be started: {error}") from None
        with self._lock:
            self._running[order.key] = process
        started = stopwatch() - begun
        if process.stdin is not None:
            threading.Thread(target=_hand_over, args=(process.stdin, order.given), name="given", daemon=True).start()
        assert process.stdout is not None
        try:
            for data in _output(process, process.stdout, lambda: self._end(order.key, process)):
                sink(data)
        finally:
            self._end(order.key, process)
            process.stdout.close()
            code = process.wait()
            with self._lock:
                self._running.pop(order.key, None)
        return Ended(code if code >= 0 else 128 - code, start_seconds=started)

    def build(self, order: BuildOrder, context: BinaryIO, sink: Sink) -> str:
        raise NotHere(
            "images are built by a Docker engine, and this node runs jobs as plain processes: give the job "
            "a pool whose nodes have one"
        )

    def save(self, image: str) -> Iterator[bytes]:
        raise NotHere("there are no images here")

    def push(self, key: Key, image: str, place: str, tag: str, registry: Registry) -> str:
        raise NotHere("there are no images here")

    def kill(self, key: Key) -> None:
        with self._lock:
            process = self._running.get(key)
        if process is not None:
            self._end(key, process)

    def discard(self, key: Key) -> None:
        """`run` leaves nothing."""

    def sweep(self, keep: Callable[[], Set[Key]]) -> frozenset[Key]:
        found = dict(_marked(f"{self._node}/"))
        kept, removed = keep(), set[Key]()
        for pid, mark in found.items():
            key = Key.read(mark.partition("/")[2])
            if key is not None and key not in kept:
                _kill(pid)
                removed.add(key)
        return frozenset(removed)

    def close(self) -> None:
        with self._lock:
            running = dict(self._running)
        for key, process in running.items():
            self._end(key, process)

    def _mark(self, key: Key) -> str:
        return f"{self._node}/{key}"

    def _end(self, key: Key, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for _ in range(100):  # what forks while we look is found by the next look
            marked = [pid for pid, mark in _marked(self._mark(key)) if mark == self._mark(key)]
            if not marked:
                return
            for pid in marked:
                _kill(pid)


def _hand_over(pipe: IO[bytes], given: bytes) -> None:
    """To the script's standard input. A script that is over before it read has no use for it."""
    with contextlib.suppress(OSError), pipe:
        pipe.write(given)


def _output(process: subprocess.Popen[bytes], pipe: IO[bytes], end: Callable[[], None]) -> Iterator[bytes]:
    """What the script writes until it is over; then what is left of it is ended, which may still hold the pipe."""
    descriptor, over = pipe.fileno(), None
    with selectors.DefaultSelector() as ready:
        ready.register(descriptor, selectors.EVENT_READ)
        while over is None or stopwatch() - over < _DRAIN_SECONDS:
            if ready.select(timeout=0.05):
                data = os.read(descriptor, _CHUNK_BYTES)
                if not data:
                    return
                yield data
            elif over is None and process.poll() is not None:
                end()
                over = stopwatch()


def _marked(prefix: str) -> Iterator[tuple[int, str]]:
    """The living processes whose mark begins with `prefix`. Where there is no /proc: none."""
    wanted = f"{MARK}={prefix}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone, or another user's
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(wanted) and _alive(entry):
                yield int(entry.name), variable.partition(b"=")[2].decode(errors="replace")
                break


def _alive(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
