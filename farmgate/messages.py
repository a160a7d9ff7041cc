"""What processes say to each other: the doorbell, and the bodies of the worker's and the agent's HTTP calls.

Rules:
1. A Celery message carries a job's id and attempt number, nothing else: no secret, no specification.
2. A claim is answered with the specification, a lease and a token for this attempt alone (`Claimed`).
3. Every other call of an attempt carries that token and is refused (409) once the attempt is stale.
4. A refusal is final: the worker kills the containers and uploads nothing more.

The paths, all below the scheduler's address:

    POST /api/worker/claim                          Claim -> Claimed | 409         node credential
    POST /api/worker/renew                          Renew -> Renewed               node credential
    GET  /git/{repository}/info/refs, POST /git/{repository}/git-upload-pack       attempt token (HTTP basic or bearer)
    POST /api/attempts/{job}/{attempt}/log?offset=  raw bytes -> LogTaken          attempt token
    POST /api/attempts/{job}/{attempt}/steps        StepReport                     attempt token
    PUT  /api/attempts/{job}/{attempt}/artifacts?path=&executable=&kind=&image_id=
                                                    raw bytes -> ArtifactTaken     attempt token
    GET  /api/attempts/{job}/{attempt}/needed       Needed                         attempt token
    GET  /api/attempts/{job}/{attempt}/needed/{sha256}  raw bytes                  attempt token
    GET  /api/attempts/{job}/{attempt}/caches?key=&beginning=  CacheAnswer         attempt token
    GET  /api/attempts/{job}/{attempt}/caches/{sha256}  raw bytes                  attempt token
    PUT  /api/attempts/{job}/{attempt}/caches?key=  raw bytes -> CacheTaken        attempt token, trusted runs only
    POST /api/attempts/{job}/{attempt}/result       Result                         attempt token
    POST /api/nodes/join                            Join -> Joined                 join token in the body
    POST /api/nodes/heartbeat                       Heartbeat -> Heard             node credential
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

TASK = "farmgate.run_job"
EMITTED_LIMIT: Final = 2 * 2**20
"""Bytes of UTF-8 that a file of further jobs may have. A larger one ends its job in ERROR, in words, at the worker."""


def queue_of(pool: str) -> str:
    """The Celery queue of a pool."""
    return f"farmgate.{pool}"


class Message(BaseModel):
    """A frozen body; unknown fields are ignored, so that neighbours of different versions understand each other."""

    model_config = ConfigDict(frozen=True)


class Claim(Message):
    job: int
    attempt: int


class Claimed(Message):
    """All that a worker needs to run an attempt. Times are seconds unless they are datetimes."""

    job: int
    attempt: int
    token: str
    lease_seconds: float
    run: int
    repository: str
    repository_id: int
    git_url: str  # of the scheduler's mirror; fetch with the token
    sha: str
    ref: str
    trust: str
    name: str
    spec: dict[str, Any]  # farmgate.pipeline.JobSpec as JSON
    variables: dict[str, str]  # FARMGATE_SHA, FARMGATE_REF, ...: set in every step
    log_limit_bytes: int


class Held(Message):
    job: int
    attempt: int


class Renew(Message):
    held: tuple[Held, ...]


class Renewed(Message):
    """Leases that go on, and attempts to give up: cancelled (say so in the result) or lost (say nothing)."""

    lease_seconds: float
    cancelled: tuple[Held, ...] = ()
    lost: tuple[Held, ...] = ()


class LogTaken(Message):
    """The log bytes that the server has now: the next chunk's offset. `cut`: the limit is reached, send no more."""

    length: int
    cut: bool = False


class StepReport(Message):
    number: int
    name: str
    state: Literal["running", "passed", "failed", "skipped"]
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_offset: int | None = None


class ArtifactTaken(Message):
    sha256: str
    size_bytes: int


class CacheFound(Message):
    """A cache that may be restored; its bytes are at `caches/{sha256}`."""

    key: str
    sha256: str
    size_bytes: int


class CacheAnswer(Message):
    """The cache of the key, else the newest of a beginning; None: there is none."""

    found: CacheFound | None = None


class CacheTaken(Message):
    """`kept`: False where the key was there before."""

    kept: bool
    sha256: str


class NeededArtifact(Message):
    """A file that a needed job left; its bytes are at `needed/{sha256}`."""

    job: str
    path: str
    sha256: str
    size_bytes: int
    executable: bool = False


class Needed(Message):
    """What an attempt may fetch, in the order of the pipeline file and by path."""

    artifacts: tuple[NeededArtifact, ...]


class Result(Message):
    """How an attempt ended. `lost` means infrastructure: the server gives it a new attempt while retries last."""

    outcome: Literal["passed", "failed", "error", "lost", "cancelled"]
    exit_code: int | None = None
    reason: str | None = None
    timings: dict[str, float] = Field(default_factory=dict)
    log_bytes: int = 0
    image_digest: str | None = None  # of the job's image, as the node had it
    image_digests: dict[str, str] = Field(default_factory=dict)  # of other images that it used, by name
    emitted: str | None = None  # text of the file that the job `emits`, of a job that passed; at most EMITTED_LIMIT


class Join(Message):
    token: str
    name: str
    pool: str
    slots: int
    engine: str
    labels: dict[str, str] = Field(default_factory=dict)
    version: str


class Joined(Message):
    node: int
    name: str
    credential: str
    broker_url: str
    heartbeat_seconds: float


class Heartbeat(Message):
    slots: int
    holding: tuple[Held, ...]
    worker_alive: bool
    free_disk_bytes: int
    problem: str | None = None
    version: str
    leaves: bool = False  # this is its last one: the node is not kept
    ended: tuple[Held, ...] = ()  # their worker died and what it left is removed: nothing more will come of them


class Heard(Message):
    """What the server wants of the node. `restart_worker`: bells go unanswered although slots are free."""

    heartbeat_seconds: float
    drain: bool = False
    restart_worker: bool = False
    remove: tuple[Held, ...] = ()  # attempts it holds that are over: kill and clean up
