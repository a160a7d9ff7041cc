"""Ends what an attempt runs, when it is stopped or its time is over.

Rules:
1. One watch spans all that runs for a job: its steps in whatever containers, and the images it builds.
2. What is killed is killed again until it is over: a container may be about to start.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from farmgate.clock import Clock
from farmgate.errors import FarmgateError
from workers.stop import Ending, Stop

KILL_AGAIN: Final = timedelta(milliseconds=300)


@contextlib.contextmanager
def watched(clock: Clock, stop: Stop, timeout: timedelta, kill: Callable[[], None]) -> Iterator[None]:
    """Call `kill` again and again once the attempt is stopped or `timeout` is over, until the block ends."""
    woken, over = threading.Event(), threading.Event()
    stop.wakes(woken)

    def watch() -> None:
        if not clock.wait(woken, timeout) and not over.is_set():
            stop.set(Ending.TIMEOUT)
        while not over.is_set():
            with contextlib.suppress(FarmgateError):
                kill()
            clock.wait(over, KILL_AGAIN)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        woken.set()
