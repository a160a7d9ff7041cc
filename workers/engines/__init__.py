"""What runs scripts: `docker` containers, plain processes, and a scripted fake, behind one contract."""

from __future__ import annotations

from farmgate.errors import BadSettings
from farmgate.node_folder import NodeFolder
from farmgate.settings import NodeSettings
from workers.engines.engine import Ended, Engine, Limits, Order, Places, Sink

__all__ = ["Ended", "Engine", "Limits", "Order", "Places", "Sink", "make_engine"]


def make_engine(settings: NodeSettings, folder: NodeFolder) -> Engine:
    """The engine that the settings name. Raises BadSettings where plain processes are not allowed."""
    if settings.engine == "process":
        if not settings.embedded:
            raise BadSettings(
                "FARMGATE_ENGINE: `process` runs jobs without isolation and is allowed only on the embedded farm "
                "(farmgate up); install a Docker engine on this node"
            )
        from workers.engines.process import ProcessEngine

        return ProcessEngine(folder.identity())
    from workers.engines.docker import DockerEngine

    return DockerEngine(folder.identity(), networks=settings.slots if settings.network == "bridge" else 0)
