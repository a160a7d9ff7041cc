"""Anything that programs can drive: beside the deploy loop, or in a container of an image."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from farmgate.pipeline.values import Cpus, Image, Memory
from farmgate.policy.targets.base import EnvironmentFile, Kind, Secrets, TargetPolicy
from farmgate.policy.values import Argv, Frozen, SomeSpan, Span, Written


def _not_too_often(span: timedelta) -> timedelta:
    if span < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return span


class StatusFile(Written):
    """How to look at what takes days, as people write it."""

    command: Argv
    every: Annotated[Span, AfterValidator(_not_too_often)] | None = None
    within: SomeSpan | None = None


class CommandFile(EnvironmentFile):
    """As people write it."""

    image: Image | None = None
    shift: Argv
    restore: Argv
    observe: Argv | None = None
    status: StatusFile | None = None
    when_newer: Literal["wait", "replace"] | None = None
    timeout: SomeSpan | None = None
    memory: Memory | None = Field(None, serialization_alias="memory_bytes")
    cpus: Cpus | None = None

    @model_validator(mode="after")
    def _together(self) -> CommandFile:
        if self.when_newer is not None and self.status is None:
            raise ValueError("'when_newer' needs 'status': without it nothing goes on that could be replaced")
        if self.image is None and (self.memory is not None or self.cpus is not None):
            raise ValueError("'memory' and 'cpus' bound a container: they need 'image'")
        return self


class Status(Frozen):
    """Asked every `every` after a shift, for `within` at most."""

    command: tuple[str, ...]
    every: timedelta = timedelta(minutes=5)
    within: timedelta = timedelta(days=14)


class CommandTarget(TargetPolicy):
    """Programs that end with 0 for done, 1 for failed, 2 for cannot tell."""

    type: Literal["command"] = "command"
    image: str | None = None  # None: the programs run beside the deploy loop, as its user
    shift: tuple[str, ...]
    restore: tuple[str, ...]
    observe: tuple[str, ...] | None = None
    status: Status | None = None
    when_newer: Literal["wait", "replace"] = "wait"
    environment: Mapping[str, str] = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=dict)
    timeout: timedelta = timedelta(minutes=10)
    memory_bytes: int | None = None
    cpus: float | None = None

    @property
    def allowed(self) -> timedelta:
        return self.timeout

    @property
    def goes_on_for(self) -> timedelta:
        return self.status.within if self.status is not None else timedelta(0)

    @property
    def look_every(self) -> timedelta:
        return self.status.every if self.status is not None else timedelta(minutes=1)

    @property
    def replaced_by_newer(self) -> bool:
        return self.when_newer == "replace"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return tuple(self.secrets)

    @property
    def words(self) -> str:
        return f"command in {self.image}" if self.image is not None else "command"


KIND = Kind("command", CommandFile, CommandTarget, "deploy.targets.command:make")
