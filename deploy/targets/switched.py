"""Targets that run instances behind a switch: whatever runs the instances, releases come and go alike.

Rules:
1. `prepare` starts the new instances beside the old ones and waits until each answers 200 at its health path. One that
   does not in time is the change's fault; its last log lines are the evidence.
2. The switch is told before an instance it serves is removed, and drained within the target's bound.
3. Ports are drawn free and kept: an instance that starts again is found where it was.
4. Where instances run on several hosts, one that does not answer holds up what takes it in (`prepare`, `shift`): that
   is tried again and blames nobody. What is there already goes on without it: going back, ending and tending do what
   can be done, and say what is left; a later look at the lane does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from deploy.switch import Route, Switch
from deploy.targets import given
from deploy.targets.contents import strangers
from deploy.targets.protocol import DONE, Ended, Instance, Observed, Order, Outcome, Package
from deploy.targets.site import Site
from farmgate.clock import Clock, stopwatch
from farmgate.errors import TargetError
from farmgate.masks import Masking
from farmgate.policy import InstancesTarget

_LOOK_AGAIN: Final = timedelta(milliseconds=100)
_QUICK: Final = timedelta(milliseconds=20)
_ASK: Final = httpx.Timeout(2.0)


class Runner(Protocol):
    """What runs instances. Every method may be repeated, and may raise TargetError."""

    def ensure(self, package: Package) -> tuple[Instance, ...]:
        """Start what is not there of the package; all its instances, `up` if their process runs."""
        ...

    def running(self) -> Mapping[int, tuple[Instance, ...]]:
        """All instances of the lane, by the rollout that started them."""
        ...

    def log_tail(self, package: Package, index: int) -> str:
        """The last lines that an instance wrote."""
        ...

    def log(self, package: Package, index: int, since: datetime | None) -> Iterable[bytes]:
        """What an instance wrote since then, in pieces: the newest LOG_LIMIT_BYTES at most."""
        ...

    def lacking(self, package: Package) -> Sequence[str]:
        """In words: what of the package could not be started again, since it is gone."""
        ...

    def remove(self, rollout_id: int) -> None:
        """Stop and remove the instances and files of a rollout. What is on a host that does not answer stays `lost`."""
        ...


class Guard(Protocol):
    """Refuses older controllers: `fence.Fence`, and where it is kept elsewhere too."""

    def enter(self, epoch: int) -> None:
        """Act from now on as `epoch`. Raises StaleEpoch."""
        ...

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch if a newer controller has entered."""
        ...


