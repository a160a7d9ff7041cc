"""Instances as containers on the engines of several hosts.

Rules:
1. Instance i of a release runs on host i modulo the number of its hosts, by their names, and nowhere else. A host is
   its name: another engine behind the same name takes over what ran there.
2. A host that does not answer is no reason to leave the others alone. Its instances are told as lost, at the address
   that was last known: the switch finds out by itself whether they serve, and takes them out if they do not.
3. Where the lane has something is remembered in a file, until a host answered and had nothing left: what was left on a
   dead one is removed when it comes back, also if no policy names it any more.
4. The highest epoch is marked on each host (a volume, whose name and label say it), so another controller with a
   copy of this one's folder is refused there, too. A host that does not answer cannot be marked, and does nothing.
5. A release without `hosts` runs on the deploy loop's own host, as ever: a lane may move from there, and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from deploy.targets import contents, engines
from deploy.targets.docker import DockerRunner
from deploy.targets.fence import Fence
from deploy.targets.host_memory import HostMemory
from deploy.targets.protocol import Instance, Package, Target
from deploy.targets.site import Site
from deploy.targets.spot import Spot
from deploy.targets.switched import switched
from farmgate.blobs import Blobs
from farmgate.clock import stopwatch
from farmgate.errors import StaleEpoch, TargetError
from farmgate.policy import DockerTarget
from farmgate.policy.targets.engines import Engine

MEMORY: Final = "hosts.json"
HERE: Final = ""
"""The name of the deploy loop's own host, which runs what names no hosts."""
_TAIL: Final = 400
_ASK_AGAIN_SECONDS: Final = 10
_MARK_AGAIN_SECONDS: Final = 1
T = TypeVar("T")
Runners = Callable[[str, Engine | None], DockerRunner]
"""The containers of a host, by its name; None: of this one."""


class HostsRunner:
    """The containers of one lane. `target`: what its policy says; what it says of a host holds for old releases too."""

    def __init__(self, runners: Runners, blobs: Blobs, target: DockerTarget, folder: Path) -> None:
        self._runners = runners
        self._blobs = blobs
        self._target = target
        self._memory = HostMemory(folder / MEMORY)
        self._made: dict[str, DockerRunner] = {}
        self._silent: dict[str, tuple[float, str]] = {}

    def ensure(self, package: Package) -> tuple[Instance, ...]:
        names = self._hosts_of(package)
        count = _docker(package).instances

        def brought_up(name: str) -> tuple[Instance, ...]:
            return self._at(name).ensure(package, range(names.index(name), count, len(names)))

        found, silent = self._everywhere(names, brought_up)
        with self._memory.changing() as kept:
            for name, instances in found.items():
                kept.hold(name, package.rollout_id, instances)
            known = dict(kept.held)
        there = [each for name, some in found.items() for each in _on(name, some)]
        for name, why in silent.items():
            addresses = known.get(name, {}).get(package.rollout_id, {})
            mine = range(names.index(name), count, len(names))
            there += [_lost(name, index, addresses.get(index, ""), why) for index in mine]
        return tuple(sorted(there, key=lambda each: each.index))

    def running(self) -> Mapping[int, tuple[Instance, ...]]:
        names = self._known()
        found, silent = self._everywhere(names, lambda name: self._at(name).running())
        there: dict[int, list[Instance]] = {}
        with self._memory.changing() as kept:
            for name, rollouts in found.items():
                kept.keep_only(name, rollouts)
                for rollout, instances in rollouts.items():
                    kept.hold(name, rollout, instances)
                    there.setdefault(rollout, []).extend(_on(name, instances))
            for name, why in silent.items():
                for rollout, addresses in kept.held.get(name, {}).items():
                    lost = (_lost(name, index, address, why) for index, address in addresses.items())
                    there.setdefault(rollout, []).extend(lost)
            kept.strike_out(found.keys() - set(_names(self._target)))
        return {rollout: tuple(sorted(some, key=lambda each: each.index)) for rollout, some in sorted(there.items())}

    def log_tail(self, package: Package, index: int) -> str:
        return self._at(self._host_of(package, index)).log_tail(package, index)

    def log(self, package: Package, index: int, since: datetime | None) -> Iterable[bytes]:
        return self._at(self._host_of(package, index)).log(package, index, since)

    def lacking(self, package: Package) -> Sequence[str]:
        names = self._hosts_of(package)
        found, silent = self._everywhere(names, lambda name: self._at(name).lacking(package))
        common = contents.lacking(self._blobs, package)
        told = dict.fromkeys(common)
        for name, lacks in found.items():
            told.update(dict.fromkeys(f"{_called(name)}: {each}" for each in lacks if each not in common))
        count = _docker(package).instances
        for name, why in silent.items():
            held = len(range(names.index(name), count, len(names)))
            told[f"{held} of {count} instances of {package.sha[:12]} could not be had back: {why}"] = None
        return tuple(told)

    def remove(self, rollout_id: int) -> None:
        found, _ = self._everywhere(self._known(), lambda name: self._at(name).remove(rollout_id))
        with self._memory.changing() as kept:
            for name in found:
                kept.let_go(name, rollout_id)

    def mark(self, epoch: int) -> None:
        """On every host that answers. Raises StaleEpoch if one was marked by a newer controller."""
        names = [name for name in self._known() if name != HERE]
        marks, _ = self._everywhere(names, lambda name: self._at(name).mark(epoch))
        for name, seen in marks.items():
            if seen > epoch:
                words = f"a controller of epoch {epoch} asked {_called(name)} to act"
                raise StaleEpoch(f"{words}, but epoch {seen} has taken it over")

    # --- hosts -----------------------------------------------------------------------------------------------------

    def _everywhere(self, names: Sequence[str], act: Callable[[str], T]) -> tuple[dict[str, T], dict[str, str]]:
        """What came of it on each host, and, in words, which do not answer. Raises what goes wrong on one that does."""

        def one(name: str) -> tuple[T | None, str]:
            why = self._why_silent(name)
            if why:
                return None, why
            try:
                return act(name), ""
            except TargetError:
                why = self._why_silent(name)
                if not why:
                    raise
                return None, why

        with ThreadPoolExecutor(max(1, len(names))) as hands:
            ended = dict(zip(names, hands.map(one, names), strict=True))
        silent = {name: why for name, (_, why) in ended.items() if why}
        return {name: result for name, (result, why) in ended.items() if not why}, silent  # type: ignore[misc]

    def _why_silent(self, name: str) -> str:
        known = self._silent.get(name)
        if known is not None and stopwatch() - known[0] < _ASK_AGAIN_SECONDS:
            return known[1]
        try:
            self._at(name).answers()
        except TargetError as error:
            self._made.pop(name, None)
            why = f"{_called(name)} does not answer ({str(error)[:_TAIL]})"
            self._silent[name] = (stopwatch(), why)
            return why
        self._silent.pop(name, None)
        return ""

    def _at(self, name: str) -> DockerRunner:
        made = self._made.get(name)
        if made is None:
            engine = self._target.hosts.get(name)
            if engine is None and name != HERE:
                with self._memory.changing() as kept:
                    engine = kept.hosts.get(name)
                if engine is None:
                    raise TargetError(f"no policy says where the host {name} is")
            made = self._made[name] = self._runners(name, engine)
        return made

    def _known(self) -> list[str]:
        with self._memory.changing() as kept:
            return sorted({*kept.hosts, *_names(self._target)})

    def _hosts_of(self, package: Package) -> list[str]:
        """Where its instances run, in order; remembered from now on."""
        target = _docker(package)
        names = _names(target)
        with self._memory.changing() as kept:
            for name in names:
                kept.know(name, self._target.hosts.get(name) or target.hosts.get(name))
        return names

    def _host_of(self, package: Package, index: int) -> str:
        names = self._hosts_of(package)
        return names[index % len(names)]


