"""A request's body, piece by piece, from a thread that works while it arrives: nothing is held whole.

A thread does not wait for ever: who sends nothing for a while is given up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.from_thread
from fastapi import Request

from farmgate.errors import BadPayload

IDLE_SECONDS = 60


def pieces(request: Request) -> Iterator[bytes]:
    """For endpoints that are plain functions (FastAPI runs them on threads)."""
    stream = request.stream()
    while (piece := anyio.from_thread.run(_next, stream)) is not None:
        if piece:
            yield piece


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        with anyio.fail_after(IDLE_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise BadPayload(f"the body stopped coming: nothing for {IDLE_SECONDS} s") from None
