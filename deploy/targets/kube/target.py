"""The kubernetes target: a lane's manifests in one or several clusters.

Rules:
1. `prepare` changes nothing that serves: every object is tried by a server-side dry run in every cluster, so what a
   cluster would refuse is known before anything is half done. A canary by route is brought up beside what runs.
2. A share below 100 is, without a canary, as many clusters as make the share, in the policy's order; with one, that
   share in every cluster. 100 is the manifests as they are: what others need, then what runs, watched until it is done
   or stuck, then what leads traffic to it.
3. `finish` prunes by the lane's label; canaries go with it.
4. `restore` gives the traffic back first, takes the canary away, then applies what was live before, by the digests of
   its release, and prunes. Jobs of the old release are not run again: what a Job has done, no apply takes back.
5. Nothing is corrected between rollouts. `drift` says what differs; a person decides.
6. Each effect is fenced in its cluster (see `record`), for each cluster by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from deploy.targets import contents
from deploy.targets.kube import applying, canary, judging, watching
from deploy.targets.kube.applying import Lane
from deploy.targets.kube.differences import difference
from deploy.targets.kube.objects import LANE, LAST, ROLLOUT, Object, Ref, Unfit, get, lane_label, notes, ref
from deploy.targets.kube.record import Record
from deploy.targets.kube.rendering import kubernetes, rendered
from deploy.targets.kube.wire import Cluster, connect
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.clock import Clock
from farmgate.policy.targets.kubernetes import KubernetesTarget

_SHOWN: Final = 10
_SERVES: Final = ("Deployment", "StatefulSet", "DaemonSet")
Connect = Callable[[str | None, str | None, Clock], Cluster]


class KubernetesRun:
    """A lane's clusters. `farm` and `name` tell the lane from others that share them."""

    def __init__(
        self, name: str, farm: str, target: KubernetesTarget, blobs: Blobs, clock: Clock, connect: Connect = connect
    ) -> None:
        self._label = lane_label(name)
        self._farm = farm
        self._target = target
        self._blobs = blobs
        self._clock = clock
        self._connect = connect

    def ready(self, order: Order) -> Sequence[str]:
        """The manifests; whether the images are still in their registry only the cluster's nodes can ask."""
        return contents.lacking(self._blobs, order.old) if order.old is not None else ()

    def prepare(self, order: Order) -> Outcome:
        lanes = self._entered(order, kubernetes(order.new))
        return _told(lambda: self._prepared(lanes, order))

    def shift(self, order: Order, share: int) -> Outcome:
        target = kubernetes(order.new)
        lanes = self._entered(order, target)
        if order.old is not None and share < 100 and target.canary is not None:
            return _told(lambda: self._each(lanes, lambda lane: self._canary(lane, order, share)))
        some = lanes[: math.ceil(len(lanes) * share / 100)] if order.old is not None else lanes
        outcome = _told(lambda: self._each(some, lambda lane: self._whole(lane, order.new)))
        if outcome.ended is not Ended.DONE or len(lanes) == 1:
            return outcome
        there = ", ".join(lane.cluster.name for lane in some)
        words = f"{len(some)} of {len(lanes)} clusters ({there}); {outcome.words}"
        return Outcome(words=words, figures={**outcome.figures, "clusters": len(some)})

    def observe(self, order: Order) -> Observed:
        found: dict[int, list[Instance]] = {}
        target = kubernetes(order.new)
        for lane in self._lanes(target, order.epoch, order.new.rollout_id):
            for rollout, pod, began in _pods(lane, order):
                known = found.setdefault(rollout, [])
                known.append(judging.instance(len(known), pod, target.port, began))
        return Observed({rollout: tuple(known) for rollout, known in found.items()})

    def finish(self, order: Order) -> Outcome:
        lanes = self._entered(order, kubernetes(order.new))
        keep = [ref(each) for each in rendered(order.new, self._blobs).objects]
        left = [words for lane in lanes for words in applying.prune(lane, keep)]
        return Outcome(words="; ".join(dict.fromkeys(left)))

    def restore(self, order: Order) -> Outcome:
        lanes = self._entered(order, kubernetes(order.new))
        if order.old is None:
            for lane in lanes:
                applying.prune(lane, ())
            return Outcome(words="taken down: nothing was live before")
        before = kubernetes(order.old)
        back = self._lanes(before, order.epoch, order.old.rollout_id)
        for lane in back:
            lane.record.enter(order.epoch)
        old = order.old
        outcome = _told(lambda: self._each(back, lambda lane: self._back(lane, old)))
        if outcome.ended is Ended.DONE and not _same_places(before, kubernetes(order.new)):
            kept = {(lane.cluster.name, lane.record.ref) for lane in back}
            for lane in lanes:  # where only the new release was to be
                if (lane.cluster.name, lane.record.ref) not in kept:
                    applying.prune(lane, ())
        return outcome

    def tend(self, live: Package, epoch: int) -> None:
        """A cluster brings back what died by itself; only the fence is asked here."""
        for lane in self._lanes(kubernetes(live), epoch, live.rollout_id):
            lane.record.enter(epoch)

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        for lane in self._lanes(self._target, epoch, 0):
            lane.record.enter(epoch)
            applying.prune(lane, ())

    def drift(self, live: Package) -> str:
        """What differs from what was released, as a diff; empty if nothing does. Changes nothing."""
        found: list[str] = []
        objects = rendered(live, self._blobs).objects
        for lane in self._lanes(kubernetes(live), 0, live.rollout_id):
            for item in objects:
                known = ref(item)
                there, wanted, words = applying.would_be(lane, item)
                if there is None and known.kind == "Job":
                    continue  # one that has ended may be cleared away
                text = difference(known, there, wanted, f"{lane.cluster.name}/{live.rollout_id}")
                if words:
                    text = f"{known} cannot be compared: {words}"
                if text:
                    found.append(f"# cluster {lane.cluster.name}\n{text}")
        return "\n".join(found)

    def _lanes(self, target: KubernetesTarget, epoch: int, rollout: int) -> list[Lane]:
        made = []
        for context in target.contexts or (None,):
            cluster = self._connect(target.kubeconfig, context, self._clock)
            record = Record(cluster, target.namespace, self._label, self._farm)
            made.append(Lane(cluster, record, self._clock, epoch, self._label, rollout, target.take_over))
        return made

    def _entered(self, order: Order, target: KubernetesTarget) -> list[Lane]:
        lanes = self._lanes(target, order.epoch, order.new.rollout_id)
        for lane in lanes:
            lane.record.enter(order.epoch)
        return lanes

    def _prepared(self, lanes: Sequence[Lane], order: Order) -> Outcome:
        made = rendered(order.new, self._blobs)
        for lane in lanes:
            refused = applying.dry_run(lane, made.objects)
            if refused:
                more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
                raise Unfit(f"the cluster {lane.cluster.name} refuses {'; '.join(refused[:_SHOWN])}{more}")
        words = made.words
        if kubernetes(order.new).canary == "route" and order.old is not None:
            outcome = self._each(lanes, lambda lane: self._canary(lane, order, 0))
            if outcome.ended is not Ended.DONE:
                return outcome
            words = f"{words}; {outcome.words}"
        return Outcome(words=words, figures=made.figures)

    def _each(self, lanes: Sequence[Lane], act: Callable[[Lane], Outcome]) -> Outcome:
        """One cluster after the other; the first that does not end well ends it."""
        said: list[str] = []
        figures: dict[str, Any] = {}
        seconds = 0.0
        for lane in lanes:
            outcome = act(lane)
            named = f"cluster {lane.cluster.name}: {outcome.words}" if len(lanes) > 1 else outcome.words
            if outcome.ended is not Ended.DONE:
                return Outcome(outcome.ended, named, outcome.figures)
            said.append(named)
            seconds += outcome.figures.get("seconds", 0.0)
            figures |= outcome.figures
        return Outcome(words="; ".join(said), figures={**figures, "seconds": round(seconds, 3)})

    def _whole(self, lane: Lane, package: Package) -> Outcome:
        """The manifests as they are."""
        target, objects = kubernetes(package), rendered(package, self._blobs).objects
        applying.apply(lane, [each for each in objects if each["kind"] not in LAST])
        followed = watching.follow(lane, objects, target.start_within, target.restarts)
        if not followed.done:
            return Outcome(Ended.FAILED, followed.words, {"seconds": followed.seconds})
        applying.apply(lane, [each for each in objects if each["kind"] in LAST])
        return Outcome(words=followed.words or f"{len(objects)} objects", figures={"seconds": followed.seconds})

    def _canary(self, lane: Lane, order: Order, share: int) -> Outcome:
        """The new release beside the old one, with a share of the traffic; with 0 it only comes up."""
        target = kubernetes(order.new)
        by = target.canary or "pods"
        objects = rendered(order.new, self._blobs).objects
        chosen = canary.deployment_of(objects, target.deployment)
        stable = lane.cluster.get(ref(chosen))
        if stable is None:  # new in this release: there is nothing beside which it could be
            return Outcome(words=f"{ref(chosen)} is new: it has no canary and comes with the last wave")
        running = get(stable, "spec", "replicas", default=1)
        count = canary.replicas(running, share, by)
        made = canary.objects(objects, chosen, count, by)
        fresh = [each for each in objects if _waits_for_no_one(each) and lane.cluster.get(ref(each)) is None]
        applying.apply(lane, [*fresh, *made])
        followed = watching.follow(lane, made, target.start_within, target.restarts)
        if not followed.done:
            return Outcome(Ended.FAILED, f"the canary: {followed.words}", {"seconds": followed.seconds})
        real = share
        if by == "route" and share > 0:
            applying.apply(lane, canary.divided(objects, chosen, share))
        elif by == "pods":
            real = canary.taken(running, count)
        words = f"canary of {count} beside {running} pods, {real} % of the traffic"
        return Outcome(words=words, figures={"seconds": followed.seconds, "share": real, "pods": count})

    def _back(self, lane: Lane, old: Package) -> Outcome:
        """What was live before, from its release alone."""
        target, made = kubernetes(old), rendered(old, self._blobs)
        objects = [each for each in made.objects if each["kind"] != "Job"]
        routes = [each for each in objects if each["kind"] in canary.ROUTES and lane.cluster.get(ref(each)) is not None]
        applying.apply(lane, routes)
        _take_canaries(lane)
        applying.apply(lane, [each for each in objects if each["kind"] not in LAST])
        followed = watching.follow(lane, objects, target.start_within, target.restarts, unstick=True)
        if not followed.done:
            return Outcome(Ended.FAILED, followed.words, {"seconds": followed.seconds})
        applying.apply(lane, [each for each in objects if each["kind"] in LAST])
        applying.prune(lane, map(ref, made.objects))
        return Outcome(words=followed.words, figures={"seconds": followed.seconds})


