"""One cluster over HTTP: get, list, apply, delete, watch, logs. Objects are plain mappings both ways.

Rules:
1. The official client reads the kubeconfig and does TLS, tokens and credential programs; its models are not used, so
   that no field is lost that they do not know.
2. What the API refuses is a value (`Refusal`). What does not answer, or does not know us, is a TargetError: it says
   nothing about the change. Busy (429) and failing (5xx) answers are asked again a few times, as late as they ask for.
3. Every change names our field manager, and may be repeated. A delete names the very object that was looked at.
4. A watch is only a doorbell: whatever it says, also that it is too old (410), leads to another look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from deploy.targets.kube.objects import MANAGER, Object, Ref, get
from farmgate.clock import Clock
from farmgate.errors import TargetError

APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_TRIES: Final = 5
_SLOWEST: Final = 5.0
_TIMEOUT: Final = (5.0, 30.0)
_BUSY: Final = (429, 500, 502, 503, 504)
_UNTYPED: Final = b"failed to create typed patch object"
"""An object that does not fit its kind's schema; an apply answers it with 500, as if the server had failed."""
_WORDS: Final = 600
_PAGE: Final = 500
_LOG_BYTES: Final = 8_000
Query = dict[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API answered instead of doing it. `causes`: field and message of each."""

    status: int
    reason: str
    message: str
    causes: tuple[tuple[str, str], ...] = ()
    fields_taken: bool = False  # others manage fields that we would change
    immutable: bool = False

    @property
    def missing(self) -> bool:
        return self.status == 404

    @property
    def outdated(self) -> bool:
        """Someone changed it since we looked, or made it first."""
        return self.status == 409 and not self.fields_taken

    @property
    def words(self) -> str:
        return self.message or f"{self.status} {self.reason}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects of a kind are: `path` ends with the plural."""

    group_path: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str | None = None) -> str:
        where = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{self.group_path}{where}/{self.plural}" + (f"/{quote(name)}" if name else "")


@dataclass(frozen=True, slots=True)
class Listing:
    """What there was, and the version at which a watch goes on."""

    items: tuple[Object, ...]
    version: str


