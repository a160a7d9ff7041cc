"""The highest controller epoch that a target has seen, in a file beside it.

Rules:
1. `enter` raises the mark and is called first; `check` is called before each effect. Both refuse an older epoch.
2. The file changes under a lock and is renamed into place, so a crash leaves the old mark or the new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farmgate.errors import StaleEpoch


class Fence:
    """The mark in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "epoch"

    def enter(self, epoch: int) -> None:
        """Act from now on as `epoch`. Raises StaleEpoch."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            seen = self._seen()
            _refuse(epoch, seen)
            if epoch > seen:
                aside = self._file.with_suffix(".new")
                aside.write_text(f"{epoch}\n")
                aside.replace(self._file)

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch if a newer controller has entered."""
        _refuse(epoch, self._seen())

    def _seen(self) -> int:
        try:
            return int(self._file.read_text())
        except FileNotFoundError:
            return 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self._folder / "epoch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _refuse(epoch: int, seen: int) -> None:
    if epoch < seen:
        raise StaleEpoch(f"a controller of epoch {epoch} asked the target to act, but epoch {seen} has taken it over")