def _told(act: Callable[[], Outcome]) -> Outcome:
    try:
        return act()
    except Unfit as unfit:
        return Outcome(Ended.FAILED, str(unfit))


def _waits_for_no_one(item: Object) -> bool:
    """What a canary may need and nobody else uses yet: configuration, accounts, volumes. Nothing that runs or leads."""
    return item["kind"] not in (*LAST, *_SERVES, "Job", "CronJob", "Pod", "ReplicaSet", "Service")


def _take_canaries(lane: Lane) -> None:
    for kind, group in (("Deployment", "apps"), ("Service", "")):
        pattern = Ref(group, "v1", kind, lane.record.ref.namespace, "")
        selector = f"{LANE}={lane.label},farmgate/track=canary"
        for item in lane.cluster.list(pattern, selector).items:
            applying.remove(lane, ref(item), item)


def _pods(lane: Lane, order: Order) -> Iterator[tuple[int, Object, datetime | None]]:
    """Each pod of the lane that is not being deleted: the rollout it belongs to, and when that was applied."""
    spaces = {lane.record.ref.namespace, *kubernetes(order.new).namespaces}
    for kind in _SERVES:
        for space in sorted(spaces):
            for item in lane.cluster.list(Ref("apps", "v1", kind, space, ""), f"{LANE}={lane.label}").items:
                said = notes(item).get(ROLLOUT, "")
                if not said.isdigit():
                    continue
                pods, sets = watching.around(lane.cluster, item)
                for pod in judging.newest_of(item, pods, sets):
                    if not get(pod, "metadata", "deletionTimestamp"):
                        yield int(said), pod, judging.applied_at(item)
                if order.old is None or int(said) != order.new.rollout_id:
                    continue
                for pod in judging.older_of(item, pods, sets):
                    if not get(pod, "metadata", "deletionTimestamp"):
                        yield order.old.rollout_id, pod, None


def _same_places(one: KubernetesTarget, other: KubernetesTarget) -> bool:
    return (one.kubeconfig, one.contexts, one.namespace) == (other.kubeconfig, other.contexts, other.namespace)


def make(site: Site) -> KubernetesRun:
    """For the deploy loop. Raises TargetError."""
    target = site.policy.target
    if not isinstance(target, KubernetesTarget):
        raise TypeError(f"{site.policy.name} has a {target.type} target")
    return KubernetesRun(site.policy.name, site.farm, target, site.blobs, site.clock)
