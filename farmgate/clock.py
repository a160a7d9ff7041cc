"""The only place that reads the clock, sleeps, or draws randomness.

Everything else takes a `Clock`, so that a whole farm can run in memory on a virtual one.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time as the rest of the farm sees it: aware UTC datetimes."""

    def now(self) -> datetime: ...

    def sleep(self, span: timedelta) -> None: ...

    def wait(self, event: threading.Event, span: timedelta) -> bool:
        """Sleep until `event` is set or `span` has passed; True if it was set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, span: timedelta) -> None:
        time.sleep(max(0.0, span.total_seconds()))

    def wait(self, event: threading.Event, span: timedelta) -> bool:
        return event.wait(max(0.0, span.total_seconds()))


class VirtualClock:
    """A clock that stands still until it is told to go on. Sleeping moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def sleep(self, span: timedelta) -> None:
        self.advance(span)

    def wait(self, event: threading.Event, span: timedelta) -> bool:
        if event.is_set():
            return True
        self.advance(span)
        return event.is_set()

    def advance(self, span: timedelta) -> None:
        if span > timedelta(0):
            self._now += span


def stopwatch() -> float:
    """Monotonic seconds, for measuring spans inside one process."""
    return time.perf_counter()


def random_bytes(number: int) -> bytes:
    """For keys and nonces."""
    return secrets.token_bytes(number)


def random_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)
