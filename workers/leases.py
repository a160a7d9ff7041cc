"""The leases of a worker's attempts, renewed together.

Rules:
1. One thread renews all of them in one call, every third of the shortest lease; after a failure sooner.
2. A lease counts from before the call that gave it, so that we never believe in it longer than the server does.
3. The answer names attempts to give up: cancelled ones, which still report, and lost ones, which say nothing.
4. A lease that could not be renewed in time ends its attempt here, before the server gives the job to another node.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog

from farmgate.clock import Clock, stopwatch
from farmgate.errors import FarmgateError
from farmgate.messages import Held, Renewed
from farmgate.node_folder import Key
from workers.stop import Ending, Stop

MARGIN: Final = 0.1  # share of a lease that is left for killing
_IDLE: Final = timedelta(seconds=60)

log = structlog.get_logger()


class Renews(Protocol):
    """The call that renews; farmgate.client.node has the real one."""

    def renew(self, held: tuple[Held, ...], *, timeout_seconds: float | None = None) -> Renewed: ...


@dataclass(slots=True)
class _Lease:
    stop: Stop
    seconds: float
    until: float  # on the stopwatch


class Leases:
    """Holds the leases; `start` begins to renew, `close` ends that."""

    def __init__(self, client: Renews, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[Key, _Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def hold(self, key: Key, seconds: float, since: float, stop: Stop) -> None:
        """Renew from now on. `since` is the stopwatch's time before the call that gave the lease."""
        with self._lock:
            self._held[key] = _Lease(stop, seconds, since + seconds)
        self._wake.set()

    def release(self, key: Key) -> None:
        with self._lock:
            self._held.pop(key, None)

    def stop_all(self, ending: Ending) -> None:
        with self._lock:
            leases = list(self._held.values())
        for lease in leases:
            lease.stop.set(ending)

    def holding(self) -> bool:
        with self._lock:
            return bool(self._held)

    # --- how ---------------------------------

    def _run(self) -> None:
        failed = False
        while not self._closed:
            if self._clock.wait(self._wake, self._pause(failed)):
                self._wake.clear()  # something is held now: look again how long to wait
                continue
            failed = not self.renew()

    def _pause(self, failed: bool) -> timedelta:
        """Until the first lease has two thirds left, or soon after a failure."""
        now = stopwatch()
        with self._lock:
            if not self._held:
                return _IDLE
            shortest = min(lease.seconds for lease in self._held.values())
            due = min(lease.until - lease.seconds * 2 / 3 for lease in self._held.values()) - now
        return timedelta(seconds=max(due, shortest / 12 if failed else shortest / 100))

    def renew(self) -> bool:
        """Renew all that is held, once; False if the server could not be asked. Public for tests."""
        with self._lock:
            held = dict(self._held)
        if not held:
            return True
        since, answer = stopwatch(), None
        try:
            third = min(lease.seconds for lease in held.values()) / 3
            answer = self._client.renew(tuple(key.held for key in held), timeout_seconds=third)
        except FarmgateError as error:
            log.warning("leases could not be renewed", held=len(held), error=str(error))
        except Exception:
            log.exception("leases could not be renewed", held=len(held))
        if answer is not None:
            self._apply(held, answer, since)
        self._expire(held)
        return answer is not None

    def _apply(self, held: dict[Key, _Lease], answer: Renewed, since: float) -> None:
        cancelled = {Key(given.job, given.attempt) for given in answer.cancelled}
        lost = {Key(given.job, given.attempt) for given in answer.lost}
        for key, lease in held.items():
            if key in lost:
                lease.stop.set(Ending.STALE)
                continue
            if key in cancelled:
                lease.stop.set(Ending.CANCELLED)
            lease.seconds, lease.until = answer.lease_seconds, since + answer.lease_seconds

    def _expire(self, held: dict[Key, _Lease]) -> None:
        now = stopwatch()
        for key, lease in held.items():
            if now >= lease.until - lease.seconds * MARGIN:
                log.warning("lease ran out", job=key.job, attempt=key.attempt)
                lease.stop.set(Ending.LEASE)
