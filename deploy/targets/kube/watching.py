"""Watching what was applied until it is done or stuck, as early as that is known.

Rules:
1. Every look reads everything anew; a watch only tells when to look again. So an expired watch, a cut connection or a
   missed event costs a second, and no truth.
2. Stuck is told with the last lines of the container that is to blame, and the fence is asked before every look.
3. A StatefulSet waits for a pod that does not come up, also when it has been told better. On the way back such a pod of
   an older revision is deleted, so that the controller makes it anew as it was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from deploy.targets.kube import judging
from deploy.targets.kube.applying import Lane
from deploy.targets.kube.judging import Finding, Judged, Scene
from deploy.targets.kube.objects import WORKLOADS, Object, Ref, get, labels, ref
from deploy.targets.kube.wire import Cluster
from farmgate.clock import stopwatch

_LOOK_AGAIN: Final = timedelta(seconds=1)
_ASKED: Final = 5
_TAIL: Final = 1_200
_EVENTS: Final = Ref("", "v1", "Event", "", "")


@dataclass(frozen=True, slots=True)
class Followed:
    """How a wait ended."""

    done: bool
    words: str
    seconds: float


def follow(
    lane: Lane, items: Iterable[Object], within: timedelta, restarts: int = 0, *, unstick: bool = False
) -> Followed:
    """Until all that run are done, or one is stuck, or the time is over. Raises StaleEpoch, TargetError.

    `unstick`: see rule 3.
    """
    waiting = [ref(each) for each in items if each["kind"] in WORKLOADS]
    began = stopwatch()
    seen: dict[tuple[Ref, str], float] = {}
    finished: list[str] = []
    while True:
        lane.check()
        judged: dict[Ref, Judged] = {}
        version = ""
        for known in waiting:
            item = lane.cluster.get(known)
            if unstick and item is not None:
                _unstick(lane, item)
            judged[known] = _gone(known) if item is None else judging.judge(scene(lane.cluster, item), restarts)
            version = version or get(item, "metadata", "resourceVersion", default="")
        now = stopwatch()
        for known, found in judged.items():
            lasted = {
                each.key: timedelta(seconds=now - seen.setdefault((known, each.key), now)) for each in found.findings
            }
            if (end := judging.stuck(found, lasted)) is not None:
                return Followed(False, f"{end.words}{_evidence(lane.cluster, known, end)}", _since(began))
        current = {(known, each.key) for known, found in judged.items() for each in found.findings}
        seen = {key: first for key, first in seen.items() if key in current}
        finished += (found.words for found in judged.values() if found.done)
        waiting = [known for known in waiting if not judged[known].done]
        if not waiting:
            return Followed(True, "; ".join(finished), _since(began))
        if now - began >= within.total_seconds():
            return Followed(False, _too_late(lane.cluster, waiting, judged, within), _since(began))
        lane.cluster.wait(waiting[0], version, _LOOK_AGAIN)


def scene(cluster: Cluster, item: Object) -> Scene:
    """A workload with what belongs to it; events are asked for only where something is not as it should be."""
    if judging.judge(Scene(item)).done:
        return Scene(item)
    pods = judging.newest_of(item, *around(cluster, item))
    ailing = [each for each in pods if not _ready(each)][:_ASKED]
    start = judging.applied_at(item)
    events: list[Object] = []
    for each in (item, *ailing):
        pattern = Ref("", "v1", "Event", each["metadata"].get("namespace", ""), "")
        events += cluster.list(pattern, fields=f"involvedObject.uid={each['metadata']['uid']}").items
    return Scene(item, pods, judging.since(events, start))


def around(cluster: Cluster, item: Object) -> tuple[Sequence[Object], Sequence[Object]]:
    """The pods and ReplicaSets that a workload's selector finds."""
    selector = selector_of(item)
    space = item["metadata"].get("namespace", "")
    pods = cluster.list(Ref("", "v1", "Pod", space, ""), selector).items
    if item["kind"] != "Deployment":
        return pods, ()
    return pods, cluster.list(Ref("apps", "v1", "ReplicaSet", space, ""), selector).items


def selector_of(item: Object) -> str:
    """As the API takes it."""
    parts = [f"{key}={value}" for key, value in get(item, "spec", "selector", "matchLabels", default={}).items()]
    for each in get(item, "spec", "selector", "matchExpressions", default=()):
        values = ",".join(each.get("values") or ())
        match each.get("operator"):
            case "In":
                parts.append(f"{each['key']} in ({values})")
            case "NotIn":
                parts.append(f"{each['key']} notin ({values})")
            case "Exists":
                parts.append(each["key"])
            case "DoesNotExist":
                parts.append(f"!{each['key']}")
    return ",".join(parts)


def _unstick(lane: Lane, item: Object) -> None:
    """Rule 3, once the controller knows what it was told: before that, nobody knows which pods are of the past."""
    if item["kind"] != "StatefulSet" or not judging.seen(item):
        return
    pods, _ = around(lane.cluster, item)
    newest = get(item, "status", "updateRevision")
    for pod in judging.older_of(item, pods, ()):
        going = get(pod, "metadata", "deletionTimestamp")
        if not going and not _ready(pod) and labels(pod).get("controller-revision-hash") != newest:
            lane.check()
            known = Ref("", "v1", "Pod", pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
            lane.cluster.delete(known, pod)


def _gone(known: Ref) -> Judged:
    return Judged(False, f"{known} is gone", (Finding("gone", f"{known} was deleted by someone else", timedelta(0)),))


def _evidence(cluster: Cluster, known: Ref, finding: Finding) -> str:
    if not finding.pod or not finding.container:
        return ""
    space = known.namespace
    tail = cluster.log_tail(space, finding.pod, finding.container, previous=finding.previous)
    if not tail and finding.previous:
        tail = cluster.log_tail(space, finding.pod, finding.container, previous=False)
    return f"; its last lines: {tail[-_TAIL:]}" if tail else "; it wrote nothing"


def _too_late(cluster: Cluster, waiting: Sequence[Ref], judged: dict[Ref, Judged], within: timedelta) -> str:
    known = waiting[0]
    words = f"{judged[known].words} after {within.total_seconds():g} s"
    found = judging.reason(judged[known])
    return f"{words}: {found.words}{_evidence(cluster, known, found)}" if found is not None else words


def _ready(pod: Object) -> bool:
    conditions = get(pod, "status", "conditions", default=())
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _since(began: float) -> float:
    return round(stopwatch() - began, 3)
