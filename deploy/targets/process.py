"""Instances as plain processes, for a farm of one machine and one user.

Rules:
1. Each instance has a keeper of its own (`deploy.targets.instance`) that outlives the deploy loop and starts the
   instance again when it ends. A keeper runs if it holds its lock file: no second one can, and a number says nothing.
2. The artifact is unpacked aside and renamed, so a folder that is there is whole. The instance starts in it.
3. The instance sees PATH, HOME, LANG, PORT, FARMGATE_SHA and what the policy gives it, and nothing of ours. Secrets go
   to its keeper by standard input and stay in its memory: they are in no file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from deploy.targets import archive, contents, given
from deploy.targets.instance import keeper_of
from deploy.targets.protocol import LOG_LIMIT_BYTES, Instance, Package, Target
from deploy.targets.site import Site
from deploy.targets.switched import switched
from farmgate.blobs import Blobs
from farmgate.clock import Clock, stopwatch
from farmgate.errors import TargetError
from farmgate.policy import ProcessTarget
from farmgate.settings import environment_for_child

_LOOK_AGAIN: Final = timedelta(milliseconds=20)
_GRACE: Final = 8.0
_TAIL: Final = 600
_PIECE: Final = 256 * 1024
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
_TOP: Final = Path(__file__).resolve().parents[2]


class ProcessRunner:
    """Processes whose files stand below `folder`, one folder per rollout."""

    def __init__(self, folder: Path, blobs: Blobs, clock: Clock, secret: Callable[[str], str] = given.nothing) -> None:
        self._secret = secret
        self._folder = folder.resolve() / "releases"
        self._blobs = blobs
        self._clock = clock

    def ensure(self, package: Package) -> tuple[Instance, ...]:
        target = package.target
        if not isinstance(target, ProcessTarget):
            raise TargetError(f"release {package.sha[:12]} was made for a {target.type} target, not for processes")
        home = self._folder / str(package.rollout_id)
        self._unpack(package, home)
        for index in range(target.instances):
            if self._keeper(home, index) is None:
                self._start(package, target, home, index)
        return self._instances(home)

    def running(self) -> Mapping[int, tuple[Instance, ...]]:
        homes = sorted(self._folder.glob("[0-9]*")) if self._folder.is_dir() else []
        return {int(home.name): self._instances(home) for home in homes if home.name.isdigit()}

    def log_tail(self, package: Package, index: int) -> str:
        log = self._folder / str(package.rollout_id) / f"{index}.log"
        return log.read_text(errors="replace")[-_TAIL:].strip() if log.exists() else ""

    def log(self, package: Package, index: int, since: datetime | None) -> Iterable[bytes]:
        log = self._folder / str(package.rollout_id) / f"{index}.log"
        start = _written_by(log.with_suffix(".marks"), since) if since is not None else 0
        for file in (log.with_suffix(".old"), log):
            with suppress(FileNotFoundError), file.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                opened.seek(max(min(start, size), size - LOG_LIMIT_BYTES))
                start = max(0, start - size)
                while piece := opened.read(_PIECE):
                    yield piece

    def lacking(self, package: Package) -> Sequence[str]:
        return contents.lacking(self._blobs, package)

    def remove(self, rollout_id: int) -> None:
        home = self._folder / str(rollout_id)
        keepers = [pid for spec in home.glob("*.json") if (pid := self._keeper(home, int(spec.stem))) is not None]
        for pid in keepers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = stopwatch() + _GRACE
        for spec in home.glob("*.json"):
            while (pid := self._keeper(home, int(spec.stem))) is not None:
                if stopwatch() > deadline:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._clock.sleep(_LOOK_AGAIN)
            self._end_child(home, int(spec.stem))
        shutil.rmtree(home, ignore_errors=True)

    def _unpack(self, package: Package, home: Path) -> None:
        app = home / "app"
        if app.is_dir():
            return
        aside = home / "app.new"
        shutil.rmtree(aside, ignore_errors=True)
        digest = contents.digest_of(package)
        if digest is None:
            aside.mkdir(parents=True)
        else:
            with contents.opened(self._blobs, digest) as stream:
                name = package.target.artifact or digest
                archive.unpack(contents.files(self._blobs, digest, name, stream), aside)
        aside.rename(app)

    def _start(self, package: Package, target: ProcessTarget, home: Path, index: int) -> None:
        self._end_child(home, index)  # one whose keeper was killed
        secrets = given.opened(target, self._secret)
        spec_file = home / f"{index}.json"
        port = _port(spec_file) or _free_port()
        ours = {"PORT": str(port), "FARMGATE_SHA": package.sha, "FARMGATE_INSTANCE": str(index)}
        kept = {name: value for name, value in environment_for_child().items() if name in _KEPT}
        spec: dict[str, Any] = {
            "command": list(target.command),
            "folder": str(home / "app"),
            "environment": {**kept, **target.environment, **ours},
            "log": str(home / f"{index}.log"),
            "state": str(home / f"{index}.state"),
            "lock": str(home / f"{index}.lock"),
            "secrets": sorted(target.secrets),
            "port": port,
        }
        aside = spec_file.with_suffix(".new")
        aside.write_text(json.dumps(spec))
        aside.chmod(0o600)
        aside.replace(spec_file)
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "deploy.targets.instance", spec_file],
            cwd=home,
            env={**kept, "PYTHONPATH": str(_TOP)},
            stdin=subprocess.PIPE if secrets else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if keeper.stdin is not None:
            with suppress(BrokenPipeError), keeper.stdin as pipe:
                pipe.write(json.dumps(secrets).encode())
        _CHILDREN.append(keeper)
        _reap()

    def _instances(self, home: Path) -> tuple[Instance, ...]:
        found = []
        for spec in sorted(home.glob("*.json"), key=lambda path: int(path.stem)):
            index, port = int(spec.stem), _port(spec)
            up = self._keeper(home, index) is not None
            said = "" if up else "its keeper does not run"
            found.append(Instance(index, f"127.0.0.1:{port}", up, said, _restarts(home / f"{index}.state")))
        return tuple(found)

    def _keeper(self, home: Path, index: int) -> int | None:
        """The process number of the instance's keeper, if one runs."""
        _reap()
        return keeper_of(home / f"{index}.lock")

    def _end_child(self, home: Path, index: int) -> None:
        """End an instance that lost its keeper."""
        try:
            child = int(json.loads((home / f"{index}.state").read_text())["child"])
        except (FileNotFoundError, ValueError, KeyError):
            return
        (home / f"{index}.state").unlink(missing_ok=True)
        if _works_in(child, home):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)


_CHILDREN: list[subprocess.Popen[bytes]] = []


def _reap() -> None:
    """Keepers outlive us, but while we live their ends must be collected."""
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def _works_in(pid: int, home: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve().is_relative_to(home)
    except OSError:
        return False


def _written_by(marks: Path, since: datetime) -> int:
    """How many bytes of what is kept an instance had written by then, as its keeper marked it; all, if it never did."""
    written = 0
    try:
        for line in marks.read_text().splitlines():
            at, _, size = line.partition(" ")
            if float(at) <= since.timestamp():
                written = int(size)
    except (OSError, ValueError):
        return written
    return written


def _restarts(state: Path) -> int:
    """How often the keeper had to start the instance again."""
    try:
        return max(0, int(json.loads(state.read_text()).get("starts", 1)) - 1)
    except (OSError, ValueError):
        return 0


def _port(spec: Path) -> int | None:
    try:
        return int(json.loads(spec.read_text())["port"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make(site: Site) -> Target:
    """The target of a lane. Raises TargetError."""
    if not site.embedded:
        raise TargetError("process targets run only in the embedded farm (`farmgate up`): use docker")
    return switched(site, ProcessRunner(site.folder, site.blobs, site.clock, site.secret))
