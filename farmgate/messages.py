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
    POST /api/attempts/{job}/{attempt}/reports      ReportPage                     attempt token
    PUT  /api/attempts/{job}/{attempt}/reports/file raw bytes -> ArtifactTaken     attempt token
    POST /api/attempts/{job}/{attempt}/reports/end  ReportEnd                      attempt token
    GET  /api/attempts/{job}/{attempt}/times        -> Times                       attempt token
    POST /api/attempts/{job}/{attempt}/result       Result                         attempt token
    POST /api/nodes/join                            Join -> Joined                 join token in the body
    POST /api/nodes/heartbeat                       Heartbeat -> Heard             node credential
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

TASK = "farmgate.run_job"
EMITTED_LIMIT: Final = 2 * 2**20
"""Bytes of UTF-8 that a file of further jobs may have. A larger one ends its job in ERROR, in words, at the worker."""
RESULT_CARRIES_BYTES: Final = 64 * 2**10
"""As much of a log's end may come with the result."""


def queue_of(pool: str) -> str:
    """The Celery queue of a pool."""
    return f"farmgate.{pool}"


def queue_of_node(node: int) -> str:
    """The Celery queue of one node, for jobs that not every node of its pool fits. No pool's name has a dot."""
    return f"farmgate.node.{node}"


class Message(BaseModel):
    """A frozen body; unknown fields are ignored, so that neighbours of different versions understand each other.

    An error names the field, never what was in it: that may be a secret.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Claim(Message):
    job: int
    attempt: int


class RegistryLogin(Message):
    """The farm's registry, and how to be let in; both are for the node alone, never for the job's processes."""

    address: str
    user: str | None = None
    password: str | None = Field(None, repr=False)


class Claimed(Message):
    """All that a worker needs to run an attempt. Times are seconds unless they are datetimes."""

    job: int
    attempt: int
    token: str = Field(repr=False)
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
    result_carries_bytes: int = 0  # so much of the log's end may come with the result, and reports of steps with it
    newest: str | None = None  # the newest commit of the ref: who fetches it as well has what will be built next
    secrets: dict[str, str] = Field(
        default_factory=dict, repr=False
    )  # variable -> value in base64; identity tokens too
    notices: tuple[str, ...] = ()  # lines for the beginning of the job's log
    refused: str | None = None  # why it must not run as written: the attempt ends in error
    registry: RegistryLogin | None = Field(None, repr=False)  # of trusted runs whose job has images in it


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


class CaseRow(Message):
    """A test's result. `ordinal`: its place in the report."""

    suite: str = Field(max_length=600)
    class_name: str = Field(max_length=600)
    name: str = Field(max_length=600)
    file: str = Field(max_length=600)
    outcome: Literal["passed", "failed", "error", "skipped"]
    seconds: float = Field(ge=0, lt=1e8)
    failed_tries: int = Field(0, ge=0)
    ordinal: int = Field(0, ge=0)
    message: str = Field("", max_length=2000)
    text: str = Field("", max_length=20_000)


class CoveredFile(Message):
    """Lines and branches of a file, and how many of them were run."""

    path: str = Field(max_length=1100)
    covered: int
    lines: int
    branches_covered: int
    branches: int


class FindingRow(Message):
    """A finding; `print` is the same in the next run."""

    rule: str = Field(max_length=300)
    level: Literal["error", "warning", "note", "none"]
    path: str = Field(max_length=1100)
    line: int
    message: str = Field(max_length=2000)
    print: str = Field(max_length=64)


class ReportPage(Message):
    """A piece of what an attempt reports; sent again it is the same. Pages count from 0, by kind."""

    kind: Literal["tests", "coverage", "findings", "components"]
    number: int = Field(ge=0, lt=10_000)
    cases: tuple[CaseRow, ...] = Field((), max_length=5000)
    covered: tuple[CoveredFile, ...] = Field((), max_length=5000)
    findings: tuple[FindingRow, ...] = Field((), max_length=5000)


class ReportFile(Message):
    """A file that was read. `problem`: why it was not read to its end, and where."""

    path: str = Field(max_length=1100)
    size_bytes: int
    sha256: str | None = None
    problem: str | None = Field(None, max_length=1000)
    modified_at: datetime


class ReportEnd(Message):
    """All of a kind was sent: so many pages out of these files."""

    kind: Literal["tests", "coverage", "findings", "components"]
    pages: int
    complete: bool
    files: tuple[ReportFile, ...] = Field(max_length=1000)
    figures: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict, max_length=100)


class TimedTest(Message):
    """Seconds that a test took lately."""

    file: str
    class_name: str
    name: str
    seconds: float


class Times(Message):
    """What the tests of a job took lately, for shards: the same for all of a run."""

    tests: tuple[TimedTest, ...]


class Result(Message):
    """How an attempt ended. `lost` means infrastructure: the server gives it a new attempt while retries last."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    outcome: Literal["passed", "failed", "error", "lost", "cancelled"]
    exit_code: int | None = None
    reason: str | None = None
    timings: dict[str, float] = Field(default_factory=dict)
    log_bytes: int = 0
    image_digest: str | None = None  # of the job's image, as the node had it
    image_digests: dict[str, str] = Field(default_factory=dict)  # of other images that it used, by name
    timed_out: bool = False  # of a failure: the job's own time was over, so its exit code says nothing
    steps: tuple[StepReport, ...] = ()  # what was not told before
    log_offset: int = 0
    log: Annotated[bytes, Field(max_length=RESULT_CARRIES_BYTES)] = b""  # the log's end, in base64
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
    labels: dict[str, str] | None = None  # as its settings say now
    ended: tuple[Held, ...] = ()  # their worker died and what it left is removed: nothing more will come of them


class Heard(Message):
    """What the server wants of the node. `restart_worker`: bells go unanswered although slots are free."""

    heartbeat_seconds: float
    drain: bool = False
    restart_worker: bool = False
    remove: tuple[Held, ...] = ()  # attempts it holds that are over: kill and clean up
