"""Manifests out of a candidate's artifact: plain YAML or JSON, or what kustomize wrote. Pure, but for the stream.

Rules:
1. An archive's files that end in .yml, .yaml or .json are read in the order of their names, below `path` where one is
   named; a single file as it is. Nothing is built here: a kustomization.yaml is told to be built first, not skipped.
2. A file may hold several documents, and a document may be a List. Numbers are as kubectl reads them: 0644 is octal.
3. An object needs apiVersion, kind and a name of its own (generateName names none that could be found again). The same
   object twice is refused: the second would silently win.
4. Objects without a namespace get the lane's. Another namespace, or one for the whole cluster, only where the lane's
   policy says so: else a commit could put its hands where nobody meant to let it.
5. Every problem is told at once, by file and line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, Final

from deploy.targets.archive import Member
from deploy.targets.kube.objects import LANE, Object, Ref, Unfit, ref
from farmgate.documents import Document, read
from farmgate.errors import BadDocument, Problem

BYTES_LIMIT: Final = 32 * 2**20
OBJECTS_LIMIT: Final = 2_000
_ENDS: Final = (".yml", ".yaml", ".json")
_MARK: Final = re.compile(r"^(?:---|\.\.\.)(?=\s|$).*$", re.MULTILINE)
_OCTAL: Final = re.compile(r"0[0-7]+")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?")
_CLUSTER_WIDE: Final = frozenset(
    {
        "APIService",
        "CSIDriver",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "FlowSchema",
        "GatewayClass",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
"""Kinds without a namespace that everyone knows; of the others, the cluster tells when it is asked."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a lane's objects may be."""

    namespace: str
    also: tuple[str, ...] = ()
    cluster_wide: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """An object and where it stands."""

    item: Object
    document: Document
    below: tuple[str | int, ...]
    line: int  # of the document in its file

    def problem(self, location: tuple[str | int, ...], words: str, advice: str | None = None) -> Problem:
        found = self.document.problem((*self.below, *location), words, advice)
        return replace(found, line=found.line + self.line)


def texts(members: Iterable[Member], path: str | None) -> Iterator[tuple[str, bytes]]:
    """The files to read, by name. Raises Unfit for what is too large, and where there is none."""
    wanted = path.strip("/") if path else None
    found: dict[str, bytes] = {}
    left = BYTES_LIMIT
    for info, data in members:
        if data is None or not _below(info.name, wanted):
            continue
        if info.name.rpartition("/")[2] in ("kustomization.yaml", "kustomization.yml", "Kustomization"):
            raise Unfit(
                f"{info.name}: this is kustomize's input, not its output: let the job that makes the artifact run "
                "`kustomize build` and hand over what it wrote"
            )
        if not info.name.endswith(_ENDS):
            continue
        found[info.name] = _taken(data, info.name, left)
        left -= len(found[info.name])
    if not found:
        where = f" below {wanted}" if wanted else ""
        raise Unfit(f"the artifact holds no .yml, .yaml or .json{where}")
    yield from sorted(found.items())


def manifests(files: Iterable[tuple[str, bytes]], bounds: Bounds) -> list[Object]:
    """The objects, in the order of the files. Raises BadDocument with every problem."""
    problems: list[Problem] = []
    objects: list[Object] = []
    first: dict[tuple[str, str, str, str], str] = {}
    for name, text in files:
        for each in _documents(name, text, problems):
            wrong = tuple(_wrong(each, bounds))
            problems += wrong
            if wrong:
                continue
            item = _placed(each.item, bounds)
            known, at = ref(item), each.problem(("metadata", "name"), "")
            if known.key in first:
                problems.append(replace(at, message=f"{known} stands here twice; first at {first[known.key]}"))
            first.setdefault(known.key, f"{at.source}:{at.line}")
            objects.append(item)
    if problems:
        raise BadDocument(tuple(problems))
    if not objects:
        raise Unfit("the manifests hold no object: that would take everything of the lane away")
    if len(objects) > OBJECTS_LIMIT:
        raise Unfit(f"the manifests hold {len(objects):,} objects; {OBJECTS_LIMIT:,} is the limit")
    return objects


def cluster_wide(found: Ref, bounds: Bounds) -> str | None:
    """What is wrong with an object that the cluster says belongs to no namespace."""
    if bounds.cluster_wide:
        return None
    return f"{found} belongs to the whole cluster, which this lane may not touch (`cluster_objects: true` allows it)"


