"""Anything that programs can drive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field

from farmgate.policy.targets.base import EnvironmentFile, Kind, TargetPolicy
from farmgate.policy.values import Argv, SomeSpan


class CommandFile(EnvironmentFile):
    """As people write it."""

    shift: Argv
    restore: Argv
    observe: Argv | None = None
    timeout: SomeSpan | None = None


class CommandTarget(TargetPolicy):
    """Programs that end with 0 for done, 1 for failed, 2 for cannot tell."""

    type: Literal["command"] = "command"
    shift: tuple[str, ...]
    restore: tuple[str, ...]
    observe: tuple[str, ...] | None = None
    environment: Mapping[str, str] = Field(default_factory=dict)
    timeout: timedelta = timedelta(minutes=10)

    @property
    def allowed(self) -> timedelta:
        return self.timeout


KIND = Kind("command", CommandFile, CommandTarget, "deploy.targets.command:make")
