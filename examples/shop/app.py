"""A small shop: a web service on Python's standard library alone.

/         the catalogue, and which version of the shop this is
/healthz  200 as soon as the process answers
/ready    200 if everything that a customer needs works
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import catalogue
import payments

VERSION = Path(__file__).with_name("VERSION")


def page(path):
    """The answer to a path: status and body."""
    if path == "/healthz":
        return 200, {"alive": True}
    if path == "/ready":
        return 200, {"ready": True, "payments": payments.ways()}
    if path == "/":
        version = VERSION.read_text().strip() if VERSION.exists() else "working copy"
        return 200, {
            "greeting": os.environ.get("GREETING", "welcome"),
            "products": catalogue.PRODUCTS,
            "version": version,
        }
    return 404, {"error": "no such page"}


class Shop(BaseHTTPRequestHandler):
    """One customer's connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        try:
            status, body = page(self.path)
        except Exception as error:
            print(f"{self.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            status, body = 500, {"error": type(error).__name__, "about": str(error)}
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing of good requests."""


def main():
    port = int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer(("0.0.0.0", port), Shop)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"the shop is open on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
