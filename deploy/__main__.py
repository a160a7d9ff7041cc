"""`python -m deploy`: the deploy loop. `python -m deploy retire`: take everything of all lanes down.
`python -m deploy drift APPLICATION/LANE`: what differs from what was released.

SIGTERM ends the loop; what was deployed keeps running, and a rollout under way is finished by whoever comes next.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from datetime import timedelta
from functools import cache
from pathlib import Path

import structlog

from deploy import drift
from deploy.checks import RealProber
from deploy.context import LOOP, Context, Threads
from deploy.loop import Deployer
from deploy.targets.given import GivenSecrets
from deploy.targets.handovers import StoredHandovers
from deploy.targets.place import RealTargets
from farmgate import blobs, process_log, states, vault
from farmgate.broker import LocalSignals, RedisSignals, Signals
from farmgate.clock import Clock, SystemClock, random_token
from farmgate.errors import FarmgateError
from farmgate.models import Lane, Leader
from farmgate.settings import DeploySettings, read
from farmgate.store import candidates, lanes, leaders, releases, rollouts, searches
from farmgate.store.database import Store
from farmgate.store.migrate import migrate

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """The exit status: 0 done, 1 with what is wrong on standard error, 2 for a wrong use, 3 for a drift."""
    shows_drift = len(arguments) == 2 and arguments[0] == "drift"
    if arguments not in ([], ["retire"]) and not shows_drift:
        sys.stderr.write("usage: python -m deploy [retire | drift APPLICATION/LANE]\n")
        return 2
    try:
        settings = read(DeploySettings)
        process_log.set_up(settings.log_format)
        context = make_context(settings)
        if shows_drift:
            return drift.show(context, arguments[1], sys.stdout)
        if arguments:
            return retire(context)
        return run(context)
    except FarmgateError as error:
        sys.stderr.write(f"deploy: {error}\n")
        return 1


def make_context(settings: DeploySettings) -> Context:
    """The real one. Raises FarmgateError."""
    clock = SystemClock()
    place = Path(settings.data).resolve()
    url = settings.database_url.get_secret_value() if settings.database_url else f"sqlite:///{place / 'farmgate.db'}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.at(url)
    migrate(store)
    folder = place / "deploy"
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = cache(lambda: vault.load(settings))
    secret = GivenSecrets(store, lambda: keys().keyring).of
    return Context(
        store=store,
        targets=RealTargets(
            folder,
            blobs.at(settings),
            clock,
            embedded=settings.embedded,
            in_container=settings.in_container,
            registry=settings.images(),
            secret=secret,
            digest=lambda policy, name, value: keys().digest(f"{policy.name} {name}", value),
            handovers=StoredHandovers(store, clock, keys, settings.public_url),
        ),
        prober=RealProber(),
        clock=clock,
        signals=_signals(settings, clock),
        hands=Threads(),
        holder=f"{platform.node()}/{os.getpid()}/{random_token()[:8]}",
        tick=settings.tick,
        keyring=lambda: keys().keyring,
        secret=secret,
        alive_file=settings.alive_file,
    )


def run(context: Context) -> int:
    """Loop until SIGTERM or SIGINT."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    Deployer(context).run(stopped)
    if isinstance(context.hands, Threads):
        context.hands.close()
    return 0


def retire(context: Context) -> int:
    """Take everything down. Takes the lease first: waits for that of a loop that was killed to run out."""
    lease = _lead(context)
    with context.store.reading() as connection:
        found = lanes.every(connection)
    if lease is None:
        sys.stderr.write("deploy: another deploy loop holds the lease; stop it first\n")
        return 1
    failed = 0
    for lane in found:
        _end_rollout(context, lane, lease)
        try:
            context.targets.of(lane.id, lanes.policy_of(lane)).remove(lease.epoch)
        except FarmgateError as error:
            failed = 1
            sys.stderr.write(f"deploy: {lane.application}/{lane.environment} could not be taken down: {error}\n")
            continue
        with context.store.writing() as connection:
            releases.retire(connection, lane.id, context.clock.now())
    with context.store.writing() as connection:
        leaders.resign(connection, LOOP, context.holder, context.clock.now())
    return failed


def _end_rollout(context: Context, lane: Lane, lease: Leader) -> None:
    """A rollout under way ends here: nobody is to go on with it when everything is gone."""
    words, now = "the farm was taken down", context.clock.now()
    with context.store.writing() as connection:
        lanes.take(connection, lane.id, lease.epoch)
        lanes.clear_rollback(connection, lane.id)
        seen = rollouts.active_of(connection, lane.id)
        if seen is None:
            return
        rollouts.take_over(connection, seen, lease.epoch)
        seen = rollouts.by_id(connection, seen.id)
        if seen.state is states.Rollout.ASKING:
            rollouts.moved(connection, seen, states.Rollout.RESTORING, reason=words)
        elif seen.state is states.Rollout.FINISHING:  # it was verified good
            rollouts.moved(connection, seen, states.Rollout.GOOD, finished_at=now, reason=words)
            candidate = candidates.by_id(connection, seen.candidate_id)
            target = lanes.target_of(seen.policy["target"]).model_dump(mode="json")
            releases.publish(connection, seen, candidate.artifacts if candidate is not None else {}, target, now)
            return
        seen = rollouts.by_id(connection, seen.id)
        back = seen.state is states.Rollout.RESTORING
        after = states.Rollout.SICK if back else states.Rollout.CANCELLED
        rollouts.moved(connection, seen, after, finished_at=now, reason=words)
        searches.abandon(connection, lane.id, now)


def _lead(context: Context) -> Leader | None:
    deadline = context.clock.now() + context.lease + timedelta(seconds=5)
    while True:
        now = context.clock.now()
        with context.store.writing() as connection:
            lease = leaders.lead(connection, LOOP, context.holder, now, context.lease * 4)
        if lease is not None or now > deadline:
            return lease
        context.clock.sleep(timedelta(milliseconds=500))


def _signals(settings: DeploySettings, clock: Clock) -> Signals:
    if settings.broker_url is None:
        return LocalSignals(clock)
    return RedisSignals(settings.broker_url.get_secret_value(), clock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
