"""What the loop sees of the farm at one moment. Values only: plans are made from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farmgate import states
from farmgate.models import JobKind, Trigger, Trust
from scheduler.making_plan import MadeView
from scheduler.outside import Standing

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that plans depend on."""

    ring_again: timedelta = timedelta(seconds=5)
    ring_again_at_most: timedelta = timedelta(seconds=60)
    poll_every: timedelta = timedelta(seconds=60)
    silent_after: timedelta = timedelta(seconds=30)
    infrastructure_retries: int = 3
    look_ahead: float = 0.5
    ageing: timedelta = timedelta(minutes=10)  # after so long, waiting outweighs the branch


@dataclass(frozen=True, slots=True)
class JobView:
    """A job of an open run."""

    id: int
    run_id: int
    name: str
    needs: tuple[str, ...]
    pool: str
    state: states.Job
    attempt: int
    losses: int
    rings: int
    ready_at: datetime | None
    rung_at: datetime | None
    deadline: datetime
    cancel_asked: str | None
    reason: str | None = None
    started_at: datetime | None = None
    kind: JobKind = JobKind.WORK
    family: str = ""
    family_limit: int | None = None
    priority: int = 0
    labels: Labels = ()  # that its node must have
    runs_when: str = "passed"
    forgiven: bool = False
    failures: int = 0
    not_before: datetime | None = None
    exclusion: str | None = None
    exclusion_limit: int = 1
    exclusion_cancels: bool = False
    rung_to: int | None = None  # the node whose own bell was rung; None: its pool's
    deploys_to: str | None = None  # told only while it runs: it is not ended in the middle

    @property
    def counts_as(self) -> states.Job:
        """For its run and for what needs it."""
        return states.counted(self.state, self.forgiven)


@dataclass(frozen=True, slots=True)
class RunView:
    """An open run with its jobs, in the order of the pipeline file. `delivered`: on the branch that lanes take from."""

    id: int
    repository_id: int
    sha: str
    ref: str
    trigger: Trigger
    trust: Trust
    state: states.Run
    created_at: datetime
    deadline: datetime
    delivered: bool
    jobs: tuple[JobView, ...]
    ordinal: int = 1
    hold: str | None = None
    superseded_by: int | None = None
    again_of: int | None = None
    weight: int = 1  # of its repository
    repository: str = ""
    newest: bool | None = True  # its commit is the tip of its ref


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt under way."""

    id: int
    job_id: int
    number: int
    node_id: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node that is part of the farm."""

    id: int
    name: str
    pool: str
    slots: int
    state: states.Node
    seen_at: datetime
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class IntakeView:
    """A change that waits to be read."""

    id: int
    repository_id: int
    not_before: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """A connected repository."""

    id: int
    polled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The farm, read once."""

    rules: Rules = Rules()
    runs: tuple[RunView, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    intakes: tuple[IntakeView, ...] = ()
    repositories: tuple[RepositoryView, ...] = ()
    unpacked_logs: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()  # rollouts whose batch is to be looked at
    submissions: tuple[Standing, ...] = ()  # candidates from outside that wait
    made: tuple[MadeView, ...] = ()  # commits of our own that are not delivered yet
    busy: frozenset[str] = field(default_factory=frozenset)  # background work under way, by key
    fresh: bool = False  # the first look after a start: ask every repository what was missed
