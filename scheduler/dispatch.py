"""Which ready jobs are sent to which pool or node. Pure.

Rules:
1. Just in time: only as many jobs are sent as there is room for (`places`), in the order of `order`. Everything else
   stays a row, where it can still be reordered or cancelled.
2. A job that not every node of its pool fits is sent to one node: that node's own bell is rung.
3. A job that lost its infrastructure tries again at once; one that lost it again rests first, longer each time, so
   that its few attempts outlast what ails the node. A job also rests as long as its own retry says, and nothing of a
   run that is held goes.
4. A bell that went unanswered while a slot was free is rung again, at growing intervals; the bell of a node that takes
   no work any more is rung at another one at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from farmgate import states
from scheduler.decisions import Ring, RingAgain
from scheduler.order import Waiting, order
from scheduler.places import Rooms
from scheduler.view import JobView, RunView, Snapshot

FIRST_REST = timedelta(seconds=5)
LONGEST_REST = timedelta(minutes=2)


def rests_until(job: JobView) -> datetime | None:
    """When a job may be sent again (rule 3): lost more than once, 5 s, 20 s, 80 s, 2 min, ... after."""
    if job.losses < 2 or job.ready_at is None:
        return job.not_before
    growth: int = 4 ** min(job.losses - 2, 5)
    rested = job.ready_at + min(FIRST_REST * growth, LONGEST_REST)
    return rested if job.not_before is None else max(rested, job.not_before)


def rests(job: JobView, now: datetime) -> bool:
    """Rule 3."""
    until = rests_until(job)
    return until is not None and now < until


def may_go(job: JobView, run: RunView, now: datetime) -> bool:
    """A ready job that only room is missing for."""
    return run.hold is None and job.cancel_asked is None and not rests(job, now)


def rings(snapshot: Snapshot, now: datetime, made_ready: frozenset[int], ended: frozenset[int]) -> list[Ring]:
    """What is sent now; `made_ready` and `ended` are jobs that this plan has moved already."""
    rooms = Rooms(snapshot, now, ended)
    ready: dict[str, list[Waiting]] = defaultdict(list)
    for run in snapshot.runs:
        for job in run.jobs:
            waits = job.state is states.Job.READY or job.id in made_ready
            if waits and job.id not in ended and may_go(job, run, now):
                ready[job.pool].append((job, run))
                rooms.waits(job)
    decided: list[Ring] = []
    for pool, waiting in ready.items():
        room = rooms.left.get(pool, 0)
        if room <= 0:
            continue
        reason = f"room for {room} more in pool {pool}"
        for job in order(rooms.loads[pool], waiting, now, snapshot.rules, rooms.fits):
            decided.append(Ring(job.id, job.attempt, pool, reason, rooms.give(job)))
            if rooms.left[pool] <= 0:
                break
    return decided


def ring_again(snapshot: Snapshot, now: datetime, ended: frozenset[int]) -> Iterator[RingAgain]:
    """Rule 4: only where a slot is free, since nobody can answer while all are busy."""
    rooms = Rooms(snapshot, now, ended)
    for run in snapshot.runs:
        for job in run.jobs:
            if job.state is not states.Job.QUEUED or job.id in ended or job.pool not in rooms.pools:
                continue
            decided = _again(job, rooms, snapshot, now)
            if decided is not None:
                yield decided


def _again(job: JobView, rooms: Rooms, snapshot: Snapshot, now: datetime) -> RingAgain | None:
    growth: int = 2 ** min(max(job.rings - 1, 0), 10)
    pause = min(snapshot.rules.ring_again * growth, snapshot.rules.ring_again_at_most)
    due = job.rung_at is None or job.rung_at + pause <= now
    reason = f"nobody claimed it within {pause.total_seconds():g} s"
    if rooms.any_node(job):
        free = rooms.running[job.pool] < rooms.pools[job.pool].slots
        return RingAgain(job.id, job.attempt, job.pool, job.rings + 1, reason) if free and due else None
    fits = rooms.fitting(job)
    if not fits:
        return None
    free_at = [node for node in fits if rooms.at_node[node.id] < node.slots]
    gone = job.rung_to not in {node.id for node in fits}
    if gone:
        reason = "the node that it was sent to takes no work any more"
    elif not (due and free_at):
        return None
    node = min(free_at or fits, key=lambda one: (rooms.at(one) / one.slots, one.id))
    if node.id != job.rung_to:
        rooms.sent_to[node.id] += 1
    return RingAgain(job.id, job.attempt, job.pool, job.rings + 1, reason, node.id)
