"""Services: containers beside a job's own, on a network that only they and the job share.

Rules:
1. One bridge network per job with services, labelled as the job's containers are; the sweep finds it. On it a service
   answers to its name. No other job reaches it.
2. A service is hardened as far as the images of databases bear: they begin as root, give their folder to a user of
   their own and become that user. So a few capabilities stay (no raw sockets, no devices, no namespaces), nothing is
   gained later, and memory, processors and processes are limited.
3. What it writes is kept by the engine, the newest `LOG_BYTES` of it.
4. Where we run in a container of the same engine, that container joins the network, so that ports can be asked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.types import Healthcheck, LogConfig

from farmgate.errors import EngineError
from farmgate.node_folder import Key
from workers.engines.engine import ServiceFailed, ServiceOrder, ServiceState

LOG_BYTES: Final = 16 * 2**20
_CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
)


class Companions:
    """The services and networks of one engine's jobs. What the client library raises, passes."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._networks: dict[Key, str] = {}
        self._containers: dict[tuple[Key, str], str] = {}
        self._ourselves: str | None = None

    def network_of(self, key: Key) -> str | None:
        """The job's own network, if it has services."""
        return self._networks.get(key)

    def start(self, api: Any, order: ServiceOrder, cpus: float) -> None:
        """Raises ServiceFailed where the image has nothing to start."""
        network = self._network(api, order)
        name = f"farmgate-{self._node}-{order.key}-service-{order.name}"
        with contextlib.suppress(NotFound):  # of a worker that died with this attempt
            api.remove_container(name, v=True, force=True)
        host = api.create_host_config(
            cap_drop=["ALL"],
            cap_add=list(_CAPABILITIES),
            security_opt=["no-new-privileges"],
            mem_limit=order.limits.memory_bytes,
            memswap_limit=order.limits.memory_bytes,
            nano_cpus=int(cpus * 1e9),
            pids_limit=order.limits.pids,
            network_mode=network,
            log_config=LogConfig(type="json-file", config={"max-size": f"{LOG_BYTES // 2}", "max-file": "2"}),
            init=True,
        )
        endpoint = api.create_endpoint_config(aliases=[order.name])
        config = api.create_container_config(
            image=order.image,
            command=list(order.command) if order.command is not None else None,
            entrypoint=list(order.entrypoint) if order.entrypoint is not None else None,
            environment=dict(order.environment),
            hostname=order.name,
            labels=self._labels(order.key),
            healthcheck=None if order.own_check else Healthcheck(test=["NONE"]),
            host_config=host,
            networking_config=api.create_networking_config({network: endpoint}),
        )
        try:
            container = str(api.create_container_from_config(config, name)["Id"])
        except APIError as error:
            if error.status_code != 400:  # no command: the image has none, and the file names none
                raise
            raise ServiceFailed(
                f"the service {order.name!r} cannot start: {error.explanation} (its image has none: say 'command')"
            ) from None
        with self._lock:
            self._containers[order.key, order.name] = container
        try:
            api.start(container)
        except APIError as error:
            if error.status_code == 404 or ((error.status_code or 500) >= 500 and "exec" not in str(error.explanation)):
                raise
            raise ServiceFailed(f"the service {order.name!r} cannot start: {error.explanation}") from None

    def look(self, api: Any, key: Key, name: str) -> ServiceState:
        known = api.inspect_container(self._containers[key, name])
        if known["State"].get("Status") in ("removing", "dead"):
            raise EngineError(f"the service {name!r} was removed behind us")
        state, networks = known["State"], known["NetworkSettings"]["Networks"]
        return ServiceState(
            running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state.get("OOMKilled")),
            health=str((state.get("Health") or {}).get("Status") or ""),
            address=next((str(one["IPAddress"]) for one in networks.values() if one["IPAddress"]), ""),
        )

    def ask(self, api: Any, key: Key, name: str, command: str) -> int:
        made = api.exec_create(self._containers[key, name], ["sh", "-c", command], stdin=False)
        api.exec_start(made["Id"])
        return int(api.exec_inspect(made["Id"])["ExitCode"] or 0)

    def log(self, api: Any, key: Key, name: str) -> Iterator[bytes]:
        found: Iterator[bytes] = api.logs(self._containers[key, name], stream=True, follow=False)
        return found

    def take(self, key: Key) -> tuple[list[str], str | None]:
        """What the job has: its services' containers and its network, no longer known here."""
        with self._lock:
            names = [this for this in self._containers if this[0] == key]
            return [self._containers.pop(this) for this in names], self._networks.pop(key, None)

    def keys(self) -> set[Key]:
        with self._lock:
            return set(self._networks)

    def remove_network(self, api: Any, network: str) -> None:
        """Gone, or left for the next sweep where something still stands on it."""
        if self._ourselves:
            with contextlib.suppress(APIError):
                api.disconnect_container_from_network(self._ourselves, network, force=True)
        try:
            api.remove_network(network)
        except APIError as error:
            if error.status_code not in (403, 404):
                raise

    def sweep(self, api: Any, kept: set[Key] | frozenset[Key]) -> None:
        """The networks of attempts that nobody holds."""
        for found in api.networks(filters={"label": f"farmgate.node={self._node}"}):
            labels = found.get("Labels") or {}
            key = Key.read(f"{labels.get('farmgate.job')}-{labels.get('farmgate.attempt')}")
            if key is not None and key not in kept:
                self.remove_network(api, str(found["Id"]))

    def _network(self, api: Any, order: ServiceOrder) -> str:
        known = self._networks.get(order.key)
        if known is not None:
            return known
        name = f"farmgate-{self._node}-{order.key}"
        for left in api.networks(filters={"label": f"farmgate.node={self._node}"}):
            if left["Name"] == name:  # of a worker that died with this attempt
                self.remove_network(api, str(left["Id"]))
        made = api.create_network(name, driver="bridge", labels=self._labels(order.key), internal=not order.outside)
        network = str(made["Id"])
        with self._lock:
            self._networks[order.key] = network
        self._join(api, network)
        return network

    def _join(self, api: Any, network: str) -> None:
        if self._ourselves is None:
            try:
                known = api.inspect_container(socket.gethostname())
                self._ourselves = str(known["Id"]) if known["State"]["Running"] else ""
            except NotFound:
                self._ourselves = ""
        if self._ourselves:
            with contextlib.suppress(APIError):  # ports cannot be asked then; that is told as never healthy
                api.connect_container_to_network(self._ourselves, network)

    def _labels(self, key: Key) -> dict[str, str]:
        return {"farmgate.node": self._node, "farmgate.job": str(key.job), "farmgate.attempt": str(key.attempt)}
