"""For about how long each waiting job waits. Pure: the same rows, the same durations, the same answer.

Rules:
1. A job takes as long as its like did: the median of the last 20 that passed, of its family in its repository. What
   has no history is reckoned with the median of all that is known, and the answer says that it is rough.
2. The future is played: slots get free when what runs has taken its time, the next job goes by `order`; groups,
   families, labels and needs hold as they do for dispatch. Everything is taken to pass.
3. What cannot be told is not guessed: without any history, behind a person's answer or a hold, without a node, or only
   if something fails.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from farmgate import states
from farmgate.models import JobKind
from scheduler.dispatch import rests_until
from scheduler.order import Urgency, Waiting, order, urgency
from scheduler.places import Rooms
from scheduler.view import JobView, RunView, Snapshot

LAST = 20
OVERDUE = timedelta(seconds=5)  # what took longer than usual is taken to end soon
PLAYED = 20_000
"""Ends of jobs that are played; who starts later is not told."""

Family = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a waiting job should start. `rough`: not all that it waits for has a history of its own."""

    starts_at: datetime
    rough: bool

    def words(self, now: datetime) -> str:
        """In about how long."""
        return about(self.starts_at - now) + (
            ", roughly: some of what is before it has no history" if self.rough else ""
        )


@dataclass(frozen=True, slots=True)
class Durations:
    """How long jobs take."""

    of: Mapping[Family, timedelta] = field(default_factory=dict)
    usual: timedelta | None = None

    def of_job(self, job: JobView, run: RunView) -> tuple[timedelta | None, bool]:
        """And whether that is only what is usual."""
        own = self.of.get((run.repository_id, job.family or job.name))
        return (own, False) if own is not None else (self.usual, True)


def durations(passed: Iterable[tuple[int, str, timedelta]]) -> Durations:
    """Rule 1. `passed`: (repository, family, how long), the newest first."""
    seconds: dict[Family, list[float]] = defaultdict(list)
    for repository, family, took in passed:
        known = seconds[repository, family]
        if len(known) < LAST:
            known.append(took.total_seconds())
    of = {family: timedelta(seconds=median(known)) for family, known in seconds.items()}
    usual = timedelta(seconds=median(took.total_seconds() for took in of.values())) if of else None
    return Durations(of, usual)


def about(span: timedelta) -> str:
    """`at any moment`, `in about 40 s`, `in about 2 min`, `in about 3 h`."""
    seconds = span.total_seconds()
    if seconds < 5:
        return "at any moment"
    if seconds < 95:
        return f"in about {max(1, round(seconds / 10)) * 10} s"
    if seconds < 95 * 60:
        return f"in about {round(seconds / 60)} min"
    return f"in about {round(seconds / 3600)} h"


def forecast(snapshot: Snapshot, known: Durations, now: datetime, wanted: frozenset[int]) -> dict[int, Forecast]:
    """When these jobs should start; who is missing cannot be told (rule 3)."""
    play = _Play(snapshot, known, now)
    play.until(wanted)
    return {job: told for job, told in play.told.items() if job in wanted}


Place = tuple[float, int]


