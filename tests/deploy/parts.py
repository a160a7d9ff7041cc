"""What the tests of delivery share: packages that really run, a steady load, a target of each kind."""

from __future__ import annotations

import http.client
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from farmgate.clock import SystemClock, stopwatch

SERVICE = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = open("version").read().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SCRIPT = """#!/bin/sh
mkdir -p www/cgi-bin
cp version www/index.html
printf '#!/bin/sh\\nsleep 1\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\nslow"\\n' >www/cgi-bin/slow
chmod +x www/cgi-bin/slow
exec httpd -f -p $PORT -h www
"""
CLIENTS = 3
PAUSE = timedelta(milliseconds=5)


def archive(**files: str) -> bytes:
    """A gzipped tar of files; `run_sh` stands for run.sh."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("_", "."))
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


@dataclass
class Load:
    """What a steady keep-alive load saw."""

    served: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def seen(self, wanted: str, times: int = 20, within: float = 15) -> None:
        """Wait until this answer was served so often from now on."""
        before, deadline = self.served[wanted], stopwatch() + within
        while self.served[wanted] < before + times:
            assert stopwatch() < deadline, f"{wanted} was not served: {self.served}, {self.failed[:3]}"
            SystemClock().sleep(PAUSE)


@contextmanager
def load(port: int, clients: int = CLIENTS) -> Iterator[Load]:
    """A few clients that ask again and again, each over one connection, until the block ends."""
    seen, stop = Load(), threading.Event()
    threads = [threading.Thread(target=_client, args=(port, seen, stop)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def slow(port: int) -> str:
    """What a request is answered that takes a second; whoever serves SCRIPT has it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/cgi-bin/slow")
        answer = connection.getresponse()
        return f"{answer.status} {answer.read().decode(errors='replace')}"
    finally:
        connection.close()


def _client(port: int, seen: Load, stop: threading.Event) -> None:
    clock, connection = SystemClock(), http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while not stop.is_set():
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            seen.failed.append(repr(error))
            connection.close()
        else:
            if answer.status == 200:
                seen.served[body] += 1
            else:
                seen.failed.append(f"{answer.status} {body[:80]}")
        clock.sleep(PAUSE)
    connection.close()
