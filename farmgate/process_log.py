"""How a process says what it does: one line per event on standard error, as text or as JSON.

Rule: a line that cannot be written (a full disk, a reader that is gone) is lost, and nothing else is: what fails must
not fail again, and end its thread, by saying so.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO

import structlog


class Lossy:
    """A stream that never fails: what it cannot write is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def set_up(style: str = "text") -> None:
    """`text` for people, `json` for machines. Python's own loggers keep their warnings, in the same place."""
    last = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=False,
            pad_event_to=24,
            exception_formatter=structlog.dev.plain_traceback,  # no boxes, no local variables: they hold secrets
        )
    )
    stream: TextIO = Lossy(sys.stderr)  # type: ignore[assignment]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if style == "json" else []),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
