"""Where containers are reached: the network that a lane's instances share, and the ports they are published on."""

from __future__ import annotations

import socket
from typing import Any, Final

from deploy.targets.protocol import Instance
from farmgate.errors import TargetError

NETWORK: Final = "farmgate-deploy"


def network(client: Any) -> Any:
    """The instances' network, made if it is missing."""
    from docker.errors import APIError, NotFound

    try:
        return client.networks.get(NETWORK)
    except NotFound:
        try:
            return client.networks.create(NETWORK, driver="bridge", check_duplicate=True)
        except APIError as error:
            if error.status_code != 409:
                raise
    return client.networks.get(NETWORK)


def join(client: Any) -> None:
    """Connect the container that we run in, which the engine calls by its host name."""
    from docker.errors import APIError, NotFound

    try:
        ourselves = client.containers.get(socket.gethostname())
    except NotFound:
        raise TargetError(
            f"FARMGATE_IN_CONTAINER is set, and the engine has no container {socket.gethostname()!r}: "
            "do not give the container of the deploy loop a host name of its own"
        ) from None
    if NETWORK in ourselves.attrs["NetworkSettings"]["Networks"]:
        return
    try:
        network(client).connect(ourselves)
    except APIError as error:
        if "already exists" not in str(error):  # another lane's thread was first
            raise


def instance(container: Any) -> Instance:
    """A container as an instance."""
    index, status = int(container.labels["farmgate.index"]), container.status
    up = status == "running"
    address: str = container.labels["farmgate.address"]
    if address.startswith(":"):  # on the instances' network, where it has an address only while it runs
        here = container.attrs["NetworkSettings"]["Networks"].get(NETWORK, {}).get("IPAddress", "")
        up, address = up and bool(here), f"{here or '127.0.0.1'}{address}"
    restarts = int(container.attrs.get("RestartCount") or 0)
    return Instance(index, address, up, "" if up else f"is {status}", restarts, _inside(container))


def _inside(container: Any) -> str:
    """Where others on the instances' network reach it."""
    here = container.attrs["NetworkSettings"]["Networks"].get(NETWORK, {}).get("IPAddress", "")
    port = container.labels.get("farmgate.port", "")
    return f"{here}:{port}" if here and port else ""


def free_port() -> int:
    """Of the loopback of this host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
