"""Repositories to test against: a real one, written with git's plumbing, and a server for mirrors."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from farmgate.errors import NotInRepository
from farmgate.git import ADVERTISEMENT_TYPE, RESULT_TYPE, advertise, upload_pack
from farmgate.settings import environment_for_child


def noise(seed: str, size: int) -> bytes:
    """Bytes that do not compress, the same every time."""
    return hashlib.shake_256(seed.encode()).digest(size)


class RealRepository:
    """A bare repository somewhere else, which is pushed to. Commits as `FakeHistory` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = 0
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)

    def git(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        command = ["git", f"--git-dir={self.path}", *arguments]
        clean = {name: value for name, value in environment_for_child().items() if not name.startswith("GIT_")}
        done = subprocess.run(command, input=stdin, env=clean | dict(env or {}), check=True, capture_output=True)
        return done.stdout.decode().strip()

    def add(
        self,
        message: str,
        files: Mapping[str, bytes | str | None] | None = None,
        *,
        branch: str = "main",
        parents: Sequence[str] | None = None,
        author: str = "Ada",
        modes: Mapping[str, str] | None = None,
    ) -> str:
        ref = f"refs/heads/{branch}"
        if parents is None:
            head = self.git("for-each-ref", "--format=%(objectname)", ref)
            parents = [head] if head else []
        self._made += 1
        when = f"{1_767_225_600 + self._made} +0100"
        script = [
            f"commit {ref}\nmark :1\n".encode(),
            f"author {author} <{author.lower().replace(' ', '.')}@example.org> {when}\n".encode(),
            f"committer Farm <farm@example.org> {when}\n".encode(),
            _counted(message.encode()),
            *(f"{'merge' if number else 'from'} {parent}\n".encode() for number, parent in enumerate(parents)),
        ]
        for name, data in (files or {}).items():
            mode, path = (modes or {}).get(name, "100644"), _quoted(name)
            if data is None:
                script.append(f"D {path}\n".encode())
            elif mode == "160000":
                script.append(f"M {mode} {data!s} {path}\n".encode())
            else:
                raw = data.encode() if isinstance(data, str) else data
                script += [f"M {mode} inline {path}\n".encode(), _counted(raw)]
        script.append(b"\nget-mark :1\n")
        return self.git("fast-import", "--quiet", "--force", stdin=b"".join(script))  # one process for a whole commit

    def point(self, ref: str, sha: str | None) -> None:
        self.git(*(("update-ref", ref, sha) if sha else ("update-ref", "-d", ref)))


def _counted(data: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(data), data)


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


class GitServer:
    """Serves one mirror by smart HTTP to whoever brings the token."""

    def __init__(self, mirror: Path, token: str, scheme: str = "Bearer") -> None:
        self.mirror = mirror
        self.token = token
        self.scheme = scheme
        self.url = ""
        self.requests: list[tuple[str, str, str | None]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path, protocol = environ["PATH_INFO"], environ.get("HTTP_GIT_PROTOCOL")
        self.requests.append((environ["REQUEST_METHOD"], path, protocol))
        if environ.get("HTTP_AUTHORIZATION") != f"{self.scheme} {self.token}":
            asks = [("WWW-Authenticate", 'Basic realm="git"')] if self.scheme == "Basic" else []
            start("401 Unauthorized", [("Content-Type", "text/plain"), *asks])
            return [b"who are you?"]
        try:
            if path.endswith("/info/refs"):
                body = advertise(self.mirror, protocol)
                start("200 OK", [("Content-Type", ADVERTISEMENT_TYPE), ("Cache-Control", "no-cache")])
                return [body]
            asked = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            pieces = upload_pack(self.mirror, [asked], protocol)
        except NotInRepository:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"no such mirror"]
        start("200 OK", [("Content-Type", RESULT_TYPE)])
        return pieces


@contextmanager
def serving(mirror: Path, token: str = "a-token", scheme: str = "Bearer") -> Iterator[GitServer]:
    """The server at work, at its `url`."""
    app = GitServer(mirror, token, scheme)
    with make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet) as server:
        app.url = f"http://127.0.0.1:{server.server_port}/mirror.git"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield app
        finally:
            server.shutdown()
            thread.join()
