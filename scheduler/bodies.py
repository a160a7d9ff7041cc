"""The API's answers about repositories, runs and nodes, as models: what `/openapi.json` promises."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from farmgate import states
from farmgate.models import ForkPolicy, JobKind, Trigger, Trust, Verdict


class FirstRead(BaseModel):
    """The first look at a repository: pending, done or rejected, and what came of it."""

    state: states.Intake
    reason: str | None


class DeliveryBody(BaseModel):
    """A webhook that was taken."""

    delivery_id: str
    event: str
    received_at: datetime
    outcome: str


class IntakeBody(BaseModel):
    """A change that was reported or found, and what became of it."""

    id: int
    kind: str
    ref: str
    before: str | None
    after: str | None
    state: states.Intake
    reason: str | None
    created_at: datetime
    found_by: str  # webhook, poll


class RepositoryBody(BaseModel):
    """A connected repository. `secret` and `post_receive` are told once, at its creation."""

    id: int
    name: str
    url: str
    forge: str
    default_branch: str
    created_at: datetime
    polled_at: datetime | None
    poll_error: str | None
    webhook_url: str
    weight: int
    forks: ForkPolicy
    first_read: FirstRead | None = None
    secret: str | None = None
    post_receive: str | None = None


class RepositoryDetail(RepositoryBody):
    """With its refs and what was reported lately."""

    refs: dict[str, str]
    deliveries: list[DeliveryBody]
    intakes: list[IntakeBody]


class JobSummary(BaseModel):
    """A job in a list of runs. `forgiven`: it counts as passed."""

    name: str
    state: states.Job
    forgiven: bool = False


class QuestionBody(BaseModel):
    """What a job asks a person, who may answer (nobody named: whoever may write), and the answer."""

    text: str
    by: list[str]
    verdict: Verdict | None = None
    answered_by: str | None = None
    answer: str | None = None
    answered_at: datetime | None = None


class RunSummary(BaseModel):
    """A run in a list."""

    id: int
    repository: str
    sha: str
    ref: str
    title: str
    author: str
    trigger: Trigger
    trust: Trust
    ordinal: int
    state: states.Run
    reason: str | None
    asked_by: str
    hold: str | None
    again_of: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    superseded_by: int | None = None
    estimate: str | None = None  # while nothing of it has begun: in about how long it starts
    jobs: list[JobSummary]


class StepBody(BaseModel):
    """A step as its worker reported it."""

    number: int
    name: str
    state: states.Step
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None
    log_offset: int | None


class ArtifactBody(BaseModel):
    """Bytes that a job left, at /api/artifacts/{sha256}."""

    path: str
    sha256: str
    size_bytes: int
    url: str


class AttemptBody(BaseModel):
    """One try of a job."""

    number: int
    node: str
    state: states.Attempt
    claimed_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    reason: str | None
    timings: dict[str, float]
    log_bytes: int
    log_cut: bool
    steps: list[StepBody]


class ReusedBody(BaseModel):
    """The job whose result another took: the same work, done before."""

    job: int
    run: int
    name: str
    finished_at: datetime | None


class JobBody(BaseModel):
    """A job with its attempts. `why`: while it waits, why; `estimate`: for about how long, in words.

    Steps, timings and artifacts are the newest attempt's; those of `reused_from`, where it took a result. `artifacts`:
    the first of `artifacts_total`; the others are listed at /api/runs/{run}/artifacts, by this job, after
    `artifacts_next`. `forgiven`: it counts as passed. `losses`: attempts lost to infrastructure; `failures`: its own,
    tried again."""

    id: int
    name: str
    kind: JobKind
    needs: list[str]
    runs_when: str
    forgiven: bool
    failures: int
    not_before: datetime | None
    emitted_by: str | None
    question: QuestionBody | None
    pool: str
    image: str | None
    state: states.Job
    attempt: int
    losses: int
    reason: str | None
    reused_from: ReusedBody | None = None
    why: str | None
    starts_at: datetime | None = None  # while it waits and that can be told: when it should start
    estimate: str | None = None
    priority: int = 0
    labels: dict[str, str] = {}
    group: str | None = None
    cancel_asked: str | None
    ready_at: datetime | None
    rung_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    attempts: list[AttemptBody]
    steps: list[StepBody]
    timings: dict[str, float]
    artifacts: list[ArtifactBody]
    artifacts_total: int = 0
    artifacts_next: str | None = None


class RunDetail(BaseModel):
    """A run with all that is known of it. `delays`: seconds from the push to each stage."""

    id: int
    repository: str
    sha: str
    ref: str
    title: str
    message: str
    author: str
    committed_at: datetime | None
    trigger: Trigger
    trust: Trust
    ordinal: int
    state: states.Run
    reason: str | None
    asked_by: str
    hold: str | None
    again_of: int | None
    reuse: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    superseded_by: int | None = None
    delays: dict[str, float]
    jobs: list[JobBody]
    templates: list[dict[str, str]] = []  # that its pipeline came from: name, revision, sha256, commit


class PlaceBody(BaseModel):
    """A commit's place in a branch."""

    branch: str
    position: int
    gone_at: datetime | None


class CommitBody(BaseModel):
    """A commit, its runs, and where it is in every lane."""

    repository: str
    sha: str
    parents: list[str]
    title: str
    message: str
    author: str
    committed_at: datetime
    seen_at: datetime
    branches: list[PlaceBody]
    runs: list[RunSummary]
    candidate: dict[str, str] | None
    lanes: list[dict[str, object]]
    red: list[dict[str, object]]  # checks that said no of it after it was a candidate


class NodeBody(BaseModel):
    """A node. `holding`: job/attempt of what it says it holds."""

    id: int
    name: str
    pool: str
    labels: dict[str, str]
    engine: str
    slots: int
    state: states.Node
    version: str
    joined_at: datetime
    seen_at: datetime
    claimed_at: datetime | None
    holding: list[str]
    problem: str | None
