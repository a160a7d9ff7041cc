"""What all targets have in common: as people write one (`TargetFile`), and as rows keep one (`TargetPolicy`).

Rules:
1. A kind of target is a module with two models, one of each, and a `Kind` that names them and the function that makes
   the target itself. See docs/targets.md.
2. The rest of Farmgate never asks which kind a target is: it asks the model, by what stands in `TargetPolicy`.
3. Where a lane names another kind than the default target, it takes over the keys that both have from the same class:
   two kinds that merely call something alike share nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from farmgate.documents import Location
from farmgate.pipeline.values import Environment, Variable
from farmgate.policy.values import ArtifactName, Frozen, Written

if TYPE_CHECKING:
    from farmgate.policy.models import LanePolicy


_TAKEN: Final = ("PORT", "HOME", "PATH", "IFS", "ENV", "LD_PRELOAD", "LD_LIBRARY_PATH")


class TargetFile(Written):
    """A target as people write it: every default stands in the kind's `TargetPolicy`, so a key left out is None."""

    type: str
    artifact: ArtifactName | None = None

    def fields(self) -> dict[str, Any]:
        """What was written, under the names that the kind's policy has for it."""
        return self.model_dump(exclude_none=True, by_alias=True)


class EnvironmentFile(TargetFile):
    """One whose programs see variables. `secrets`: names of secrets of the repository, which become variables too."""

    environment: Environment | None = None
    secrets: Annotated[tuple[Variable, ...], Field(max_length=50)] | None = None

    @model_validator(mode="after")
    def _once(self) -> EnvironmentFile:
        names = self.secrets or ()
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the secret {name} stands here twice")
            if name in (self.environment or {}):
                raise ValueError(f"{name} is in 'environment' and in 'secrets': it can be one of them")
            if name in _TAKEN:
                raise ValueError(f"no secret can be called {name}: what starts needs that variable itself")
        return self


def _unknown_values(names: Any) -> Any:
    return dict.fromkeys(names, "") if isinstance(names, list | tuple) else names


Secrets = Annotated[Mapping[str, str], BeforeValidator(_unknown_values)]
"""What rows keep of secrets: the name, and in a release a keyed digest of the value that was given, never the value."""


def with_digests(config: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """A target's row with the digests of the secrets that its instances were given."""
    names = config.get("secrets")
    if not isinstance(names, Mapping) or not names:
        return dict(config)
    return {**config, "secrets": {name: digests.get(name, known) for name, known in names.items()}}


class TargetPolicy(Frozen):
    """A target as rows keep it, every default applied."""

    LISTENS: ClassVar[bool] = False
    """True if a switch takes requests at the lane's `listen`."""
    HAS_ADDRESSES: ClassVar[bool] = False
    """True if its instances have addresses, so that a check's path can be asked of each."""
    KEEPS_LOGS: ClassVar[bool] = False
    """True if Farmgate can read what its instances write (`deploy.targets.protocol.KeepsLogs`)."""
    TAKES_SHARES: ClassVar[bool] = True
    """False if it has everything or nothing: one wave of 100."""
    EMBEDDED_ONLY: ClassVar[bool] = False
    """True if it runs what it is given as the user of the farm itself: only where there is no other user."""

    type: str
    artifact: str | None = None

    @property
    def allowed(self) -> timedelta:
        """How long one of its steps may take by its own settings; rollouts get twice that and an hour."""
        return timedelta(0)

    @property
    def goes_on_for(self) -> timedelta:
        """How long a step may go on outside (a review, another tool's rollout), on top of that."""
        return timedelta(0)

    @property
    def look_every(self) -> timedelta:
        """How often what goes on is looked at."""
        return timedelta(minutes=1)

    @property
    def replaced_by_newer(self) -> bool:
        """True if a newer batch takes the place of one that goes on and serves nobody yet; else it waits."""
        return False

    @property
    def up_at(self) -> str | None:
        """The path that an instance has to answer to count as up; None if nothing is asked."""
        return None

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The secrets that its programs are given."""
        return ()

    @property
    def words(self) -> str:
        """In a few words, for people."""
        return self.type

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        """What in the lane cannot be with this target: the place within the lane, and why."""
        yield from ()


class UnknownTarget(TargetPolicy):
    """What a row keeps of a kind that is not installed here: whole, as it is, so that nothing is lost."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of target.

    `factory` is `module:function`; the deploy loop alone loads it, and calls it with a `deploy.targets.site.Site`.
    """

    name: str
    written: type[TargetFile]
    policy: type[TargetPolicy]
    factory: str

    @property
    def keys(self) -> tuple[str, ...]:
        """What may stand in it."""
        return tuple(self.written.model_fields)

    def made(self, written: TargetFile) -> TargetPolicy:
        """From what was written to what is kept."""
        return self.policy.model_validate(written.fields())

    def takes_over(self, other: Kind, data: Mapping[str, Any]) -> dict[str, Any]:
        """What of a default target of another kind holds for this one too."""
        common = next(each for each in self.written.__mro__ if issubclass(other.written, each))
        keys = common.model_fields if issubclass(common, TargetFile) else {}
        return {name: value for name, value in data.items() if name in keys}
