"""The pipeline file `.farmgate.yml` as people write it. docs/pipeline.md is its reference.

Rules:
1. What is unknown is refused; nothing is guessed.
2. A job does one of three things: it runs steps (and builds images), or it asks a person.
3. What a value may be stands in `values`, what a part may be in `parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from farmgate.pipeline.parts import (
    MATRIX_KEYS,
    AllowFailure,
    Approve,
    Artifacts,
    Build,
    CacheFile,
    Concurrency,
    Identity,
    MatrixFile,
    Needs,
    ReportsFile,
    Retry,
    Secrets,
    Service,
    Step,
    WhenFile,
)
from farmgate.pipeline.use import Use
from farmgate.pipeline.values import (
    DEFAULT_TIMEOUT,
    Cpus,
    Environment,
    Image,
    Memory,
    Name,
    Pattern,
    Patterns,
    Timeout,
    Value,
    Variable,
    Written,
)
from farmgate.quantities import show_duration


def _matrix(value: object) -> object:
    """Axes stand beside `include`, `exclude` and `at_once`."""
    if not isinstance(value, dict) or "axes" in value:
        return value
    own = {key: value[key] for key in MATRIX_KEYS if key in value}
    return {"axes": {key: axis for key, axis in value.items() if key not in MATRIX_KEYS}, **own}


Matrix = Annotated[
    MatrixFile,
    BeforeValidator(_matrix),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                key: schema for key, schema in MatrixFile.model_json_schema()["properties"].items() if key != "axes"
            },
            "additionalProperties": {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
        }
    ),
]


class JobFile(Written):
    """A job: steps that run one after the other in one workspace, or a question to a person."""

    image: Image | None = Field(None, description="the container image; default: the file's, else the node's")
    needs: Needs = Field((), description="jobs that come before this one")
    steps: tuple[Step, ...] = Field((), min_length=1, max_length=200, description="what the job runs, in order")
    approve: Approve | None = Field(None, description="ask a person instead of running anything")
    timeout: Timeout = Field(
        DEFAULT_TIMEOUT,
        description="the job is stopped after this time (90s, 10m, 2h, 1h30m; at most 24h)",
        json_schema_extra={"default": show_duration(DEFAULT_TIMEOUT)},
    )
    environment: Environment = Field({}, description="variables of this job, over the file's")
    artifacts: Artifacts = Field((), description="files to keep, as patterns relative to the workspace")
    memory: Memory | None = Field(None, description="memory limit (512m, 2g); default: the node's")
    cpus: Cpus | None = Field(None, description="processors the job may use (0.5, 2); default: the node's")
    pool: Name = Field("default", description="the pool of nodes that runs the job")
    labels: Mapping[Name, Value] = Field({}, description="labels that the node must have")
    priority: Annotated[int, Field(ge=-100, le=100)] = Field(0, description="more goes first, within the repository")
    retry: Retry | None = Field(None, description="further tries after a failure of its own")
    allow_failure: AllowFailure = Field(False, description="true: a failure is shown and does not decide")
    when: WhenFile | None = Field(None, description="when the job runs")
    matrix: Matrix | None = Field(None, description="the job once for each combination")
    parallel: Annotated[int, Field(ge=1, le=200)] | None = Field(None, description="the job in so many shards")
    concurrency: Concurrency | None = Field(None, description="what may not run beside it")
    services: Mapping[Name, Service] = Field({}, max_length=20, description="containers beside the job, by name")
    caches: tuple[CacheFile, ...] = Field((), max_length=20, description="files kept from run to run")
    reports: ReportsFile | None = Field(None, description="results to read: tests, coverage, findings, components")
    builds: tuple[Build, ...] = Field((), max_length=20, description="container images to build after the steps")
    secrets: Secrets = Field({}, description="secrets by name, as variables; only for trusted runs")
    identity: Mapping[Variable, Identity] = Field({}, max_length=10, description="identity tokens, as variables")
    inputs: Patterns = Field((), description="all that the result depends on: a green result is then used again")
    reuse: bool = Field(True, description="false: never use an earlier result, whatever `inputs` says")
    deploys_to: Name | None = Field(None, description="the environment that the job changes: its secrets, never reused")
    emits: Pattern | None = Field(None, description="a file of the workspace with further jobs for this run")

    @model_validator(mode="after")
    def _does_one_thing(self) -> JobFile:
        if self.approve is None and not (self.steps or self.builds):
            raise ValueError("needs 'steps' (or 'builds', or 'approve')")
        if self.approve is not None and (self.steps or self.builds):
            raise ValueError("a job that asks a person runs nothing: put the steps into a job that needs this one")
        return self


class FileHead(Written):
    """A pipeline file without a look into its jobs: these are checked one by one, with their cells put in."""

    use: Use | None = Field(None, description="a template that brings jobs")
    parameters: Mapping[Name, Any] = Field({}, max_length=200, description="values for the template's parameters")
    tier: Name | None = Field(None, description="the template's tier, such as simple, standard or strict")
    image: Image | None = Field(None, description="the container image of jobs that name none")
    environment: Environment = Field({}, description="variables of all jobs")
    cancel_superseded: bool | None = Field(
        None, description="end older runs of the same ref; default: true, but false for the branch that lanes deliver"
    )
    jobs: Mapping[Name, Any] = Field({}, min_length=1, description="the jobs by name")

    @model_validator(mode="after")
    def _has_jobs(self) -> FileHead:
        if not self.jobs and self.use is None:
            raise ValueError("needs 'jobs' with at least one job (or 'use', a template that brings some)")
        if self.use is None:
            for key, value in (("parameters", self.parameters), ("tier", self.tier)):
                if value:
                    raise ValueError(f"'{key}' is for a template: name it with 'use'")
        return self


class PipelineFile(FileHead):
    """A pipeline: what Farmgate does with every commit."""

    jobs: Mapping[Name, JobFile] = Field({}, min_length=1, description="the jobs by name")


class EmittedFile(Written):
    """Further jobs for a run that is under way, written by one of its jobs."""

    image: Image | None = Field(None, description="the container image of jobs that name none")
    environment: Environment = Field({}, description="variables of all jobs of this file")
    jobs: Mapping[Name, Any] = Field(min_length=1, description="the jobs by name")
