"""What a pipeline is, once its file has been read: every default applied, every matrix unfolded, nothing left to guess.

Rules:
1. These models are what rows store and messages carry: they round-trip through JSON and refuse what they do not know.
   What came later has a default, so that older rows are still read.
2. `image`, `memory_bytes` and `cpus` are None where the file names none: the node's own default applies.
3. `needs` may only name jobs of the same pipeline, and never leads back to the job itself.
4. `family` is the job of the file that a cell of a matrix or a shard came from; else the job's own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Result = Literal["passed", "failed", "always"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepSpec(_Frozen):
    """Commands of a job, run in the workspace. `name` is what people see. `shell` None: `sh -e`."""

    name: str
    run: str
    working_directory: str | None = None
    shell: str | None = None
    environment: Mapping[str, str] = {}
    image: str | None = None


class FetchSpec(_Frozen):
    """Artifacts of a needed job to put into the workspace; `patterns` None: all of them."""

    job: str
    patterns: tuple[str, ...] | None = None


class ArtifactSpec(_Frozen):
    """Files to keep. `keep` None: the farm's own time."""

    paths: tuple[str, ...]
    keep: timedelta | None = None
    optional: bool = False
    when: Result = "passed"


def _of_older_rows(value: Any) -> Any:
    """An artifact was once just its pattern."""
    if isinstance(value, list | tuple):
        return [{"paths": (one,)} if isinstance(one, str) else one for one in value]
    return value


class RetrySpec(_Frozen):
    """Further tries after a failure of the job's own; `on_exit` empty: after any exit code."""

    times: int
    on_exit: tuple[int, ...] = ()
    pause: timedelta = timedelta(0)


class WhenSpec(_Frozen):
    """When the job runs; None: whatever it is. Patterns as in `farmgate.pipeline.conditions`."""

    branch: tuple[str, ...] | None = None
    tag: tuple[str, ...] | None = None
    event: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    result: Result = "passed"


class ConcurrencySpec(_Frozen):
    """Jobs of the group, over all runs of the repository (or of the ref): at most `limit` at a time."""

    group: str
    limit: int = 1
    when_full: Literal["queue", "cancel_older"] = "queue"
    scope: Literal["repository", "ref"] = "repository"


class HealthSpec(_Frozen):
    """A command in the service's container, or a TCP port, or an HTTP path at the port."""

    command: str | None = None
    port: int | None = None
    http: str | None = None
    interval: timedelta = timedelta(seconds=1)
    timeout: timedelta = timedelta(minutes=1)


class ServiceSpec(_Frozen):
    """A container beside the job, reachable by its name."""

    name: str
    image: str
    environment: Mapping[str, str] = {}
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    health: HealthSpec | None = None
    memory_bytes: int | None = None
    cpus: float | None = None


class CacheSpec(_Frozen):
    """`files`: patterns of the repository's files whose hash is added to the key. `fallback`: beginnings of keys."""

    key: str
    files: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    paths: tuple[str, ...]


class ReportsSpec(_Frozen):
    """Patterns of files to read, by kind."""

    junit: tuple[str, ...] = ()
    cobertura: tuple[str, ...] = ()
    lcov: tuple[str, ...] = ()
    sarif: tuple[str, ...] = ()
    cyclonedx: tuple[str, ...] = ()


IMAGES: Final = "farmgate-images"


def image_artifact(name: str) -> str:
    """The artifact that a built image is kept as."""
    return f"{IMAGES}/{_plain(name)}.tar"


def pushed_artifact(name: str) -> str:
    """The artifact that says where a registry has a built image: one line, NAME@sha256:..."""
    return f"{IMAGES}/{_plain(name)}.image"


def _plain(name: str) -> str:
    return name.replace("/", "-").replace(":", "-").replace("@", "-")


class BuildSpec(_Frozen):
    """A container image to build."""

    name: str
    dockerfile: str = "Dockerfile"
    context: str = "."
    target: str | None = None
    arguments: Mapping[str, str] = {}


class ApproveSpec(_Frozen):
    """A question to a person. `by` empty: whoever may write."""

    text: str
    by: tuple[str, ...] = ()
    within: timedelta = timedelta(days=2)


class ShardSpec(_Frozen):
    """This is shard `number` of `of`, counted from 1."""

    number: int
    of: int


class JobSpec(_Frozen):
    """A node of the graph. Units: `timeout` as timedelta, `memory_bytes` in bytes, `cpus` in processors."""

    name: str
    image: str | None
    needs: tuple[str, ...]
    steps: tuple[StepSpec, ...]
    timeout: timedelta
    environment: Mapping[str, str]
    artifacts: Annotated[tuple[ArtifactSpec, ...], BeforeValidator(_of_older_rows)]
    memory_bytes: int | None
    cpus: float | None
    pool: str
    family: str = ""
    family_at_once: int | None = None
    matrix: Mapping[str, str] = {}
    shard: ShardSpec | None = None
    fetch: tuple[FetchSpec, ...] = ()
    approve: ApproveSpec | None = None
    labels: Mapping[str, str] = {}
    priority: int = 0
    retry: RetrySpec | None = None
    allow_failure: bool | tuple[int, ...] = False
    when: WhenSpec = WhenSpec()
    concurrency: ConcurrencySpec | None = None
    services: tuple[ServiceSpec, ...] = ()
    caches: tuple[CacheSpec, ...] = ()
    reports: ReportsSpec = ReportsSpec()
    builds: tuple[BuildSpec, ...] = ()
    secrets: Mapping[str, str] = {}  # variable -> name of the secret
    identity: Mapping[str, str] = {}  # variable -> audience
    inputs: tuple[str, ...] = ()
    reuse: bool = True
    deploys_to: str | None = None
    emits: str | None = None


class Pipeline(_Frozen):
    """The whole file: jobs by name, in the order of the file."""

    jobs: Mapping[str, JobSpec]
    cancel_superseded: bool | None = None
    origin: Mapping[str, Any] = {}
    """The templates that it came from: `{"templates": [{"name": .., "revision": .., ..}, ..]}`."""