class Cluster:
    """A cluster as one context of a kubeconfig sees it. Safe to share between threads."""

    def __init__(self, name: str, client: Any, clock: Clock) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._places: dict[tuple[str, str], Mapping[str, Place]] = {}

    def place(self, known: Ref) -> Place | None:
        """Where objects of this kind are; None if the cluster has no such kind."""
        where = (known.group, known.version)
        found = self._places.get(where, {}).get(known.kind)
        if found is None:
            self._places[where] = self._discover(*where)
            found = self._places[where].get(known.kind)
        return found

    def get(self, known: Ref) -> Object | None:
        place = self.place(known)
        if place is None:
            return None
        answer = self._ask("GET", place.path(known.namespace, known.name))
        if isinstance(answer, Refusal) and not answer.missing:
            raise self._error(answer)
        return None if isinstance(answer, Refusal) else answer

    def list(self, known: Ref, selector: str = "", fields: str = "") -> Listing:
        """All of the kind in the ref's namespace; its name is not looked at. A kind that is not there has none."""
        place = self.place(known)
        items: list[Object] = []
        version, query = "", {"limit": str(_PAGE)}
        if selector:
            query["labelSelector"] = selector
        if fields:
            query["fieldSelector"] = fields
        while place is not None:
            answer = self._ask("GET", place.path(known.namespace), query)
            if isinstance(answer, Refusal) and answer.status == 410 and "continue" in query:
                items, query = [], {key: value for key, value in query.items() if key not in ("continue", "limit")}
                continue  # the pages grew too old: all at once
            if isinstance(answer, Refusal):
                if answer.missing:
                    break
                raise self._error(answer)
            kind = {"apiVersion": known.api, "kind": known.kind}
            items += ({**kind, **each} for each in answer.get("items") or ())
            version = get(answer, "metadata", "resourceVersion", default="")
            more = get(answer, "metadata", "continue", default="")
            if not more:
                break
            query = {**query, "continue": more}
        return Listing(tuple(items), version)

    def apply(self, known: Ref, item: Object, *, dry: bool = False, force: bool = False) -> Object | Refusal:
        """Server-side apply: we manage what the object says, and nothing else of it."""
        place = self.place(known)
        if place is None:
            words = f"the cluster knows no {known.kind} of {known.api}; is its definition (CRD) installed?"
            return Refusal(404, "NotFound", words)
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        if force:
            query["force"] = "true"
        if dry:
            return self._ask("PATCH", place.path(known.namespace, known.name), {**query, "dryRun": "All"}, item, APPLY)
        return self.change("PATCH", place.path(known.namespace, known.name), query, item, APPLY)

    def create(self, known: Ref, item: Object) -> Object | Refusal:
        return self.change("POST", self._known(known).path(known.namespace), {"fieldManager": MANAGER}, item, _JSON)

    def replace(self, known: Ref, item: Object) -> Object | Refusal:
        """Only if it is still at the version that `item` carries."""
        path = self._known(known).path(known.namespace, known.name)
        return self.change("PUT", path, {"fieldManager": MANAGER}, item, _JSON)

    def delete(self, known: Ref, seen: Object, *, wait_below: bool = False) -> Object | Refusal:
        """The object that was seen, at any version; another one that has its name by now stays."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": seen["metadata"]["uid"]},
            "propagationPolicy": "Foreground" if wait_below else "Background",
        }
        return self.change("DELETE", self._known(known).path(known.namespace, known.name), {}, options, _JSON)

    def log_tail(self, namespace: str, pod: str, container: str, *, previous: bool) -> str:
        """The last lines that a container wrote; empty if they cannot be had."""
        query = {"container": container, "tailLines": "12", "limitBytes": str(_LOG_BYTES)}
        if previous:
            query["previous"] = "true"
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        try:
            response = self._send("GET", path, query, None, None)
            text = bytes(response.read()).decode(errors="replace") if response.status == 200 else ""
        except TargetError:
            return ""
        return text.strip()

    def wait(self, known: Ref, version: str, within: timedelta) -> None:
        """Until something of the kind changes in the ref's namespace, or the time is over."""
        place, seconds = self.place(known), max(1, round(within.total_seconds()))
        if place is None or not version:
            self._clock.sleep(within)
            return
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        try:
            response = self._send("GET", place.path(known.namespace), query, None, None, read=seconds + 5.0)
        except TargetError:
            self._clock.sleep(within)
            return
        try:
            if response.status != 200:  # too old, or too many: a look, but not at once again and again
                self._clock.sleep(min(within, timedelta(seconds=1)))
                return
            response.response.read1(1)
        except Exception:  # noqa: BLE001 - cut off: whatever it was, we look again
            return
        finally:
            response.response.close()

    def change(self, method: str, path: str, query: Query, body: Object, content: str) -> Object | Refusal:
        """Every change of the cluster goes through here."""
        return self._ask(method, path, query, body, content)

    def _known(self, known: Ref) -> Place:
        place = self.place(known)
        if place is None:
            raise TargetError(f"cluster {self.name} knows no {known.kind} of {known.api}")
        return place

    def _discover(self, group: str, version: str) -> Mapping[str, Place]:
        path = f"/apis/{quote(group)}/{quote(version)}" if group else f"/api/{quote(version)}"
        answer = self._ask("GET", path)
        if isinstance(answer, Refusal):
            if answer.missing:
                return {}
            raise self._error(answer)
        return {
            each["kind"]: Place(path, each["name"], bool(each.get("namespaced")))
            for each in answer.get("resources") or ()
            if "/" not in each["name"]
        }

    def _ask(
        self, method: str, path: str, query: Query | None = None, body: Object | None = None, content: str | None = None
    ) -> Object | Refusal:
        """Raises TargetError for what says nothing about the change."""
        for attempt in range(_TRIES):
            last = attempt + 1 == _TRIES
            try:
                response = self._send(method, path, query, body, content)
                data = bytes(response.read())
            except TargetError:
                if last:
                    raise
                self._clock.sleep(timedelta(seconds=0.1 * 2**attempt))
                continue
            if response.status in _BUSY and not last and _UNTYPED not in data:
                self._clock.sleep(timedelta(seconds=_later(response, attempt)))
                continue
            return self._read(response.status, data)
        raise AssertionError("the last try returns or raises")

    def _read(self, status: int, data: bytes) -> Object | Refusal:
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        if (
            not isinstance(said, dict) and status == 404
        ):  # of a group that is not there it answers as a plain web server
            return Refusal(404, "NotFound", data[:200].decode(errors="replace").strip())
        if not isinstance(said, dict):
            text = data[:200].decode(errors="replace")
            raise TargetError(f"cluster {self.name} answered {status} with what is no object: {text!r}")
        if status < 300:
            return said
        causes = get(said, "details", "causes", default=())
        message = str(said.get("message") or "")
        refusal = Refusal(
            status,
            str(said.get("reason") or ""),
            _shortened(message),
            tuple((str(each.get("field") or ""), str(each.get("message") or "")[:_WORDS]) for each in causes),
            any(each.get("reason") == "FieldManagerConflict" for each in causes),
            "field is immutable" in message,
        )
        if _UNTYPED in data:
            return refusal
        if status == 401 or status in _BUSY:
            raise self._error(refusal)
        return refusal

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Object | None,
        content: str | None,
        read: float = _TIMEOUT[1],
    ) -> Any:
        import urllib3
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config.config_exception import ConfigException

        headers = {"Accept": _JSON, "User-Agent": "farmgate"}
        if content is not None:
            headers["Content-Type"] = content
        url = f"{self._client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            sent = json.dumps(body) if content == APPLY else body  # it writes JSON itself, and takes YAML as text
            return self._client.call_api(method, url, headers, sent, _request_timeout=(_TIMEOUT[0], read))
        except (urllib3.exceptions.HTTPError, ApiException, ConfigException, OSError) as error:
            said = str(error).partition("\n")[0][:300]
            raise TargetError(f"cluster {self.name} does not answer: {said}") from error

    def _error(self, refusal: Refusal) -> TargetError:
        if refusal.status == 401:
            return TargetError(f"cluster {self.name} does not accept our credential: {refusal.words}")
        if refusal.status == 403:
            return TargetError(f"cluster {self.name} does not let us look: {refusal.words}")
        return TargetError(f"cluster {self.name} answered {refusal.status}: {refusal.words}")


