"""Why each waiting job waits, in words, from the same predicates that decide. Pure.

Rules:
1. Told is the first thing that must change before the job can go: its run is held, what it needs is not over, it rests,
   its group or its family is full, no node has its labels, no node takes work, others are before it.
2. Who holds what it waits for is named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime

from farmgate import states
from scheduler.dispatch import rests, rests_until
from scheduler.groups import name_of
from scheduler.order import Waiting, order
from scheduler.places import Rooms, has_labels
from scheduler.view import JobView, NodeView, RunView, Snapshot

NAMED = 3  # of several jobs or nodes


def why(snapshot: Snapshot, now: datetime) -> dict[int, str]:
    """For each job that waits, by job id."""
    rooms = Rooms(snapshot, now)
    ready: dict[str, list[Waiting]] = defaultdict(list)
    told: dict[int, str] = {}
    for run in snapshot.runs:
        by_name = {job.name: job for job in run.jobs}
        for job in run.jobs:
            match job.state:
                case states.Job.WAITING | states.Job.READY if run.hold is not None:
                    told[job.id] = run.hold
                case states.Job.WAITING:
                    told[job.id] = _why_waiting(job, by_name)
                case states.Job.READY if rests(job, now):
                    told[job.id] = _why_resting(job, now)
                case states.Job.READY:
                    ready[job.pool].append((job, run))
                    rooms.waits(job)
                case states.Job.QUEUED:
                    told[job.id] = _why_queued(job, rooms, now)
                case _:
                    pass
    names = {job.id: (job, run) for run in snapshot.runs for job in run.jobs if job.exclusion is not None}
    for pool, waiting in ready.items():
        open_: list[Waiting] = []
        for job, run in waiting:
            reason = _why_blocked(job, rooms, names)
            if reason is None:
                open_.append((job, run))
            else:
                told[job.id] = reason + _again(job)
        for before, job in enumerate(order(rooms.loads[pool], open_, now, snapshot.rules, lambda _: True)):
            told[job.id] = _why_ready(job, rooms, before) + _again(job)
    return told


def _why_waiting(job: JobView, by_name: dict[str, JobView]) -> str:
    open_ = [
        f"{name} ({by_name[name].state})"
        for name in job.needs
        if name in by_name and by_name[name].counts_as is not states.Job.PASSED
    ]
    more = f" and {len(open_) - 20} more" if len(open_) > 20 else ""
    return "waits for " + ", ".join(open_[:20]) + more


def _why_resting(job: JobView, now: datetime) -> str:
    seconds = math.ceil(((rests_until(job) or now) - now).total_seconds())
    if job.losses < 2:
        return f"failed {job.failures} times, tries again in {seconds} s; the last time: {job.reason or 'not told why'}"
    return f"lost {job.losses} times, tries again in {seconds} s; the last time: {job.reason or 'not told why'}"


def _again(job: JobView) -> str:
    return f"; attempt {job.attempt} because: {job.reason}" if job.losses and job.reason else ""


def _why_blocked(job: JobView, rooms: Rooms, names: dict[int, Waiting]) -> str | None:
    """What must change before it is its turn at all."""
    if not rooms.fitting(job):
        return _why_no_node(job, rooms.nodes)
    if not rooms.group_has_room(job):
        return _why_group(job, rooms, names)
    if not rooms.family_has_room(job):
        return f"{job.family_limit} of {job.family} run at a time, and so many do"
    return None


def _why_no_node(job: JobView, nodes: tuple[NodeView, ...]) -> str:
    here = [node for node in nodes if node.pool == job.pool]
    with_labels = [node for node in here if has_labels(node, job)]
    if not job.labels or with_labels:
        known = ", ".join(f"{node.name} is {node.state}" for node in with_labels[:NAMED])
        what = f" with {_labels(job.labels)}" if job.labels else ""
        return f"no node of pool {job.pool}{what} takes work" + (f": {known}" if known else "; enrol one")
    if not here:
        return f"no node of pool {job.pool} takes work; enrol one with {_labels(job.labels)}"
    near = min(here, key=lambda node: (len(_missing(node, job)), node.state is not states.Node.READY, node.name))
    missing = _missing(near, job)
    has = dict(near.labels)
    lacks = ", ".join(
        f"{name}={value}" + (f" (it has {name}={has[name]})" if name in has else "") for name, value in missing
    )
    return f"no node of pool {job.pool} has {_labels(job.labels)}; the nearest, {near.name}, lacks {lacks}"


def _missing(node: NodeView, job: JobView) -> list[tuple[str, str]]:
    return [label for label in job.labels if label not in node.labels]


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels)


def _why_group(job: JobView, rooms: Rooms, names: dict[int, Waiting]) -> str:
    exclusion = job.exclusion or ""
    group = rooms.groups[exclusion]
    before = sum((one.run_id, one.id) < (job.run_id, job.id) for one in group.waiting)
    holders = ", ".join(f"{_called(*names[one.id])} ({one.state})" for one in group.holders[:NAMED])
    more = f" and {len(group.holders) - NAMED} more" if len(group.holders) > NAMED else ""
    held = f"held by {holders}{more}" if holders else "not free yet"
    queue = f"; {before} before it" if before else ""
    return f"its group {name_of(exclusion)} is {held}{queue}"


def _called(job: JobView, run: RunView) -> str:
    return f"{job.name} of run {run.id}"


def _why_ready(job: JobView, rooms: Rooms, before: int) -> str:
    pool = rooms.pools[job.pool]
    if not rooms.any_node(job):
        nodes = rooms.fitting(job)
        slots = sum(node.slots for node in nodes)
        where = f"the {slots} slots of {', '.join(node.name for node in nodes[:NAMED])} ({_labels(job.labels)})"
        return f"{before} jobs are before it for {where}" if before else f"next for one of {where}"
    if before:
        return f"{before} jobs are before it for the {pool.slots} slots of pool {job.pool}"
    return f"next for one of the {pool.slots} slots of pool {job.pool}"


def _why_queued(job: JobView, rooms: Rooms, now: datetime) -> str:
    pool = rooms.pools.get(job.pool)
    seconds = round((now - job.rung_at).total_seconds()) if job.rung_at else 0
    if pool is None:
        return f"no node of pool {job.pool} takes work any more; it goes on when one is back"
    if not rooms.fitting(job):
        return f"{_why_no_node(job, rooms.nodes)}; it goes on when one is back"
    node = next((one for one in rooms.nodes if one.id == job.rung_to), None)
    if node is not None:
        if rooms.at_node[node.id] >= node.slots:
            return f"sent to {node.name}, whose {node.slots} slots are all busy"
        to = node.name
    else:
        if rooms.running[job.pool] >= pool.slots:
            return f"sent to pool {job.pool}, whose {pool.slots} slots are all busy"
        to = f"pool {job.pool}"
    times = f" (rung {job.rings} times)" if job.rings > 1 else ""
    return f"sent to {to} {seconds} s ago, waits for a worker to claim it{times}"
