"""Which ready jobs are sent to which pool, and in which order. Pure.

Rules:
1. Just in time: a pool's queue holds as many jobs as its ready nodes have free slots, plus a small look-ahead that
   keeps them busy. Everything else stays a row, where it can still be reordered or cancelled.
2. Repositories share: the next place goes to the one with the fewest jobs under way in this pool.
3. Within a repository: the delivered branch first, then pushes and tags, then pull requests; the oldest run first; in
   the order of the pipeline file. A job that has waited for `ageing` counts as of the delivered branch, so that
   nothing starves.
4. Between repositories with equally many jobs under way, the one whose next job comes first by rule 3 goes first.
5. A job that lost its infrastructure tries again at once; one that lost it again rests first, longer each time, so
   that its few attempts outlast what ails the node.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from farmgate import states
from farmgate.models import Trigger
from scheduler.decisions import Ring
from scheduler.view import JobView, NodeView, Rules, RunView, Snapshot

UNDER_WAY = (states.Job.QUEUED, states.Job.RUNNING)
FIRST_REST = timedelta(seconds=5)
LONGEST_REST = timedelta(minutes=2)
Urgency = tuple[int, datetime, int, int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """A pool's slots. `wanted`: how many jobs may be queued or running at once, look-ahead included."""

    nodes: int
    slots: int
    wanted: int


def capacity(nodes: Iterable[NodeView], rules: Rules) -> dict[str, Capacity]:
    """Per pool, of the nodes that take work."""
    slots: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for node in nodes:
        if node.state is states.Node.READY:
            slots[node.pool] += node.slots
            count[node.pool] += 1
    return {
        pool: Capacity(count[pool], total, total + math.ceil(total * rules.look_ahead)) for pool, total in slots.items()
    }


def rests_until(job: JobView) -> datetime | None:
    """When a job that was lost more than once may be sent again (rule 5): 5 s, 20 s, 80 s, 2 min, ... after."""
    if job.losses < 2 or job.ready_at is None:
        return None
    growth: int = 4 ** min(job.losses - 2, 5)
    return job.ready_at + min(FIRST_REST * growth, LONGEST_REST)


def _rests(job: JobView, now: datetime) -> bool:
    until = rests_until(job)
    return until is not None and now < until


def urgency(job: JobView, run: RunView, now: datetime, rules: Rules) -> Urgency:
    """Smaller goes first (rule 3)."""
    aged = job.ready_at is not None and job.ready_at + rules.ageing <= now
    if run.delivered or aged:
        rank = 0
    elif run.trigger in (Trigger.PUSH, Trigger.TAG, Trigger.PERSON):
        rank = 1
    else:
        rank = 2
    return rank, run.created_at, run.id, job.id


def order(snapshot: Snapshot, pool: str, now: datetime, ready: Iterable[tuple[JobView, RunView]]) -> Iterator[JobView]:
    """The ready jobs of a pool, in the order in which they get places (rules 2 to 4)."""
    under_way: Counter[int] = Counter()
    for run in snapshot.runs:
        under_way[run.repository_id] += sum(job.pool == pool and job.state in UNDER_WAY for job in run.jobs)
    queues: dict[int, list[tuple[Urgency, JobView]]] = defaultdict(list)
    for job, run in ready:
        queues[run.repository_id].append((urgency(job, run, now, snapshot.rules), job))
    for queue in queues.values():
        queue.sort(key=lambda entry: entry[0], reverse=True)
    turns = [(under_way[repository], queue[-1][0], repository) for repository, queue in queues.items()]
    heapq.heapify(turns)
    while turns:
        busy, _, repository = heapq.heappop(turns)
        queue = queues[repository]
        yield queue.pop()[1]
        if queue:
            heapq.heappush(turns, (busy + 1, queue[-1][0], repository))


