"""Bodies of requests, bounded before anybody reads them: a stranger's endless JSON must not fill the memory.

Rules:
1. What is read whole (all but streams) may have `WHOLE_BYTES`; the web framework reads it before it asks who sends it.
2. Streams bound themselves where they are written: artifacts, caches, git's questions; so do logs and webhooks.
3. Work that waits for a stranger's bytes has threads of its own: slow uploads never keep a lease from being renewed.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.problems import body

WHOLE_BYTES = 5 * 2**20
_STREAMS = re.compile(
    r"/hooks/|/git/|/api/handovers/|/api/candidates/[^/]+/bytes$|/api/vulnerabilities/imports$|"
    r"/api/attempts/[^/]+/[^/]+/(log|artifacts|caches|reports/file)$"
)


class BoundedBodies:
    """Middleware: 413 as soon as a body is known to be too large."""

    def __init__(self, app: ASGIApp, limit_bytes: int = WHOLE_BYTES) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _STREAMS.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"")
        if told.isdigit() and int(told) > self._limit:
            text = f"the body has {int(told)} bytes, more than the {self._limit} that are taken"
            await body(413, text, scope["path"], "Send less.")(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            # The reader sees a client that went away; nobody is owed an answer to a body without an end.
            return {"type": "http.disconnect"} if size > self._limit else message

        await self._app(scope, bounded, send)
