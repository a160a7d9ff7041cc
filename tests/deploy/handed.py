"""Another tool, as a real HTTP server: it deploys what it is handed, and behaves as badly as it is told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from farmgate.clock import Clock, SystemClock
from farmgate.errors import BadSignature
from farmgate.webhooks.signatures import check_standard, sign_standard

SECRET = "whsec_" + base64.b64encode(b"a secret that both sides know").decode()


@dataclass
class Tool:
    """`live`: what it deployed last. `begins`: how a hand-over stands when it was just taken.

    `fault`: what the next requests meet: a status, `dies before`, `dies after`, `hangs`, or raw bytes of an answer.
    """

    clock: Clock = field(default_factory=SystemClock)
    secret: str = SECRET
    live: str | None = None
    begins: dict[str, Any] = field(default_factory=lambda: {"state": "done"})
    status: Any = None  # what it answers of each delivery; None: in our own form
    faults: list[Any] = field(default_factory=list)
    epoch: int = 0
    deployments: int = 0
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)  # by delivery: what it was last told
    stands: dict[str, dict[str, Any]] = field(default_factory=dict)
    meanwhile: Callable[[dict[str, Any]], object] | None = None  # done before the answer is sent
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        try:
            check_standard(self.secret, headers, body, self.clock.now())
        except BadSignature as error:
            return 401, {}, str(error).encode()
        delivery, data = headers["webhook-id"], json.loads(body)["data"]
        if data["epoch"] < self.epoch:
            return 409, {}, json.dumps({"epoch": self.epoch}).encode()
        self.epoch = data["epoch"]
        if delivery not in self.taken:
            self.deployments += 1
            self.live = data["sha"]
            self.stands[delivery] = dict(self.begins)
        self.taken[delivery] = data
        if self.meanwhile is not None:
            self.meanwhile(data)
        return self.signed(delivery, self.stands[delivery])

    def signed(self, delivery: str, told: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        body = json.dumps(told).encode()
        return 200, sign_standard(self.secret, delivery, body, self.clock.now()), body

    def look(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.status is not None:
            return 200, {}, json.dumps(self.status).encode()
        try:
            check_standard(self.secret, headers, b"", self.clock.now())
        except BadSignature as error:
            return 401, {}, str(error).encode()
        delivery = path.rpartition("/")[2]
        return self.signed(delivery, self.stands[delivery])


@contextmanager
def running(tool: Tool) -> Iterator[Tool]:
    """The tool, listening."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._do(self.rfile.read(int(self.headers.get("content-length", "0"))))

        do_PUT = do_POST  # noqa: N815  # the library's name

        def do_GET(self) -> None:
            self._do(b"")

        def _do(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            tool.requests.append((self.command, self.path, headers, body))
            fault = tool.faults.pop(0) if tool.faults else None
            if fault in ("dies before", "hangs"):
                if fault == "hangs":
                    released.wait(20)
                return self._cut()
            if isinstance(fault, int):
                status, more = fault, {"location": f"{tool.url}/elsewhere"}
                said = b"out of order: " + str(headers).encode()
            elif self.command != "GET":
                status, more, said = tool.take(headers, body)
            else:
                status, more, said = tool.look(self.path, headers)
            if fault == "dies after":
                return self._cut()
            if isinstance(fault, bytes):
                said = fault
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
            return None

        def _cut(self) -> None:
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tool.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield tool
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()
