"""The node's side of HTTP: what a worker and an agent say to the scheduler.

Rules:
1. One connection pool per process, kept open; safe for several threads.
2. Ways to end: an answer; `ServerUnreachable` (no answer, 5xx, 429: try again); `StaleAttempt` (the attempt is over:
   stop, upload nothing); `ServerFull` (no room for the bytes of an upload: sending them again helps nobody; a log or a
   result is a row, and is tried again); `Refused` and others, which name what the server said.
3. This module tries once. How long to go on trying is the caller's decision, since only it knows the lease.
4. Credentials and tokens go into headers, never into addresses, messages or logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
from pydantic import ValidationError

from farmgate.errors import (
    Conflict,
    FarmgateError,
    LostRace,
    NotFound,
    Refused,
    ServerFull,
    ServerUnreachable,
    StaleAttempt,
    Unauthorised,
)
from farmgate.messages import (
    ArtifactTaken,
    CacheAnswer,
    CacheTaken,
    Claim,
    Claimed,
    Heard,
    Heartbeat,
    Held,
    Join,
    Joined,
    LogTaken,
    Message,
    Needed,
    Renew,
    Renewed,
    ReportEnd,
    ReportPage,
    Result,
    StepReport,
    Times,
)

TIMEOUT: Final = httpx.Timeout(30, connect=5, pool=30)
HEARTBEAT_TIMEOUT: Final = httpx.Timeout(10, connect=5)  # the agent has a worker to look after meanwhile
_PIECE: Final = 256 * 1024
_REFUSED: Final = frozenset({401, 403, 404, 409, 410})
NO_ROOM: Final = 507
_AGAIN: Final = frozenset({408, 425, 429})

M = TypeVar("M", bound=Message)


class NodeClient:
    """Speaks to the scheduler at `server` with the node's credential. Also a context manager."""

    def __init__(
        self, server: str, credential: str | None = None, *, connections: int = 64, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        self.server = server.rstrip("/")
        self._credential = credential
        self._http = httpx.Client(
            base_url=self.server,
            timeout=timeout,
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60
            ),
            headers={"User-Agent": "farmgate-node"},
            trust_env=False,  # a proxy in the environment is for what jobs fetch, not for the farm's own words
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- the node ---------------------------------

    def join(self, join: Join) -> Joined:
        """Spend the one-time token. Raises Unauthorised if it is unknown, used up or out of date."""
        answer = self._send("POST", "/api/nodes/join", None, content=_body(join), headers=_JSON)
        return self._read(Joined, self._checked(answer))

    def heartbeat(self, heartbeat: Heartbeat) -> Heard:
        body = _body(heartbeat)
        answer = self._send(
            "POST", "/api/nodes/heartbeat", self._credential, content=body, headers=_JSON, timeout=HEARTBEAT_TIMEOUT
        )
        return self._read(Heard, self._checked(answer))

    def claim(self, claim: Claim) -> Claimed:
        """Raises LostRace if the attempt is someone else's, or over."""
        answer = self._send("POST", "/api/worker/claim", self._credential, content=_body(claim), headers=_JSON)
        if answer.status_code == 409:
            raise LostRace(f"job {claim.job}, attempt {claim.attempt}: {_said(answer)}")
        return self._read(Claimed, self._checked(answer))

    def renew(self, held: tuple[Held, ...], *, timeout_seconds: float | None = None) -> Renewed:
        body = _body(Renew(held=held))
        timeout = TIMEOUT if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        answer = self._send("POST", "/api/worker/renew", self._credential, content=body, headers=_JSON, timeout=timeout)
        return self._read(Renewed, self._checked(answer))

    # --- an attempt: each call raises StaleAttempt once it is over ---------------------------------

    def log(self, claimed: Claimed, offset: int, data: bytes) -> LogTaken:
        answer = self._send("POST", _path(claimed, "log"), claimed.token, params={"offset": offset}, content=data)
        return self._read(LogTaken, self._fenced(answer))

    def step(self, claimed: Claimed, report: StepReport) -> None:
        body = _body(report)
        self._fenced(self._send("POST", _path(claimed, "steps"), claimed.token, content=body, headers=_JSON))

    def artifact(
        self,
        claimed: Claimed,
        path: str,
        size_bytes: int,
        chunks: Iterator[bytes],
        *,
        executable: bool = False,
        kind: str = "file",
        image_id: str | None = None,
    ) -> ArtifactTaken:
        params: dict[str, str | int] = {"path": path}
        params |= {"executable": "true"} if executable else {}
        params |= {"kind": kind} if kind != "file" else {}
        params |= {"image_id": image_id} if image_id else {}
        answer = self._upload(claimed, "artifacts", params, size_bytes, chunks)
        return self._read(ArtifactTaken, self._fenced(answer))

    def cache(self, claimed: Claimed, key: str, beginnings: tuple[str, ...]) -> CacheAnswer:
        """The cache of the key, else the newest of a beginning."""
        params = httpx.QueryParams([("key", key), *(("beginning", one) for one in beginnings)])
        answer = self._send("GET", _path(claimed, "caches"), claimed.token, content=b"", params=params)
        return self._read(CacheAnswer, self._fenced(answer))

    def cache_bytes(self, claimed: Claimed, sha256: str) -> Iterator[bytes]:
        """A cache's archive, piece by piece, however it is: who takes it checks its hash."""
        headers = {"Authorization": f"Bearer {claimed.token}"}
        try:
            with self._http.stream("GET", f"{_path(claimed, 'caches')}/{sha256}", headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    if answer.status_code == 404:  # it went meanwhile
                        raise NotFound(_said(answer))
                    if answer.status_code >= 500 or answer.status_code in _AGAIN:
                        raise ServerUnreachable(f"{self.server} answered {answer.status_code}: {_said(answer)}")
                    self._fenced(answer)
                yield from answer.iter_raw()
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(f"{self.server} does not answer: {str(error) or type(error).__name__}") from None

    def keep_cache(self, claimed: Claimed, key: str, size_bytes: int, chunks: Iterator[bytes]) -> CacheTaken:
        """Upload a cache's archive. Raises Refused for one that is too large."""
        answer = self._upload(claimed, "caches", {"key": key}, size_bytes, chunks)
        return self._read(CacheTaken, self._fenced(answer))

    def needed(self, claimed: Claimed) -> Needed:
        """The artifacts that the attempt may fetch."""
        answer = self._send("GET", _path(claimed, "needed"), claimed.token, content=b"")
        return self._read(Needed, self._fenced(answer))

    @contextmanager
    def needed_bytes(self, claimed: Claimed, sha256: str) -> Iterator[Iterator[bytes]]:
        """The bytes of one of them, as they come. Raises ServerUnreachable also where they end early."""
        path, headers = _path(claimed, f"needed/{sha256}"), {"Authorization": f"Bearer {claimed.token}"}
        try:
            with self._http.stream("GET", path, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    if answer.status_code == 404:  # it is not kept any more
                        raise Refused(_said(answer))
                    self._fenced(self._answered(answer))
                yield answer.iter_bytes(_PIECE)
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(f"{self.server} does not answer: {str(error) or type(error).__name__}") from None

    def report_page(self, claimed: Claimed, page: ReportPage) -> None:
        self._fenced(self._send("POST", _path(claimed, "reports"), claimed.token, content=_body(page), headers=_JSON))

    def report_file(self, claimed: Claimed, size_bytes: int, chunks: Iterator[bytes]) -> ArtifactTaken:
        answer = self._upload(claimed, "reports/file", {}, size_bytes, chunks)
        return self._read(ArtifactTaken, self._fenced(answer))

    def report_end(self, claimed: Claimed, end: ReportEnd) -> None:
        path = _path(claimed, "reports/end")
        self._fenced(self._send("POST", path, claimed.token, content=_body(end), headers=_JSON))

    def times(self, claimed: Claimed) -> Times:
        return self._read(Times, self._fenced(self._send("GET", _path(claimed, "times"), claimed.token, content=b"")))

    def result(self, claimed: Claimed, result: Result) -> None:
        body = _body(result)
        self._fenced(self._send("POST", _path(claimed, "result"), claimed.token, content=body, headers=_JSON))

    # --- how ---------------------------------

    def _send(
        self,
        method: str,
        path: str,
        bearer: str | None,
        *,
        content: bytes | Iterator[bytes],
        params: httpx.QueryParams | dict[str, str | int] | None = None,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        full: bool = False,
    ) -> httpx.Response:
        everything = dict(headers or {})
        if bearer is not None:
            everything["Authorization"] = f"Bearer {bearer}"
        try:
            answer = self._http.request(
                method,
                path,
                content=content,
                params=params,
                headers=everything,
                timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
            )
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(f"{self.server} does not answer: {str(error) or type(error).__name__}") from None
        if full and answer.status_code == NO_ROOM:
            raise ServerFull(f"{self.server} has no room for it: {_said(answer)}")
        return self._answered(answer)

    def _upload(
        self, claimed: Claimed, what: str, params: dict[str, str | int], size_bytes: int, chunks: Iterator[bytes]
    ) -> httpx.Response:
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
        path = _path(claimed, what)
        return self._send("PUT", path, claimed.token, params=params, content=chunks, headers=headers, full=True)

    def _answered(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 500 or answer.status_code in _AGAIN:
            raise ServerUnreachable(f"{self.server} answered {answer.status_code}: {_said(answer)}")
        return answer

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        if answer.status_code in (401, 403):
            raise Unauthorised(f"{self.server} refused the node: {_said(answer)}")
        if answer.status_code == 409:
            raise Conflict(f"{self.server}: {_said(answer)}")
        raise FarmgateError(f"{self.server} answered {answer.status_code}: {_said(answer)}")

    def _fenced(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        if answer.status_code in _REFUSED:
            raise StaleAttempt(_said(answer))
        raise Refused(_said(answer))

    def _read(self, kind: type[M], answer: httpx.Response) -> M:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise ServerUnreachable(f"{self.server} answered what is not a {kind.__name__}: {error}") from None


_JSON: Final = {"Content-Type": "application/json"}


def _body(message: Message) -> bytes:
    return message.model_dump_json().encode()


def _path(claimed: Claimed, what: str) -> str:
    return f"/api/attempts/{claimed.job}/{claimed.attempt}/{what}"


def _said(answer: httpx.Response) -> str:
    """What the server gave as its reason, in one line."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text.strip()[:300] or answer.reason_phrase
    if isinstance(body, dict):
        parts = [str(body[name]) for name in ("error", "remedy", "detail") if body.get(name)]
        if parts:
            return "; ".join(parts)[:500]
    return answer.text[:300]
