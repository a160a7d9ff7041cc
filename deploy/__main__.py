"""`python -m deploy`: the deploy loop. `python -m deploy retire`: take everything of all lanes down.

SIGTERM ends the loop; what was deployed keeps running, and a rollout under way is finished by whoever comes next.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import structlog

from deploy.checks import RealProber
from deploy.context import LOOP, Context, Threads
from deploy.loop import Deployer
from deploy.targets.place import RealTargets
from farmgate import blobs, process_log
from farmgate.broker import LocalSignals, RedisSignals, Signals
from farmgate.clock import Clock, SystemClock, random_token
from farmgate.errors import FarmgateError
from farmgate.models import Leader
from farmgate.settings import DeploySettings, read
from farmgate.store import lanes, leaders, releases
from farmgate.store.database import Store
from farmgate.store.migrate import migrate

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """The exit status: 0 done, 1 with what is wrong on standard error, 2 for a wrong use."""
    if arguments not in ([], ["retire"]):
        sys.stderr.write("usage: python -m deploy [retire]\n")
        return 2
    try:
        settings = read(DeploySettings)
        process_log.set_up(settings.log_format)
        context = make_context(settings)
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
    return Context(
        store=store,
        targets=RealTargets(
            folder, blobs.at(settings), clock, embedded=settings.embedded, in_container=settings.in_container
        ),
        prober=RealProber(),
        clock=clock,
        signals=_signals(settings, clock),
        hands=Threads(),
        holder=f"{platform.node()}/{os.getpid()}/{random_token()[:8]}",
        tick=settings.tick,
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
