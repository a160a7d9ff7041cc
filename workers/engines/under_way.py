"""Requests to an engine that last: one for each attempt, closed from another thread to end what they asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from farmgate.node_folder import Key


class UnderWay:
    """The requests of one kind. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Key, Any] = {}

    @contextlib.contextmanager
    def this(self, key: Key, answer: Any) -> Iterator[None]:
        """While its answer is read; it is closed at the end."""
        with self._lock:
            self._answers[key] = answer
        try:
            yield
        finally:
            with self._lock:
                self._answers.pop(key, None)
            answer.close()

    def kill(self, api: Any, key: Key) -> None:
        """Close the request, if there is one; the engine gives up what it asked for."""
        with self._lock:
            answer = self._answers.get(key)
        if answer is not None:
            with contextlib.suppress(OSError, AttributeError):
                connection = api._get_raw_response_socket(answer)
                getattr(connection, "_sock", connection).shutdown(socket.SHUT_RDWR)
