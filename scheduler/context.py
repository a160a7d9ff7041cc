"""What every part of the scheduler is handed: its settings and the seams to the world outside.

Rules:
1. Nothing in `scheduler` reaches for a global; whoever acts takes a `Context`.
2. Each field is a Protocol or a value, so that a simulation gives fakes and the rules stay the same.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from farmgate.blobs import Blobs
from farmgate.broker import Bell, Signals
from farmgate.clock import Clock
from farmgate.git import Mirror, Workshop
from farmgate.models import Repository
from farmgate.sealing import Keyring
from farmgate.settings import SchedulerSettings
from farmgate.store import repositories
from farmgate.store.database import Store
from farmgate.vault import Vault
from scheduler.changes import Changes

LOOP = "scheduler"
DEPLOY = "deploy"


class Mirrors(Protocol):
    """The bare mirrors of all repositories."""

    def of(self, repository: Repository) -> Workshop:
        """The history as it was last fetched; empty before the first fetch."""
        ...

    def fetch(self, repository: Repository, refspecs: Sequence[str] | None = None, *, url: str | None = None) -> None:
        """Bring the mirror up to date. Raises RemoteUnreachable, and NotInRepository for a refspec that is gone."""
        ...

    def default_branch(self, repository: Repository) -> str | None:
        """The full ref that the remote's HEAD names, if it says. Raises RemoteUnreachable."""
        ...

    def path(self, repository: Repository) -> Path:
        """Where the bare repository lies, for serving it."""
        ...


class GitMirrors:
    """Mirrors in a folder, by the repositories' ids. Safe for several threads."""

    def __init__(self, settings: SchedulerSettings, keyring: Keyring) -> None:
        self._keyring = keyring
        self._folder = settings.data / "mirrors"
        self._timeout = settings.git_timeout
        self._open: dict[int, Mirror] = {}
        self._lock = threading.Lock()

    def of(self, repository: Repository) -> Mirror:
        with self._lock:
            known = self._open.get(repository.id)
            url = repositories.address(self._keyring, repository)
            if known is None or known.url != url:
                self._folder.mkdir(parents=True, exist_ok=True)
                known = Mirror(self.path(repository), url, self._timeout)
                self._open[repository.id] = known
            return known

    def fetch(self, repository: Repository, refspecs: Sequence[str] | None = None, *, url: str | None = None) -> None:
        self.of(repository).fetch(refspecs, url=url)

    def default_branch(self, repository: Repository) -> str | None:
        return self.of(repository).default_branch()

    def path(self, repository: Repository) -> Path:
        return (self._folder / f"{repository.id}.git").absolute()

    def close(self) -> None:
        """End the processes that stay open for reading."""
        with self._lock:
            for mirror in self._open.values():
                mirror.close()
            self._open.clear()


@dataclass(frozen=True)
class Context:
    """The scheduler's world."""

    settings: SchedulerSettings
    store: Store
    blobs: Blobs
    vault: Vault
    clock: Clock
    bell: Bell
    signals: Signals  # wakes this process's loop: LOOP
    deploy_signals: Signals  # wakes the deploy process: DEPLOY
    mirrors: Mirrors
    changes: Changes = field(default_factory=Changes)  # tells open pages

    @property
    def public_url(self) -> str:
        """How people, forges and nodes reach this server; without a slash at the end."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        host = self.settings.host
        if host in ("0.0.0.0", "::", ""):
            host = "127.0.0.1"
        return f"http://[{host}]:{self.settings.port}" if ":" in host else f"http://{host}:{self.settings.port}"

    def wake(self) -> None:
        """Tell the loop to look again."""
        self.signals.wake(LOOP)

    def acted_on_lanes(self) -> None:
        """The deploy loop looks at once, and so do the pages that are open."""
        self.deploy_signals.wake(DEPLOY)
        self.changes.touch()
