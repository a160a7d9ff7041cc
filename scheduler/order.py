"""Whose turn it is in a pool. Pure.

Rules:
1. Repositories share by weight: the next place goes to the one with the smallest (jobs under way + 1) / weight; among
   equals, to the one whose next job comes first by rule 2.
2. Within a repository by class: the delivered branch, then other branches and tags, then pull requests, then bulk.
   Within a class: the higher priority first, then the older run, then the order of the pipeline file.
3. Bulk is a job of a negative priority, and a re-run of a commit that is not the newest of its ref any more. What a
   run of a fork says of its priority is not heard.
4. Nothing starves: a repository with a job that has waited for `ageing`, and none such under way, gets the next place
   for its oldest one, before all shares and classes; of several such repositories, the one whose job waits longest.
   So a job goes at the latest after `ageing` and 2 (n + 1) times the longest job, n: the jobs of the pool that were
   ready before it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from farmgate import states
from farmgate.models import Trigger, Trust
from scheduler.view import JobView, Rules, RunView

UNDER_WAY = (states.Job.QUEUED, states.Job.RUNNING)
Urgency = tuple[int, int, datetime, int, int]
Waiting = tuple[JobView, RunView]


class Class(IntEnum):
    """Smaller goes first."""

    DELIVERED = 0
    BRANCH = 1
    PULL = 2
    BULK = 3


def class_of(job: JobView, run: RunView) -> Class:
    """Rules 2 and 3."""
    if priority_of(job, run) < 0 or (is_again(run) and not run.newest):
        return Class.BULK
    if run.delivered:
        return Class.DELIVERED
    return Class.PULL if run.trigger is Trigger.PULL else Class.BRANCH


def priority_of(job: JobView, run: RunView) -> int:
    """Rule 3."""
    return job.priority if run.trust is Trust.TRUSTED else 0


def is_again(run: RunView) -> bool:
    """A run that repeats another."""
    return run.again_of is not None or run.ordinal > 1


def urgency(job: JobView, run: RunView) -> Urgency:
    """Smaller goes first (rule 2)."""
    return class_of(job, run), -priority_of(job, run), run.created_at, run.id, job.id


def has_aged(job: JobView, now: datetime, rules: Rules) -> bool:
    """Rule 4. Of a job under way: it had, when its bell was rung."""
    if job.ready_at is None:
        return False
    until = job.rung_at if job.state in UNDER_WAY and job.rung_at is not None else now
    return until - job.ready_at >= rules.ageing


@dataclass(slots=True)
class Load:
    """What is under way in one pool, by repository."""

    jobs: Counter[int] = field(default_factory=Counter)
    aged: set[int] = field(default_factory=set)  # the repositories with an aged job under way

    def add(self, job: JobView, run: RunView, now: datetime, rules: Rules) -> None:
        self.jobs[run.repository_id] += 1
        if has_aged(job, now, rules):
            self.aged.add(run.repository_id)


def order(
    load: Load, ready: Iterable[Waiting], now: datetime, rules: Rules, fits: Callable[[JobView], bool]
) -> Iterator[JobView]:
    """The ready jobs of a pool in the order in which they get places. `fits` is asked when it is a job's turn; who
    does not fit is passed over."""
    queues: dict[int, list[tuple[Urgency, JobView]]] = defaultdict(list)
    weights: dict[int, int] = {}
    aged: dict[int, list[tuple[datetime, int, JobView]]] = defaultdict(list)
    for job, run in ready:
        queues[run.repository_id].append((urgency(job, run), job))
        weights[run.repository_id] = max(1, run.weight)
        if job.ready_at is not None and has_aged(job, now, rules) and run.repository_id not in load.aged:
            aged[run.repository_id].append((job.ready_at, job.id, job))
    busy = Counter(load.jobs)
    given: set[int] = set()
    for _, _, repository in sorted((*min(jobs)[:2], repository) for repository, jobs in aged.items()):  # rule 4
        for _, _, job in sorted(aged[repository], key=lambda entry: entry[:2]):
            if fits(job):
                given.add(job.id)
                busy[repository] += 1
                yield job
                break
    for queue in queues.values():
        heapq.heapify(queue)
    turns = [((busy[one] + 1) / weights[one], queue[0][0], one) for one, queue in queues.items()]
    heapq.heapify(turns)
    while turns:  # rule 1
        _, _, repository = heapq.heappop(turns)
        queue = queues[repository]
        while queue:
            job = heapq.heappop(queue)[1]
            if job.id not in given and fits(job):
                busy[repository] += 1
                yield job
                break
        if queue:
            heapq.heappush(turns, ((busy[repository] + 1) / weights[repository], queue[0][0], repository))
