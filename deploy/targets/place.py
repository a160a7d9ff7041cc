"""The target of a lane, from what its policy says."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol

from deploy.targets import given
from deploy.targets.fence import Fence
from deploy.targets.handovers import Handovers
from deploy.targets.protocol import Target
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.clock import Clock, random_token
from farmgate.errors import TargetError
from farmgate.policy import LanePolicy
from farmgate.policy.targets import kind
from farmgate.registries import Registry


class Targets(Protocol):
    """Gives each lane its target."""

    def of(self, lane_id: int, policy: LanePolicy) -> Target:
        """Raises TargetError for a target that this farm does not allow."""
        ...


class RealTargets:
    """Targets whose files stand below `folder`, one folder per lane."""

    def __init__(
        self,
        folder: Path,
        blobs: Blobs,
        clock: Clock,
        *,
        embedded: bool,
        in_container: bool = False,
        secret: Callable[[LanePolicy, str], str] = given.none,
        registry: Registry | None = None,
        handovers: Handovers | None = None,
        digest: Callable[[LanePolicy, str, str], str] | None = None,
    ) -> None:
        self._folder = folder
        self._blobs = blobs
        self._clock = clock
        self._embedded = embedded
        self._in_container = in_container
        self._secret = secret
        self._registry = registry
        self._handovers = handovers
        self._digest = digest

    def of(self, lane_id: int, policy: LanePolicy) -> Target:
        place = self._folder / str(lane_id)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = self._digest
        site = Site(
            lane_id=lane_id,
            policy=policy,
            folder=place,
            fence=Fence(place),
            blobs=self._blobs,
            clock=self._clock,
            farm=self._farm(),
            secret=lambda name: self._secret(policy, name),
            handovers=self._handovers,
            digest=(lambda name, value: digest(policy, name, value)) if digest is not None else None,
            embedded=self._embedded,
            in_container=self._in_container,
            registry=self._registry,
        )
        return _factory(policy.target.type)(site)

    def _farm(self) -> str:
        """A name of this farm on an engine that others may use too; drawn once."""
        file = self._folder / "farm"
        try:
            with file.open("x") as new:
                new.write("".join(letter for letter in random_token().lower() if letter.isalnum())[:8])
        except FileExistsError:
            pass
        return file.read_text()


def _factory(name: str) -> Callable[[Site], Target]:
    """What makes a target of this kind. Raises TargetError."""
    try:
        return _loaded(kind(name).factory)
    except Exception as error:
        raise TargetError(f"a {name} target cannot be made here: {error}") from error


@cache
def _loaded(factory: str) -> Callable[[Site], Target]:
    module, _, function = factory.partition(":")
    found: Callable[[Site], Target] = getattr(import_module(module), function)
    return found
