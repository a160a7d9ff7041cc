"""A script's output, taken apart: text to the log (masked), markers to the steps' reports.

A marker is found before anything is masked, and says where its step begins in the log as it was sent: masked, and after
whatever else was written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, assert_never

from farmgate.clock import Clock
from farmgate.masks import Masking, Masks
from farmgate.pipeline import StepSpec
from workers.logs import LogStream
from workers.markers import Begin, End, Item, Markers, Text
from workers.steps import Steps

_TAIL_BYTES: Final = 512


class Output:
    """The sink of one attempt. `on_first_step` is called when the first step begins."""

    def __init__(
        self,
        specs: Sequence[StepSpec],
        nonce: str,
        stream: LogStream,
        clock: Clock,
        on_first_step: Callable[[], None],
        masks: Masks,
    ) -> None:
        self.steps = Steps(specs)
        self._markers = Markers(nonce)
        self._masking = Masking(masks)
        self._stream = stream
        self._clock = clock
        self._on_first_step = on_first_step
        self._tail = b""

    def __call__(self, data: bytes) -> None:
        self._take(self._markers.feed(data))

    def over(self, exit_code: int) -> None:
        """The script ended: nothing more will come."""
        self._take(self._markers.close())
        self._write(self._masking.flush())
        for report in self.steps.over(exit_code, self._clock.now()):
            self._stream.report(report)

    def tail(self) -> str:
        """The last of what was written, for a message."""
        return self._tail.decode(errors="replace")

    def _take(self, items: list[Item]) -> None:
        for item in items:
            match item:
                case Text(data):
                    self._write(self._masking.feed(data))
                case Begin():
                    self._write(self._masking.flush())
                    if item.number == 1:
                        self._on_first_step()
                    here = replace(item, offset=self._stream.position)  # others write into the log as well
                    for report in self.steps.began(here, self._clock.now()):
                        self._stream.report(report)
                case End():
                    self._write(self._masking.flush())
                    for report in self.steps.ended(item, self._clock.now()):
                        self._stream.report(report)
                case _:
                    assert_never(item)

    def _write(self, data: bytes) -> None:
        if data:
            self._stream.write(data)
            self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