def _below(name: str, wanted: str | None) -> bool:
    return wanted is None or name == wanted or name.startswith(f"{wanted}/")


def _taken(data: IO[bytes], name: str, left: int) -> bytes:
    text = data.read(left + 1)
    if len(text) > left:
        raise Unfit(f"{name}: the manifests are more than {BYTES_LIMIT:,} bytes")
    return text


def _documents(name: str, text: bytes, problems: list[Problem]) -> Iterator[Read]:
    """Each object of each document; what cannot be read becomes a problem."""
    for line, part in _split(text):
        try:
            document = read(part, name)
        except BadDocument as bad:
            problems += (replace(each, line=each.line + line) for each in bad.problems)
            continue
        data = as_kubectl(document.data)
        items = data.get("items")
        if str(data.get("kind", "")).endswith("List") and isinstance(items, list):
            for index, item in enumerate(items):
                if isinstance(item, dict):
                    yield Read(item, document, ("items", index), line)
                else:
                    said = document.problem(("items", index), "an item of a List must be an object")
                    problems.append(replace(said, line=said.line + line))
        else:
            yield Read(data, document, (), line)


def _split(text: bytes) -> Iterator[tuple[int, str]]:
    """The documents of a stream and how many lines stand before each. Empty ones are left out."""
    whole = text.decode("utf-8-sig", errors="surrogateescape")
    start = 0
    for mark in (*_MARK.finditer(whole), None):
        part = whole[start : mark.start() if mark else len(whole)]
        if any(line.strip() and not line.lstrip().startswith(("#", "%")) for line in part.splitlines()):
            yield whole.count("\n", 0, start), part
        start = mark.end() if mark else len(whole)


def as_kubectl(value: Any) -> Any:
    """Plain Python of what was read, with whole numbers as YAML 1.1 has them, as the files of this world mean them."""
    match value:
        case dict():
            return {key: as_kubectl(each) for key, each in value.items()}
        case list():
            return [as_kubectl(each) for each in value]
        case bool() | str() | None:
            return value
        case int():
            text = str(getattr(value, "text", ""))
            return int(text, 8) if _OCTAL.fullmatch(text) else int(value)
        case float():
            return float(value)
        case _:
            return value


def _wrong(each: Read, bounds: Bounds) -> Iterator[Problem]:
    item = each.item
    for key in ("apiVersion", "kind"):
        if not isinstance(item.get(key), str) or not item[key]:
            yield each.problem((key,), f"an object needs {key!r}")
            return
    kind, meta = item["kind"], item.get("metadata")
    if kind == "Kustomization":
        yield each.problem(
            ("kind",), "this is kustomize's input, not its output", "hand over what `kustomize build` wrote"
        )
        return
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str) or not _NAME.fullmatch(meta["name"]):
        generated = isinstance(meta, dict) and "generateName" in meta
        advice = "generateName makes a new one each time, which nobody could find again" if generated else None
        yield each.problem(("metadata", "name"), f"this {kind} needs a name of its own", advice)
        return
    for key in ("labels", "annotations"):
        if not isinstance(meta.get(key) or {}, dict):
            yield each.problem(("metadata", key), f"{key} must be a mapping")
            return
    if LANE in (meta.get("labels") or {}):
        yield each.problem(("metadata", "labels", LANE), f"the label {LANE} is Farmgate's own", "take it out")
    namespace = meta.get("namespace") or ""
    if kind in _CLUSTER_WIDE:
        if words := cluster_wide(ref(item), bounds):
            yield each.problem(("metadata", "name"), words)
    elif namespace and namespace not in _allowed(bounds):
        words = f"{kind} {meta['name']} is for the namespace {namespace}; this lane is let into {bounds.namespace}"
        yield each.problem(("metadata", "namespace"), words, "name it under `namespaces` of the target")


def _allowed(bounds: Bounds) -> Collection[str]:
    return {bounds.namespace, *bounds.also}


def _placed(item: Object, bounds: Bounds) -> Object:
    """With its namespace, and without what only a cluster may say."""
    meta = {key: value for key, value in item["metadata"].items() if key not in _SERVER}
    if item["kind"] not in _CLUSTER_WIDE:
        meta["namespace"] = meta.get("namespace") or bounds.namespace
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": meta}


_SERVER: Final = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink")
