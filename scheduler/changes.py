"""Who waits for something to change hears of it at once: logs and pages that are being looked at.

Rules:
1. A touch is a hint. Who hears it looks at the rows; who misses it looks again after a second anyway.
2. Touches come from any thread; listeners live in the web server's event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class Ear:
    """Hears touches of one job, or of anything (None)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def hear(self) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return

    async def wait(self, at_most: timedelta) -> bool:
        """Until the next touch; False if none came in time."""
        try:
            await asyncio.wait_for(self._event.wait(), at_most.total_seconds())
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Changes:
    """The touches of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: dict[int | None, set[Ear]] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """Grows with each touch."""
        return self._version

    def touch(self, job: int | None = None) -> None:
        """Something changed: of this job, or of the farm."""
        with self._lock:
            self._version += 1
            heard = [*self._ears.get(None, ()), *(self._ears.get(job, ()) if job is not None else ())]
        for ear in heard:
            ear.hear()

    @contextmanager
    def listening(self, job: int | None = None) -> Iterator[Ear]:
        """An ear for one job, or for anything. Inside the event loop."""
        ear = Ear()
        with self._lock:
            self._ears.setdefault(job, set()).add(ear)
        try:
            yield ear
        finally:
            with self._lock:
                ears = self._ears.get(job, set())
                ears.discard(ear)
                if not ears:
                    self._ears.pop(job, None)
