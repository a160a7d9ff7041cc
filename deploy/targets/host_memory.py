"""Where a lane has containers: its hosts and the addresses last known there, in a file of the lane's folder.

Rules:
1. A host is written down before anything is made on it, and struck out once it answered and held nothing.
2. The file changes under a lock and is renamed into place.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field

from deploy.targets.protocol import Instance
from farmgate.policy.targets.engines import Engine


class Kept(BaseModel):
    """`hosts`: by name; None is the deploy loop's own. `held`: host -> rollout -> index -> address."""

    hosts: dict[str, Engine | None] = Field(default_factory=dict)
    held: dict[str, dict[int, dict[int, str]]] = Field(default_factory=dict)

    def know(self, name: str, engine: Engine | None) -> None:
        """That something may be on a host from now on."""
        self.hosts[name] = engine

    def hold(self, name: str, rollout: int, instances: Iterable[Instance]) -> None:
        """What a host answered that it has of a rollout."""
        self.held.setdefault(name, {})[rollout] = {each.index: each.address for each in instances}

    def keep_only(self, name: str, rollouts: Collection[int]) -> None:
        """A host answered, and has these."""
        self.held[name] = {rollout: some for rollout, some in self.held.get(name, {}).items() if rollout in rollouts}

    def let_go(self, name: str, rollout: int) -> None:
        """A host has nothing of a rollout any more."""
        self.held.get(name, {}).pop(rollout, None)

    def strike_out(self, names: Iterable[str]) -> None:
        """Hosts that answered and that no policy names, if they hold nothing."""
        for name in names:
            if not self.held.get(name):
                self.hosts.pop(name, None)
                self.held.pop(name, None)


class HostMemory:
    """The file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def changing(self) -> Iterator[Kept]:
        """What is in it; what it was made to say is written at the end."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            before = self._read()
            kept = Kept.model_validate(before)
            yield kept
            after = kept.model_dump(mode="json")
            if after != before:
                aside = self._file.with_suffix(".new")
                aside.write_text(json.dumps(after))
                aside.replace(self._file)
        finally:
            os.close(handle)

    def _read(self) -> object:
        try:
            return json.loads(self._file.read_text())
        except FileNotFoundError:
            # A lane that had no hosts yet may have something on the deploy loop's own.
            return {"hosts": {"": None}, "held": {}}
