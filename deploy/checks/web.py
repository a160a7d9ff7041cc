"""Asking over HTTP within a time and a size that hold whatever the other side does.

Rules:
1. The time is that of the whole exchange: a server that sends one byte now and then is silent, not slow.
2. Redirects are not followed: who is asked is who answers.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx

from farmgate.clock import stopwatch

_HOST: Final = {"user-agent": "farmgate"}
_GRACE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back. `body` is whole, or None if only the status was wanted."""

    status: int
    body: bytes | None
    seconds: float


class Unreachable(Exception):
    """Nobody listens there."""


class Silent(Exception):
    """No whole answer in time."""


class Nonsense(Exception):
    """Something that is no answer."""


def fetch(url: str, timeout: timedelta, *, form: Mapping[str, str] | None = None, limit_bytes: int = 0) -> Fetched:
    """GET, or POST of a form; the body only with a limit. Raises Unreachable, Silent, Nonsense."""
    box: queue.SimpleQueue[Fetched | Exception] = queue.SimpleQueue()
    seconds = timeout.total_seconds()

    def work() -> None:
        try:
            box.put(_exchange(url, seconds, form, limit_bytes))
        except Exception as error:  # noqa: BLE001 - told to who waits
            box.put(error)

    threading.Thread(target=work, name="ask", daemon=True).start()
    try:
        found = box.get(timeout=seconds + _GRACE)
    except queue.Empty:
        raise Silent(f"{url} did not answer within {seconds:g} s") from None
    if isinstance(found, Fetched):
        return found
    match found:
        case httpx.ConnectError():
            raise Unreachable(f"{url}: {found}") from None
        case httpx.TimeoutException() | Silent():
            raise Silent(f"{url} did not answer within {seconds:g} s") from None
        case _:
            raise Nonsense(f"{url} answered nonsense: {found}") from None


def _exchange(url: str, seconds: float, form: Mapping[str, str] | None, limit_bytes: int) -> Fetched:
    began = stopwatch()
    with (
        httpx.Client(timeout=seconds, trust_env=False, headers=_HOST) as client,
        client.stream("GET" if form is None else "POST", url, data=form) as answer,
    ):
        if not limit_bytes:
            return Fetched(answer.status_code, None, round(stopwatch() - began, 4))
        body = b""
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > limit_bytes:
                raise Nonsense(f"more than {limit_bytes:,} bytes")
            if stopwatch() - began > seconds:
                raise Silent
        return Fetched(answer.status_code, body, round(stopwatch() - began, 4))
