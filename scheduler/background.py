"""Work that takes long (git, compression): on a few threads, one at a time per key, never in the tick."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

log = structlog.get_logger("farmgate.background")


class Background(Protocol):
    """Where long work is done."""

    def start(self, key: str, work: Callable[[], object]) -> bool:
        """Begin it, unless work under the same key is under way; False then. Errors are logged, not raised."""
        ...

    def busy(self) -> frozenset[str]:
        """The keys under way."""
        ...


class Threads:
    """On a pool of threads; `done` is called with its key after each piece of work."""

    def __init__(self, size: int, done: Callable[[str], None]) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="background")
        self._done = done
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def start(self, key: str, work: Callable[[], object]) -> bool:
        with self._lock:
            if key in self._busy:
                return False
            self._busy.add(key)
        self._pool.submit(self._run, key, work)
        return True

    def busy(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._busy)

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, key: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # the next tick decides again from the rows
            log.error("background work failed", key=key, error=str(error), kind=type(error).__name__)
        finally:
            with self._lock:
                self._busy.discard(key)
            self._done(key)


class Inline:
    """At once, in the caller's thread: for tests and simulations."""

    def start(self, key: str, work: Callable[[], object]) -> bool:
        work()
        return True

    def busy(self) -> frozenset[str]:
        return frozenset()
