"""How people's orders come into a story: the scheduler's own functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from farmgate.blobs import MemoryBlobs
from farmgate.git.fake import FakeHistory
from farmgate.settings import SchedulerSettings
from farmgate.vault import Vault
from scheduler.context import Context
from tests.simulated import Dice, SimulatedBell, SimulatedMirrors
from tests.simulation.farm import Farm

Line = Mapping[str, Any]
WHO = "alice"


class Refused(Exception):
    """What the line asks for cannot happen as things are."""


@functools.cache
def _door_parts() -> tuple[SchedulerSettings, Vault]:
    return SchedulerSettings(), Vault(b"the simulation's own key")


def door(farm: Farm) -> Context:
    settings, vault = _door_parts()
    return Context(
        settings=settings,
        store=farm.store,
        blobs=MemoryBlobs(),
        vault=vault,
        clock=farm.clock,
        bell=SimulatedBell(Dice(0)),
        signals=farm.signals,
        deploy_signals=farm.signals,
        mirrors=SimulatedMirrors(FakeHistory(farm.clock.now())),
    )


def sha_of(farm: Farm, name: str) -> str:
    if name not in farm.known:
        raise Refused
    return farm.known[name].sha
