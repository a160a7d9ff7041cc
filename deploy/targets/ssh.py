"""Groups of hosts, reached by ssh. Below the target's path stand, on each of them,

    releases/<rollout>/app      the unpacked artifact
    current                     a link to one of them: the switch
    .farmgate/                  the epoch, a lock, which release the service was last started with

Rules:
1. The switch of a host is one rename of a link. Then the service is started again, then its health is asked until it is
   well or its time is over; only then comes the next host, or the next few (`at_once`).
2. Shares are percent of all hosts, in the order of the policy. A share takes in the first ones, and never lets one go.
3. Each host keeps the highest epoch it has seen, under a lock, and refuses an older controller before each effect.
4. A host that cannot be reached is infrastructure: the step is tried again and blames nobody. One that comes back with
   another release than the live one is brought along when it is tended.
5. A restart or a health command that says no is the change's fault; its last lines are the evidence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from deploy.targets import archive, contents
from deploy.targets.fence import Fence
from deploy.targets.hosts import Hosts, Ran, SshHosts
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package, Target
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.clock import Clock, stopwatch
from farmgate.errors import StaleEpoch, TargetError
from farmgate.policy.targets.ssh import SshTarget

_STALE: Final = 75
_ABSENT: Final = 76
_NO: Final = 77
_PUSHES: Final = 4
_LOOK_AGAIN: Final = timedelta(seconds=1)
TEND_EVERY: Final = timedelta(minutes=1)

# Each begins by taking the lock and comparing epochs; what a service inherits must not hold the lock.
_GUARD: Final = """
set -eu
base=$1 epoch=$2; shift 2
mkdir -p "$base/releases" "$base/.farmgate"
exec 9>"$base/.farmgate/lock"
guard() {
    flock 9
    seen=$(cat "$base/.farmgate/epoch" 2>/dev/null || echo 0)
    if [ "$epoch" -lt "$seen" ]; then echo "$seen"; exit 75; fi
    if [ "$epoch" -gt "$seen" ]; then
        echo "$epoch" >"$base/.farmgate/epoch.new"; mv "$base/.farmgate/epoch.new" "$base/.farmgate/epoch"
    fi
}
told() {
    out="$base/.farmgate/out.$$"
    code=0
    "$@" >"$out" 2>&1 9>&- </dev/null || code=$?
    tail -c 600 "$out"; rm -f "$out"
    return "$code"
}
guard
"""
_HAS: Final = _GUARD + '[ -d "$base/releases/$1" ] || exit 76'
_PUSH: Final = (
    _GUARD
    + """
release="$base/releases/$1"
if [ -d "$release" ]; then cat >/dev/null; exit 0; fi
flock -u 9
new="$release.$epoch.new"
rm -rf "$new"; mkdir "$new"
tar -x -o -f - -C "$new"
guard
[ -d "$release" ] || mv "$new" "$release"
rm -rf "$base/releases/$1".*.new
"""
)
_SWITCH: Final = (
    _GUARD
    + """
rollout=$1; shift
[ -d "$base/releases/$rollout" ] || exit 76
if [ "$(readlink "$base/current" || true)" != "releases/$rollout/app" ]; then
    rm -f "$base/.farmgate/current.new" "$base/.farmgate/started"
    ln -s "releases/$rollout/app" "$base/.farmgate/current.new"
    mv -T "$base/.farmgate/current.new" "$base/current"
fi
[ "$(cat "$base/.farmgate/started" 2>/dev/null || true)" = "$rollout" ] && exit 0
if [ "$#" -gt 0 ]; then cd "$base/current/"; told "$@" || exit 77; fi
echo "$rollout" >"$base/.farmgate/started.new"; mv "$base/.farmgate/started.new" "$base/.farmgate/started"
"""
)
_HEALTH: Final = _GUARD + 'flock -u 9; cd "$base/current/"; told "$@" || exit 77'
_LOOK: Final = """
link=$(readlink "$1/current" || true)
echo "${link:-/none} $(cat "$1/.farmgate/started" 2>/dev/null || echo none)" | cut -d/ -f2- | sed 's|/app||'
"""
_CLEAN: Final = (
    _GUARD
    + """
keep=$1 live=$2 drop=$3; shift 3
[ -z "$drop" ] || rm -rf "$base/releases/$drop"
for each in $(ls "$base/releases" | grep -x '[0-9]*' | grep -vx "$live" | sort -rn | tail -n "+$((keep + 1))"); do
    rm -rf "$base/releases/$each"
done
"""
)
_DOWN: Final = (
    _GUARD
    + """
