"""How the deploy loop logs: structlog to standard error, as text or JSON."""

from __future__ import annotations

import logging
import sys

import structlog


def set_up(form: str) -> None:
    """`form` is text or json."""
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    shown: structlog.typing.Processor = structlog.processors.JSONRenderer() if form == "json" else console
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form == "json" else structlog.processors.StackInfoRenderer(),
            shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
