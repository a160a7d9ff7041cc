"""What the deploy loop is handed: its store and the seams to the world outside, so that a simulation gives fakes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from deploy.checks import Prober
from deploy.targets.given import none
from deploy.targets.place import Targets
from farmgate.broker import Signals
from farmgate.clock import Clock
from farmgate.policy import LanePolicy
from farmgate.sealing import Keyring
from farmgate.store.database import Store

LOOP: Final = "deploy"
SCHEDULER: Final = "scheduler"
"""Whose loop says what a batch carries."""


class Hands(Protocol):
    """Carries out what takes time. One thing per lane at a time: the caller sees to that."""

    def take(self, work: Callable[[], None]) -> None: ...


class Threads:
    """Real ones."""

    def __init__(self, number: int = 16) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="deploy")

    def take(self, work: Callable[[], None]) -> None:
        self._pool.submit(work)

    def close(self) -> None:
        """Let what is under way end by itself; take nothing new."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class AtOnce:
    """For the simulation: work is done where it is handed over."""

    def take(self, work: Callable[[], None]) -> None:
        work()


@dataclass(frozen=True, slots=True)
class Context:
    """`holder` names this process in the leader's lease."""

    store: Store
    targets: Targets
    prober: Prober
    clock: Clock
    signals: Signals
    hands: Hands
    holder: str
    tick: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=15)
    keyring: Callable[[], Keyring] | None = None  # None: nothing was signed, in a simulation
    alive_file: Path | None = None  # touched after every look
    secret: Callable[[LanePolicy, str], str] = none  # of a lane, by its name, for its checks
    asks_scheduler: bool = True  # what a batch carries; without a scheduler nobody would answer


class Busy:
    """The lanes that something is done on right now, by this process."""

    def __init__(self) -> None:
        self._lanes: set[int] = set()
        self._lock = threading.Lock()

    def take(self, lane_id: int) -> bool:
        with self._lock:
            if lane_id in self._lanes:
                return False
            self._lanes.add(lane_id)
            return True

    def leave(self, lane_id: int) -> None:
        with self._lock:
            self._lanes.discard(lane_id)

    def __contains__(self, lane_id: int) -> bool:
        with self._lock:
            return lane_id in self._lanes
