"""The people's side of the API: what the command line, the demo and tools of others call.

Rules:
1. One method per path; answers are the server's JSON as it stands, so that `--json` shows the truth and a field that is
   new at the server needs no new client.
2. A refusal becomes the error of the family that names it; its text is what the server said: what, where, remedy.
3. Reading is repeated when the connection breaks; writing never is.
4. A log is followed by byte offset: after a break it goes on where it stopped, without a gap or a repetition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx
import tenacity

from farmgate.clock import Clock, SystemClock
from farmgate.errors import Conflict, FarmgateError, NotFound, Refused, ServerUnreachable, Unauthorised

Row = dict[str, Any]
PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Bytes of a log, decoded for showing; `offset` is where the next piece begins."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class LogAgain:
    """The attempt was lost, for this reason; what follows is the next one's log, from its beginning."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The attempt is over and its log complete."""

    state: str


LogEvent = LogPiece | LogAgain | LogEnd


class Api:
    """A farm's API at `server`. Raises ServerUnreachable, Unauthorised, NotFound, Conflict, Refused."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self._clock = clock or SystemClock()
        self._http = httpx.Client(
            base_url=self.server,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(PATIENCE.total_seconds(), connect=5),
            transport=transport,
            trust_env=not _is_loopback(self.server),  # a proxy has no business with this machine's own farm
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- repositories ---

    def repositories(self) -> list[Row]:
        return self._rows("/api/repositories")

    def add_repository(
        self,
        name: str,
        url: str,
        *,
        forge: str | None = None,
        branch: str | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Row:
        given = dict(secrets) if secrets else None
        body = {"name": name, "url": url, "forge": forge, "default_branch": branch, "secrets": given}
        return self._post("/api/repositories", {key: value for key, value in body.items() if value is not None})

    def repository(self, name: str) -> Row:
        return self._get(f"/api/repositories/{_part(name)}")

    def poll_repository(self, name: str) -> Row:
        return self._post(f"/api/repositories/{_part(name)}/poll")

    def change_repository(self, name: str, wanted: Mapping[str, object]) -> Row:
        return _object(self._call("PATCH", f"/api/repositories/{_part(name)}", json=dict(wanted)))

    def remove_repository(self, name: str) -> None:
        self._call("DELETE", f"/api/repositories/{_part(name)}")

    # --- secrets ---

    def secrets(self, repository: str) -> list[Row]:
        return self._rows(f"/api/repositories/{_part(repository)}/secrets")

    def set_secret(self, repository: str, name: str, value: str, environment: str, branch: str) -> None:
        body = {"value": value, "environment": environment, "branch": branch}
        self._call("PUT", f"/api/repositories/{_part(repository)}/secrets/{_part(name)}", json=body)

    def remove_secret(self, repository: str, name: str, environment: str, branch: str) -> None:
        path = f"/api/repositories/{_part(repository)}/secrets/{_part(name)}"
        self._call("DELETE", path, params={"environment": environment, "branch": branch})

    def rotate_secrets(self) -> Row:
        return self._post("/api/secrets/rotate")

    # --- identities ---

    def identity(self) -> Row:
        return self._get("/api/identity")

    def identity_tokens(self, run: int | None, limit: int) -> list[Row]:
        return self._rows("/api/identity/tokens", {"limit": limit} | ({} if run is None else {"run": run}))

    def rotate_identity(self, leaked: bool) -> Row:
        return self._post("/api/identity/rotate", {"leaked": leaked})

    # --- templates ---

    def templates(self) -> list[Row]:
        return self._rows("/api/templates")

    def template(self, name: str, version: int | None = None) -> Row:
        return self._get(f"/api/templates/{_part(name)}", {} if version is None else {"version": version})

    def template_versions(self, name: str) -> list[Row]:
        return self._rows(f"/api/templates/{_part(name)}/versions")

    def find_template(self, use: Row) -> Row:
        return self._post("/api/templates/find", use)

    def apply_template(self, name: str, text: str) -> Row:
        return _object(self._call("PUT", f"/api/templates/{_part(name)}", json={"text": text}))

    def remove_template(self, name: str) -> None:
        self._call("DELETE", f"/api/templates/{_part(name)}")

    # --- runs ---

    def runs(
        self,
        *,
        repository: str | None = None,
        ref: str | None = None,
        sha: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before_id: int | None = None,
    ) -> list[Row]:
        given = {
            "repository": repository,
            "ref": ref,
            "sha": sha,
            "state": state,
            "limit": limit,
            "before_id": before_id,
        }
        return self._rows("/api/runs", {key: value for key, value in given.items() if value is not None})

    def run(self, number: int) -> Row:
        return self._get(f"/api/runs/{number}")

    def cancel_run(self, number: int, reason: str) -> Row:
        return self._post(f"/api/runs/{number}/cancel", {"reason": reason})

    def rerun(self, number: int, *, failed: bool = False, job: str | None = None, reuse: bool = True) -> Row:
        return self._post(f"/api/runs/{number}/rerun", {"failed": failed, "job": job, "reuse": reuse})

    def allow_run(self, number: int, sha: str) -> Row:
        return self._post(f"/api/runs/{number}/allow", {"sha": sha})

    def answer_job(self, job: int, verdict: str, text: str) -> Row:
        return self._post(f"/api/jobs/{job}/answer", {"verdict": verdict, "text": text})

    def commit(self, repository: str, sha: str) -> Row:
        return self._get(f"/api/commits/{_part(repository)}/{_part(sha)}")

    # --- tests and other results ---

    def run_reports(self, number: int) -> Row:
        return self._get(f"/api/runs/{number}/reports")

    def repository_tests(self, repository: str, ref: str | None = None) -> Row:
        return self._get(f"/api/repositories/{_part(repository)}/tests", {"ref": ref} if ref else None)

    def test(self, repository: str, name: str, ref: str | None = None) -> Row:
        given = {"name": name} | ({"ref": ref} if ref else {})
        return self._get(f"/api/repositories/{_part(repository)}/test", given)

    def quarantine(self, repository: str, name: str, *, owner: str, until: str, reason: str) -> Row:
        body = {"test": name, "owner": owner, "until": until, "reason": reason}
        return self._post(f"/api/repositories/{_part(repository)}/quarantine", body)

    def release_test(self, repository: str, name: str) -> None:
        self._call("DELETE", f"/api/repositories/{_part(repository)}/quarantine?{urlencode({'name': name})}")

    # --- logs ---

    def log(self, job: int, *, attempt: int | None = None, offset: int = 0) -> tuple[bytes, bool]:
        """The bytes from `offset` on, and whether the log is complete with them."""
        params = {"offset": offset} | ({} if attempt is None else {"attempt": attempt})
        answer = self._call("GET", f"/api/jobs/{job}/log", params=params)
        return answer.content, "X-Farmgate-Log-End" in answer.headers

    def log_pieces(self, job: int, *, attempt: int | None = None) -> Iterator[bytes]:
        """The same bytes as they come: a log may be larger than our memory."""
        return self._stream(f"/api/jobs/{job}/log", {} if attempt is None else {"attempt": attempt})

    def search_log(self, job: int, text: str, *, attempt: int | None = None) -> Iterator[Row]:
        """The lines that hold the text: `line` (its number), `text`, `at` and `length`."""
        where: dict[str, Any] = {"offset": 0, "line": 1}
        while where["offset"] is not None:
            params = {"q": text, **where} | ({} if attempt is None else {"attempt": attempt})
            found = self._call("GET", f"/api/jobs/{job}/log/search", params=params).json()
            yield from found["matches"]
            where = {"offset": found["next_offset"], "line": found["next_line"]}

    def follow_log(self, job: int, *, attempt: int | None = None) -> Iterator[LogEvent]:
        """The log as it grows, until its end; a broken connection is taken up again for `PATIENCE`."""
        offset, broken_since = 0, None
        while True:
            try:
                for piece in self._stream_log(job, attempt, offset):
                    broken_since = None
                    if isinstance(piece, LogEnd):
                        yield piece
                        return
                    offset = piece.offset if isinstance(piece, LogPiece) else 0
                    yield piece
            except ServerUnreachable:
                broken_since = broken_since or self._clock.now()
                if self._clock.now() - broken_since > PATIENCE:
                    raise
            self._clock.sleep(timedelta(milliseconds=200))

    def _stream_log(self, job: int, attempt: int | None, offset: int) -> Iterator[LogEvent]:
        params = {"offset": offset} | ({} if attempt is None else {"attempt": attempt})
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(offset)} if offset else {})
        try:
            with self._http.stream(
                "GET", f"/api/jobs/{job}/log/stream", params=params, headers=headers, timeout=httpx.Timeout(30, read=60)
            ) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                for kind, data, event_id in events_of(answer.iter_lines()):
                    body = json.loads(data) if data.startswith("{") else {}
                    if kind == "chunk":
                        text = str(body.get("text", ""))
                        start = int(body.get("offset", offset))
                        end = int(event_id) if event_id.isdigit() else start + len(text.encode())
                        yield LogPiece(text, end)
                    elif kind == "attempt":
                        offset = 0
                        yield LogAgain(int(body.get("attempt", 0)), str(body.get("reason") or "lost"))
                    elif kind == "end":
                        yield LogEnd(str(body.get("state", "")))
                        return
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(_unreachable(self.server, error)) from error

    # --- artifacts ---

    def artifacts(self, run: int, *, job: str | None = None, paths: Sequence[str] = ()) -> Iterator[Row]:
        """What the jobs of a run left, by job."""
        params: dict[str, Any] = {"path": list(paths), "limit": 1000} | ({} if job is None else {"job": job})
        while True:
            part = self._get(f"/api/runs/{run}/artifacts", params)
            yield from part["artifacts"]
            if part["next"] is None:
                return
            params["after"] = part["next"]

    def artifact(self, sha256: str) -> Iterator[bytes]:
        """Its bytes as they come."""
        return self._stream(f"/api/artifacts/{_part(sha256)}")

    def artifact_archive(self, run: int, *, job: str | None = None, paths: Sequence[str] = ()) -> Iterator[bytes]:
        """A tar archive of them, as it comes; it breaks off in ServerUnreachable where it cannot become whole."""
        params: dict[str, Any] = {"path": list(paths)} | ({} if job is None else {"job": job})
        return self._stream(f"/api/runs/{run}/artifacts/archive", params)

    # --- caches ---

    def caches(self, repository: str) -> Row:
        return self._get(f"/api/repositories/{_part(repository)}/caches")

    def clear_caches(self, repository: str, beginning: str = "") -> Row:
        answer = self._call("DELETE", f"/api/repositories/{_part(repository)}/caches", params={"beginning": beginning})
        found: Row = answer.json()
        return found

    # --- lanes ---

    def apply_policy(self, text: str, source: str) -> Row:
        """All or nothing; a policy with problems is Refused with each at file:line:column."""
        answer = self._call(
            "PUT",
            "/api/lanes/policy",
            params={"source": source},
            content=text.encode(),
            headers={"Content-Type": "application/yaml"},
        )
        return _object(answer)

    def lanes(self) -> list[Row]:
        return self._rows("/api/lanes")

    def replay(self, application: str, environment: str, text: str, source: str, since: str) -> Row:
        """The lane's recorded history under the policy of a file, which is not applied."""
        answer = self._call(
            "POST",
            f"{_lane(application, environment)}/replay",
            params={"source": source, "since": since},
            content=text.encode(),
            headers={"Content-Type": "application/yaml"},
        )
        return _object(answer)

    def lane(self, application: str, environment: str) -> Row:
        return self._get(_lane(application, environment))

    def preview(self, application: str, environment: str) -> Row:
        return self._get(_lane(application, environment) + "/preview")

    def rollout(self, number: int) -> Row:
        return self._get(f"/api/rollouts/{number}")

    def groups(self) -> list[Row]:
        return self._rows("/api/groups")

    def group(self, name: str) -> Row:
        return _object(self._call("GET", f"/api/groups/{quote(name, safe='')}"))

    def apply_group(self, text: str, source: str) -> Row:
        """All or nothing, like a policy."""
        answer = self._call(
            "PUT",
            "/api/groups",
            params={"source": source},
            content=text.encode(),
            headers={"Content-Type": "application/yaml"},
        )
        return _object(answer)

    def dissolve_group(self, name: str) -> Row:
        return _object(self._call("DELETE", f"/api/groups/{quote(name, safe='')}"))

    def roll_back(
        self,
        application: str,
        environment: str,
        reason: str,
        to: int | None = None,
        together: bool | None = None,
    ) -> Row:
        body: Row = {"reason": reason} | ({} if to is None else {"to": to})
        body |= {} if together is None else {"together": together}
        return self._post(f"{_lane(application, environment)}/rollback", body)

    def hold(self, application: str, environment: str, reason: str, span: str | None = None) -> Row:
        body = {"reason": reason} | ({} if span is None else {"for": span})
        return self._post(f"{_lane(application, environment)}/hold", body)

    def freeze(self, application: str, environment: str, reason: str, begins: str, until: str) -> Row:
        body = {"reason": reason, "from": begins, "until": until}
        return self._post(f"{_lane(application, environment)}/freeze", body)

    def to_approve(self, application: str, environment: str, until: str | None = None) -> Row:
        """What there is to approve, for who asks."""
        query = {} if until is None else {"until": until}
        return _object(self._call("GET", f"{_lane(application, environment)}/approval", params=query))

    def approve_batch(
        self, application: str, environment: str, since_sha: str | None, until_sha: str, reason: str
    ) -> Row:
        body = {"since_sha": since_sha, "until_sha": until_sha, "reason": reason}
        return self._post(f"{_lane(application, environment)}/approval", body)

    def withdraw_approval(self, application: str, environment: str) -> Row:
        return _object(self._call("DELETE", f"{_lane(application, environment)}/approval"))

    def stop_lanes(self, reason: str, span: str | None = None) -> Row:
        return self._post("/api/stop", {"reason": reason} | ({} if span is None else {"for": span}))

    def let_lanes_go_on(self) -> Row:
        return _object(self._call("DELETE", "/api/stop"))

    def unhold(self, application: str, environment: str) -> Row:
        return _object(self._call("DELETE", f"{_lane(application, environment)}/hold"))

    def decide(self, application: str, environment: str, verdict: str, reason: str) -> Row:
        return self._post(f"{_lane(application, environment)}/decide", {"verdict": verdict, "reason": reason})

    def lift_ban(self, application: str, environment: str, sha: str, reason: str) -> list[Row]:
        path = f"{_lane(application, environment)}/bans/{_part(sha)}/lift"
        lifted: list[Row] = self._call("POST", path, json={"reason": reason}).json()
        return lifted

    def say_fixed(self, application: str, environment: str, sha: str, commit: str, reason: str) -> Row:
        path = f"{_lane(application, environment)}/bans/{_part(sha)}/fixed"
        said: Row = self._call("POST", path, json={"commit": commit, "reason": reason}).json()
        return said

    def hotfix(self, application: str, environment: str, commits: Sequence[str], reason: str) -> Row:
        body = {"commits": list(commits), "reason": reason}
        return self._post(f"{_lane(application, environment)}/hotfixes", body)

    def hotfixes(self, application: str, environment: str) -> list[Row]:
        return self._rows(f"{_lane(application, environment)}/hotfixes")

    def cancel_hotfix(self, application: str, environment: str, number: int, reason: str) -> Row:
        return self._post(f"{_lane(application, environment)}/hotfixes/{number}/cancel", {"reason": reason})

    def reverts(self, application: str, environment: str) -> list[Row]:
        return self._rows(f"{_lane(application, environment)}/reverts")

    def revert(self, application: str, environment: str, number: int | None) -> Row:
        which = "newest" if number is None else str(number)
        return _object(self._call("GET", f"{_lane(application, environment)}/reverts/{which}"))

    def revert_patch(self, application: str, environment: str, number: int) -> bytes:
        return self._call("GET", f"{_lane(application, environment)}/reverts/{number}/patch").content

    def say_contained(self, application: str, environment: str, number: int, commit: str, reason: str) -> list[Row]:
        path = f"{_lane(application, environment)}/hotfixes/{number}/contained"
        said: list[Row] = self._call("POST", path, json={"commit": commit, "reason": reason}).json()
        return said

    # --- nodes ---

    def nodes(self) -> list[Row]:
        return self._rows("/api/nodes")

    def enrol_node(self) -> Row:
        return self._post("/api/nodes/enrol")

    def drain_node(self, name: str) -> Row:
        return self._post(f"/api/nodes/{_part(name)}/drain")

    def resume_node(self, name: str) -> Row:
        return self._post(f"/api/nodes/{_part(name)}/resume")

    def remove_node(self, name: str) -> Row:
        return self._post(f"/api/nodes/{_part(name)}/remove")

    # --- the farm ---

    def status(self) -> Row:
        return self._get("/api/status")

    def doctor(self) -> Row:
        return self._get("/api/doctor")

    def ready(self, farm: str | None = None) -> bool:
        """Whether the farm answers and is ready: any, or the one of that name. Never raises because it does not."""
        try:
            answer = self._http.get("/readyz", timeout=5)
            return answer.is_success and (farm is None or _object(answer).get("farm") == farm)
        except (httpx.TransportError, ValueError):
            return False

    def tokens(self) -> list[Row]:
        return self._rows("/api/tokens")

    def create_token(self, name: str, rights: tuple[str, ...] = ()) -> Row:
        return self._post("/api/tokens", {"name": name, "rights": list(rights)})

    def revoke_token(self, number: int) -> None:
        self._call("DELETE", f"/api/tokens/{number}")

    def signin_link(self) -> Row:
        return self._post("/api/signin-links")

    # --- candidates ---

    def candidates(self, repository: str) -> Row:
        return self._get(f"/api/candidates/{_part(repository)}")

    def put_bytes(self, repository: str, data: Iterable[bytes]) -> Row:
        return _object(self._call("PUT", f"/api/candidates/{_part(repository)}/bytes", content=data))

    def submit_candidate(self, repository: str, body: Row) -> Row:
        return self._post(f"/api/candidates/{_part(repository)}", body)

    def turned_red(self, repository: str, sha: str, body: Row) -> list[Row]:
        said: list[Row] = self._call("POST", f"/api/candidates/{_part(repository)}/{_part(sha)}/red", json=body).json()
        return said

    def green_again(self, repository: str, sha: str, body: Row) -> list[Row]:
        path = f"/api/candidates/{_part(repository)}/{_part(sha)}/green"
        said: list[Row] = self._call("POST", path, json=body).json()
        return said

    # --- the ledger ---

    def ledger_rollout(self, application: str, environment: str, number: int) -> Row:
        return self._get(f"{_lane(application, environment)}/rollouts/{number}")

    def lane_diff(self, application: str, environment: str, since: int, until: int) -> Row:
        return self._get(f"{_lane(application, environment)}/diff", {"since": since, "until": until})

    def where(self, what: str) -> Row:
        return self._get("/api/where", {"what": what})

    def where_package(self, package: str, ecosystem: str | None = None) -> Row:
        return self._get("/api/where", {"package": package, **({"ecosystem": ecosystem} if ecosystem else {})})

    # --- vulnerabilities ---

    def vulnerabilities(self, **wanted: object) -> Row:
        return self._get("/api/vulnerabilities", {key: value for key, value in wanted.items() if value is not None})

    def vulnerability(self, name: str) -> Row:
        return self._get(f"/api/vulnerabilities/{_part(name)}")

    def vulnerability_imports(self) -> list[Row]:
        return self._rows("/api/vulnerabilities/imports")

    def import_vulnerabilities(self, data: Iterable[bytes], *, without: bool) -> Row:
        path = f"/api/vulnerabilities/imports?without={'true' if without else 'false'}"
        return _object(self._call("PUT", path, content=data))

    def untold_packages(self) -> Row:
        return self._get("/api/vulnerabilities/untold")

    def decide_vulnerability(self, name: str, body: Row) -> Row:
        return self._post(f"/api/vulnerabilities/{_part(name)}/decisions", body)

    def withdraw_decision(self, number: int) -> Row:
        return _object(self._call("DELETE", f"/api/vulnerabilities/decisions/{number}"))

    # --- provenance ---

    def provenance_keys(self) -> list[Row]:
        return self._rows("/api/provenance/keys")

    def rotate_provenance(self) -> list[Row]:
        made: list[Row] = self._call("POST", "/api/provenance/rotate", json={}).json()
        return made

    def provenance_of(self, repository: str, sha: str) -> list[Row]:
        return self._rows(f"/api/candidates/{_part(repository)}/{_part(sha)}/provenance")

    def bring_provenance(self, repository: str, sha: str, source: str, envelope: Row) -> Row:
        path = f"/api/candidates/{_part(repository)}/{_part(sha)}/provenance?{urlencode({'source': source})}"
        return _object(self._call("PUT", path, json=envelope))

    def release_record(self, application: str, environment: str, number: int) -> Row:
        return self._get(f"{_lane(application, environment)}/rollouts/{number}/record")

    # --- the audit log ---

    def audit(self, **wanted: object) -> list[Row]:
        return self._rows("/api/audit", {key: value for key, value in wanted.items() if value not in (None, "")})

    def audit_head(self) -> Row:
        return self._get("/api/audit/head")

    def audit_lines(self, after: int = 0) -> Iterator[str]:
        """Every entry after a number, oldest first, as lines of JSON."""
        yield from self._lines("/api/audit/export", {"after": after})

    # --- how calls are made ---

    def _lines(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[str]:
        """A long answer, line by line."""
        try:
            with self._http.stream("GET", path, params=params) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield from (line for line in answer.iter_lines() if line)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ServerUnreachable(_unreachable(self.server, error)) from error

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Row:
        return _object(self._call("GET", path, params=params))

    def _rows(self, path: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        body = self._call("GET", path, params=params).json()
        if isinstance(body, list):
            return body
        for value in body.values():  # {"runs": [...], "next": ...}
            if isinstance(value, list):
                return value
        return []

    def _post(self, path: str, body: Mapping[str, Any] | None = None) -> Row:
        return _object(self._call("POST", path, json=body or {}))

    def _stream(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", path, params=params) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield from answer.iter_bytes()
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(_unreachable(self.server, error)) from error

    def _call(self, method: str, path: str, **given: Any) -> httpx.Response:
        tries = 3 if method == "GET" else 1
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_exponential(multiplier=0.1, max=1),
            retry=tenacity.retry_if_exception_type((httpx.RemoteProtocolError, httpx.ReadError)),
            sleep=lambda seconds: self._clock.sleep(timedelta(seconds=seconds)),
            reraise=True,
        )
        try:
            answer = retrying(self._http.request, method, path, **given)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ServerUnreachable(_unreachable(self.server, error)) from error
        if answer.is_error:
            raise _refusal(answer)
        return answer


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Server-sent events as (event, data, id), by the WHATWG's rules as far as we use them."""
    kind, event_id = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield kind, "\n".join(data), event_id
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                event_id = value
            case _:
                pass  # a comment that keeps the connection alive


def _refusal(answer: httpx.Response) -> FarmgateError:
    text = _said(answer)
    match answer.status_code:
        case 401 | 403:
            return Unauthorised(text)
        case 404:
            return NotFound(text)
        case 409:
            return Conflict(text)
        case code if code >= 500:
            return ServerUnreachable(f"the farm failed at {answer.request.url.path} ({code}): {text}")
        case _:
            return Refused(text)


def _said(answer: httpx.Response) -> str:
    """What, where, remedy, in one line each; else the body's beginning."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text.strip()[:500] or f"{answer.status_code} {answer.reason_phrase}"
    if not isinstance(body, dict):
        return str(body)[:500]
    what = str(body.get("error") or body.get("detail") or answer.reason_phrase)
    where = body.get("where")
    remedy = body.get("remedy")
    # The API's own paths tell nothing to who typed a command; a file's line and column do.
    text = what if not where or str(where).startswith("/api/") or str(where) in what else f"{what} ({where})"
    return f"{text.rstrip('.')}. {remedy}" if remedy and str(remedy) not in text else text


def _object(answer: httpx.Response) -> Row:
    if answer.status_code == 204 or not answer.content:
        return {}
    body = answer.json()
    return body if isinstance(body, dict) else {"answer": body}


def _unreachable(server: str, error: Exception) -> str:
    return f"no farm answers at {server} ({error}): start it with `farmgate up`, or name another with FARMGATE_SERVER"


def _is_loopback(server: str) -> bool:
    try:
        host = httpx.URL(server).host
    except httpx.InvalidURL:
        return False
    return host in ("127.0.0.1", "localhost", "::1")


def _part(text: str) -> str:
    return quote(text, safe="")


def _lane(application: str, environment: str) -> str:
    return f"/api/lanes/{_part(application)}/{_part(environment)}"