def _later(response: Any, attempt: int) -> float:
    try:
        asked = float(response.headers.get("Retry-After") or 0)
    except ValueError:
        asked = 0.0
    return min(_SLOWEST, max(asked, 0.1 * 2.0**attempt))


def _shortened(message: str) -> str:
    """What is wrong stands at the ends; in the middle may stand the whole object."""
    return message if len(message) <= _WORDS else f"{message[: _WORDS // 2]} ... {message[-_WORDS // 2 :]}"


def connect(kubeconfig: str | None, context: str | None, clock: Clock) -> Cluster:
    """By a kubeconfig's context; without a file: the cluster that we run in. Raises TargetError."""
    stamp = 0
    if kubeconfig is not None:
        file = Path(kubeconfig).expanduser()
        try:
            stamp = file.stat().st_mtime_ns
        except OSError as error:
            raise TargetError(f"the kubeconfig {kubeconfig} cannot be read: {error.strerror}") from error
    client, name = _client(kubeconfig, stamp, context)
    return Cluster(name, client, clock)


@lru_cache(maxsize=64)
def _client(kubeconfig: str | None, stamp: int, context: str | None) -> tuple[Any, str]:
    """One per file as it stands and context: credential programs are run again only when their token ends."""
    try:
        from kubernetes import client, config
    except ModuleNotFoundError:
        raise TargetError("kubernetes targets need its client: install farmgate[kubernetes]") from None

    del stamp
    configuration = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                str(Path(kubeconfig).expanduser()), context, client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        where = f"the kubeconfig {kubeconfig}" if kubeconfig is not None else "the service account of this pod"
        raise TargetError(f"{where} does not lead to a cluster: {error}") from error
    configuration.retries = False  # ours know what may be repeated
    configuration.client_side_validation = False
    return client.ApiClient(configuration), context or ("this cluster" if kubeconfig is None else "current context")