class _Play:
    """Rule 2."""

    def __init__(self, snapshot: Snapshot, known: Durations, now: datetime) -> None:
        self.known = known
        self.now = now
        self.told: dict[int, Forecast] = {}
        self._rooms = Rooms(snapshot, now)
        self._free = {node.id: node.slots for node in snapshot.nodes if node.state is states.Node.READY}
        self._of: dict[int, Waiting] = {}
        self._ends: list[tuple[datetime, int, int | None]] = []  # when, which job, on which node
        self._due: list[tuple[datetime, int]] = []  # rests end
        self._queues: dict[str, list[tuple[Place, JobView]]] = defaultdict(list)
        self._aside: dict[tuple[str, object], list[tuple[Place, JobView]]] = defaultdict(list)
        self._held: Counter[str] = Counter()
        self._families: Counter[tuple[int, str]] = Counter()
        self._missing: dict[int, int] = {}  # how many of what it needs are not over
        self._needed_by: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._ranks: dict[tuple[str, int], list[tuple[Urgency, float]]] = defaultdict(list)
        self._rough: dict[str, bool] = defaultdict(bool)
        self._begin(snapshot)

    def _begin(self, snapshot: Snapshot) -> None:
        at = {attempt.job_id: attempt.node_id for attempt in snapshot.attempts}
        ready: dict[str, list[Waiting]] = defaultdict(list)
        for run in snapshot.runs:
            if run.hold is not None:
                continue
            over = {job.name for job in run.jobs if states.is_final(job.state)}
            for job in run.jobs:
                self._of[job.id] = (job, run)
                match job.state:
                    case states.Job.RUNNING:
                        self._run(job, at.get(job.id), job.started_at or self.now)
                    case states.Job.QUEUED:
                        heapq.heappush(self._queues[job.pool], ((-1.0, job.id), job))
                    case states.Job.READY if (rested := rests_until(job)) is not None and rested > self.now:
                        heapq.heappush(self._due, (rested, job.id))
                    case states.Job.READY:
                        ready[job.pool].append((job, run))
                    case states.Job.WAITING if job.kind is JobKind.WORK and job.runs_when != "failed":
                        open_ = [name for name in job.needs if name not in over]
                        self._missing[job.id] = len(open_)
                        for name in open_:
                            self._needed_by[run.id, name].append(job.id)
                    case _:
                        pass
        for pool, waiting in ready.items():
            in_turn = order(self._rooms.loads[pool], waiting, self.now, snapshot.rules, lambda _: True)
            for place, job in enumerate(in_turn):
                run = self._of[job.id][1]
                self._ranks[pool, run.repository_id].append((urgency(job, run), float(place)))
                heapq.heappush(self._queues[pool], ((float(place), job.id), job))
        for ranks in self._ranks.values():
            ranks.sort()

    def until(self, wanted: frozenset[int]) -> None:
        """Play on until all wanted jobs have started, or nothing more happens."""
        left = {job for job in wanted if job in self._of}
        time = self.now
        for pool in list(self._queues):
            self._fill(pool, time)
        for _ in range(PLAYED):
            left -= self.told.keys()
            if not left or not (self._ends or self._due):
                return
            if self._due and (not self._ends or self._due[0][0] <= self._ends[0][0]):
                time, job_id = heapq.heappop(self._due)
                self._ready(self._of[job_id][0])
                self._fill(self._of[job_id][0].pool, time)
                continue
            time, job_id, node = heapq.heappop(self._ends)
            for pool in self._end(self._of[job_id][0], node):
                self._fill(pool, time)

    def _run(self, job: JobView, node: int | None, since: datetime) -> None:
        if node in self._free:
            self._free[node] -= 1
        if job.exclusion is not None:
            self._held[job.exclusion] += 1
        if job.family_limit is not None:
            self._families[job.run_id, job.family] += 1
        takes, rough = self.known.of_job(job, self._of[job.id][1])
        if takes is None:
            return  # rule 3: it never ends in this play
        self._rough[f"job {job.id}"] = rough
        earliest = self.now + OVERDUE if since <= self.now else since
        heapq.heappush(self._ends, (max(since + takes, earliest), job.id, node))

    def _end(self, job: JobView, node: int | None) -> set[str]:
        if node in self._free:
            self._free[node] += 1
        keys: list[tuple[str, object]] = [("pool", job.pool)]
        if job.exclusion is not None:
            self._held[job.exclusion] -= 1
            keys.append(("group", job.exclusion))
        if job.family_limit is not None:
            self._families[job.run_id, job.family] -= 1
            keys.append(("family", (job.run_id, job.family)))
        self._rough[job.pool] |= self._rough.pop(f"job {job.id}", False)
        touched = {job.pool}
        for key in keys:
            for place, waiting in self._aside.pop(key, ()):
                heapq.heappush(self._queues[waiting.pool], (place, waiting))
                touched.add(waiting.pool)
        for after in self._needed_by.pop((job.run_id, job.name), ()):
            self._missing[after] -= 1
            if not self._missing[after]:
                later = self._of[after][0]
                self._ready(later)
                touched.add(later.pool)
        return touched

    def _ready(self, job: JobView) -> None:
        """Behind those of its repository that go before it by rule, and before the rest."""
        run = self._of[job.id][1]
        ranks = self._ranks[job.pool, run.repository_id]
        before = bisect_right(ranks, (urgency(job, run), float("inf")))
        place = ranks[before - 1][1] + 0.5 if before else ranks[0][1] - 0.5 if ranks else float("inf")
        heapq.heappush(self._queues[job.pool], ((place, job.id), job))

    def _fill(self, pool: str, time: datetime) -> None:
        queue = self._queues[pool]
        while queue:
            if not any(self._free.get(node.id, 0) > 0 for node in self._rooms.nodes if node.pool == pool):
                return
            place, job = heapq.heappop(queue)
            blocked = self._blocked(job)
            if blocked is not None:
                self._aside[blocked].append((place, job))
                continue
            free = [node for node in self._rooms.fitting(job) if self._free[node.id] > 0]
            if not free:
                self._aside["pool", pool].append((place, job))
                continue
            node = max(free, key=lambda one: (self._free[one.id], -one.id))
            self.told[job.id] = Forecast(time, self._rough[pool])
            self._run(job, node.id, time)

    def _blocked(self, job: JobView) -> tuple[str, object] | None:
        if job.exclusion is not None and self._held[job.exclusion] >= job.exclusion_limit:
            return "group", job.exclusion
        family = (job.run_id, job.family)
        if job.family_limit is not None and self._families[family] >= job.family_limit:
            return "family", family
        return None
