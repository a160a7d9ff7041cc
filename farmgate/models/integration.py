"""Rows: runs, their jobs and attempts, what they leave behind, and the candidates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.models.kinds import ArtifactKind, JobKind, Trigger, Trust, Verdict


@dataclass(frozen=True, slots=True)
class Run:
    id: int
    repository_id: int
    sha: str
    ref: str
    trigger: Trigger
    trust: Trust
    ordinal: int  # 1, and more for re-runs: (repository, ref, sha, ordinal) is unique
    state: states.Run
    reason: str | None  # why it is in error, lost or cancelled; of a bad pipeline file: its problems
    asked_by: str
    created_at: datetime  # of the intake, so that delays count from the push
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    hold: str | None  # why nothing of it may start yet: a maintainer must allow the commit
    superseded_by: int | None  # the run that made this one needless
    again_of: int | None  # the run that this one repeats: it never counts as the newest
    reuse: bool  # False: nothing of earlier results is taken
    cancel_superseded: bool | None  # as the pipeline file says; None: by the kind of ref
    origin: dict[str, Any]  # where its pipeline came from: the template and its revision, if any


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    run_id: int
    name: str
    needs: list[str]
    spec: dict[str, Any]  # farmgate.pipeline.JobSpec as JSON
    pool: str
    state: states.Job
    attempt: int  # the current attempt's number, from 1: the fencing token
    losses: int  # attempts lost to infrastructure
    rings: int  # bells rung for the current attempt
    ready_at: datetime | None
    rung_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    reason: str | None
    cancel_asked: str | None  # by whom and why; a running job ends as soon as its worker hears it
    kind: JobKind
    family: str  # the job of the pipeline file that it was unfolded from
    family_limit: int | None  # how many of its family may run at a time
    priority: int  # more goes first, within the repository
    labels: dict[str, str]  # that its node must have
    runs_when: str  # passed, failed, always: the result of what it needs
    forgiven: bool  # counts as passed: its failure was allowed, or its own condition did not hold
    failures: int  # tries that failed by themselves and were repeated
    not_before: datetime | None  # a pause before the next try
    exclusion: str | None  # the concurrency group, unique in the farm
    exclusion_limit: int
    exclusion_cancels: bool  # ends older jobs of the group instead of waiting for them
    reuse_key: str | None  # what its result depends on, as a hash
    reused_from: int | None  # the job whose result it took
    emitted_by: int | None  # the job whose file named it
    inputs_hash: str | None  # of what it declares to depend on, at its commit; None: its result is never reused
    rung_to: int | None  # the node whose own bell was rung for it; None: its pool's


@dataclass(frozen=True, slots=True)
class Attempt:
    id: int
    job_id: int
    number: int
    node_id: int
    state: states.Attempt
    token_hash: str
    claimed_at: datetime
    lease_until: datetime
    finished_at: datetime | None
    exit_code: int | None
    reason: str | None
    timings: dict[str, float]  # seconds by phase: claim, mirror, checkout, image, container, first_step, ...
    log_bytes: int
    log_blob: str | None  # sha256 of the gzip-compressed log, once the attempt ended
    log_cut: bool
    log_lines: int  # ends of line in it so far
    log_index: str | None  # sha256 of where its lines stand in the blob: scheduler.log_index


@dataclass(frozen=True, slots=True)
class Step:
    attempt_id: int
    number: int  # from 1
    name: str
    state: states.Step
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None
    log_offset: int | None  # byte of the log where it begins


@dataclass(frozen=True, slots=True)
class LogChunk:
    attempt_id: int
    offset: int  # in bytes, from 0, without gaps
    data: bytes
    received_at: datetime
    line: int  # ends of line before it


@dataclass(frozen=True, slots=True)
class Artifact:
    id: int
    attempt_id: int
    job_id: int
    path: str  # relative to the workspace
    sha256: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None  # None: by the farm's own time
    removed_at: datetime | None  # its time was over: the row stays as a record, the bytes may be gone
    executable: bool  # it is one again where it is fetched
    kind: ArtifactKind
    image_id: str | None  # of a saved image: its id, or its digest in the farm's registry


@dataclass(frozen=True, slots=True)
class Candidate:
    """The one hand-off from integration to delivery."""

    id: int
    repository_id: int
    sha: str
    run_id: int | None  # None: submitted from outside
    source: str  # farmgate, jenkins, ...
    artifacts: dict[str, str]  # name -> sha256:... or an image by digest
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Cache:
    """Files that a trusted job left for later ones, as one archive."""

    id: int
    repository_id: int
    key: str  # as written, with the hash of the files that belong to it
    sha256: str
    size_bytes: int
    job_id: int  # that saved it
    created_at: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the nodes of a pool had it last."""

    pool: str
    name: str  # as jobs name it; empty: the nodes' default
    digest: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """To a job that asked: once, and kept."""

    job_id: int
    verdict: Verdict
    answered_by: str
    text: str  # what they said with it
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Submission:
    """What another system says of a commit: its checks and its artifacts."""

    id: int
    repository_id: int
    sha: str
    source: str  # jenkins, circleci, github, ...
    url: str  # where it was built; empty: nowhere that is told
    checks: list[dict[str, Any]]  # name, result, and url, seconds where told
    artifacts: dict[str, str]  # name -> sha256:... or an image by digest
    digest: str  # of all that: the same again is the same
    state: states.Submission
    reason: str | None
    submitted_by: str
    created_at: datetime
    settled_at: datetime | None
    deadline: datetime
