"""What the factory of a target is handed: whose lane it is, where its files may stand, and the seams to the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.targets.fence import Fence
from deploy.targets.handovers import Handovers
from farmgate.blobs import Blobs
from farmgate.clock import Clock
from farmgate.policy import LanePolicy
from farmgate.registries import Registry


@dataclass(frozen=True, slots=True)
class Site:
    """One lane's. `farm`: a name of this farm at places that others use too. `folder` is the lane's own, and is there.

    `secret`: the value of a secret of the lane's repository, for its environment and branch; raises TargetError.
    `digest`: a keyed digest of a secret, by name and value, for the ledger. `handovers`: what other tools carry out, as
    rows. `embedded`: the farm of one machine and one user.
    `in_container`: the deploy loop runs in a container.
    """

    lane_id: int
    policy: LanePolicy
    folder: Path
    fence: Fence
    blobs: Blobs
    clock: Clock
    farm: str
    secret: Callable[[str], str]
    handovers: Handovers | None = None
    digest: Callable[[str, str], str] | None = None
    embedded: bool = False
    in_container: bool = False
    registry: Registry | None = None  # the farm's, with its login