class HostsFence:
    """The mark beside the deploy loop, and those on the hosts."""

    def __init__(self, fence: Fence, runner: HostsRunner) -> None:
        self._fence = fence
        self._runner = runner
        self._marked: float | None = None

    def enter(self, epoch: int) -> None:
        """Act from now on as `epoch`. Raises StaleEpoch."""
        self._fence.enter(epoch)
        self._runner.mark(epoch)
        self._marked = stopwatch()

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch if a newer controller has entered. On the hosts that is looked up once a second."""
        self._fence.check(epoch)
        if self._marked is not None and stopwatch() - self._marked > _MARK_AGAIN_SECONDS:
            self._runner.mark(epoch)
            self._marked = stopwatch()


def _names(target: DockerTarget) -> list[str]:
    return sorted(target.hosts) or [HERE]


def _called(name: str) -> str:
    return f"the host {name}" if name != HERE else "this host"


def _on(name: str, instances: Iterable[Instance]) -> list[Instance]:
    """A check in a container runs on this host, where the network of another is not."""
    return [replace(each, host=name, inside=each.inside if name == HERE else "") for each in instances]


def _lost(name: str, index: int, address: str, why: str) -> Instance:
    return Instance(index, address, up=False, words=why, host=name, lost=True)


def _docker(package: Package) -> DockerTarget:
    if not isinstance(package.target, DockerTarget):
        other = package.target.type
        raise TargetError(f"release {package.sha[:12]} was made for a {other} target, not for containers")
    return package.target


def make(site: Site) -> Target:
    """The target of a lane."""
    runner = runner_of(site)
    return switched(site, runner, HostsFence(site.fence, runner) if isinstance(runner, HostsRunner) else None)


def runner_of(site: Site) -> HostsRunner | DockerRunner:
    """What runs a lane's instances: one engine suffices where no policy ever named hosts."""
    target = site.policy.target
    if not isinstance(target, DockerTarget):
        raise TargetError(f"a {target.type} target has no containers")
    first, _, last = target.ports.partition("-")

    def runner(name: str, engine: Engine | None) -> DockerRunner:
        if engine is None:
            return DockerRunner(
                site.farm,
                str(site.lane_id),
                site.blobs,
                in_container=site.in_container,
                registry=site.registry,
                secret=site.secret,
                folder=site.folder,
            )
        folder = site.folder / "hosts" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return DockerRunner(
            site.farm,
            str(site.lane_id),
            site.blobs,
            registry=site.registry,
            secret=site.secret,
            folder=folder,
            spot=Spot(name, engine.address, int(first), int(last)),
            connect=lambda: engines.connect(name, engine, site.secret),
        )

    if not target.hosts and not (site.folder / MEMORY).exists():
        return runner(HERE, None)
    return HostsRunner(runner, site.blobs, target, site.folder)
