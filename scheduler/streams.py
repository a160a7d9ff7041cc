"""A request's body, piece by piece, from a thread that works while it arrives: nothing is held whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio.from_thread
from fastapi import Request


def pieces(request: Request) -> Iterator[bytes]:
    """For endpoints that are plain functions (FastAPI runs them on threads)."""
    stream = request.stream()
    while (piece := anyio.from_thread.run(_next, stream)) is not None:
        if piece:
            yield piece


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
