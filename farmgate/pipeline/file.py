"""The pipeline file `.farmgate.yml` as people write it. docs/pipeline.md is its reference.

Rules:
1. What is unknown is refused; nothing is guessed.
2. What a stranger wrote is only ever a value: names, images and paths are checked here, once, for everyone after.
3. An artifact's pattern stays inside the workspace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from farmgate.documents import as_written
from farmgate.quantities import Duration, SizeBytes, show_duration

HOUR: Final = timedelta(hours=1)
LONGEST_TIMEOUT: Final = 24 * HOUR
DEFAULT_TIMEOUT: Final = timedelta(minutes=30)
SMALLEST_MEMORY_BYTES: Final = 6 * 2**20
LONGEST_COMMAND: Final = 100_000
"""Characters of one step's commands; what is longer belongs into a script in the repository."""

NAME: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
_IMAGE: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}"
_RESERVED: Final = "FARMGATE_"


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError(
            f"{text[:80]!r} is not a name: use lower-case letters, digits, '-' and '_', "
            "a letter or digit first, at most 63 characters"
        )
    return text


def _image(text: str) -> str:
    if not re.fullmatch(_IMAGE, text):
        raise ValueError(f"{text[:80]!r} is not the name of an image, such as python:3.12-slim")
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(_VARIABLE, text):
        raise ValueError(f"{text[:80]!r} is not the name of a variable: use letters, digits and '_', no digit first")
    if text.startswith(_RESERVED):
        raise ValueError(f"{text[:80]!r} is reserved: variables that begin with {_RESERVED} are set by Farmgate")
    return text


def _value(value: object) -> object:
    """A number or boolean is taken as it is written: `1.10` stays 1.10."""
    text = as_written(value)
    return value if text is None else text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command or variable can")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank: write a command")
    return text


def _pattern(text: str) -> str:
    parts = text.split("/")
    if not text.strip():
        raise ValueError("is blank: write a path or a pattern, such as dist/*.tar.gz")
    if text.startswith(("/", "~")) or re.match(r"[A-Za-z]:|.*\\", text):
        raise ValueError(f"{text[:200]!r} leaves the workspace: write a path relative to it, with '/'")
    if ".." in parts:
        raise ValueError(f"{text[:200]!r} leaves the workspace: '..' is not allowed")
    if len(text) > 1024 or any(ord(character) < 32 for character in text):
        raise ValueError(f"{text[:80]!r} is too long or holds a control character")
    if parts[0] == ".git":
        raise ValueError(f"{text[:200]!r} is git's own folder")
    return text


def _within_a_day(span: timedelta) -> timedelta:
    if not timedelta(0) < span <= LONGEST_TIMEOUT:
        raise ValueError(f"{show_duration(span)} is not more than 0s and at most {LONGEST_TIMEOUT // HOUR}h")
    return span


def _enough(size: int) -> int:
    if size < SMALLEST_MEMORY_BYTES:
        raise ValueError("must be at least 6m: containers do not start with less (write 512m for 512 MiB)")
    if size > 2**50:
        raise ValueError("is more than any node has")
    return size


def _as_step(value: object) -> object:
    """A step may be just its commands."""
    return {"run": value} if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Image = Annotated[str, AfterValidator(_image), WithJsonSchema({"type": "string", "pattern": f"^{_IMAGE}$"})]
Variable = Annotated[str, AfterValidator(_variable), WithJsonSchema({"type": "string", "pattern": f"^{_VARIABLE}$"})]
Value = Annotated[
    str,
    BeforeValidator(_value),
    AfterValidator(_without_nul),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Environment = Annotated[Mapping[Variable, Value], Field(max_length=500)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Command = Annotated[str, Field(max_length=LONGEST_COMMAND), AfterValidator(_not_blank), AfterValidator(_without_nul)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepFile(_Written):
    """A step with a name."""

    name: Annotated[str, Field(max_length=200), AfterValidator(_not_blank)] | None = Field(
        None, description="what people see; default: the first line of the command"
    )
    run: Command = Field(description="shell commands, run by `sh -e` in the workspace")


Step = Annotated[
    StepFile,
    BeforeValidator(_as_step),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "description": "shell commands"},
                StepFile.model_json_schema(),
            ]
        }
    ),
]


class JobFile(_Written):
    """A job: steps that run one after the other in one workspace."""

    image: Image | None = Field(None, description="the container image; default: the file's, else the node's")
    needs: tuple[Name, ...] = Field((), max_length=500, description="jobs that must have passed before this one starts")
    steps: tuple[Step, ...] = Field(min_length=1, max_length=200, description="what the job runs, in order")
    timeout: Annotated[Duration, AfterValidator(_within_a_day)] = Field(
        DEFAULT_TIMEOUT,
        description="the job is stopped after this time (90s, 10m, 2h, 1h30m; at most 24h)",
        json_schema_extra={"default": show_duration(DEFAULT_TIMEOUT)},
    )
    environment: Environment = Field({}, description="variables of this job, over the file's")
    artifacts: tuple[Pattern, ...] = Field(
        (), max_length=100, description="files to keep, as patterns relative to the workspace, such as dist/*.tar.gz"
    )
    memory: Annotated[SizeBytes, AfterValidator(_enough)] | None = Field(
        None, description="memory limit (512m, 2g); default: the node's"
    )
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] | None = Field(
        None, description="processors the job may use (0.5, 2); default: the node's"
    )
    pool: Name = Field("default", description="the pool of nodes that runs the job")


class PipelineFile(_Written):
    """A pipeline: what Farmgate does with every commit."""

    image: Image | None = Field(None, description="the container image of jobs that name none")
    environment: Environment = Field({}, description="variables of all jobs")
    jobs: Mapping[Name, JobFile] = Field(min_length=1, description="the jobs by name")
