"""How a workload is doing, in words: done, on its way, or stuck and why. Pure: from objects, pods and events.

Rules:
1. Done is what `kubectl rollout status` calls done: the controller has seen the newest spec, every pod is of it, all
   are available, none of an older one is left. A Job is done when it says Complete.
2. What cannot heal by waiting is told at once: a name that is no image, a registry that says no, a container that
   ended by itself, a Job that gave up, a deadline that the cluster itself calls exceeded.
3. What may heal (a registry that does not answer, a quota, a node to come) is told when it lasted for its grace. What
   nobody can tell from a slow start (a readiness probe) has none: the time limit of the rollout decides, with the
   probe's words as the reason.
4. Only pods of the newest revision count, once the controller has seen it, and only events since the apply: what ailed
   an older release says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.targets.kube.objects import MANAGER, Object, get, labels, notes, owned_by, ref
from deploy.targets.protocol import Instance

AT_ONCE: Final = timedelta(0)
_SETTLE: Final = timedelta(seconds=10)
_REGISTRY: Final = timedelta(seconds=30)
_SCHEDULE: Final = timedelta(seconds=60)
_FINAL_IMAGE: Final = re.compile(
    r"not found|manifest unknown|denied|unauthorized|forbidden|authorization failed|does not exist", re.IGNORECASE
)
_WAITING: Final[Mapping[str, timedelta]] = {
    "InvalidImageName": AT_ONCE,
    "ErrImageNeverPull": AT_ONCE,
    "ErrImagePull": _REGISTRY,
    "ImagePullBackOff": _REGISTRY,
    "ImageInspectError": _REGISTRY,
    "CreateContainerConfigError": _SETTLE,
    "CreateContainerError": _SETTLE,
    "RunContainerError": _SETTLE,
}
_VOLUMES: Final = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


@dataclass(frozen=True, slots=True)
class Scene:
    """A workload as it is, the pods of its newest revision, and the events of both since it was applied."""

    item: Object
    pods: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. Stuck once it lasted for `grace`; with None only when the time is over.

    `key` is the same as long as it is the same trouble. `pod`, `container`: whose last lines are evidence, of its
    `previous` run where that one ended.
    """

    key: str
    words: str
    grace: timedelta | None
    pod: str = ""
    container: str = ""
    previous: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """`words`: how far it is."""

    done: bool
    words: str
    findings: tuple[Finding, ...] = field(default=())


def judge(scene: Scene, restarts: int = 0) -> Judged:
    """`restarts`: how often a container may end by itself before it counts."""
    done, words = _progress(scene.item)
    if done:
        return Judged(True, words)
    if not seen(scene.item):
        return Judged(False, words)  # what is there yet is of an older spec
    found = [*_conditions(scene), *_creation(scene)]
    for pod in scene.pods:
        found += _pod(pod, [each for each in scene.events if _about(each, pod)], restarts, scene.item["kind"] == "Job")
    return Judged(False, words, tuple(found))


def stuck(judged: Judged, lasted: Mapping[str, timedelta]) -> Finding | None:
    """The finding that ends the wait, the surest first. `lasted`: since when each key is seen."""
    ripe = [
        each for each in judged.findings if each.grace is not None and lasted.get(each.key, timedelta(0)) >= each.grace
    ]
    return min(ripe, key=lambda each: (not each.pod, each.grace), default=None)


def reason(judged: Judged) -> Finding | None:
    """What best explains that the time is over: what a pod says before what its controller says."""
    return min(judged.findings, key=lambda each: (not each.pod, each.grace is None), default=None)


