"""Running a user's program to its end: beside the deploy loop, or in a container.

Rules:
1. A program has a bound of time and is ended as a whole when it is over; of what it writes, the end is kept.
2. One program of a lane at a time. One that a controller left running when it died is ended before the next begins: it
   would go on with what the next one does as well.
3. Files are handed to a container by copying, never by mounting: the engine may be on another host.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final, Protocol

from deploy.targets import built_images, container_secrets
from farmgate.errors import TargetError
from farmgate.registries import Registry
from farmgate.settings import environment_for_child

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
_TAIL: Final = 600
_LINES: Final = 40
_MEMORY_BYTES: Final = 2 * 2**30
_PIDS: Final = 2048
_INSIDE: Final = "farmgate"
"""The folder in a container that files are put into, below /."""


NO_SECRETS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended and what it wrote last. `code` is None when its time was over."""

    code: int | None
    tail: str


class Programs(Protocol):
    """Runs a lane's programs. Raises TargetError if one cannot be started."""

    def run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        files: Mapping[str, Path],
        timeout: timedelta,
        secrets: Mapping[str, str] = NO_SECRETS,
    ) -> Said:
        """`files`: by the variable that tells the program where each is. `secrets`: variables that nobody else sees."""
        ...

    def end(self) -> None:
        """End what a dead controller left running."""
        ...


def run(argv: Sequence[str], environment: Mapping[str, str], timeout: timedelta, record: Path | None = None) -> Said:
    """Run a program with just this environment (and PATH, HOME, LANG). Raises TargetError if it cannot be started.

    `record`: a file that names the program while it runs, so that it is found if we die.
    """
    kept = {name: value for name, value in environment_for_child().items() if name in _KEPT}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(argv),
                env={**kept, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise TargetError(f"{argv[0]} cannot be started: {error.strerror}") from error
        if record is not None:
            record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            record.write_text(json.dumps({"pid": process.pid, "began": _began(process.pid)}))
        try:
            code: int | None = process.wait(timeout=timeout.total_seconds())
        except subprocess.TimeoutExpired:
            code = None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what it left behind
        process.wait()
        if record is not None:
            record.unlink(missing_ok=True)
        return Said(code, _tail(output))


class LocalPrograms:
    """Beside the deploy loop, as its user."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "program.json"

    def run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        files: Mapping[str, Path],
        timeout: timedelta,
        secrets: Mapping[str, str] = NO_SECRETS,
    ) -> Said:
        self.end()
        places = {name: str(path) for name, path in files.items()}
        return run(argv, {**environment, **places, **secrets}, timeout, self._record)

    def end(self) -> None:
        try:
            left = json.loads(self._record.read_text())
            pid, began = int(left["pid"]), left["began"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return
        if began is not None and _began(pid) == began:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._record.unlink(missing_ok=True)


class ContainerPrograms:
    """In a container that is made for one run and removed after it. `farm` and `lane` tell ours from others'."""

    def __init__(
        self,
        farm: str,
        lane: str,
        image: str,
        memory_bytes: int | None = None,
        cpus: float | None = None,
        registry: Registry | None = None,
    ) -> None:
        self._labels = {"farmgate.farm": farm, "farmgate.program": lane}
        self._image = image
        self._memory_bytes = memory_bytes or _MEMORY_BYTES
        self._cpus = cpus
        self._registry = registry
        self._connected: Any = None

    def run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        files: Mapping[str, Path],
        timeout: timedelta,
        secrets: Mapping[str, str] = NO_SECRETS,
    ) -> Said:
        import requests

        self.end()
        places = {name: f"/{_INSIDE}/{name.lower()}/{path.name}" for name, path in files.items()}
        with _speaking(argv[0], self._image):
            container = self._created(argv, {**environment, **places}, sorted(secrets))
            try:
                for name, path in files.items():
                    _put(container, f"{_INSIDE}/{name.lower()}", path)
                container.start()
                if secrets:
                    container_secrets.give(container, secrets)
                try:
                    code: int | None = int(container.wait(timeout=timeout.total_seconds())["StatusCode"])
                except (requests.ReadTimeout, requests.ConnectionError):
                    container.reload()
                    code = None if container.status == "running" else int(container.attrs["State"]["ExitCode"])
                said: bytes = container.logs(tail=_LINES)
                return Said(code, said.decode(errors="replace")[-_TAIL:].strip())
            finally:
                container.remove(force=True, v=True)

    def end(self) -> None:
        from docker.errors import NotFound

        with _speaking("a program", self._image):
            wanted = [f"{name}={value}" for name, value in self._labels.items()]
            for left in self._client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True):
                with suppress(NotFound):
                    left.remove(force=True, v=True)

    @property
    def _client(self) -> Any:
        if self._connected is None:
            import docker

            self._connected = docker.from_env(timeout=60)
        return self._connected

    def _created(self, argv: Sequence[str], environment: Mapping[str, str], secrets: Sequence[str]) -> Any:
        from docker.errors import ImageNotFound

        options: dict[str, Any] = {
            "command": list(argv),
            "entrypoint": [],
            "environment": dict(environment),
            "labels": self._labels,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": self._memory_bytes,
            "nano_cpus": int(self._cpus * 1e9) if self._cpus else None,
            "pids_limit": _PIDS,
            "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "1"}},
            "init": True,
        }
        if secrets:
            more = container_secrets.options(secrets, argv, None)
            options.update({**more, "environment": {**environment, **more["environment"]}})
        try:
            return self._client.containers.create(self._image, **options)
        except ImageNotFound:
            built_images.pull(self._client, self._image, self._registry)
            return self._client.containers.create(self._image, **options)


def _put(container: Any, below: str, path: Path) -> None:
    """A copy of the file in the container."""
    with tempfile.TemporaryFile() as spool:
        with tarfile.open(fileobj=spool, mode="w") as packed:
            for depth in range(1, len(parts := below.split("/")) + 1):
                folder = tarfile.TarInfo("/".join(parts[:depth]))
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                packed.addfile(folder)
            entry = tarfile.TarInfo(f"{below}/{path.name}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                packed.addfile(entry, file)
        spool.seek(0)
        container.put_archive("/", spool)


@contextmanager
def _speaking(program: str, image: str) -> Iterator[None]:
    """The engine's errors as ours."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise TargetError(f"{program} cannot be run in a container of {image}: {error.explanation}") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise TargetError(f"the Docker engine: {error}") from error


def _began(pid: int) -> int | None:
    """When a process began, in the kernel's own count: tells it from a later one of the same number."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL))
    return output.read().decode(errors="replace").strip()
