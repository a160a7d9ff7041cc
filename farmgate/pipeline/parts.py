"""The parts of a job as people write them: steps, needs, services, caches, reports, conditions, limits.

Rules:
1. What is often one word may be written as one word; every short form is said here, next to its long form.
2. A part says what it is for in its descriptions: they are the reference page's tables and the editor's hints.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from farmgate.documents import shown
from farmgate.pipeline.values import (
    ONE_OR_MANY,
    CachePath,
    Command,
    Cpus,
    Environment,
    Folder,
    Globs,
    Image,
    Memory,
    Name,
    Pattern,
    Patterns,
    Text,
    Value,
    Variable,
    Written,
)
from farmgate.quantities import Duration


def _short(key: str, kind: type) -> BeforeValidator:
    """A bare value of this kind stands for a mapping with just this key."""
    wanted = "text" if kind is str else "a whole number"

    def whole(value: object) -> object:
        if isinstance(value, kind) and not isinstance(value, bool):
            return {key: value}
        if not isinstance(value, dict | Written):
            raise ValueError(f"must be {wanted} or a mapping of keys to values, but is {shown(value)}")
        return value

    return BeforeValidator(whole)


def _either(model: type[Written], *short: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*short, model.model_json_schema()]})


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}


class StepFile(Written):
    """A step: commands with a name, a place, a shell."""

    name: Text | None = Field(None, description="what people see; default: the first line of the command")
    run: Command = Field(description="shell commands, run in the workspace")
    working_directory: Folder | None = Field(None, description="a folder of the workspace; default: the workspace")
    shell: Text | None = Field(
        None, description="what runs the commands, such as bash or python3: it is given the file; default: sh -e"
    )
    environment: Environment = Field({}, description="variables of this step, over the job's")
    image: Image | None = Field(None, description="an image of its own: the step runs in a container of its own")


Step = Annotated[StepFile, _short("run", str), _either(StepFile, {**TEXT, "description": "shell commands"})]


class NeedFile(Written):
    """A job that comes first, and what of its artifacts is put into this workspace."""

    job: Name = Field(description="the job")
    artifacts: Annotated[
        Annotated[bool, Tag("all")] | Annotated[Patterns, Tag("some")],
        Discriminator(lambda value: "all" if isinstance(value, bool) else "some"),
    ] = Field(True, description="true: all its artifacts; false: none; patterns: those that fit")


Need = Annotated[NeedFile, _short("job", str), _either(NeedFile, TEXT)]


def _needs(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Needs = Annotated[
    tuple[Need, ...],
    BeforeValidator(_needs),
    Field(max_length=500),
    WithJsonSchema(
        {
            "anyOf": [
                TEXT,
                NeedFile.model_json_schema(),
                {"type": "array", "items": {"anyOf": [TEXT, NeedFile.model_json_schema()]}},
            ]
        }
    ),
]


class ArtifactsFile(Written):
    """Files to keep."""

    paths: Patterns = Field(min_length=1, description="patterns relative to the workspace, such as dist/*.tar.gz")
    keep: Duration | None = Field(None, description="how long, such as 30d; default: the farm's own time")
    optional: bool = Field(False, description="true: it is well if nothing is there")
    when: Literal["passed", "failed", "always"] = Field("passed", description="after which end of the job")


def _artifacts(value: object) -> object:
    """A pattern, or a list of patterns, or the whole mapping, or a list of mappings."""
    if isinstance(value, str | dict):
        value = [value]
    return value


Artifacts = Annotated[
    tuple[Annotated[ArtifactsFile, _short("paths", str)], ...],
    BeforeValidator(_artifacts),
    Field(max_length=100),
    WithJsonSchema(
        {
            "anyOf": [
                TEXT,
                ArtifactsFile.model_json_schema(),
                {"type": "array", "items": {"anyOf": [TEXT, ArtifactsFile.model_json_schema()]}},
            ]
        }
    ),
]


class RetryFile(Written):
    """Another try of a job whose own steps failed. Lost infrastructure has its own tries and counts none of these."""

    times: Annotated[int, Field(ge=0, le=10)] = Field(1, description="how many further tries")
    on_exit: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], ONE_OR_MANY] = Field(
        (), description="only after these exit codes; default: any"
    )
    pause: Duration = Field(timedelta(0), description="time before the next try", json_schema_extra={"default": "0s"})


Retry = Annotated[RetryFile, _short("times", int), _either(RetryFile, {"type": "integer"})]


class AllowFileFailure(Written):
    """A failure that does not decide."""

    on_exit: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], ONE_OR_MANY] = Field(
        description="only these exit codes"
    )


AllowFailure = Annotated[
    Annotated[bool, Tag("any")] | Annotated[AllowFileFailure, Tag("some")],
    Discriminator(lambda value: "some" if isinstance(value, dict | AllowFileFailure) else "any"),
]


class WhenFile(Written):
    """When the job runs. Every key that stands must hold; of a key's patterns one must fit and none that `!` names."""

    branch: Globs | None = Field(None, description="patterns of branches; of a pull request: the branch it goes into")
    tag: Globs | None = Field(None, description="patterns of tags")
    event: Annotated[tuple[Literal["push", "tag", "pull", "person"], ...], ONE_OR_MANY, Field(min_length=1)] | None = (
        Field(None, description="why the run exists: push, tag, pull, person")
    )
    paths: Globs | None = Field(None, description="patterns of changed paths, such as src/** or !**/*.md")
    result: Literal["passed", "failed", "always"] = Field(
        "passed", description="of what it needs: all passed, one failed, or however it ended"
    )


