"""A scheduler in miniature: the node's HTTP over a real socket; checks order and tokens, misbehaves on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREDENTIAL = "fgn_the-node"


@dataclass
class AttemptRecord:
    """What the server knows of an attempt."""

    claimed: dict[str, Any]
    state: str = "queued"  # queued, running, over
    log: bytearray = field(default_factory=bytearray)
    steps: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, dict[str, str]] = field(default_factory=dict)  # path of an artifact -> what was said of it
    needed: list[dict[str, Any]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)  # kind -> rows, end
    report_files: list[bytes] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    cancelled: bool = False
    log_calls: int = 0

    def take_log(self, offset: int, data: bytes) -> dict[str, Any]:
        limit = self.claimed["log_limit_bytes"]
        if offset <= len(self.log):
            self.log += data[len(self.log) - offset :]
        cut = len(self.log) >= limit
        del self.log[limit:]
        return {"length": len(self.log), "cut": cut}

    @property
    def last_steps(self) -> dict[int, dict[str, Any]]:
        return {step["number"]: step for step in self.steps}


@dataclass
class FakeServer:
    """Its answers, and the switches that make it misbehave."""

    attempts: dict[tuple[int, int], AttemptRecord] = field(default_factory=dict)
    lease_seconds: float = 30.0
    join_tokens: set[str] = field(default_factory=set)
    joins: list[dict[str, Any]] = field(default_factory=list)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    heard: dict[str, Any] = field(default_factory=lambda: {"heartbeat_seconds": 0.2})
    broker_url: str = ""
    fail: dict[str, int] = field(default_factory=dict)  # path's last word -> how many calls to answer with 503
    full: set[str] = field(default_factory=set)  # ... to answer with 507 when something is put there
    drop: dict[str, int] = field(default_factory=dict)  # ... to take and not to answer
    away: threading.Event = field(default_factory=threading.Event)  # set: every call gets 503
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    told_hash: str | None = None  # said of every cache instead of its own hash
    caches: dict[str, bytes] = field(default_factory=dict)  # key -> archive, oldest first
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def offer(
        self, job: int, attempt: int, *, git_url: str, sha: str, spec: dict[str, Any], **more: Any
    ) -> AttemptRecord:
        claimed = {
            "job": job,
            "attempt": attempt,
            "token": f"fga_{job}_{attempt}",
            "run": 1,
            "repository": "shop",
            "repository_id": 1,
            "git_url": git_url,
            "sha": sha,
            "ref": "refs/heads/main",
            "trust": "trusted",
            "name": spec["name"],
            "spec": spec,
            "variables": {"FARMGATE_SHA": sha},
            "log_limit_bytes": 2**30,
            "result_carries_bytes": 2**16,
            **more,
        }
        record = self.attempts[(job, attempt)] = AttemptRecord(claimed)
        return record

    def until(self, fact: Any, seconds: float = 20.0) -> None:
        """Wait for a fact about the server."""
        with self.changed:
            assert self.changed.wait_for(fact, timeout=seconds), f"not within {seconds} s"

    # --- answers ---------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], token: str, body: bytes) -> tuple[int, Any]:
        word = path.rsplit("/", 1)[-1]
        with self.lock:
            self.calls[word] += 1
            if self.away.is_set():
                return 503, {"error": "away"}
            if self.fail.get(word, 0) > 0:
                self.fail[word] -= 1
                return 503, {"error": "told to fail"}
            if method == "PUT" and word in self.full:
                return 507, {"error": "no space left in /blobs"}
            status, answer = self._answer(method, path, query, token, body)
            if self.drop.get(word, 0) > 0:
                self.drop[word] -= 1
                return 0, None
            return status, answer

    def _answer(self, method: str, path: str, query: dict[str, str], token: str, body: bytes) -> tuple[int, Any]:
        match (method, path.strip("/").split("/")):
            case "POST", ["api", "nodes", "join"]:
                join = json.loads(body)
                if join["token"] not in self.join_tokens:
                    return 401, {"error": "this join token is used up or unknown", "remedy": "make a new one"}
                self.join_tokens.discard(join["token"])
                self.joins.append(join)
                node = {"node": 7, "name": join["name"], "credential": CREDENTIAL}
                return 200, {
                    **node,
                    "broker_url": self.broker_url,
                    "heartbeat_seconds": self.heard["heartbeat_seconds"],
                }
            case "POST", ["api", "attempts", job, attempt, what]:
                return self._attempt(self.attempts.get((int(job), int(attempt))), what, query, token, body)
            case "GET" | "PUT", ["api", "attempts", job, attempt, "caches", *rest]:
                return self._cache(self.attempts.get((int(job), int(attempt))), method, rest, query, token, body)
            case (("POST" | "PUT"), ["api", "attempts", job, attempt, "reports", what]):
                return self._attempt(self.attempts.get((int(job), int(attempt))), f"reports/{what}", query, token, body)
            case "GET", ["api", "attempts", job, attempt, "times"]:
                return self._attempt(self.attempts.get((int(job), int(attempt))), "times", query, token, body)
            case "GET", ["api", "attempts", job, attempt, *what]:
                return self._attempt(self.attempts.get((int(job), int(attempt))), "/".join(what), query, token, body)
            case "PUT", ["api", "attempts", job, attempt, "artifacts"]:
                return self._attempt(self.attempts.get((int(job), int(attempt))), "artifacts", query, token, body)
        if token != CREDENTIAL:
            return 401, {"error": "unknown node"}
        match (method, path.strip("/").split("/")):
            case "POST", ["api", "nodes", "heartbeat"]:
                self.heartbeats.append(json.loads(body))
                return 200, self.heard
            case "POST", ["api", "worker", "claim"]:
                claim = json.loads(body)
                record = self.attempts.get((claim["job"], claim["attempt"]))
                if record is None or record.state != "queued":
                    return 409, {"error": "not waiting"}
                record.state = "running"
                return 200, {**record.claimed, "lease_seconds": self.lease_seconds}
            case "POST", ["api", "worker", "renew"]:
                held = [(h["job"], h["attempt"]) for h in json.loads(body)["held"]]
                records = {key: self.attempts.get(key) for key in held}
                lost = [k for k, r in records.items() if r is None or r.state != "running"]
                cancelled = [k for k, r in records.items() if r is not None and r.cancelled and k not in lost]
                return 200, {
                    "lease_seconds": self.lease_seconds,
                    "lost": [{"job": j, "attempt": a} for j, a in lost],
                    "cancelled": [{"job": j, "attempt": a} for j, a in cancelled],
                }
        return 404, {"error": f"no {path}"}

    def _cache(
        self,
        record: AttemptRecord | None,
        method: str,
        rest: list[str],
        query: dict[str, str],
        token: str,
        body: bytes,
    ) -> tuple[int, Any]:
        if record is None or record.state != "running" or token != record.claimed["token"]:
            return 409, {"error": "stale attempt"}
        if rest:
            found = [data for data in self.caches.values() if hashlib.sha256(data).hexdigest() == rest[0]]
            self.calls["cache bytes"] += 1
            return (200, found[0]) if found else (404, {"error": "no such cache"})
        key = query["key"]
        if method == "PUT":
            if record.claimed["trust"] != "trusted":
                return 403, {"error": "forks write none"}
            kept = self.caches.setdefault(key, body) is body
            return 200, {"kept": kept, "sha256": hashlib.sha256(self.caches[key]).hexdigest()}
        begins = query.get("beginning")
        matching = [key] if key in self.caches else [one for one in self.caches if begins and one.startswith(begins)]
        if not matching:
            return 200, {"found": None}
        data = self.caches[matching[-1]]
        sha256 = self.told_hash or hashlib.sha256(data).hexdigest()
        return 200, {"found": {"key": matching[-1], "sha256": sha256, "size_bytes": len(data)}}

    def _attempt(
        self, record: AttemptRecord | None, what: str, query: dict[str, str], token: str, body: bytes
    ) -> tuple[int, Any]:
        if record is None or record.state != "running" or token != record.claimed["token"]:
            return 409, {"error": "stale attempt"}
        match what:
            case "log":
                record.log_calls += 1
                return 200, record.take_log(int(query["offset"]), body)
            case "steps":
                record.steps.append(json.loads(body))
                return 200, {}
            case "artifacts":
                record.artifacts[query["path"]] = body
                record.told[query["path"]] = query
                return 200, {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}
            case "reports":
                page = json.loads(body)
                kind = record.reports.setdefault(page["kind"], {"rows": [], "pages": 0})
                assert page["number"] == kind["pages"], "pages come in order"
                kind["rows"] += page["cases"] + page["covered"] + page["findings"]
                kind["pages"] += 1
                return 200, {}
            case "reports/file":
                record.report_files.append(body)
                return 200, {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}
            case "reports/end":
                end = json.loads(body)
                record.reports.setdefault(end["kind"], {"rows": [], "pages": 0})["end"] = end
                return 200, {}
            case "times":
                return 200, {"tests": record.times}
            case "result":
                record.result, record.state = json.loads(body), "over"
                record.take_log(record.result["log_offset"], base64.urlsafe_b64decode(record.result["log"]))
                record.steps += record.result["steps"]
                return 200, {}
            case "needed":
                return 200, {"artifacts": record.needed}
            case _ if what.startswith("needed/"):
                return (200, record.blobs[what[7:]]) if what[7:] in record.blobs else (404, {"error": "gone"})
        return 404, {"error": f"no {what}"}


@contextmanager
def serving(server: FakeServer, port: int = 0) -> Iterator[FakeServer]:
    """Answer on the loopback; `server.url` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, answer = server.answer(self.command, parts.path, query, token, body)
            with server.changed:
                server.changed.notify_all()
            if status == 0:
                self.close_connection = True
                return
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _do  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that went away

    http = Server(("127.0.0.1", port), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
