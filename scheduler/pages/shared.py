"""One reading for everybody who looks at the same page: two hundred open tabs cost about as much as one.

Rules:
1. What is given was always read after it was asked for: nobody is shown something older than the change that made
   their page ask.
2. Of one address there is one reading at a time, and one begins at most every `spacing`; who asks meanwhile shares
   the next.
3. Nothing is kept: a page that nobody looks at costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from fastapi.concurrency import run_in_threadpool

from farmgate.clock import stopwatch

SPACING = timedelta(milliseconds=250)
MOST_REMEMBERED = 1000


class Shared:
    """Lives in the web server's event loop."""

    def __init__(self, spacing: timedelta = SPACING) -> None:
        self._spacing = spacing.total_seconds()
        self._next: dict[str, asyncio.Task[str]] = {}
        self._reading: dict[str, asyncio.Task[str]] = {}
        self._began: dict[str, float] = {}

    async def get(self, key: str, make: Callable[[], str]) -> str:
        """What `make` gives, on a thread; or what another's `make` of the same key gives, if it begins from now on."""
        turn = self._next.get(key)
        if turn is None or turn.get_loop() is not asyncio.get_running_loop():
            turn = self._next[key] = asyncio.ensure_future(self._turn(key, make))
        return await asyncio.shield(turn)

    async def _turn(self, key: str, make: Callable[[], str]) -> str:
        before = self._reading.get(key)
        if before is not None and not before.done():
            await asyncio.wait([before])
        await _pause(self._began.get(key, 0.0) + self._spacing - stopwatch())
        # From here on whoever asks needs another reading.
        me = self._next.pop(key)
        self._reading[key] = me
        if len(self._began) > MOST_REMEMBERED:
            self._began.clear()
        self._began[key] = stopwatch()
        try:
            return await run_in_threadpool(make)
        finally:
            self._reading.pop(key, None)


async def _pause(seconds: float) -> None:
    """A pause inside the event loop."""
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
    except TimeoutError:
        return
