"""Nothing is claimed that cannot be run: while the engine is away or the disk is full, the bell waits here.

Rules:
1. The engine is asked before each claim; that it answers takes a thousandth of a job's time. A claim without an engine
   would burn one of the job's few attempts.
2. While it is away, whoever heard a bell waits, and with all slots waiting no more bells are taken from other nodes.
   The node names its problem meanwhile.
3. A full disk is waited for alike: what fills it is often an attempt that is just being removed. The agent tells it.
4. The wait ends after a minute (the bell is rung again, perhaps elsewhere), or as soon as the worker is to end.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Final

import structlog

from farmgate.clock import Clock, stopwatch
from farmgate.errors import EngineError
from farmgate.node_folder import NodeFolder
from workers.engines.engine import Engine

PATIENCE: Final = timedelta(minutes=1)
LOOK_AGAIN: Final = timedelta(seconds=1)

log = structlog.get_logger()


class Gate:
    """Before the claims of one worker."""

    def __init__(
        self, engine: Engine, folder: NodeFolder, clock: Clock, floor_bytes: int, patience: timedelta = PATIENCE
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._clock = clock
        self._floor_bytes = floor_bytes
        self._patience = patience
        self._closed = threading.Event()
        self._away = False
        self._full = False

    def close(self) -> None:
        """The worker is to end: nobody waits any more, and nobody passes."""
        self._closed.set()

    def passes(self) -> bool:
        """True as soon as the engine answers; False if that took too long, or the worker is to end."""
        since = stopwatch()
        while not self._closed.is_set():
            if self._answers() and self._has_room():
                return not self._closed.is_set()
            if stopwatch() - since >= self._patience.total_seconds():
                return False
            self._clock.wait(self._closed, LOOK_AGAIN)
        return False

    def _answers(self) -> bool:
        try:
            self._engine.check()
        except EngineError as error:
            if not self._away:
                log.warning("the engine is away: nothing is claimed", error=str(error))
            self._away = True
            self._folder.report_problem(f"nothing is claimed: {error}")
            return False
        if self._away:
            log.info("the engine is back")
            self._away = False
            self._folder.report_problem(None)
        return True

    def _has_room(self) -> bool:
        full = self._folder.free_bytes() < self._floor_bytes
        if full != self._full:
            log.warning("the disk is full: nothing is claimed" if full else "the disk has room again")
        self._full = full
        return not full
