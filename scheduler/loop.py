"""The loop: look, plan, act; woken by signals, and every second by itself.

Rules:
1. Only the leader acts; its lease is renewed well before it ends. A second scheduler serves requests and waits.
2. As long as a tick changed something that others wait for, the next one follows at once: what a job's end sets free
   goes on at once. A bell and a packed log set nothing free; nor does a run's end, but for what was said of its
   commit from outside, and for commits of our own.
3. A decision that fails is logged and recorded, and tried again at a growing pause; after a few failures it is
   quarantined for a while, so that one bad row never stops or floods the rest.
4. Nothing that takes long happens in the tick.
5. What candidates are made of, and imports of vulnerabilities, are looked at every few seconds, in the background.
6. The leader lets bytes go whose time is over, and keys follow one another, in the background, soon after it began and
   then at intervals.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from farmgate.clock import random_token
from farmgate.store import events, leaders
from scheduler import identity_api, retention, supply
from scheduler.apply import ACTOR, apply
from scheduler.background import Background, Threads
from scheduler.context import LOOP, Context
from scheduler.decisions import Decision, Finish, PackLog, Ring, RingAgain, is_log, key_of
from scheduler.plan import plan
from scheduler.snapshot import is_idle, rules_of, snapshot
from scheduler.supply import Supply

log = structlog.get_logger("farmgate.scheduler")
LEASE = timedelta(seconds=10)
TICK = timedelta(seconds=1)
BACKGROUND_THREADS = 4
QUARANTINE_AFTER = 5
FIRST_PAUSE = timedelta(seconds=1)
QUARANTINE = timedelta(minutes=5)
TICKS_AT_ONCE = 50
HOUSEKEEPING = ("supply", "vulnerabilities", "retention", "identity")
SETS_NOTHING_FREE = (Ring, RingAgain, PackLog)
TIDY_FIRST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Failure:
    """A decision that failed: how often, and when it may be tried again."""

    count: int
    until: datetime


class Watched:
    """Background work whose failures count as the decision's."""

    def __init__(self, loop: Loop, key: str) -> None:
        self._loop = loop
        self._key = key
        self.used = False

    def start(self, key: str, work: Callable[[], object]) -> bool:
        self.used = True

        def watched() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # tried again later, from the rows
                self._loop.failed(self._key, error, self._loop.context.clock.now())
            else:
                self._loop.worked(self._key)

        return self._loop.background.start(key, watched)

    def busy(self) -> frozenset[str]:
        return self._loop.background.busy()