def rings(snapshot: Snapshot, now: datetime, made_ready: frozenset[int], ended: frozenset[int]) -> list[Ring]:
    """What is sent now; `made_ready` and `ended` are jobs that this plan has moved already."""
    pools = capacity(snapshot.nodes, snapshot.rules)
    ready: dict[str, list[tuple[JobView, RunView]]] = defaultdict(list)
    under_way: Counter[str] = Counter()
    for run in snapshot.runs:
        for job in run.jobs:
            if job.id in ended:
                continue
            if job.state is states.Job.READY or job.id in made_ready:
                if not _rests(job, now):
                    ready[job.pool].append((job, run))
            elif job.state in UNDER_WAY:
                under_way[job.pool] += 1
    decided: list[Ring] = []
    for pool, jobs in ready.items():
        room = pools[pool].wanted - under_way[pool] if pool in pools else 0
        if room <= 0:
            continue
        for job, _ in zip(order(snapshot, pool, now, jobs), range(room), strict=False):
            decided.append(Ring(job.id, job.attempt, pool, f"room for {room} more in pool {pool}"))
    return decided


def why(snapshot: Snapshot, now: datetime) -> dict[int, str]:
    """For each job that waits, in words, why; by job id. From the same predicates that decide."""
    pools = capacity(snapshot.nodes, snapshot.rules)
    running: Counter[str] = Counter()
    ready: dict[str, list[tuple[JobView, RunView]]] = defaultdict(list)
    told: dict[int, str] = {}
    for run in snapshot.runs:
        by_name = {job.name: job for job in run.jobs}
        for job in run.jobs:
            running[job.pool] += job.state is states.Job.RUNNING
            if job.state is states.Job.READY and _rests(job, now):
                told[job.id] = _why_resting(job, now)
            elif job.state is states.Job.READY:
                ready[job.pool].append((job, run))
            elif job.state is states.Job.WAITING:
                told[job.id] = "waits for " + ", ".join(
                    f"{name} ({by_name[name].state})"
                    for name in job.needs
                    if name in by_name and by_name[name].state is not states.Job.PASSED
                )
    for run in snapshot.runs:
        for job in run.jobs:
            if job.state is states.Job.QUEUED:
                told[job.id] = _why_queued(job, pools.get(job.pool), running[job.pool], now)
    for pool, jobs in ready.items():
        known = pools.get(pool)
        for before, job in enumerate(order(snapshot, pool, now, jobs)):
            told[job.id] = _why_ready(job, known, snapshot.nodes, before)
    return told


def _why_resting(job: JobView, now: datetime) -> str:
    until = rests_until(job) or now
    seconds = math.ceil((until - now).total_seconds())
    return f"lost {job.losses} times, tries again in {seconds} s; the last time: {job.reason or 'not told why'}"


def _why_ready(job: JobView, pool: Capacity | None, nodes: Iterable[NodeView], before: int) -> str:
    again = f"; attempt {job.attempt} because: {job.reason}" if job.losses and job.reason else ""
    if pool is None:
        others = ", ".join(f"{node.name} is {node.state}" for node in nodes if node.pool == job.pool)
        return f"no node of pool {job.pool} takes work" + (f": {others}" if others else "; enrol one") + again
    if before:
        return f"{before} jobs are before it for the {pool.slots} slots of pool {job.pool}{again}"
    return f"next for one of the {pool.slots} slots of pool {job.pool}{again}"


def _why_queued(job: JobView, pool: Capacity | None, running: int, now: datetime) -> str:
    seconds = round((now - job.rung_at).total_seconds()) if job.rung_at else 0
    if pool is None:
        return f"no node of pool {job.pool} takes work any more; it goes on when one is back"
    if running >= pool.slots:
        return f"sent to pool {job.pool}, whose {pool.slots} slots are all busy"
    times = f" (rung {job.rings} times)" if job.rings > 1 else ""
    return f"sent to pool {job.pool} {seconds} s ago, waits for a worker to claim it{times}"
