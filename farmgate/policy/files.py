"""The policy file as people write it. docs/policy.md is its reference.

Rules:
1. What is unknown is refused; nothing is guessed.
2. `target` at the top is the default of every lane; a lane's own `target` overrides it field by field.
3. `off` stands for 'no limit'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from farmgate.pipeline.values import Environment, Image, Name
from farmgate.policy.models import INSTANCE_LIMIT
from farmgate.quantities import Duration, SizeBytes
from farmgate.refs import HEADS, is_ref

_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]|\*):(?P<port>[0-9]{1,5})")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH: Final = re.compile(r"/[!-~]*")
_URL: Final = re.compile(r"https?://[!-~]+")
LONGEST: Final = timedelta(days=30)


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{text[:80]!r} is not an address to listen on, such as 127.0.0.1:8101")
    return f"{found['host'] or '127.0.0.1'}:{int(found['port'])}"


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a path, such as /healthz")
    return text


def _path_or_url(text: str) -> str:
    if not (_PATH.fullmatch(text) or _URL.fullmatch(text)):
        raise ValueError(f"{text[:80]!r} is neither a path, such as /healthz, nor a URL")
    return text


def _repository(text: str) -> str:
    if not _REPOSITORY.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not the name of a repository")
    return text


def _branch(text: str) -> str:
    if not is_ref(HEADS + text) or text.startswith("refs/"):
        raise ValueError(f"{text[:80]!r} is not the name of a branch, such as main")
    return text


def _off(value: object) -> object:
    return None if value == "off" else value


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command can")
    return text


def _bounded(span: timedelta) -> timedelta:
    if span > LONGEST:
        raise ValueError("is longer than 30d")
    return span


def _some(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        raise ValueError("must be more than 0s")
    return span


Span = Annotated[Duration, AfterValidator(_bounded)]
SomeSpan = Annotated[Duration, AfterValidator(_bounded), AfterValidator(_some)]
Argv = Annotated[tuple[Annotated[str, AfterValidator(_argument)], ...], Field(min_length=1, max_length=1000)]
Path = Annotated[str, AfterValidator(_path)]
Count = Annotated[int, Field(ge=1)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckFile(_Written):
    """A check: `http` or `command`."""

    http: Annotated[str, AfterValidator(_path_or_url)] | None = None
    expect: Annotated[int, Field(ge=100, le=599)] = 200
    command: Argv | None = None
    every: SomeSpan = timedelta(seconds=5)
    timeout: SomeSpan = timedelta(seconds=5)
    failures: Annotated[int, Field(ge=1, le=1000)] = 2

    @model_validator(mode="after")
    def _one_of(self) -> CheckFile:
        if (self.http is None) == (self.command is None):
            raise ValueError("a check needs 'http' or 'command', and only one of them")
        return self


class WaveFile(_Written):
    """A wave."""

    share: Annotated[int, Field(ge=1, le=100)]
    soak: Span = timedelta(0)


class TargetFile(_Written):
    """A target, or what a lane changes of the default one: every key may be missing here."""

    type: Literal["docker", "process", "command"] | None = None
    image: Image | None = None
    artifact: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    command: Argv | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    environment: Environment | None = None
    instances: Annotated[int, Field(ge=1, le=INSTANCE_LIMIT)] | None = None
    health: Path | None = None
    start_within: SomeSpan | None = None
    drain: Span | None = None
    memory: Annotated[SizeBytes, Field(ge=6 * 2**20)] | None = None
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    shift: Argv | None = None
    restore: Argv | None = None
    observe: Argv | None = None
    timeout: SomeSpan | None = None


class LaneFile(_Written):
    """A lane."""

    branch: Annotated[str, AfterValidator(_branch)] = "main"
    follows: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    listen: Annotated[str, AfterValidator(_address)] | None = None
    settle: Span = timedelta(0)
    minimum_interval: Span = timedelta(0)
    max_commits: Annotated[Count | None, BeforeValidator(_off)] = None
    waves: Annotated[tuple[WaveFile, ...], Field(min_length=1, max_length=50)] = (WaveFile(share=100),)
    checks: Annotated[tuple[CheckFile, ...], Field(max_length=20)] = ()
    ask_for: SomeSpan = timedelta(hours=1)
    target: TargetFile | None = None


class PolicyFile(_Written):
    """The whole file: the lanes of one application."""

    application: Name
    repository: Annotated[str, AfterValidator(_repository)] | None = None
    target: TargetFile | None = None
    lanes: Annotated[Mapping[Name, LaneFile], Field(min_length=1, max_length=100)]
