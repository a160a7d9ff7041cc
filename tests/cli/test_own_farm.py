"""The embedded farm's own parts, where `farmgate up` as a process cannot be put into the situation."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from farmgate.cli import own_farm
from farmgate.cli.own_farm import OwnFarm, Wanted
from farmgate.errors import ProcessFailed


class AnotherFarm(BaseHTTPRequestHandler):
    """Says that it is ready, whatever is asked."""

    def do_GET(self) -> None:
        body = b'{"status": "ready", "farm": "0123456789abcdef"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.needs("redis", "git")
def test_another_farm_that_took_the_port_a_moment_ago_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), AnotherFarm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(own_farm, "is_free", lambda host, port: True)  # as it was when we looked
    port = server.server_address[1]
    farm = OwnFarm(Wanted(data=tmp_path / "data", port=port, engine="process"), lambda _: None)
    try:
        with pytest.raises(ProcessFailed, match=f"{port} cannot be listened on"):
            farm.start()
    finally:
        server.shutdown()
        server.server_close()
