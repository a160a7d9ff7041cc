"""An API server in memory that speaks the real wire, with controllers and a kubelet that do what a script says.

It is no cluster: it knows the kinds that tests use, and what it does was written after the documentation of Kubernetes.
What was held against a real API server is told in docs/kubernetes.md.

Rules:
1. Discovery, get, list with selectors, watch with versions and 410, create, update, server-side apply with managers and
   conflicts, dry run, delete with preconditions and owners, events, logs: over HTTP, answered as Status objects.
2. Pods do what `Behaviour` says for their image. Controllers move one step a tick, so halves are seen.
3. Faults are asked for: answers that fail, connections that are cut before or after the effect, a server that is gone.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from farmgate.clock import SystemClock
from tests.deploy.kube import owning
from tests.deploy.kube.controllers import Controllers

KINDS: dict[str, dict[str, tuple[str, bool]]] = {
    "v1": {
        "ConfigMap": ("configmaps", True),
        "Secret": ("secrets", True),
        "Service": ("services", True),
        "ServiceAccount": ("serviceaccounts", True),
        "Pod": ("pods", True),
        "Event": ("events", True),
        "PersistentVolumeClaim": ("persistentvolumeclaims", True),
        "Namespace": ("namespaces", False),
    },
    "apps/v1": {
        "Deployment": ("deployments", True),
        "ReplicaSet": ("replicasets", True),
        "StatefulSet": ("statefulsets", True),
        "DaemonSet": ("daemonsets", True),
    },
    "batch/v1": {"Job": ("jobs", True)},
    "gateway.networking.k8s.io/v1": {"HTTPRoute": ("httproutes", True)},
    "rbac.authorization.k8s.io/v1": {"ClusterRole": ("clusterroles", False)},
}
TICK = timedelta(milliseconds=10)
Key = tuple[str, str, str, str]  # apiVersion, kind, namespace, name


class Status(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, causes: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": reason,
            "message": message,
            "details": {"causes": causes or []},
            "code": code,
        }


@dataclass
class Fault:
    """The next `times` requests of these methods: a status, or a connection that is cut."""

    methods: tuple[str, ...]
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False  # cut once it was done
    path: str = ""


class Cluster:
    """What the server holds; everything under one lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.objects: dict[Key, dict[str, Any]] = {}
        self.owners: dict[Key, owning.Owners] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.oldest = 0
        self.version = itertools.count(1)
        self.now_version = 0
        self.uids = itertools.count(1)
        self.refuses: dict[tuple[str, str], Status] = {}  # kind, name: admission
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.clock = SystemClock()
        self.logs: dict[str, str] = {}
        self.controllers = Controllers(self)

    # --- what controllers and tests use ----------------------------------------------------------------------------

    def now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def find(self, kind: str, **labels: str) -> list[dict[str, Any]]:
        with self.lock:
            return [
                each
                for key, each in self.objects.items()
                if key[1] == kind and labels.items() <= (each["metadata"].get("labels") or {}).items()
            ]

    def one(self, kind: str, name: str) -> dict[str, Any] | None:
        return next((each for each in self.find(kind) if each["metadata"]["name"] == name), None)

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.find(kind)}

    def write(self, item: dict[str, Any], *, event: str = "MODIFIED") -> None:
        """Store under a new version and ring."""
        with self.lock:
            meta = item["metadata"]
            self.now_version = next(self.version)
            meta["resourceVersion"] = str(self.now_version)
            self.objects[_key(item)] = item
            self._ring(event, item)

    def put(self, item: dict[str, Any]) -> dict[str, Any]:
        """A new object, as a controller makes one."""
        with self.lock:
            meta = item["metadata"]
            meta.update(uid=f"uid-{next(self.uids)}", creationTimestamp=self.now(), generation=1)
            self.write(item, event="ADDED")
            return item

    def drop(self, item: dict[str, Any]) -> None:
        """Gone, and with it what it owns."""
        with self.lock:
            key = _key(item)
            if self.objects.pop(key, None) is None:
                return
            self.owners.pop(key, None)
            self.now_version = next(self.version)
            self._ring("DELETED", item)
            uid = item["metadata"]["uid"]
            for each in list(self.objects.values()):
                if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ()):
                    self.drop(each)

    def forget_history(self) -> None:
        """Every watch from before is too old from now on."""
        with self.lock:
            self.oldest = self.now_version + 1
            self.events.clear()

    def edit(
        self, kind: str, name: str, change: Callable[[dict[str, Any]], None], manager: str = "kubectl-edit"
    ) -> None:
        """What a person does with `kubectl edit`."""
        with self.lock:
            live = self.one(kind, name)
            assert live is not None
            wanted = deepcopy(live)
            change(wanted)
            self._store(wanted, live, _by_update(live, wanted, manager))

    def _ring(self, event: str, item: dict[str, Any]) -> None:
        self.events.append((self.now_version, event, deepcopy(item)))
        self.changed.notify_all()

    # --- what the wire does ----------------------------------------------------------------------------------------

    def change(self, method: str, key: Key, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            _, kind, namespace, name = key
            live = self.objects.get(key)
            refusal = self.refuses.get((kind, name))
            if refusal is not None and method != "DELETE":
                raise refusal
            if namespace and ("v1", "Namespace", "", namespace) not in self.objects:
                raise Status(404, "NotFound", f'namespaces "{namespace}" not found')
            dry = query.get("dryRun") == "All"
            manager = query.get("fieldManager", "unknown")
            if method == "DELETE":
                return self._delete(key, live, body)
            meta = body.get("metadata") or {}
            if method == "POST":
                if live is not None:
                    raise Status(409, "AlreadyExists", f'{kind.lower()}s "{name}" already exists')
                wanted = deepcopy(body)
                if namespace:
                    wanted["metadata"]["namespace"] = namespace
                return self._store(wanted, None, _by_update({}, wanted, manager), dry)
            if live is None and (method == "PUT" or "uid" in meta or "resourceVersion" in meta):
                raise Status(409 if method == "PATCH" else 404, "Conflict", f'{kind} "{name}" not found')
            if live is not None:
                for field_ in ("resourceVersion", "uid"):
                    if field_ in meta and meta[field_] != live["metadata"][field_]:
                        words = f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified'
                        raise Status(409, "Conflict", words)
            if method == "PUT" and live is not None:
                wanted = {**deepcopy(body), "metadata": {**live["metadata"], **deepcopy(meta)}}
                return self._store(wanted, live, _by_update(live, wanted, manager), dry)
            return self._apply(key, live, body, query, dry)

    def _apply(
        self, key: Key, live: dict[str, Any] | None, body: dict[str, Any], query: dict[str, str], dry: bool
    ) -> dict[str, Any]:
        owners = deepcopy(self.owners.get(key, owning.Owners()))
        base: dict[str, Any] = deepcopy(live) if live is not None else {"metadata": {}}
        base |= {"apiVersion": key[0], "kind": key[1]}
        base["metadata"] |= {"name": key[3], **({"namespace": key[2]} if key[2] else {})}
        try:
            made = owning.apply(base, body, owners, query["fieldManager"], query.get("force") == "true")
        except owning.Clash as clash:
            causes = [
                {"reason": "FieldManagerConflict", "message": f'conflict with "{who}" using {key[0]}', "field": path}
                for path, who in clash.fields.items()
            ]
            words = f"Apply failed with {len(causes)} conflicts"
            raise Status(409, "Conflict", words, causes) from None
        return self._store(made, live, lambda known: known.fields.update(owners.fields), dry)

    def _store(
        self,
        wanted: dict[str, Any],
        live: dict[str, Any] | None,
        own: Callable[[owning.Owners], None],
        dry: bool = False,
    ) -> dict[str, Any]:
        key = _key(wanted)
        _defaulted(wanted)
        self._valid(wanted, live)
        owners = deepcopy(self.owners.get(key, owning.Owners()))
        before = deepcopy(owners.fields)
        own(owners)
        meta = wanted["metadata"]
        if live is None:
            meta.update(uid=f"uid-{next(self.uids)}", creationTimestamp=self.now(), generation=1)
        elif wanted.get("spec") != live.get("spec"):
            meta["generation"] = live["metadata"].get("generation", 1) + 1
        same = live is not None and _plain(wanted) == _plain(live) and before == owners.fields
        if not same:
            for who in owners.fields:
                if who not in before or before[who] != owners.fields[who] or who[1] == "Apply":
                    owners.times[who] = self.now()
            meta["managedFields"] = [
                {
                    "manager": who,
                    "operation": op,
                    "time": owners.times[who, op],
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {},
                }
                for who, op in owners.fields
            ]
        if dry:
            return wanted
        if not same:
            self.owners[key] = owners
            self.write(wanted, event="ADDED" if live is None else "MODIFIED")
        return self.objects[key]

    def _valid(self, wanted: dict[str, Any], live: dict[str, Any] | None) -> None:
        kind, name, spec = wanted["kind"], wanted["metadata"]["name"], wanted.get("spec") or {}
        if kind in ("Deployment", "StatefulSet", "DaemonSet"):
            labels = spec.get("template", {}).get("metadata", {}).get("labels") or {}
            matched = spec.get("selector", {}).get("matchLabels") or {}
            if not matched.items() <= labels.items():
                words = f'{kind}.apps "{name}" is invalid: `selector` does not match template `labels`'
                raise Status(422, "Invalid", words)
            if live is not None and live["spec"]["selector"] != spec["selector"]:
                raise Status(422, "Invalid", f'{kind}.apps "{name}" is invalid: spec.selector: field is immutable')
        if kind == "Job" and live is not None and live["spec"]["template"] != spec["template"]:
            value = json.dumps({**live["spec"]["template"], "filler": "x" * 5000})  # a real one shows all of it
            words = f'Job.batch "{name}" is invalid: spec.template: Invalid value: {value}: field is immutable'
            raise Status(422, "Invalid", words)
        if "surprise" in spec:
            words = (
                f"failed to create typed patch object ({name}; {kind}): .spec.surprise: field not declared in schema"
            )
            raise Status(500, "InternalError", words)

    def _delete(self, key: Key, live: dict[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
        if live is None:
            raise Status(404, "NotFound", f'{key[1].lower()}s "{key[3]}" not found')
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted is not None and wanted != live["metadata"]["uid"]:
            raise Status(409, "Conflict", f'the UID in the precondition ({wanted}) does not match {key[1]} "{key[3]}"')
        self.drop(live)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def _by_update(live: dict[str, Any], wanted: dict[str, Any], manager: str) -> Callable[[owning.Owners], None]:
    return lambda owners: owning.update(live, wanted, owners, manager)


def _key(item: dict[str, Any]) -> Key:
    meta = item["metadata"]
    return item["apiVersion"], item["kind"], meta.get("namespace") or "", meta["name"]


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    left_out = ("resourceVersion", "managedFields", "generation", "uid", "creationTimestamp")
    meta = {key: value for key, value in item["metadata"].items() if key not in left_out}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": meta}


def _defaulted(item: dict[str, Any]) -> None:
    """Some of what the API fills in, so that nobody takes a default for a difference."""
    spec = item.get("spec")
    if item["kind"] in ("Deployment", "StatefulSet") and isinstance(spec, dict):
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
    template = (spec or {}).get("template") if isinstance(spec, dict) else None
    for container in ((template or {}).get("spec") or {}).get("containers") or ():
        container.setdefault("imagePullPolicy", "IfNotPresent")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
    if item["kind"] == "Service" and isinstance(spec, dict):
        spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")


class Server:
    """The wire in front of a cluster, on a port of its own."""

    def __init__(self, cluster: Cluster, token: str = "sesame") -> None:
        self.cluster = cluster
        self.token = token
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Come up, at the port of before."""
        handler = type("Bound", (_Handler,), {"cluster": self.cluster, "server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Gone: nobody listens any more, and open connections get no answer."""
        if self._http is not None:
            http, self._http = self._http, None
            http.shutdown()
            http.server_close()

    @property
    def gone(self) -> bool:
        return self._http is None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster
    server_of: Server
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        split = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        if self.server_of.gone:
            self.close_connection = True
            return
        cluster = self.cluster
        cluster.requests.append(f"{self.command} {self.path}")
        fault = self._fault(split.path)
        if fault is not None and fault.status:
            status = Status(fault.status, "Scripted", "scripted: not now")
            self._answer(fault.status, status.body, fault.headers)
            return
        if fault is not None and not fault.after:
            self.close_connection = True
            return
        try:
            if self.headers.get("authorization") != f"Bearer {self.server_of.token}":
                raise Status(401, "Unauthorized", "Unauthorized")
            answer = self._route(split.path, query, body)
        except Status as status:
            self._answer(status.code, status.body)
            return
        if fault is not None:
            self.close_connection = True
        elif isinstance(answer, str):
            self._send(200, answer.encode(), "text/plain")
        elif answer is not None:
            self._answer(200, answer)

    def _fault(self, path: str) -> Fault | None:
        with self.cluster.lock:
            for fault in self.cluster.faults:
                if fault.times > 0 and self.command in fault.methods and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def _answer(self, code: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        with self.cluster.lock:
            data = json.dumps(body).encode()
        self._send(code, data, "application/json", headers)

    def _send(self, code: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(code)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def _route(self, path: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any] | str | None:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        kinds = KINDS.get(version)
        if kinds is None:  # as a real one answers for a group that it does not have
            self._send(404, b"404 page not found\n", "text/plain")
            return None
        if not rest:
            listed = [{"name": plural, "kind": kind, "namespaced": spaced} for kind, (plural, spaced) in kinds.items()]
            return {"kind": "APIResourceList", "groupVersion": version, "resources": listed}
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = next((kind for kind, (plural, _) in kinds.items() if plural == rest[0]), None)
        if kind is None:
            raise Status(404, "NotFound", "the server could not find the requested resource")
        if rest[2:] == ["log"]:
            return self._log(namespace, rest[1], query)
        name = rest[1] if len(rest) > 1 else ""
        if self.command == "GET":
            if not name:
                if "watch" in query:
                    self._watch(version, kind, namespace, query)
                    return None
                return self._list(version, kind, namespace, query)
            with self.cluster.lock:
                found = self.cluster.objects.get((version, kind, namespace, name))
                if found is None:
                    raise Status(404, "NotFound", f'{rest[0]} "{name}" not found')
                return deepcopy(found)
        name = name or body.get("metadata", {}).get("name", "")
        return deepcopy(self.cluster.change(self.command, (version, kind, namespace, name), query, body))

    def _matching(
        self, version: str, kind: str, namespace: str, query: dict[str, str]
    ) -> Callable[[dict[str, Any]], bool]:
        wanted = [part for part in query.get("labelSelector", "").split(",") if part]
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)

        def matches(item: dict[str, Any]) -> bool:
            meta = item["metadata"]
            labels = meta.get("labels") or {}
            if (item["apiVersion"], item["kind"]) != (version, kind) or (
                namespace and meta.get("namespace") != namespace
            ):
                return False
            for part in wanted:
                key, _, value = part.partition("=")
                if labels.get(key) != value:
                    return False
            return all(
                (item.get("involvedObject") or {}).get(key.partition(".")[2]) == value for key, value in fields.items()
            )

        return matches

    def _list(self, version: str, kind: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        matches = self._matching(version, kind, namespace, query)
        with self.cluster.lock:
            found = [deepcopy(each) for each in self.cluster.objects.values() if matches(each)]
            start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0) or len(found) + 1
            page = found[start : start + limit]
            meta = {"resourceVersion": str(self.cluster.now_version)}
            if start + limit < len(found):
                meta["continue"] = str(start + limit)
            items = [{key: value for key, value in each.items() if key not in ("apiVersion", "kind")} for each in page]
        return {"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": items}

    def _watch(self, version: str, kind: str, namespace: str, query: dict[str, str]) -> None:
        matches = self._matching(version, kind, namespace, query)
        since, cluster = int(query["resourceVersion"]), self.cluster
        with cluster.lock:
            if since < cluster.oldest:
                raise Status(410, "Expired", "too old resource version")
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        with cluster.changed:

            def fresh() -> list[tuple[int, str, dict[str, Any]]]:
                return [each for each in cluster.events if each[0] > since and matches(each[2])]

            cluster.changed.wait_for(fresh, timeout=float(query.get("timeoutSeconds", "1")))
            found = fresh()
        try:
            for _, event, item in found:
                self.wfile.write(json.dumps({"type": event, "object": item}).encode() + b"\n")
        except OSError:
            pass

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> str:
        with self.cluster.lock:
            pod = self.cluster.objects.get(("v1", "Pod", namespace, name))
            if pod is None:
                raise Status(404, "NotFound", f'pods "{name}" not found')
            lines = self.cluster.controllers.said(pod).splitlines()
        return "\n".join(lines[-int(query.get("tailLines", "1000")) :])


def kubeconfig(folder: Path, servers: dict[str, Server]) -> str:
    """A file with a context for each server; its name."""
    file = folder / "kubeconfig"
    first = next(iter(servers))
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": first,
                "clusters": [
                    {"name": name, "cluster": {"server": f"http://127.0.0.1:{each.port}"}}
                    for name, each in servers.items()
                ],
                "users": [{"name": name, "user": {"token": each.token}} for name, each in servers.items()],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in servers],
            }
        )
    )
    return str(file)


@contextmanager
def running(*namespaces: str) -> Iterator[tuple[Cluster, Server]]:
    """A cluster with these namespaces, its controllers at work, until the block ends."""
    cluster = Cluster()
    for name in namespaces:
        cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    server, stop = Server(cluster), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with cluster.lock:
                cluster.controllers.tick()
            cluster.clock.wait(stop, TICK)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield cluster, server
    finally:
        stop.set()
        thread.join()
        server.stop()
