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
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from farmgate.pipeline.values import Name, Patterns
from farmgate.policy.check_files import CheckFiles
from farmgate.policy.pace import BudgetFile, FreezeFile, WindowFile, Zone
from farmgate.policy.values import Address, Branch, Count, RepositoryName, SomeSpan, Span, Written
from farmgate.provenance.dsse import NotGenuine, kid_of
from farmgate.quantities import Duration


def _year(span: timedelta) -> timedelta:
    if span > timedelta(days=366):
        raise ValueError("is longer than 366d")
    return span


def _key(text: str) -> str:
    try:
        kid_of(text)
    except NotGenuine as error:
        raise ValueError(f"{error}: write the public key with its BEGIN and END lines") from None
    return text


def _off(value: object) -> object:
    return None if value == "off" else value


TargetAsWritten = Mapping[str, Any]
"""Read on by `farmgate.policy.parsing`, when its `type` is known and the lane's is merged into the default one."""


class WaveFile(Written):
    """A wave."""

    share: Annotated[int, Field(ge=1, le=100)]
    soak: Span = timedelta(0)
    checks: CheckFiles = ()


class AdaptiveFile(Written):
    """A batch size that adapts."""

    start: Count = 4
    least: Count = 1
    most: Annotated[int, Field(ge=1, le=10_000)] = 50

    @model_validator(mode="after")
    def _ordered(self) -> AdaptiveFile:
        if not self.least <= self.start <= self.most:
            raise ValueError(
                f"'least' {self.least}, 'start' {self.start} and 'most' {self.most} must rise in this order"
            )
        return self


class ApprovalsFile(Written):
    """Who must agree."""

    count: Annotated[int, Field(ge=1, le=20)] = 1
    by: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=200)] = ()
    not_author: bool = True

    @model_validator(mode="after")
    def _enough(self) -> ApprovalsFile:
        if len(set(self.by)) != len(self.by):
            raise ValueError("somebody stands in 'by' twice")
        if self.by and self.count > len(self.by):
            raise ValueError(f"{self.count} approvals of {len(self.by)} people can never be had")
        return self


class VulnerabilitiesFile(Written):
    """What is refused."""

    refuse: Literal["critical", "high", "medium", "low"]
    grace: Annotated[Duration, AfterValidator(_year)] = timedelta(0)
    strict: bool = False
    unlisted: Literal["refuse", "allow"] = "refuse"


class ProvenanceFile(Written):
    """What must be signed, and by whom."""

    required: bool
    keys: Annotated[tuple[Annotated[str, Field(max_length=4000), AfterValidator(_key)], ...], Field(max_length=50)] = ()


_Size = Annotated[
    Annotated[Count, Tag("a number")] | Annotated[AdaptiveFile, Tag("adaptive")],
    Discriminator(lambda value: "adaptive" if isinstance(value, Mapping | AdaptiveFile) else "a number"),
]


class LaneFile(Written):
    """A lane."""

    branch: Branch = "main"
    follows: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    listen: Address | None = None
    settle: Span = timedelta(0)
    minimum_interval: Span = timedelta(0)
    max_commits: Annotated[_Size | None, BeforeValidator(_off)] = None
    zone: Zone | None = None
    windows: Annotated[tuple[WindowFile, ...], Field(max_length=50)] = ()
    freezes: Annotated[tuple[FreezeFile, ...], Field(max_length=200)] = ()
    budget: BudgetFile | None = None
    approvals: ApprovalsFile | None = None
    vulnerabilities: VulnerabilitiesFile | None = None
    provenance: ProvenanceFile | None = None
    waves: Annotated[tuple[WaveFile, ...], Field(min_length=1, max_length=50)] = (WaveFile(share=100),)
    checks: CheckFiles = ()
    ask_for: SomeSpan = timedelta(hours=1)
    irreversible: Patterns = ()
    on_late_red: Literal["tell", "hold", "restore"] = "tell"
    on_culprit: Literal["hold", "revert", "next"] = "next"
    target: TargetAsWritten | None = None


class PolicyFile(Written):
    """The whole file: the lanes of one application."""

    application: Name
    repository: RepositoryName | None = None
    zone: Zone = "UTC"
    target: TargetAsWritten | None = None
    lanes: Annotated[Mapping[Name, LaneFile], Field(min_length=1, max_length=100)]