rm -f "$base/.farmgate/started"
if [ -e "$base/current" ] && [ "$#" -gt 0 ]; then told "$@" || exit 77; fi
rm -rf "$base/current" "$base/releases"
"""
)


@dataclass(frozen=True, slots=True)
class _Unwell(Exception):
    """The change is to blame; the words say why."""

    words: str


class SshTargetRun:
    """The hosts of a lane."""

    def __init__(self, target: SshTarget, hosts: Hosts, blobs: Blobs, fence: Fence, clock: Clock, folder: Path) -> None:
        self._target = target
        self._hosts = hosts
        self._blobs = blobs
        self._fence = fence
        self._clock = clock
        self._tended = folder / "tended"

    def ready(self, order: Order) -> Sequence[str]:
        lacks = contents.lacking(self._blobs, order.old) if order.old is not None else ()
        return (*lacks, *contents.strangers(self.observe(order).shares, order))

    def prepare(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        hosts = _target(order.new).all_hosts
        with self._packed(order.new) as push, ThreadPoolExecutor(_PUSHES) as pool:
            list(pool.map(lambda host: push(host, order.epoch), hosts))
        return Outcome(words=f"the release is on {_hosts(len(hosts))}", figures={"hosts": len(hosts)})

    def shift(self, order: Order, share: int) -> Outcome:
        self._fence.enter(order.epoch)
        hosts = _target(order.new).all_hosts
        count = -(-len(hosts) * share // 100) if order.old is not None else len(hosts)
        return self._bring(order.new, hosts[:count], order.epoch, len(hosts))

    def observe(self, order: Order) -> Observed:
        target = _target(order.new)
        there: dict[int, list[Instance]] = {}
        words = []
        for index, host in enumerate(target.all_hosts):
            try:
                rollout, started = self._look(target, host)
            except TargetError as error:
                words.append(str(error))
                continue
            if rollout is None:
                continue
            address = f"{host.partition(':')[0]}:{target.port}" if target.port is not None else ""
            up = rollout == started
            told = "" if up else "the service was not started again since the switch"
            there.setdefault(rollout, []).append(Instance(index, address, up, told))
        seen = {rollout: tuple(instances) for rollout, instances in there.items()}
        total = len(target.all_hosts)
        shares = {rollout: round(100 * len(instances) / total) for rollout, instances in seen.items()}
        return Observed(seen, shares, "; ".join(words))

    def finish(self, order: Order) -> Outcome:
        outcome = self.shift(order, 100)
        if outcome.ended is Ended.DONE:
            self._clean(order.new, order.epoch, "")
        return outcome

    def restore(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        if order.old is None:
            self._down(_target(order.new), order.epoch)
            return Outcome(words="taken down: nothing was live before")
        hosts = _target(order.old).all_hosts
        outcome = self._bring(order.old, hosts, order.epoch, len(hosts))
        if outcome.ended is Ended.DONE:
            self._clean(order.old, order.epoch, str(order.new.rollout_id))
        return outcome

    def tend(self, live: Package, epoch: int) -> None:
        self._fence.enter(epoch)
        now = self._clock.now()
        if self._tended.exists():
            last = datetime.fromisoformat(self._tended.read_text())
            if now - TEND_EVERY < last <= now:
                return
        self._tended.write_text(now.isoformat())
        target = _target(live)
        unwell: list[str] = []
        for host in target.all_hosts:
            try:
                if self._look(target, host) != (live.rollout_id, live.rollout_id):
                    self._switch(live, host, epoch)
            except (TargetError, _Unwell) as error:
                unwell.append(error.words if isinstance(error, _Unwell) else str(error))
        if unwell:
            raise TargetError("; ".join(unwell))

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        self._fence.enter(epoch)
        self._down(self._target, epoch)

    # --- what is done on hosts ---------------------------------------------------------------------------------------

    def _bring(self, package: Package, hosts: Sequence[str], epoch: int, total: int) -> Outcome:
        """Switch these hosts to the release, `at_once` of them at a time, and see that they are well."""
        target, began = _target(package), stopwatch()
        for start in range(0, len(hosts), target.at_once):
            self._fence.check(epoch)
            turn = hosts[start : start + target.at_once]
            with ThreadPoolExecutor(len(turn)) as pool:
                tries = [pool.submit(self._switch, package, host, epoch) for host in turn]
            failed = [error for each in tries if (error := each.exception()) is not None]
            for error in failed:
                if not isinstance(error, _Unwell):
                    raise error
            if failed:
                words = "; ".join(error.words for error in failed if isinstance(error, _Unwell))
                return Outcome(Ended.FAILED, words, {"hosts": start})
        figures = {"hosts": len(hosts), "seconds": round(stopwatch() - began, 3)}
        return Outcome(words=f"on {len(hosts)} of {_hosts(total)}", figures=figures)

    def _switch(self, package: Package, host: str, epoch: int) -> None:
        """One host. Raises _Unwell, TargetError, StaleEpoch."""
        target = _target(package)
        arguments = (str(package.rollout_id), *(target.restart or ()))
        ran = self._run(target, host, _SWITCH, epoch, arguments)
        if ran.code == _ABSENT:
            with self._packed(package) as push:
                push(host, epoch)
            ran = self._run(target, host, _SWITCH, epoch, arguments)
        if ran.code != 0:
            raise _Unwell(f"{host}: {(target.restart or ('the switch',))[0]} says no; its last lines: {ran.said}")
        if target.health is None:
            return
        began = stopwatch()
        while (ran := self._run(target, host, _HEALTH, epoch, target.health)).code != 0:
            if stopwatch() - began > target.start_within.total_seconds():
                said = f"is not well within {target.start_within.total_seconds():g} s; {target.health[0]} says"
                raise _Unwell(f"{host} {said}: {ran.said or 'nothing'}")
            self._fence.check(epoch)
            self._clock.sleep(_LOOK_AGAIN)

    def _look(self, target: SshTarget, host: str) -> tuple[int | None, int | None]:
        """The rollout that the host's link leads to, and the one that its service was started with."""
        said = self._hosts.run(host, _LOOK, (target.path,), target.timeout).said.split()
        numbers = [int(word) if word.isdigit() else None for word in (*said, "none", "none")]
        return numbers[0], numbers[1]

    def _clean(self, live: Package, epoch: int, drop: str) -> None:
        target = _target(live)
        for host in target.all_hosts:
            self._run(target, host, _CLEAN, epoch, (str(target.keep), str(live.rollout_id), drop))

    def _down(self, target: SshTarget, epoch: int) -> None:
        for host in target.all_hosts:
            ran = self._run(target, host, _DOWN, epoch, target.stop or ())
            if ran.code != 0:
                raise TargetError(f"{host} could not be taken down: {ran.said}")

    def _packed(self, package: Package) -> _Push:
        target = _target(package)

        def run(host: str, script: str, epoch: int, arguments: Sequence[str], content: BinaryIO | None = None) -> Ran:
            return self._run(target, host, script, epoch, arguments, content)

        return _Push(self._blobs, package, run)

    def _run(
        self,
        target: SshTarget,
        host: str,
        script: str,
        epoch: int,
        arguments: Iterable[str],
        content: BinaryIO | None = None,
    ) -> Ran:
        """Raises StaleEpoch, TargetError."""
        self._fence.check(epoch)
        given = (target.path, str(epoch), *arguments)
        ran = self._hosts.run(host, script, given, target.timeout, content)
        if ran.code == _STALE:
            raise StaleEpoch(f"a controller of epoch {epoch} asked {host} to act, but epoch {ran.said} has taken it")
        if ran.code not in (0, _ABSENT, _NO):
            raise TargetError(f"{host}: what we do there ended with {ran.code}: {ran.said or 'it said nothing'}")
        return ran


