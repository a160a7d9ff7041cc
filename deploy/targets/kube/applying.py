"""Applying a lane's objects in one cluster, and taking away what is not among them any more.

Rules:
1. An object that is there is applied at the version that was read before the fence was asked: see `record`.
2. Fields that others manage are not taken from them, unless the policy names the manager. A conflict stops the
   rollout, says who has which field, and blames no commit.
3. What another lane has is not touched. A prune sees only what carries the lane's label; volumes, namespaces and
   definitions (all of their kind's objects go with them) are never pruned, only told.
4. A Job cannot change. One of ours that has ended is taken away and made anew; one that runs is waited for, by the
   caller's next try.
5. What the cluster refuses is the change's fault, unless it refuses us the right to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from deploy.targets.kube.objects import (
    LANE,
    ROLLOUT,
    WORKLOADS,
    Object,
    Ref,
    Unfit,
    backwards,
    get,
    labels,
    notes,
    ref,
)
from deploy.targets.kube.record import Record
from deploy.targets.kube.wire import Cluster, Refusal
from farmgate.clock import Clock
from farmgate.errors import TargetError

_TRIES: Final = 30
_GONE_WITHIN: Final = timedelta(seconds=60)
_LOOK_AGAIN: Final = timedelta(milliseconds=200)
NEVER_PRUNED: Final = ("Namespace", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition")
KEEP: Final = "farmgate/prune"
"""An annotation; `never` keeps an object when the manifests do not name it any more."""


@dataclass(slots=True)
class Lane:
    """A lane in one cluster, as one controller acts on it."""

    cluster: Cluster
    record: Record
    clock: Clock
    epoch: int
    label: str
    rollout: int
    take_over: tuple[str, ...] = ()
    applied: list[Ref] = field(default_factory=list)

    def check(self) -> None:
        self.record.check(self.epoch)

    def marked(self, item: Object) -> Object:
        """With our label, and on what runs the rollout."""
        meta = dict(item["metadata"])
        meta["labels"] = {**(meta.get("labels") or {}), LANE: self.label}
        if item["kind"] in WORKLOADS:
            meta["annotations"] = {**(meta.get("annotations") or {}), ROLLOUT: str(self.rollout)}
        return {**item, "metadata": meta}


def apply(lane: Lane, items: Sequence[Object]) -> None:
    """Each in turn. Raises Unfit with how far it came, StaleEpoch, TargetError."""
    if not items:
        return
    lane.record.note(lane.epoch, [ref(each) for each in items])
    for number, item in enumerate(items):
        try:
            _apply(lane, item)
        except Unfit as unfit:
            done = f"; {number} of {len(items)} objects were applied before it" if number else ""
            raise Unfit(f"{unfit}{done}") from None
        lane.applied.append(ref(item))


def dry_run(lane: Lane, items: Sequence[Object]) -> list[str]:
    """What the cluster would refuse of them, all at once. Changes nothing. Raises TargetError for a conflict."""
    refused: list[str] = []
    taken: list[str] = []
    coming = {get(each, "spec", "names", "kind") for each in items if each["kind"] == "CustomResourceDefinition"}
    spaces = {each["metadata"]["name"] for each in items if each["kind"] == "Namespace"}
    for item in items:
        known = ref(item)
        if known.kind in coming and lane.cluster.place(known) is None:
            continue  # its definition comes with this very release
        answer = _would_answer(lane, known, item)
        if not isinstance(answer, Refusal) or answer.outdated or _immutable_job(known, answer):
            continue
        if answer.missing and known.namespace in spaces:
            continue
        if answer.fields_taken:
            taken.append(_conflict(known, answer))
        else:
            refused.append(f"{known}: {_refused(lane.cluster, answer)}")
    if taken and not refused:
        raise TargetError(_taken(taken))
    return refused


def would_be(lane: Lane, item: Object) -> tuple[Object | None, Object | None, str]:
    """What is there, what an apply would leave, and what stands against that. Changes nothing."""
    known = ref(item)
    for attempt in range(_TRIES):
        live = lane.cluster.get(known)
        if live is None:
            return None, lane.marked(item), ""
        answer = lane.cluster.apply(known, _at(_as_live(lane.marked(item), live), live), dry=True, force=True)
        if not isinstance(answer, Refusal):
            return live, answer, ""
        if not answer.outdated:
            return live, live, "" if _immutable_job(known, answer) else answer.words
        lane.clock.sleep(_LOOK_AGAIN * min(attempt, 5))
    return live, live, "others change it all the time"


def _would_answer(lane: Lane, known: Ref, item: Object) -> Object | Refusal:
    """What an apply would be answered; asked again while others change the object between our look and the question."""
    for attempt in range(_TRIES):
        live = lane.cluster.get(known)
        _ours(lane, known, live)
        answer = _sent(lane, known, _at(lane.marked(item), live), dry=True)
        if not isinstance(answer, Refusal) or not answer.outdated:
            break
        lane.clock.sleep(_LOOK_AGAIN * min(attempt, 5))
    return answer


def prune(lane: Lane, keep: Iterable[Ref]) -> list[str]:
    """Take away what carries the lane's label and is not to be kept; what was left on purpose, in words."""
    wanted = list(keep)
    keys, left = {each.key for each in wanted}, list[str]()
    known_kinds = {(each.group, each.version, each.kind, each.namespace) for each in wanted} | set(lane.record.kinds())
    going: dict[tuple[str, str, str, str], tuple[Ref, Object]] = {}
    there: list[Ref] = []
    for group, version, kind, namespace in sorted(known_kinds):
        pattern = Ref(group, version, kind, namespace, "")
        for item in lane.cluster.list(pattern, f"{LANE}={lane.label}").items:
            found = ref(item)
            if found.key in keys or get(item, "metadata", "deletionTimestamp") or labels(item).get(LANE) != lane.label:
                there.append(found)
            elif kind in NEVER_PRUNED or notes(item).get(KEEP) == "never":
                there.append(found)
                left.append(f"{found} is not in the manifests any more and was left: delete it yourself if it may go")
            elif not any(each.get("controller") for each in get(item, "metadata", "ownerReferences", default=())):
                going[found.key] = (found, item)
    for known in backwards(each for each, _ in going.values()):
        remove(lane, known, going[known.key][1])
    lane.check()
    lane.record.keep_only(lane.epoch, [*wanted, *there])
    return left