class MatrixFile(Written):
    """The same job for every combination of its axes; written as axes, with `include`, `exclude`, `at_once` beside."""

    axes: Mapping[Variable, Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000)]] = Field({})
    include: Annotated[tuple[Mapping[Variable, Value], ...], Field(max_length=1000)] = Field(
        (), description="further combinations, or further variables for those that fit"
    )
    exclude: Annotated[tuple[Mapping[Variable, Value], ...], Field(max_length=1000)] = Field(
        (), description="combinations to leave out"
    )
    at_once: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="at most so many at a time")


MATRIX_KEYS = ("include", "exclude", "at_once")


class ConcurrencyFile(Written):
    """Jobs of a group do not run beside each other, over all runs of the repository."""

    group: Text = Field(description="the group's name")
    limit: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="how many run at a time")
    when_full: Literal["queue", "cancel_older"] = Field(
        "queue", description="wait for one's turn, or end older jobs of the group"
    )
    scope: Literal["repository", "ref"] = Field("repository", description="one group, or one per branch")


Concurrency = Annotated[ConcurrencyFile, _short("group", str), _either(ConcurrencyFile, TEXT)]


class HealthFile(Written):
    """When a service is ready."""

    command: Command | None = Field(None, description="a command in the service's container that ends with 0")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(None, description="a TCP port that answers")
    http: Text | None = Field(None, description="a path that answers with 2xx or 3xx at `port`")
    interval: Duration = Field(timedelta(seconds=1), json_schema_extra={"default": "1s"})
    timeout: Duration = Field(
        timedelta(minutes=1),
        description="not ready by then: the job ends in error",
        json_schema_extra={"default": "1m"},
    )

    @model_validator(mode="after")
    def _one_way(self) -> HealthFile:
        if self.command is None and self.port is None:
            raise ValueError("needs 'command' or 'port'")
        if self.http is not None and (self.port is None or not self.http.startswith("/")):
            raise ValueError("'http' is a path such as /healthz, and needs 'port'")
        return self


Health = Annotated[HealthFile, _short("port", int), _either(HealthFile, {"type": "integer"})]


class ServiceFile(Written):
    """A container beside the job, reachable by its name."""

    image: Image = Field(description="its image")
    environment: Environment = Field({}, description="its variables")
    command: tuple[Value, ...] | None = Field(None, description="arguments instead of the image's own")
    entrypoint: tuple[Value, ...] | None = Field(None, description="instead of the image's own")
    health: Health | None = Field(None, description="when it is ready; default: the image's own check, else at once")
    memory: Memory | None = Field(None, description="memory limit; default: the node's")
    cpus: Cpus | None = Field(None, description="processors; default: the node's")


Service = Annotated[ServiceFile, _short("image", str), _either(ServiceFile, TEXT)]


class CacheFile(Written):
    """Files kept from one run to the next, where that saves time; never the truth."""

    key: Text = Field(description="its name; with `files` their hash is added")
    files: Patterns = Field((), description="files of the repository whose content belongs to the key")
    fallback: Annotated[tuple[Text, ...], ONE_OR_MANY] | None = Field(
        None, description="beginnings of keys to take the newest of, where the key itself is not there; default: `key`"
    )
    paths: Annotated[tuple[CachePath, ...], ONE_OR_MANY] = Field(
        min_length=1, max_length=100, description="folders or files of the workspace, or of the home as ~/..."
    )


class ReportsFile(Written):
    """Results that are read, shown and compared, not just kept."""

    junit: Patterns = Field((), description="JUnit XML: each test with its history")
    cobertura: Patterns = Field((), description="coverage as Cobertura XML")
    lcov: Patterns = Field((), description="coverage as LCOV")
    sarif: Patterns = Field((), description="findings as SARIF")
    cyclonedx: Patterns = Field((), description="what it is made of, as CycloneDX")


class BuildFile(Written):
    """A container image, built on the node after the steps."""

    name: Image = Field(description="its name without a registry, such as shop")
    dockerfile: Pattern = Field("Dockerfile", description="path of the Dockerfile")
    context: Folder = Field(".", description="folder that is sent to the engine")
    target: Name | None = Field(None, description="the stage to build")
    arguments: Environment = Field({}, description="build arguments")


Build = Annotated[BuildFile, _short("name", str), _either(BuildFile, TEXT)]


class ApproveFile(Written):
    """A person is asked; nothing runs and no slot is held meanwhile."""

    text: Text = Field(description="what is asked")
    by: Annotated[tuple[Text, ...], ONE_OR_MANY] = Field(
        (), description="names of those who may answer; default: whoever may write"
    )
    within: Duration = Field(
        timedelta(days=2), description="no answer by then: declined", json_schema_extra={"default": "2d"}
    )


Approve = Annotated[ApproveFile, _short("text", str), _either(ApproveFile, TEXT)]


class IdentityFile(Written):
    """An OpenID Connect token that says which job this is."""

    audience: Text = Field(description="for whom, such as sts.amazonaws.com")


Identity = Annotated[IdentityFile, _short("audience", str), _either(IdentityFile, TEXT)]


def _by_name(value: object) -> object:
    """A list of names: each secret in the variable of its own name."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return {str(name): str(name) for name in value}
    return value


Secrets = Annotated[
    Mapping[Variable, Variable],
    BeforeValidator(_by_name),
    Field(max_length=100),
    WithJsonSchema(
        {"anyOf": [TEXT, {"type": "array", "items": TEXT}, {"type": "object", "additionalProperties": TEXT}]}
    ),
]
