"""The deploy loop: one leader looks at every lane, plans, and acts.

Rules:
1. Only the holder of the lease 'deploy' acts; its epoch is written into the lanes and rollouts it takes, and fences it
   off from targets once a newer one has taken over.
2. A lane that something is done on (a step, a check) is left alone until that has ended; other lanes go on.
3. Decisions that only write are carried out at once, one after the other, until the lane waits for something.
4. A lane whose plan or writing fails is left alone for a growing while; the others are not held up.
5. Between rollouts what is live is tended: a dead switch or instance is brought back. A switch whose process is gone
   is started again at any time, within WATCH_EVERY and its start.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from deploy import apply, snapshot, steps
from deploy.context import LOOP, Busy, Context
from deploy.decisions import (
    AskChecks,
    BeginStep,
    Rest,
)
from deploy.plan import plan_rollout
from deploy.plan_lanes import plan_lane
from deploy.rollout_view import RolloutView
from deploy.writing import ACTOR
from farmgate import states
from farmgate.errors import FarmgateError, LostRace
from farmgate.models import Lane, Leader, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import events, handovers, holds, lanes, leaders, releases, rollouts

log = structlog.get_logger()
TEND_EVERY: Final = timedelta(seconds=5)
WATCH_EVERY: Final = timedelta(milliseconds=250)
_MOVES: Final = 50
_SOON: Final = timedelta(milliseconds=200)
_LONGEST_PAUSE: Final = timedelta(minutes=5)


@dataclass(slots=True)
class _Trouble:
    times: int = 0
    until: datetime | None = None


class Deployer:
    """The loop's memory is only what may be lost: the lease, which lanes are busy, when they were tended."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lease: Leader | None = None
        self._busy = Busy()
        self._tended: dict[int, datetime] = {}
        self._lanes: tuple[Lane, ...] = ()
        self._trouble: dict[int, _Trouble] = {}

    @property
    def epoch(self) -> int | None:
        """Of the lease; None while another leads."""
        return self._lease.epoch if self._lease is not None else None

    def run(self, stopped: threading.Event) -> None:
        """Look again and again until told to stop."""
        watching = threading.Thread(target=self._watch, args=(stopped,), name="watch", daemon=True)
        watching.start()
        while not stopped.is_set():
            try:
                pause = self.tick()
                if self._context.alive_file is not None:
                    self._context.alive_file.touch()
            except Exception:
                log.exception("a look at the lanes failed")
                pause = self._context.tick
            self._context.signals.wait(LOOP, pause)
        watching.join()
        self.resign()

    def _watch(self, stopped: threading.Event) -> None:
        """Start switches again whose process is gone: every request fails until then, whatever else is going on."""
        clock, later = self._context.clock, dict[int, datetime]()
        while not stopped.is_set():
            epoch, now = self.epoch, clock.now()
            for lane in self._lanes if epoch is not None else ():
                if epoch is None or now < later.get(lane.id, now):
                    continue
                try:
                    if self._context.targets.of(lane.id, lanes.policy_of(lane)).watch(epoch):
                        log.warning("a switch was gone and is back", lane=f"{lane.application}/{lane.environment}")
                except Exception as error:  # noqa: BLE001 - it is tried again, and tending says more
                    later[lane.id] = now + TEND_EVERY
                    log.warning("a switch is gone and does not come back", lane=lane.id, error=str(error))
            clock.wait(stopped, WATCH_EVERY)

    def tick(self) -> timedelta:
        """Look at every lane once; how long to wait before the next look."""
        now = self._context.clock.now()
        if not self._lead(now):
            return self._context.tick
        with self._context.store.reading() as connection:
            found = lanes.every(connection)
            over, late = holds.any_to_tell(connection, now), handovers.any_late(connection, now)
        if over:
            apply.tell_ended_holds(self._context, found)
        if late:
            apply.end_late_handovers(self._context)
        self._lanes = tuple(found)
        wake = [self._look(lane, now) for lane in found]
        soonest = min((time for time in wake if time is not None), default=None)
        if soonest is None:
            return self._context.tick
        return max(timedelta(milliseconds=10), min(self._context.tick, soonest - self._context.clock.now()))

    def resign(self) -> None:
        """Give the lease up, so that a successor need not wait."""
        if self._lease is not None:
            with self._context.store.writing() as connection:
                leaders.resign(connection, LOOP, self._context.holder, self._context.clock.now())
            self._lease = None

    def _lead(self, now: datetime) -> bool:
        lease = self._lease
        if lease is not None and now < lease.until - self._context.lease / 2:
            return True
        if lease is None:
            with self._context.store.reading() as connection:
                if leaders.another_leads(connection, LOOP, self._context.holder, now):
                    return False
        with self._context.store.writing() as connection:
            self._lease = leaders.lead(connection, LOOP, self._context.holder, now, self._context.lease)
        if self._lease is not None and (lease is None or lease.epoch != self._lease.epoch):
            log.info("leads the lanes", epoch=self._lease.epoch)
        return self._lease is not None

    def _look(self, lane: Lane, now: datetime) -> datetime | None:
        """Bring a lane as far as it goes now; when to look again, if that is known."""
        trouble = self._trouble.get(lane.id)
        if trouble is not None and trouble.until is not None and now < trouble.until:
            return trouble.until
        if lane.id in self._busy:
            return None
        try:
            until = self._advance(lane.id)
        except LostRace as error:
            log.info("someone else was first", lane=lane.id, why=str(error))
            return now + _SOON
        except Exception as error:  # noqa: BLE001 - one lane's trouble is not the others'
            return self._leave_alone(lane, error, now)
        self._trouble.pop(lane.id, None)
        return until

    def _advance(self, lane_id: int) -> datetime | None:
        epoch = self.epoch
        for _ in range(_MOVES):
            if epoch is None:
                return None
            now = self._context.clock.now()
            with self._context.store.reading() as connection:
                seen = snapshot.read(connection, lanes.by_id(connection, lane_id), now)
            if seen.lane.epoch > epoch:
                self._lease = None  # a newer controller has it: we do not lead any more
                return None
            if seen.rollout is None:
                decision = plan_lane(seen.view, seen.lane.rollback, seen.loss, now, follows=seen.follows)
                if isinstance(decision, Rest):
                    self._tend(seen, epoch, now)
                    return decision.until
                self._take(seen.lane, epoch)
                apply.to_lane(self._context, seen, epoch, decision)
                if seen.view.mates:
                    self._context.signals.wake(LOOP)  # it may have been about the others too
                continue
            if seen.rollout.rollout.epoch < epoch or seen.lane.epoch < epoch:
                self._take_over(seen.lane, seen.rollout, epoch)
                continue
            move = plan_rollout(seen.rollout, now)
            if isinstance(move, Rest):
                return move.until
            if isinstance(move, BeginStep | AskChecks):
                if not self._hand_over(lane_id, seen.rollout, move, now):
                    return None
                continue
            apply.to_rollout(self._context, seen, seen.rollout, move)
            if seen.rollout.joint is not None:
                self._context.signals.wake(LOOP)
        return self._context.clock.now()

    def _take(self, lane: Lane, epoch: int) -> None:
        if lane.epoch < epoch:
            with self._context.store.writing() as connection:
                lanes.take(connection, lane.id, epoch)

    def _take_over(self, lane: Lane, view: RolloutView, epoch: int) -> None:
        """Make the lane and its rollout ours. What the lost controller was doing is begun again by its key."""
        with self._context.store.writing() as connection:
            lanes.take(connection, lane.id, epoch)
            rollouts.take_over(connection, view.rollout, epoch)
        log.info("took over", rollout=view.rollout.number, lane=f"{lane.application}/{lane.environment}", epoch=epoch)

    def _hand_over(self, lane_id: int, view: RolloutView, move: BeginStep | AskChecks, now: datetime) -> bool:
        """Begin a step or checks; True if they are over already (hands that work at once)."""
        context = self._context
        if not self._busy.take(lane_id):
            return False
        try:
            if isinstance(move, BeginStep):
                with context.store.writing() as connection:
                    rollouts.begin_step(connection, view.rollout, move.key, now, {**move.told, "tries": move.tries})
        except BaseException:
            self._busy.leave(lane_id)
            raise

        def work() -> None:
            try:
                if isinstance(move, BeginStep):
                    steps.do_step(context, view, move.key, move.tries)
                else:
                    steps.ask_checks(context, view, move.wave, move.checks)
            except Exception:
                log.exception("a step was lost", lane=lane_id)
            finally:
                self._busy.leave(lane_id)
                context.signals.wake(LOOP)

        context.hands.take(work)
        return lane_id not in self._busy

    def _tend(self, seen: snapshot.Seen, epoch: int, now: datetime) -> None:
        lane_id, last = seen.lane.id, self._tended.get(seen.lane.id)
        if seen.view.live is None or (last is not None and now < last + TEND_EVERY) or not self._busy.take(lane_id):
            return
        self._tended[lane_id] = now
        policy = seen.view.policy

        def work() -> None:
            try:
                tend(self._context, lane_id, policy, epoch)
            except FarmgateError as error:
                log.warning("what is live could not be tended", lane=policy.name, error=str(error))
            except Exception:
                log.exception("tending failed", lane=policy.name)
            finally:
                self._busy.leave(lane_id)

        self._context.hands.take(work)

    def _leave_alone(self, lane: Lane, error: Exception, now: datetime) -> datetime:
        trouble = self._trouble.setdefault(lane.id, _Trouble())
        trouble.times += 1
        trouble.until = now + min(_LONGEST_PAUSE, timedelta(seconds=2 ** min(trouble.times, 10)))
        name = f"{lane.application}/{lane.environment}"
        log.error("a lane could not be planned", lane=name, times=trouble.times, exc_info=error)
        if trouble.times == 1:
            with self._context.store.writing() as connection:
                text = f"the deploy loop failed here and tries again: {type(error).__name__}: {error}"
                events.record(connection, now, "lane.trouble", f"lane/{name}", ACTOR, text)
        return trouble.until


def tend(context: Context, lane_id: int, policy: LanePolicy, epoch: int) -> None:
    """Bring back what died of what is live in a lane."""
    with context.store.reading() as connection:
        live = releases.live_of(connection, lane_id)
        if live is None or rollouts.active_of(connection, lane_id) is not None:
            return
        last = next(iter(rollouts.finished(connection, lane_id, 1)), None)
        if last is not None and last.state is states.Rollout.STUCK and last.kind is RolloutKind.ROLLBACK:
            return  # a person wanted away from what is live: it stays as it is until a person says more
    as_it_was = policy.model_copy(update={"target": lanes.target_of(live.config)})
    context.targets.of(lane_id, as_it_was).tend(steps.package_of(live), epoch)
