"""Why an attempt is stopped before its script ends by itself."""

from __future__ import annotations

import threading
from enum import Enum


class Ending(Enum):
    """Who stopped it, and what is still said about it."""

    TIMEOUT = "timeout"  # its own time limit: failed
    CANCELLED = "cancelled"  # the server asked: cancelled
    DRAIN = "drain"  # the node goes down and waited long enough: lost
    STALE = "stale"  # the server refused it: nothing is said any more
    LEASE = "lease"  # it could not be renewed in time: nothing is said any more
    ORPHANED = "orphaned"  # the agent died: its successor removes what is left, and says what was held

    @property
    def silent(self) -> bool:
        return self in (Ending.STALE, Ending.LEASE, Ending.ORPHANED)


class Stop:
    """Set once, by whoever is first; safe for several threads. A silent ending may still follow a spoken one."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.silenced = threading.Event()
        self._lock = threading.Lock()
        self._ending: Ending | None = None
        self._listening: list[threading.Event] = []

    @property
    def ending(self) -> Ending | None:
        return self._ending

    def set(self, ending: Ending) -> None:
        with self._lock:
            if self._ending is None or (ending.silent and not self._ending.silent):
                self._ending = ending
            if ending.silent:
                self.silenced.set()
            self.event.set()
            for event in self._listening:
                event.set()

    def wakes(self, event: threading.Event) -> None:
        """Set this event as well, when it is stopped or if it is already."""
        with self._lock:
            self._listening.append(event)
            if self._ending is not None:
                event.set()
