"""What a worker works with; shared by its attempts."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from farmgate.client.node import NodeClient
from farmgate.clock import Clock
from farmgate.node_folder import NodeFolder
from farmgate.settings import NodeSettings
from workers.engines.engine import Engine
from workers.leases import Leases


@dataclass(frozen=True, slots=True)
class Bench:
    """The seams of a worker."""

    client: NodeClient
    engine: Engine
    folder: NodeFolder
    leases: Leases
    clock: Clock
    settings: NodeSettings
    beside: Executor  # for what is done beside the main line of an attempt
