"""The policy file as people write it. docs/policy.md is its reference.

Rules:
1. What is unknown is refused; nothing is guessed.
2. `target` at the top is the default of every lane; a lane's own `target` overrides it field by field. What may stand
   in it is told by its kind: `farmgate.policy.targets`.
3. `off` stands for 'no limit'.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from farmgate.pipeline.values import Name
from farmgate.policy.check_files import CheckFiles
from farmgate.policy.values import Address, Branch, Count, RepositoryName, SomeSpan, Span, Written


def _off(value: object) -> object:
    return None if value == "off" else value


TargetAsWritten = Mapping[str, Any]
"""Read on by `farmgate.policy.parsing`, when its `type` is known and the lane's is merged into the default one."""


class WaveFile(Written):
    """A wave."""

    share: Annotated[int, Field(ge=1, le=100)]
    soak: Span = timedelta(0)
    checks: CheckFiles = ()


class LaneFile(Written):
    """A lane."""

    branch: Branch = "main"
    follows: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    listen: Address | None = None
    settle: Span = timedelta(0)
    minimum_interval: Span = timedelta(0)
    max_commits: Annotated[Count | None, BeforeValidator(_off)] = None
    waves: Annotated[tuple[WaveFile, ...], Field(min_length=1, max_length=50)] = (WaveFile(share=100),)
    checks: CheckFiles = ()
    ask_for: SomeSpan = timedelta(hours=1)
    target: TargetAsWritten | None = None


class PolicyFile(Written):
    """The whole file: the lanes of one application."""

    application: Name
    repository: RepositoryName | None = None
    target: TargetAsWritten | None = None
    lanes: Annotated[Mapping[Name, LaneFile], Field(min_length=1, max_length=100)]