class Loop:
    """One scheduler's loop. `tick` may be called by tests and simulations; `run` is the thread."""

    def __init__(self, context: Context, background: Background, holder: str | None = None) -> None:
        self.context = context
        self.background = background
        self.holder = holder or f"{socket.gethostname()[:40]}-{os.getpid()}-{random_token()[:8]}"
        self._rules = rules_of(context.settings)
        self._failures: dict[str, Failure] = {}
        self._fresh = self._open = True
        self._led_until: datetime | None = None
        self._tidy_at: datetime | None = None
        self._supply = Supply(context)
        self._supply_at: datetime | None = None

    def lead(self) -> bool:
        """Rule 1."""
        now = self.context.clock.now()
        if self._led_until is not None and now < self._led_until - LEASE / 2:
            return True
        if self._led_until is None:
            with self.context.store.reading() as connection:
                if leaders.another_leads(connection, LOOP, self.holder, now):
                    return False
        with self.context.store.writing() as connection:
            leader = leaders.lead(connection, LOOP, self.holder, now, LEASE)
        self._led_until = None if leader is None else leader.until
        return leader is not None

    def tick(self) -> int:
        """Look, plan, act once. How many decisions changed something that the next look may build on."""
        now = self.context.clock.now()
        with self.context.store.reading() as connection:
            if not self._open and is_idle(connection, self._rules, now):
                return 0
            seen = snapshot(connection, self._rules, busy=self.background.busy(), fresh=self._fresh)
        self._fresh, self._open = False, bool(seen.runs)
        done = [decision for decision in plan(seen, now).decisions if self.act(decision)]
        if done:
            self.context.changes.touch()
        nothing = SETS_NOTHING_FREE if seen.submissions or seen.made else (*SETS_NOTHING_FREE, Finish)
        return sum(not isinstance(decision, nothing) for decision in done)

    def act(self, decision: Decision) -> bool:
        """Rule 3."""
        now = self.context.clock.now()
        key = key_of(decision)
        failure = self._failures.get(key)
        if failure is not None and now < failure.until:
            return False
        watched = Watched(self, key)
        try:
            done = apply(self.context, watched, decision)
        except Exception as error:  # noqa: BLE001  # one bad row must not stop the others
            self.failed(key, error, now)
            return False
        if not watched.used:
            self.worked(key)
        return done

    def worked(self, key: str) -> None:
        """A decision did not fail."""
        self._failures.pop(key, None)

    def failed(self, key: str, error: Exception, now: datetime) -> None:
        """Rule 3: of a decision, or of the background work that it began."""
        before = self._failures.get(key)
        count = 1 if before is None else before.count + 1
        quarantined = count >= QUARANTINE_AFTER
        pause = QUARANTINE if quarantined else FIRST_PAUSE * 2**count
        self._failures[key] = Failure(count, now + pause)
        log.error("a decision failed", decision=key, times=count, error=str(error), kind=type(error).__name__)
        kind = "decision.quarantined" if quarantined else "decision.failed"
        text = f"{key} failed {count} times: {type(error).__name__}: {error}; again in {pause.total_seconds():.0f} s"
        try:
            with self.context.store.writing() as connection:
                events.record(connection, now, kind, key[:200], ACTOR, text[:2000])
        except Exception as second:  # noqa: BLE001  # the database itself fails: the log has it
            log.error("the failure could not be recorded", error=str(second))

    def look_at_supply(self) -> None:
        """Rule 5."""
        now = self.context.clock.now()
        if self._supply_at is None or self._supply_at <= now:
            self._supply_at = now + supply.EVERY
            self.background.start("supply", self._supply.look)
            self.background.start("vulnerabilities", self._supply.import_)

    def tidy(self) -> None:
        """Rule 6."""
        now = self.context.clock.now()
        if self._tidy_at is None:
            self._tidy_at = now + TIDY_FIRST
        elif self._tidy_at <= now:
            self._tidy_at = now + self.context.settings.sweep_every
            self.background.start("retention", partial(retention.tidy, self.context))
            self.background.start("identity", partial(identity_api.rotate_when_due, self.context))

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        log.info("the loop begins", holder=self.holder)
        while not stop.is_set():
            try:
                if self.lead():
                    for _ in range(TICKS_AT_ONCE):
                        if stop.is_set() or not self.tick() or not self.lead():
                            break
                    self.look_at_supply()
                    self.tidy()
            except Exception as error:  # noqa: BLE001  # the database may be away for a while
                log.error("a tick failed", error=str(error), kind=type(error).__name__)
            if not stop.is_set():
                self.context.signals.wait(LOOP, TICK)
        self.resign()

    def resign(self) -> None:
        """Let a successor begin at once."""
        try:
            with self.context.store.writing() as connection:
                leaders.resign(connection, LOOP, self.holder, self.context.clock.now())
        except Exception as error:  # noqa: BLE001  # the lease ends by itself
            log.warning("the lease could not be given back", error=str(error))


class RunningLoop:
    """The loop on its thread, with its background threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stop = threading.Event()
        self.background = Threads(BACKGROUND_THREADS, done=self._woken)
        self.loop = Loop(context, self.background)
        self._thread = threading.Thread(target=self.loop.run, args=(self._stop,), name="loop", daemon=True)

    def _woken(self, key: str) -> None:
        if is_log(key) or key in HOUSEKEEPING:  # no plan builds on it, and what a page shows of it touches by itself
            return
        self._context.wake()
        self._context.changes.touch()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the present tick, and after the background work under way."""
        self._stop.set()
        self._context.wake()
        self._thread.join(timeout=30)
        self.background.close()