def remove(lane: Lane, known: Ref, seen: Object, *, wait: bool = False) -> None:
    """Delete the object that was seen, if it still carries our label. Raises StaleEpoch, TargetError."""
    if labels(seen).get(LANE) != lane.label:
        raise TargetError(f"{known} does not carry the label of this lane: it is not ours to delete")
    lane.check()
    answer = lane.cluster.delete(known, seen, wait_below=wait)
    if isinstance(answer, Refusal) and not answer.missing and not answer.outdated:
        raise TargetError(f"cluster {lane.cluster.name} does not delete {known}: {answer.words}")
    if not wait:
        return
    tries = int(_GONE_WITHIN / _LOOK_AGAIN)
    for _ in range(tries):
        now = lane.cluster.get(known)
        if now is None or now["metadata"]["uid"] != seen["metadata"]["uid"]:
            return
        lane.clock.sleep(_LOOK_AGAIN)
    raise TargetError(
        f"{known} is being deleted and does not go: {get(seen, 'metadata', 'finalizers') or 'no finalizers'}"
    )


def _apply(lane: Lane, item: Object) -> None:
    known, marked = ref(item), lane.marked(item)
    for attempt in range(_TRIES):
        live = lane.cluster.get(known)
        _ours(lane, known, live)
        lane.check()
        answer = _sent(lane, known, _at(marked, live), dry=False)
        if not isinstance(answer, Refusal):
            return
        if answer.fields_taken:
            raise TargetError(_taken([_conflict(known, answer)]))
        if answer.outdated:
            lane.clock.sleep(_LOOK_AGAIN * min(attempt, 5))
            continue
        if live is not None and _immutable_job(known, answer):
            if not _ended(live):
                raise TargetError(f"{known} still runs, and a Job cannot change: the new one has to wait for its end")
            remove(lane, known, live, wait=True)
            continue
        raise Unfit(f"the cluster {lane.cluster.name} refuses {known}: {_refused(lane.cluster, answer)}")
    raise TargetError(f"cluster {lane.cluster.name}: others change {known} all the time")


def _sent(lane: Lane, known: Ref, item: Object, *, dry: bool) -> Object | Refusal:
    """Applied; where only managers stand against it that the policy lets us take from, taken."""
    answer = lane.cluster.apply(known, item, dry=dry)
    if isinstance(answer, Refusal) and answer.fields_taken and _managers(answer) <= set(lane.take_over):
        return lane.cluster.apply(known, item, dry=dry, force=True)
    return answer


def _at(item: Object, live: Object | None) -> Object:
    """At the version and identity of what is there: nothing else may be changed by it."""
    if live is None:
        return item
    meta = {key: live["metadata"][key] for key in ("resourceVersion", "uid")}
    return {**item, "metadata": {**item["metadata"], **meta}}


def _as_live(item: Object, live: Object) -> Object:
    """With the rollout that the object carries: which rollout looked last is no drift."""
    said = notes(live).get(ROLLOUT)
    if said is None or item["kind"] not in WORKLOADS:
        return item
    meta = item["metadata"]
    return {**item, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), ROLLOUT: said}}}


def _ours(lane: Lane, known: Ref, live: Object | None) -> None:
    other = labels(live).get(LANE) if live is not None else None
    if other not in (None, lane.label):
        raise TargetError(f"{known} belongs to the lane {other} already: two lanes cannot have one object")


def _ended(job: Object) -> bool:
    conditions = get(job, "status", "conditions", default=())
    return any(each.get("type") in ("Complete", "Failed") and each.get("status") == "True" for each in conditions)


def _immutable_job(known: Ref, answer: Refusal) -> bool:
    return known.kind == "Job" and answer.status == 422 and answer.immutable


def _managers(answer: Refusal) -> set[str]:
    """Who has the fields. The API says `conflict with "manager" with subresource ...`."""
    return {message.partition('"')[2].partition('"')[0] for _, message in answer.causes}


def _conflict(known: Ref, answer: Refusal) -> str:
    by: dict[str, list[str]] = {}
    for place, message in answer.causes:
        by.setdefault(message.partition('"')[2].partition('"')[0], []).append(place)
    return "; ".join(f"{known}: {', '.join(fields)} is managed by {who}" for who, fields in by.items())


def _taken(conflicts: Sequence[str]) -> str:
    said = "; ".join(conflicts)
    return (
        f"others manage fields that the manifests set ({said}). Nothing was taken from them: leave the fields out of "
        "the manifests, or name the manager under `take_over` of the target"
    )


def _refused(cluster: Cluster, answer: Refusal) -> str:
    """In words. Raises TargetError where it is our rights and not the object."""
    if answer.status == 403 and ': User "' in answer.message:
        raise TargetError(f"cluster {cluster.name} does not let Farmgate do that: {answer.message}")
    return answer.words
