"""Asking over HTTP within a time and a size that hold whatever the other side does.

Rules:
1. The time is that of the whole exchange: a server that sends one byte now and then is silent, not slow.
2. Redirects are not followed: who is asked is who answers.
"""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
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
    headers: Mapping[str, str] = field(default_factory=dict)  # by lower-case name


class Unreachable(Exception):
    """Nobody listens there."""


class Silent(Exception):
    """No whole answer in time."""


class Nonsense(Exception):
    """Something that is no answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    form: Mapping[str, str] | None = None
    ca: str | None = None  # PEM; None: whom this machine trusts


def fetch(url: str, timeout: timedelta, *, form: Mapping[str, str] | None = None, limit_bytes: int = 0) -> Fetched:
    """GET, or POST of a form; the body only with a limit. Raises Unreachable, Silent, Nonsense."""
    return ask(Request("GET" if form is None else "POST", url, form=form), timeout, limit_bytes)


def ask(request: Request, timeout: timedelta, limit_bytes: int = 0) -> Fetched:
    """The body only with a limit. Raises Unreachable, Silent, Nonsense."""
    box: queue.SimpleQueue[Fetched | Exception] = queue.SimpleQueue()
    seconds, url = timeout.total_seconds(), request.url

    def work() -> None:
        try:
            box.put(_exchange(request, seconds, limit_bytes))
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


@lru_cache(maxsize=64)
def _certificates(ca: str | None) -> ssl.SSLContext:
    """To read those that are trusted takes longer than most answers."""
    return httpx.create_ssl_context(trust_env=False) if ca is None else ssl.create_default_context(cadata=ca)


def _exchange(request: Request, seconds: float, limit_bytes: int) -> Fetched:
    began = stopwatch()
    more = {"content": request.content} if request.content is not None else {"data": request.form}
    with (
        httpx.Client(timeout=seconds, trust_env=False, headers=_HOST, verify=_certificates(request.ca)) as client,
        client.stream(request.method, request.url, headers=dict(request.headers), **more) as answer,
    ):
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if not limit_bytes:
            return Fetched(answer.status_code, None, round(stopwatch() - began, 4), headers)
        body = b""
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > limit_bytes:
                raise Nonsense(f"more than {limit_bytes:,} bytes")
            if stopwatch() - began > seconds:
                raise Silent
        return Fetched(answer.status_code, body, round(stopwatch() - began, 4), headers)
