"""Someone who looks at the shop's front page, again and again, and counts.

One request after the other over a kept connection, about twenty a second. What is not a 200 with a version, or takes
longer than five seconds, is a failure.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from farmgate.clock import Clock, stopwatch

PAUSE = timedelta(milliseconds=50)


@dataclass(slots=True)
class Counted:
    """What visitors saw so far."""

    served: int = 0
    failed: int = 0
    version: str = ""  # the last one served
    versions: list[str] = field(default_factory=list)  # each, in order of first sight
    failures: list[tuple[datetime, str]] = field(default_factory=list)
    slowest: float = 0.0  # seconds


class Visitors:
    """Looks at `url` in a thread from `start` to `stop`."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.counted = Counted()
        self._clock = clock
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._visit, name="visitors", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def _visit(self) -> None:
        with httpx.Client(timeout=5, trust_env=False) as client:
            while not self._ends.is_set():
                self._look(client)
                self._clock.wait(self._ends, PAUSE)

    def _look(self, client: httpx.Client) -> None:
        counted, began = self.counted, stopwatch()
        try:
            answer = client.get(self.url)
            version = str(answer.json()["version"]) if answer.status_code == 200 else ""
        except (httpx.HTTPError, ValueError, KeyError) as error:
            counted.failed += 1
            counted.failures.append((self._clock.now(), f"{type(error).__name__}: {error}"))
            return
        counted.slowest = max(counted.slowest, stopwatch() - began)
        if not version:
            counted.failed += 1
            counted.failures.append((self._clock.now(), f"status {answer.status_code}"))
            return
        counted.served += 1
        counted.version = version
        if version not in counted.versions:
            counted.versions.append(version)
