"""What a node keeps on its disk, and where: shared by its agent and its workers.

Rules:
1. `credential.json` is for its owner alone (0600), and written whole or not at all.
2. A worker writes `held/JOB-ATTEMPT` before it makes anything for an attempt and removes it after it cleaned up. So
   what exists without a mark is an orphan, if the marks are read after the things.
3. `identity` is drawn once: it marks this node's containers, so that two nodes on one engine never sweep each other's.
4. `join.token` is how the embedded farm hands its own agent, which is up before the server is, its one-time token.
5. `problem` says in words why the node cannot work well; it is absent when all is well.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from farmgate.clock import random_token
from farmgate.messages import Held


class Key(NamedTuple):
    """An attempt: the job's id and the attempt's number."""

    job: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.job}-{self.attempt}"

    @classmethod
    def read(cls, text: str) -> Key | None:
        job, _, attempt = text.partition("-")
        return cls(int(job), int(attempt)) if job.isdecimal() and attempt.isdecimal() else None

    @property
    def held(self) -> Held:
        return Held(job=self.job, attempt=self.attempt)


class NodeFolder:
    """The node's folder at `root`, which is made if it is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.credential = self.root / "credential.json"
        self.join_token = self.root / "join.token"
        self.mirrors = self.root / "mirrors"
        self.attempts = self.root / "attempts"
        self.caches = self.root / "caches"
        self._held = self.root / "held"
        self._problem = self.root / "problem"
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.mirrors, self.attempts, self._held):
            folder.mkdir(mode=0o711, exist_ok=True)
        self.caches.mkdir(mode=0o700, exist_ok=True)

    def identity(self) -> str:
        """Sixteen characters that no other node has."""
        path = self.root / "identity"
        if not path.exists():
            write_whole(path, "".join(c for c in random_token() if c.isalnum())[:16].lower().encode())
        return path.read_text()

    def forget(self) -> None:
        """Remove the credential, and then all that the node kept; what cannot be removed stays."""
        self.credential.unlink(missing_ok=True)
        for folder in (self.mirrors, self.attempts, self._held, self.caches):
            shutil.rmtree(folder, ignore_errors=True)
        for path in self.root.glob("*"):
            if path.is_file():
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.root.rmdir()

    # --- attempts ---------------------------------

    def hold(self, key: Key) -> None:
        (self._held / str(key)).touch()

    def release(self, key: Key) -> None:
        (self._held / str(key)).unlink(missing_ok=True)

    def held(self) -> frozenset[Key]:
        """The attempts that this node's worker holds, or held when it died."""
        return frozenset(key for entry in self._held.iterdir() if (key := Key.read(entry.name)) is not None)

    # --- health ---------------------------------

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.root).free

    def problem(self) -> str | None:
        try:
            return self._problem.read_text() or None
        except FileNotFoundError:
            return None

    def report_problem(self, text: str | None) -> None:
        """Say what is wrong with the node, or that all is well again."""
        if text is None:
            self._problem.unlink(missing_ok=True)
            return
        with suppress(OSError):  # the disk may be full: then the free bytes tell
            write_whole(self._problem, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, in one move."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
