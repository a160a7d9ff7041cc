"""Plain processes behind the switch, for a farm of one machine and one user."""

from __future__ import annotations

from typing import ClassVar, Literal

from farmgate.policy.targets.base import Kind
from farmgate.policy.targets.instances import InstancesFile, InstancesTarget


class ProcessTarget(InstancesTarget):
    """Plain processes on this machine."""

    EMBEDDED_ONLY: ClassVar[bool] = True

    type: Literal["process"] = "process"


KIND = Kind("process", InstancesFile, ProcessTarget, "deploy.targets.process:make")
