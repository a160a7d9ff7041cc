"""What room there is: of pools, of nodes, of concurrency groups and of families. Pure.

Rules:
1. A pool has room for as many jobs as its ready nodes have slots, plus a small look-ahead that keeps them busy.
2. A job with labels goes only to nodes that have them all: it needs room in the pool, and at one of these nodes. Where
   every ready node of the pool has them, any may take it.
3. Of a concurrency group at most `limit` jobs are under way, over all runs; where its jobs name several limits, the
   smallest holds. Its next place goes to the job of the oldest run. Nothing is stored of a group: it is counted anew
   from the rows, so that no crash leaves it locked.
4. Of a family of one run at most `family_limit` are under way.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from farmgate import states
from scheduler.order import UNDER_WAY, Load
from scheduler.view import JobView, NodeView, Rules, Snapshot


@dataclass(frozen=True, slots=True)
class Capacity:
    """A pool's slots. `wanted`: how many jobs may be queued or running at once, look-ahead included."""

    nodes: int
    slots: int
    wanted: int


def capacity(nodes: Iterable[NodeView], rules: Rules) -> dict[str, Capacity]:
    """Rule 1: per pool, of the nodes that take work."""
    slots: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for node in nodes:
        if node.state is states.Node.READY:
            slots[node.pool] += node.slots
            count[node.pool] += 1
    return {pool: Capacity(count[pool], total, _with_look_ahead(total, rules)) for pool, total in slots.items()}


def _with_look_ahead(slots: int, rules: Rules) -> int:
    return slots + math.ceil(slots * rules.look_ahead)


def has_labels(node: NodeView, job: JobView) -> bool:
    """Rule 2."""
    return all(label in node.labels for label in job.labels)


def fitting(nodes: Iterable[NodeView], job: JobView) -> list[NodeView]:
    """The ready nodes of its pool that have its labels."""
    return [
        node
        for node in nodes
        if node.pool == job.pool and node.state is states.Node.READY and (not job.labels or has_labels(node, job))
    ]


@dataclass(slots=True)
class Group:
    """A concurrency group as it is now."""

    holders: list[JobView]
    waiting: list[JobView]

    @property
    def least(self) -> int | None:
        return min((job.exclusion_limit for job in self.holders), default=None)

    def turns(self) -> set[int]:
        """Rule 3: the waiting jobs that may be sent now."""
        count, least, found = len(self.holders), self.least, set[int]()
        for job in sorted(self.waiting, key=lambda one: (one.run_id, one.id)):
            least = job.exclusion_limit if least is None else min(least, job.exclusion_limit)
            if count >= least:
                break
            found.add(job.id)
            count += 1
        return found


class Rooms:
    """The room that is left while places are given away. One per plan."""

    def __init__(self, snapshot: Snapshot, now: datetime, ended: frozenset[int] = frozenset()) -> None:
        rules = snapshot.rules
        self.nodes = snapshot.nodes
        self.pools = capacity(snapshot.nodes, rules)
        self.left = {pool: known.wanted for pool, known in self.pools.items()}
        self.running: Counter[str] = Counter()
        self.at_node: Counter[int] = Counter()  # running there
        self.sent_to: Counter[int] = Counter()  # its own bell was rung
        self._wanted = {node.id: _with_look_ahead(node.slots, rules) for node in snapshot.nodes}
        self.families: Counter[tuple[int, str]] = Counter()
        self.groups: dict[str, Group] = defaultdict(lambda: Group([], []))
        self.loads: dict[str, Load] = defaultdict(Load)  # by pool
        self._turns: dict[str, set[int]] = {}
        self._fits: dict[tuple[str, object], list[NodeView]] = {}
        for run in snapshot.runs:
            for job in run.jobs:
                if job.state in UNDER_WAY and job.id not in ended:
                    self._count(job)
                    self.loads[job.pool].add(job, run, now, rules)
        for attempt in snapshot.attempts:
            if attempt.job_id not in ended:
                self.at_node[attempt.node_id] += 1

    def _count(self, job: JobView) -> None:
        if job.pool in self.left:
            self.left[job.pool] -= 1
        if job.state is states.Job.RUNNING:
            self.running[job.pool] += 1
        elif job.rung_to is not None:
            self.sent_to[job.rung_to] += 1
        if job.family_limit is not None:
            self.families[job.run_id, job.family] += 1
        if job.exclusion is not None:
            self.groups[job.exclusion].holders.append(job)

    def waits(self, job: JobView) -> None:
        """A ready job that could be sent, were there room: its group hears of it."""
        if job.exclusion is not None and self.fitting(job):
            self.groups[job.exclusion].waiting.append(job)

    def fitting(self, job: JobView) -> list[NodeView]:
        """The ready nodes of its pool that have its labels."""
        key = (job.pool, job.labels)
        if key not in self._fits:
            self._fits[key] = fitting(self.nodes, job)
        return self._fits[key]

    def group_has_room(self, job: JobView) -> bool:
        """Rule 3."""
        if job.exclusion is None:
            return True
        if job.exclusion not in self._turns:
            self._turns[job.exclusion] = self.groups[job.exclusion].turns()
        return job.id in self._turns[job.exclusion]

    def family_has_room(self, job: JobView) -> bool:
        """Rule 4."""
        return job.family_limit is None or self.families[job.run_id, job.family] < job.family_limit

    def any_node(self, job: JobView) -> bool:
        """Rule 2: True if any node of the pool may take it."""
        return not job.labels or len(self.fitting(job)) == self.pools[job.pool].nodes

    def node_for(self, job: JobView) -> NodeView | None:
        """Rule 2: the fitting node with the most room."""
        with_room = [node for node in self.fitting(job) if self.at(node) < self._wanted[node.id]]
        return min(with_room, key=lambda node: (self.at(node) / node.slots, node.id), default=None)

    def at(self, node: NodeView) -> int:
        """Jobs that run at a node, or that only its own bell was rung for."""
        return self.at_node[node.id] + self.sent_to[node.id]

    def fits(self, job: JobView) -> bool:
        """There is room for it in its group, in its family, and at a node."""
        if not (self.group_has_room(job) and self.family_has_room(job)):
            return False
        return self.any_node(job) or self.node_for(job) is not None

    def give(self, job: JobView) -> int | None:
        """Take its room; the node whose own bell is to be rung, or None for the pool's."""
        self.left[job.pool] -= 1
        if job.family_limit is not None:
            self.families[job.run_id, job.family] += 1
        if self.any_node(job):
            return None
        node = self.node_for(job)
        if node is None:
            return None
        self.sent_to[node.id] += 1
        return node.id
