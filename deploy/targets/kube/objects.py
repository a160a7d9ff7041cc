"""Objects as the API has them, plain mappings, and the few things that have to be known of their kinds. Pure.

Rules:
1. An object is named by group, kind, namespace and name; the version of its group is how it happens to be written.
2. What others need goes first: namespaces, definitions, accounts and rights, configuration, volumes, services; then
   what runs; then what leads traffic to it. Taking away goes the other way round. Within a kind the user's order stays.
3. Everything of a lane carries its label. What does not carry it is never changed by a prune, and never deleted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

MANAGER: Final = "farmgate"
"""Our field manager."""
LANE: Final = "farmgate/lane"
"""The label of everything that belongs to a lane."""
ROLLOUT: Final = "farmgate/rollout"
"""The annotation that says which rollout an object was applied for last."""
TRACK: Final = "farmgate/track"
"""The label of a canary and of its pods."""

FIRST: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
)
LAST: Final = (
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "APIService",
    "Ingress",
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)
WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job")
"""Kinds whose progress is known; they run in this order."""
_RUNS: Final = ("Pod", "ReplicaSet", "DaemonSet", "StatefulSet", "Deployment", "Job", "CronJob")


class Unfit(Exception):
    """What the candidate brought cannot be delivered: the change is to blame. The text is fit for people."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object. `namespace` is empty for what belongs to the whole cluster."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str

    @property
    def api(self) -> str:
        """As `apiVersion` has it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Whose object it is, whatever version it is written in."""
        return self.group, self.kind, self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ref(item: Mapping[str, Any]) -> Ref:
    """Of an object that has a kind and a name."""
    group, _, version = str(item["apiVersion"]).rpartition("/")
    meta = item["metadata"]
    return Ref(group, version, item["kind"], meta.get("namespace") or "", meta["name"])


def get(item: Any, *path: str, default: Any = None) -> Any:
    """What stands at the path; `default` where there is nothing, or null."""
    for part in path:
        item = item.get(part) if isinstance(item, Mapping) else None
    return default if item is None else item


def labels(item: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = get(item, "metadata", "labels", default={})
    return found


def notes(item: Mapping[str, Any]) -> Mapping[str, str]:
    """Its annotations."""
    found: Mapping[str, str] = get(item, "metadata", "annotations", default={})
    return found


def ordered(items: Iterable[Object]) -> list[Object]:
    """In the order in which they are applied."""
    return sorted(items, key=lambda item: _rank(item["kind"]))


def backwards(refs: Iterable[Ref]) -> list[Ref]:
    """In the order in which they are taken away."""
    return sorted(refs, key=lambda each: _rank(each.kind), reverse=True)


def _rank(kind: str) -> int:
    if kind in FIRST:
        return FIRST.index(kind)
    if kind in _RUNS:
        return 100 + _RUNS.index(kind)
    if kind in LAST:
        return 200 + LAST.index(kind)
    return 50  # kinds of the user's own: after configuration, before what runs and may need them


def lane_label(lane: str) -> str:
    """The label's value for application/environment: readable, and within what a label may hold."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", lane.replace("/", ".")).strip("._-")
    if plain == lane.replace("/", ".") and len(plain) <= 63:
        return plain
    return f"{plain[:50].strip('._-')}-{hashlib.sha256(lane.encode()).hexdigest()[:8]}"


def owned_by(item: Mapping[str, Any], uid: str) -> bool:
    """True if the object's controller is the one with this uid."""
    owners: Sequence[Mapping[str, Any]] = get(item, "metadata", "ownerReferences", default=())
    return any(each.get("uid") == uid and each.get("controller") for each in owners)
