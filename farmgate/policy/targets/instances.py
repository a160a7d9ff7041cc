"""What targets have in common that run instances behind the switch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from farmgate.policy.targets.base import EnvironmentFile, Secrets, TargetPolicy
from farmgate.policy.values import Argv, Path, SomeSpan, Span

INSTANCE_LIMIT: Final = 32
"""Instances of one release: as many slots as the switch has for it."""


class InstancesFile(EnvironmentFile):
    """As people write it."""

    command: Argv
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    instances: Annotated[int, Field(ge=1, le=INSTANCE_LIMIT)] | None = None
    health: Path | None = None
    start_within: SomeSpan | None = None
    drain: Span | None = None


class InstancesTarget(TargetPolicy):
    """As rows keep it."""

    LISTENS: ClassVar[bool] = True
    HAS_ADDRESSES: ClassVar[bool] = True
    KEEPS_LOGS: ClassVar[bool] = True

    artifact: str | None = None  # a candidate's artifact: an archive that is unpacked where the command starts
    command: tuple[str, ...]
    port: int | None = None  # inside; a process is given its own as PORT
    environment: Mapping[str, str] = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=dict)
    instances: int = 1
    health: str = "/"  # an instance counts as up when this answers 200
    start_within: timedelta = timedelta(seconds=60)
    drain: timedelta = timedelta(seconds=30)  # how long old connections may go on

    @property
    def allowed(self) -> timedelta:
        return self.start_within + self.drain

    @property
    def up_at(self) -> str | None:
        return self.health

    @property
    def secret_names(self) -> tuple[str, ...]:
        return tuple(self.secrets)

    @property
    def words(self) -> str:
        return f"{self.type}, {self.instances} instance{'' if self.instances == 1 else 's'}"
