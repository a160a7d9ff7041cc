"""The log on its way to the server, and the steps' reports beside it.

Rules:
1. Memory is bounded: a full buffer holds the writer up, and so the container. Nothing is dropped.
2. The first bytes and the first report are sent at once; then every 100 ms, or as soon as 64 KiB are there, in chunks
   of at most 1 MiB. What is left at the end goes with the result, where it is small and the server takes it so.
3. A chunk says its offset, and the answer says what the server has: sending again is harmless.
4. Trouble is tried again for as long as the attempt may still speak. A refusal silences it for good.
5. Once the server has cut the log, nothing more is sent; the writer goes on unhindered.
6. Of a step that ended before its beginning was told, only the end is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_exponential_jitter,
)

from farmgate.client.node import NodeClient
from farmgate.clock import stopwatch
from farmgate.errors import FarmgateError, ServerUnreachable, StaleAttempt
from farmgate.messages import Claimed, StepReport
from workers.stop import Ending, Stop

BUFFER_BYTES: Final = 4 * 2**20
ENOUGH_BYTES: Final = 64 * 2**10
CHUNK_BYTES: Final = 2**20
PAUSE_SECONDS: Final = 0.1
PATIENCE: Final = timedelta(minutes=10)

T = TypeVar("T")


def while_it_may_speak(stop: Stop, call: Callable[[], T], patience: timedelta = PATIENCE) -> T:
    """Repeat a call that found no server, until the attempt is silenced or the patience ends. Raises the last error."""
    tries = Retrying(
        retry=retry_if_exception_type(ServerUnreachable),
        wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
        stop=stop_any(stop_when_event_set(stop.silenced), stop_after_delay(patience)),
        sleep=sleep_using_event(stop.silenced),
        reraise=True,
    )
    return tries(call)


@dataclass(frozen=True, slots=True)
class Rest:
    """What of a log and of its reports was not sent, to go with the result. `offset`: of the first byte."""

    reports: tuple[StepReport, ...]
    offset: int
    data: bytes


class LogStream:
    """Sends one attempt's log and step reports from a thread of its own."""

    def __init__(self, client: NodeClient, claimed: Claimed, stop: Stop) -> None:
        self._client = client
        self._claimed = claimed
        self._stop = stop
        self._changed = threading.Condition()
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte
        self._reports: dict[int, StepReport] = {}
        self._closing = False
        self._carried = 0  # as many bytes may be left at the end
        self._cut = False
        self._error: FarmgateError | None = None
        self._sent_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"log-{claimed.job}", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int:
        """Bytes that the server has."""
        return self._offset

    @property
    def position(self) -> int:
        """Bytes that were handed over: where the next one goes."""
        with self._changed:
            return self._offset + len(self._buffer)

    def write(self, data: bytes) -> None:
        """Hand over bytes; waits while the buffer is full. Raises what made sending impossible."""
        view = memoryview(data)
        with self._changed:
            while view:
                if self._error is not None:
                    raise self._error
                if self._cut:
                    return
                room = BUFFER_BYTES - len(self._buffer)
                if room <= 0:
                    self._changed.wait(1)
                    continue
                self._buffer += view[:room]
                view = view[room:]
                self._changed.notify_all()

    def report(self, report: StepReport) -> None:
        """Hand over what a step became."""
        with self._changed:
            self._reports.pop(report.number, None)
            self._reports[report.number] = report
            self._changed.notify_all()

    def close(self, carried: int = 0) -> Rest:
        """End; what is left is sent, unless it has at most `carried` bytes: then it is given back. Raises what made
        sending impossible."""
        with self._changed:
            self._closing, self._carried = True, carried
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return Rest(tuple(self._reports.values()), self._offset, bytes(self._buffer))

    def abandon(self) -> None:
        """End without sending what is left. Harmless after `close`."""
        with self._changed:
            if self._error is None:
                self._error = StaleAttempt("the attempt is over")
            self._changed.notify_all()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._next():
                pass
        except StaleAttempt as error:
            self._fail(error)
            self._stop.set(Ending.STALE)
        except FarmgateError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the writer must hear of it, whatever it is
            self._fail(FarmgateError(f"the log cannot be sent: {error!r}"))

    def _fail(self, error: FarmgateError) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _next(self) -> bool:
        """Send the next reports or chunk; False when all is sent and no more will come."""
        with self._changed:
            while not self._due():
                if self._error is not None or self._closing:
                    return False
                self._changed.wait(PAUSE_SECONDS if self._buffer or self._reports else None)
            if self._error is not None or (self._closing and self._is_carried()):
                return False
            reports, chunk = list(self._reports.values()), b""
            self._reports.clear()
            if not reports:
                chunk = bytes(memoryview(self._buffer)[:CHUNK_BYTES])
        for report in reports:
            while_it_may_speak(self._stop, partial(self._client.step, self._claimed, report))
            self._sent_at = stopwatch()
        if chunk:
            self._send(chunk)
        return True

    def _due(self) -> bool:
        if not self._buffer and not self._reports:
            return False
        if self._closing or self._error or self._sent_at is None or len(self._buffer) >= ENOUGH_BYTES:
            return True
        return stopwatch() - self._sent_at >= PAUSE_SECONDS

    def _is_carried(self) -> bool:
        return 0 < self._carried >= len(self._buffer)

    def _send(self, chunk: bytes) -> None:
        taken = while_it_may_speak(self._stop, lambda: self._client.log(self._claimed, self._offset, chunk))
        self._sent_at = stopwatch()
        with self._changed:
            if taken.cut:
                self._cut = True
                self._offset = taken.length
                self._buffer.clear()
            elif self._offset <= taken.length <= self._offset + len(self._buffer):
                del self._buffer[: taken.length - self._offset]
                self._offset = taken.length
            else:
                raise FarmgateError(f"the server has {taken.length} bytes of the log, {self._offset} were acknowledged")
            self._changed.notify_all()
