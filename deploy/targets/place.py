"""The target of a lane, from what its policy says."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, assert_never

from deploy.switch import Switch
from deploy.targets.command import CommandRunTarget
from deploy.targets.docker import DockerRunner
from deploy.targets.fence import Fence
from deploy.targets.process import ProcessRunner
from deploy.targets.protocol import Target
from deploy.targets.switched import SwitchedTarget
from farmgate.blobs import Blobs
from farmgate.clock import Clock, random_token
from farmgate.errors import TargetError
from farmgate.policy import CommandTarget, DockerTarget, LanePolicy, ProcessTarget


class Targets(Protocol):
    """Gives each lane its target."""

    def of(self, lane_id: int, policy: LanePolicy) -> Target:
        """Raises TargetError for a target that this farm does not allow."""
        ...


class RealTargets:
    """Targets whose files stand below `folder`, one folder per lane."""

    def __init__(self, folder: Path, blobs: Blobs, clock: Clock, *, embedded: bool, in_container: bool = False) -> None:
        self._folder = folder
        self._blobs = blobs
        self._clock = clock
        self._embedded = embedded
        self._in_container = in_container

    def of(self, lane_id: int, policy: LanePolicy) -> Target:
        place = self._folder / str(lane_id)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        fence = Fence(place)
        target = policy.target
        match target:
            case DockerTarget():
                runner = DockerRunner(self._farm(), str(lane_id), self._blobs, in_container=self._in_container)
                return SwitchedTarget(runner, Switch(place, self._clock), fence, policy.listen or "", self._clock)
            case ProcessTarget():
                if not self._embedded:
                    raise TargetError("process targets run only in the embedded farm (`farmgate up`): use docker")
                processes = ProcessRunner(place, self._blobs, self._clock)
                return SwitchedTarget(processes, Switch(place, self._clock), fence, policy.listen or "", self._clock)
            case CommandTarget():
                return CommandRunTarget(place, self._blobs, fence)
            case _:
                assert_never(target)

    def _farm(self) -> str:
        """A name of this farm on an engine that others may use too; drawn once."""
        file = self._folder / "farm"
        try:
            with file.open("x") as new:
                new.write("".join(letter for letter in random_token().lower() if letter.isalnum())[:8])
        except FileExistsError:
            pass
        return file.read_text()