class SwitchedTarget:
    """A runner and a switch."""

    def __init__(
        self,
        runner: Runner,
        switch: Switch,
        fence: Guard,
        listen: str,
        clock: Clock,
        *,
        secret: Callable[[str], str] = given.nothing,
        digest: given.Digest | None = None,
    ) -> None:
        self._secret = secret
        self._digest = digest
        self._runner = runner
        self._switch = switch
        self._fence = fence
        self._listen = listen
        self._clock = clock

    def ready(self, order: Order) -> Sequence[str]:
        lacks = self._runner.lacking(order.old) if order.old is not None else ()
        return (*lacks, *strangers(self._switch.shares(), order))

    def prepare(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        told = given.told(order.new.target, self._secret, self._digest)
        started = self._start(order.new, order.epoch, everywhere=True)
        return replace(started, figures={**started.figures, **told})

    def shift(self, order: Order, share: int) -> Outcome:
        self._fence.enter(order.epoch)
        return self._shift(order, share, self._everywhere(order.new))

    def _shift(self, order: Order, share: int, new: tuple[Instance, ...]) -> Outcome:
        old = self._runner.ensure(order.old) if order.old is not None else ()
        self._fence.check(order.epoch)
        share = share if order.old is not None else 100
        routes = [_route(order.new, new, share)]
        if order.old is not None:
            routes.insert(0, _route(order.old, old, 100 - share))
        self._switch.route(self._listen, _instances(order.new).health, routes)
        return Outcome(words=f"{share} % of the traffic", figures={"share": share, "instances": len(new)})

    def observe(self, order: Order) -> Observed:
        return Observed(self._runner.running(), self._switch.shares())

    def finish(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        self._shift(order, 100, self._runner.ensure(order.new))
        return self._only(order.new, order)

    def restore(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        if order.old is None:
            silent = self._take_down(order.epoch)
            return Outcome(words="; ".join(("taken down: nothing was live before", *_left(silent))))
        started = self._start(order.old, order.epoch, everywhere=False)
        if started.ended is not Ended.DONE:
            return started
        old = self._runner.ensure(order.old)
        routes = [_route(order.old, old, 100)]
        new = self._runner.running().get(order.new.rollout_id, ())
        if new and order.new.rollout_id in self._switch.shares():
            routes.append(_route(order.new, new, 0))
        self._fence.check(order.epoch)
        self._switch.route(self._listen, _instances(order.old).health, routes)
        return self._only(order.old, order)

    def tend(self, live: Package, epoch: int) -> None:
        self._fence.enter(epoch)
        instances = self._runner.ensure(live)
        addresses = _addresses(instances)
        moved = self._switch.addresses(live.rollout_id) != addresses
        if moved or self._switch.shares() != {live.rollout_id: 100}:
            self._switch.route(self._listen, _instances(live).health, [Route(live.rollout_id, addresses, 100)])
        else:
            self._switch.mend()
            self._remove_all(self._others(live), epoch)  # nobody is served by them: a death or an error left them

    def log(self, package: Package, since: datetime | None) -> Iterable[bytes]:
        masks = given.masks(package.target, self._secret)
        for index in range(_instances(package).instances):
            stream = Masking(masks)
            for piece in self._runner.log(package, index, since):
                yield stream.feed(piece)
            yield stream.flush() + b"\n"

    def watch(self, epoch: int) -> bool:
        if not self._switch.is_dead():
            return False
        self._fence.check(epoch)
        return self._switch.mend()

    def remove(self, epoch: int) -> None:
        self._fence.enter(epoch)
        silent = self._take_down(epoch)
        if silent:  # nobody looks at the lane any more
            raise TargetError(f"{silent}: something is left there, take it down again when it does")

    def _everywhere(self, package: Package) -> tuple[Instance, ...]:
        """The package's instances. Raises TargetError if a host of one does not answer."""
        instances = self._runner.ensure(package)
        lost = [instance for instance in instances if instance.lost]
        if lost:
            numbers = " and ".join(str(instance.index + 1) for instance in lost)
            plural = "s" if len(lost) > 1 else ""
            raise TargetError(f"{_why(lost)}: it must take instance{plural} {numbers} of {len(instances)}")
        return instances

    def _start(self, package: Package, epoch: int, *, everywhere: bool) -> Outcome:
        """Start the package's instances and wait until all of them are healthy; unless `everywhere`, all that are on
        hosts that answer. Raises TargetError if there are none."""
        target = _instances(package)
        began = looked = stopwatch()
        instances = self._everywhere(package) if everywhere else self._runner.ensure(package)
        waiting = {instance.index: instance for instance in instances if not instance.lost}
        if not waiting:
            raise TargetError(_why(instances))
        said = "does not answer"
        with httpx.Client(timeout=_ASK, trust_env=False) as client:
            while waiting:
                for index, instance in list(waiting.items()):
                    said = _health(client, instance, target.health)
                    if said == "":
                        del waiting[index]
                        continue
                    if stopwatch() - began > target.start_within.total_seconds():
                        instances = self._everywhere(package) if everywhere else self._runner.ensure(package)
                        if not next(each.lost for each in instances if each.index == index):
                            return self._not_up(package, instance, said)
                        del waiting[index]  # its host died meanwhile
                if waiting:
                    self._fence.check(epoch)
                    if target.secret_names and stopwatch() - looked > 1:
                        self._runner.ensure(package)  # one that was started again meanwhile has none
                        looked = stopwatch()
                    self._clock.sleep(_QUICK if stopwatch() - began < 2 else _LOOK_AGAIN)
        seconds = round(stopwatch() - began, 3)
        lost = [instance for instance in instances if instance.lost]
        words = f"{len(instances) - len(lost)} instances up"
        if lost:
            words += f", {len(lost)} more when its host is back: {_why(lost)}"
        return Outcome(words=words, figures={"instances": len(instances) - len(lost), "seconds": seconds})

    def _not_up(self, package: Package, instance: Instance, said: str) -> Outcome:
        target = _instances(package)
        tail = given.masks(target, self._secret).text(self._runner.log_tail(package, instance.index))
        where = f" on {instance.host}" if instance.host else ""
        words = f"instance {instance.index + 1} of {target.instances}{where} {said} at {target.health}"
        words += f" within {target.start_within.total_seconds():g} s"
        return Outcome(Ended.FAILED, f"{words}; its last lines: {tail}" if tail else f"{words}; it wrote nothing")

    def _only(self, kept: Package, order: Order) -> Outcome:
        """Drain everything else within the bound, tell the switch, remove it."""
        bound = _instances(kept).drain.total_seconds()
        others = [rollout for rollout in self._switch.shares() if rollout != kept.rollout_id]
        began = stopwatch()
        left = sum(self._switch.sessions(rollout) for rollout in others)
        while left and stopwatch() - began < bound:
            self._fence.check(order.epoch)
            self._clock.sleep(_LOOK_AGAIN)
            left = sum(self._switch.sessions(rollout) for rollout in others)
        self._fence.check(order.epoch)
        served_by = self._runner.ensure(kept)
        self._switch.route(self._listen, _instances(kept).health, [_route(kept, served_by, 100)])
        told = [f"{left} requests were cut off after {bound:g} s"] if left else []
        lost = [instance for instance in served_by if instance.lost]
        if lost:
            told.append(f"{_why(lost)}: {len(lost)} of {len(served_by)} instances are missing until it is back")
        told += _left(self._remove_all(self._others(kept), order.epoch))
        figures = {"drained_seconds": round(stopwatch() - began, 3), "cut_off": left}
        return Outcome(words="; ".join(told), figures=figures)

    def _others(self, kept: Package) -> dict[int, tuple[Instance, ...]]:
        return {each: found for each, found in self._runner.running().items() if each != kept.rollout_id}

    def _take_down(self, epoch: int) -> str:
        self._switch.stop()
        return self._remove_all(self._runner.running(), epoch)

    def _remove_all(self, rollouts: Mapping[int, tuple[Instance, ...]], epoch: int) -> str:
        """In words, which hosts with something left do not answer; empty if there are none."""
        for rollout in rollouts:
            self._fence.check(epoch)
            self._runner.remove(rollout)
        return _why(instance for found in rollouts.values() for instance in found if instance.lost)


def switched(site: Site, runner: Runner, guard: Guard | None = None) -> SwitchedTarget:
    """The target of a lane whose instances this runs. `guard`: the fence, if it is not beside the deploy loop alone."""
    switch = Switch(site.folder, site.clock)
    listen = site.policy.listen or ""
    return SwitchedTarget(
        runner, switch, guard or site.fence, listen, site.clock, secret=site.secret, digest=site.digest
    )


def _route(package: Package, instances: tuple[Instance, ...], share: int) -> Route:
    return Route(package.rollout_id, _addresses(instances), share)


def _addresses(instances: Iterable[Instance]) -> tuple[str, ...]:
    """All that are known: whether one serves whose host does not answer us, the switch finds out by itself."""
    return tuple(instance.address for instance in instances if instance.address)


def _left(silent: str) -> list[str]:
    return [f"{silent}: what is left there is removed when it does"] if silent else []


def _why(lost: Iterable[Instance]) -> str:
    return "; ".join(dict.fromkeys(instance.words for instance in lost))


def _instances(package: Package) -> InstancesTarget:
    if not isinstance(package.target, InstancesTarget):
        raise TargetError(f"a {package.target.type} target has no instances")
    return package.target


def _health(client: httpx.Client, instance: Instance, path: str) -> str:
    """Empty if it answers 200, else what is wrong."""
    try:
        with client.stream("GET", f"http://{instance.address}{path}") as answer:
            return "" if answer.status_code == 200 else f"answers {answer.status_code}"
    except httpx.TimeoutException:
        return "does not answer in time"
    except httpx.HTTPError:
        return "does not answer"


__all__ = ["DONE", "Runner", "SwitchedTarget", "switched"]