def _progress(item: Object) -> tuple[bool, str]:
    spec, status = item.get("spec") or {}, item.get("status") or {}
    name = str(ref(item))
    if item["kind"] == "Job":
        if _condition(item, "Complete") or _condition(item, "SuccessCriteriaMet"):
            return True, f"{name} is complete"
        counts = (
            f"{status.get('active', 0)} active, {status.get('succeeded', 0)} done, {status.get('failed', 0)} failed"
        )
        return False, f"{name}: {counts}"
    if not seen(item):
        return False, f"{name}: its controller has not seen it yet"
    if item["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
        if get(spec, "updateStrategy", "type") == "OnDelete":
            return True, f"{name} changes pods only when someone deletes them (OnDelete)"
        if updated >= wanted and available >= wanted:
            return True, f"{name}: {wanted} pods"
        return False, f"{name}: {updated} of {wanted} pods updated, {available} available"
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if item["kind"] == "StatefulSet":
        return _stateful(name, spec, status, wanted, available)
    if updated >= wanted and total <= updated and available >= updated:
        return True, f"{name}: {wanted} pods"
    left = f", {total - updated} old ones left" if total > updated else ""
    return False, f"{name}: {updated} of {wanted} pods updated, {available} available{left}"


def seen(item: Object) -> bool:
    """True if its controller knows the newest spec. A Job's cannot change."""
    seen: int = get(item, "status", "observedGeneration", default=0)
    return bool(item["kind"] == "Job" or seen >= item["metadata"].get("generation", 0))


def _stateful(
    name: str, spec: Mapping[str, Any], status: Mapping[str, Any], wanted: int, available: int
) -> tuple[bool, str]:
    if get(spec, "updateStrategy", "type") == "OnDelete":
        return True, f"{name} changes pods only when someone deletes them (OnDelete)"
    partition = int(get(spec, "updateStrategy", "rollingUpdate", "partition", default=0))
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    whole = status.get("currentRevision") == status.get("updateRevision")
    due = max(0, wanted - partition)
    if ready >= wanted and available >= wanted and (whole or (partition and updated >= due)):
        kept = f", {min(partition, wanted)} kept by its partition" if partition else ""
        return True, f"{name}: {wanted} pods{kept}"
    return False, f"{name}: {updated if not whole else wanted} of {due} pods updated, {ready} ready"


def _conditions(scene: Scene) -> Iterator[Finding]:
    item = scene.item
    name = str(ref(item))
    for each in get(item, "status", "conditions", default=()):
        kind, true = each.get("type"), each.get("status") == "True"
        said = f"{each.get('reason') or kind}: {each.get('message') or ''}".rstrip(": ")
        if kind == "Progressing" and each.get("status") == "False" and each.get("reason") == "ProgressDeadlineExceeded":
            yield Finding("deadline", f"{name} made no progress within its own deadline ({said})", AT_ONCE)
        elif kind == "ReplicaFailure" and true:
            yield Finding("create", f"{name} cannot make its pods ({said})", _SETTLE)
        elif item["kind"] == "Job" and kind in ("Failed", "FailureTarget") and true:
            pod = next((each for each in reversed(scene.pods) if get(each, "status", "phase") == "Failed"), None)
            container = _worst_container(pod) if pod is not None else ""
            where = pod["metadata"]["name"] if pod is not None else ""
            yield Finding("failed", f"{name} gave up ({said})", AT_ONCE, where, container)
        elif item["kind"] == "Job" and kind == "Suspended" and true:
            yield Finding("suspended", f"{name} is suspended: nobody runs it", _SETTLE)


def _creation(scene: Scene) -> Iterator[Finding]:
    """A StatefulSet, DaemonSet or Job says only by events that it may not make pods."""
    for event in scene.events:
        if event.get("reason") == "FailedCreate" and _about(event, scene.item):
            words = f"{ref(scene.item)} cannot make its pods ({event.get('message') or 'FailedCreate'})"
            yield Finding("create", words, _SETTLE)
            return


def _pod(pod: Object, events: Sequence[Object], restarts: int, of_job: bool) -> Iterator[Finding]:
    name = pod["metadata"]["name"]
    if get(pod, "metadata", "deletionTimestamp"):
        return
    scheduled = next((each for each in _all_conditions(pod) if each.get("type") == "PodScheduled"), {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        coming = any(each.get("reason") == "TriggeredScaleUp" for each in events)
        words = f"no node takes pod {name}: {scheduled.get('message') or 'Unschedulable'}"
        yield Finding(
            f"{name}/schedule",
            f"{words}; a node is on its way" if coming else words,
            None if coming else _SCHEDULE,
            name,
        )
        return
    if get(pod, "status", "phase") == "Failed" and not of_job:
        why = get(pod, "status", "reason") or "Failed"
        said = get(pod, "status", "message", default="its containers ended")
        yield Finding(f"{name}/failed", f"pod {name} failed ({why}: {said})", _REGISTRY, name)
    for status in _statuses(pod):
        yield from _container(name, status, events, restarts, of_job)
    for event in events:
        if event.get("reason") in _VOLUMES and not any(get(each, "state", "running") for each in _statuses(pod)):
            words = f"pod {name} cannot start ({event['reason']}: {event.get('message') or ''})"
            yield Finding(f"{name}/start", words, _REGISTRY, name)
            break


def _container(
    pod: str, status: Mapping[str, Any], events: Sequence[Object], restarts: int, of_job: bool
) -> Iterator[Finding]:
    name, count = status.get("name", ""), int(status.get("restartCount") or 0)
    where = f"container {name} of pod {pod}"
    waiting = get(status, "state", "waiting", default={})
    why = waiting.get("reason") or ""
    if why in _WAITING:
        said = str(waiting.get("message") or "")
        final = why in ("ErrImagePull", "ImagePullBackOff") and _FINAL_IMAGE.search(_image_words(said, events))
        words = f"{where} does not start ({why}: {_image_words(said, events) or status.get('image') or ''})"
        yield Finding(f"{pod}/{name}/{_family(why)}", words, AT_ONCE if final else _WAITING[why], pod)
        return
    last = get(status, "lastState", "terminated", default=get(status, "state", "terminated", default={}))
    ended = count > restarts or (why == "CrashLoopBackOff" and count >= restarts)
    if ended and not of_job:
        code = f"with exit code {last['exitCode']}" if "exitCode" in last else "by itself"
        kind = last.get("reason")
        because = f" ({kind})" if kind and kind not in ("Error", "Completed") else ""
        probe = _unhealthy(events, "Liveness", "Startup")
        killed = f"; {probe}" if probe else ""
        words = f"{where} ended {code}{because}{killed} and was started again {count} times"
        if why == "CrashLoopBackOff":
            words += " (CrashLoopBackOff)"
        yield Finding(
            f"{pod}/{name}/crash",
            words,
            AT_ONCE,
            pod,
            name,
            previous="running" in (status.get("state") or {}) or why == "CrashLoopBackOff",
        )
        return
    if get(status, "state", "running") is not None and not status.get("ready"):
        probe = _unhealthy(events, "Readiness", "Startup")
        words = f"{where} runs and is not ready" + (f": {probe}" if probe else "")
        yield Finding(f"{pod}/{name}/ready", words, None, pod, name)


def _family(why: str) -> str:
    """A pull that failed and the pause after it are one trouble."""
    return "image" if "Image" in why else why


def _image_words(said: str, events: Sequence[Object]) -> str:
    """The registry's own words stand in the event of the failed pull; the pause after it says little."""
    for event in reversed(events):
        message = str(event.get("message") or "")
        if event.get("reason") == "Failed" and "pull" in message.lower() and "Back-off" not in message:
            return message
    return said


def _unhealthy(events: Sequence[Object], *probes: str) -> str:
    """The newest words of a probe that failed."""
    for event in reversed(events):
        message = str(event.get("message") or "")
        if event.get("reason") == "Unhealthy" and message.startswith(probes):
            return message[:300].strip()
    return ""


def _statuses(pod: Object) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _worst_container(pod: Object) -> str:
    for each in _statuses(pod):
        if get(each, "state", "terminated", "exitCode", default=0) != 0:
            return str(each["name"])
    spec = get(pod, "spec", "containers", default=[])
    return str(spec[0]["name"]) if spec else ""


def _all_conditions(item: Object) -> Sequence[Mapping[str, Any]]:
    return get(item, "status", "conditions", default=())  # type: ignore[no-any-return]


def _condition(item: Object, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in _all_conditions(item))


def _about(event: Object, item: Object) -> bool:
    return bool(get(event, "involvedObject", "uid") == item["metadata"].get("uid"))


def applied_at(item: Object) -> datetime | None:
    """When we last changed the object, by the cluster's own clock."""
    for each in get(item, "metadata", "managedFields", default=()):
        if each.get("manager") == MANAGER and each.get("operation") == "Apply" and not each.get("subresource"):
            return moment(each.get("time"))
    return None


def moment(text: object) -> datetime | None:
    """A time as the API writes it."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def since(events: Sequence[Object], start: datetime | None) -> tuple[Object, ...]:
    """Those that happened at `start` or later (their times have whole seconds), the oldest first."""
    timed = [(_when(each), each) for each in events]
    kept = [(at, each) for at, each in timed if start is None or at is None or at >= start.replace(microsecond=0)]
    return tuple(each for _, each in sorted(kept, key=lambda pair: pair[0].timestamp() if pair[0] else 0.0))


def _when(event: Object) -> datetime | None:
    for text in (
        get(event, "series", "lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        get(event, "metadata", "creationTimestamp"),
    ):
        if found := moment(text):
            return found
    return None


def newest_of(item: Object, pods: Sequence[Object], sets: Sequence[Object]) -> tuple[Object, ...]:
    """The pods of a workload's newest revision. `sets`: the ReplicaSets of its namespace."""
    uid = item["metadata"].get("uid", "")
    match item["kind"]:
        case "Deployment":
            own = [each for each in sets if owned_by(each, uid)]
            newest = max(own, key=_revision, default=None)
            return () if newest is None else tuple(each for each in pods if owned_by(each, newest["metadata"]["uid"]))
        case "StatefulSet":
            wanted = get(item, "status", "updateRevision")
            key = "controller-revision-hash"
        case "DaemonSet":
            wanted = notes(item).get("deprecated.daemonset.template.generation")
            key = "pod-template-generation"
        case _:
            wanted, key = None, ""
    mine = [each for each in pods if owned_by(each, uid)]
    return tuple(each for each in mine if wanted is None or labels(each).get(key) in (wanted, None))


def older_of(item: Object, pods: Sequence[Object], sets: Sequence[Object]) -> tuple[Object, ...]:
    """The pods of its older revisions."""
    uid = item["metadata"].get("uid", "")
    owners = {uid, *(each["metadata"]["uid"] for each in sets if owned_by(each, uid))}
    new = {each["metadata"]["uid"] for each in newest_of(item, pods, sets)}
    return tuple(
        each for each in pods if each["metadata"]["uid"] not in new and any(owned_by(each, owner) for owner in owners)
    )


def _revision(item: Object) -> int:
    try:
        return int(notes(item).get("deployment.kubernetes.io/revision", "0"))
    except ValueError:
        return 0


def instance(index: int, pod: Object, port: int | None, began: datetime | None) -> Instance:
    """A pod as others see it. Restarts count for pods that this apply brought up: older ones are not its doing."""
    up = any(each.get("type") == "Ready" and each.get("status") == "True" for each in _all_conditions(pod))
    address = get(pod, "status", "podIP", default="")
    if address and port is not None:
        address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    created = moment(get(pod, "metadata", "creationTimestamp"))
    ours = began is None or created is None or created >= began.replace(microsecond=0)
    restarts = sum(int(each.get("restartCount") or 0) for each in _statuses(pod)) if ours else 0
    name = pod["metadata"]["name"]
    words = name if up else f"{name}: {'; '.join(each.words for each in _pod(pod, (), 0, of_job=False)) or 'not ready'}"
    return Instance(index, address if port is not None else "", up, words, restarts)