class _Push:
    """Sends a release to hosts that do not have it; the artifact is packed clean once, when first needed."""

    def __init__(self, blobs: Blobs, package: Package, run: Callable[..., Ran]) -> None:
        self._blobs = blobs
        self._package = package
        self._run = run

    def __enter__(self) -> Callable[[str, int], None]:
        self._spool = tempfile.NamedTemporaryFile()
        digest, name = contents.digest_of(self._package), self._package.target.artifact
        if digest is None or name is None:
            raise TargetError("an ssh target needs an artifact")
        with contents.opened(self._blobs, digest) as stream, open(self._spool.name, "wb") as packed:  # noqa: PTH123
            archive.repacked(contents.files(self._blobs, digest, name, stream), packed, "app", 0)
        return self._push

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def _push(self, host: str, epoch: int) -> None:
        rollout = str(self._package.rollout_id)
        if self._run(host, _HAS, epoch, (rollout,)).code == _ABSENT:
            with open(self._spool.name, "rb") as content:  # noqa: PTH123 - of its own for each host
                self._run(host, _PUSH, epoch, (rollout,), content)


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"


def _target(package: Package) -> SshTarget:
    if not isinstance(package.target, SshTarget):
        raise TargetError(f"release {package.sha[:12]} was made for a {package.target.type} target, not for hosts")
    return package.target


def make(site: Site) -> Target:
    """The target of a lane. Raises TargetError."""
    target = site.policy.target
    if not isinstance(target, SshTarget):
        raise TargetError(f"a {target.type} target has no hosts")
    hosts = SshHosts(target.user, site.secret(target.key), target.host_keys)
    return SshTargetRun(target, hosts, site.blobs, site.fence, site.clock, site.folder)
