"""Jobs in containers of a Docker engine.

Rules:
1. One container per attempt. It has no capability, gains no privilege, sees no Docker socket and no folder but the
   attempt's own (and, read-only, the mirror that its checkout borrows from), and is limited in memory (swap included),
   processors and processes. It is not root: see `user_for`.
2. We are attached before it starts, and the engine keeps no log: nothing is lost, nothing is written twice.
3. Its name and labels say whose it is. A container that a dead worker left is found by them and removed.
4. Jobs stand on a bridge of their own, where containers cannot reach each other, by a network that is set up ahead
   where possible (`holders`); or on no network.
5. The engine's silence is an EngineError: lost infrastructure, never the job's fault.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any, BinaryIO, Final

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import Healthcheck, LogConfig
from requests.exceptions import RequestException

from farmgate.clock import stopwatch
from farmgate.errors import EngineError, ImageMissing
from farmgate.node_folder import Key
from farmgate.registries import Registry
from workers.engines.companions import Companions
from workers.engines.engine import BuildOrder, Ended, Order, Places, ServiceOrder, ServiceState, Sink
from workers.engines.frames import read_frames
from workers.engines.holders import Holders
from workers.engines.images import Images
from workers.engines.images_built import Builder
from workers.engines.images_pushed import Pusher

NETWORK: Final = "farmgate-jobs"
CHECK_SECONDS: Final = 5
_HOME: Final = "/farmgate"
_LEAST_MEMORY_BYTES: Final = 6 * 2**20  # the engine refuses less
_CANNOT_START = ("executable file not found", "exec format error", "no such file or directory", "permission denied")


class DockerEngine:
    """The engine that DOCKER_HOST names, or this machine's. `node` marks its containers."""

    name = "docker"
    isolates = True

    def __init__(self, node: str, base_url: str | None = None, *, timeout: int = 60, networks: int = 0) -> None:
        self._node = node
        self._base_url = base_url
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None
        self._facts: dict[str, Any] = {}
        self._network_there = False
        self._running: dict[Key, str] = {}
        self._made: dict[Key, set[str]] = {}
        self._reserved: dict[tuple[Key, int], str | Exception] = {}
        self._images = Images()
        self._holders = Holders(node, networks)
        self._companions = Companions(node)
        self._builder = Builder()
        self._pusher = Pusher()
        self._joined: dict[Key, str] = {}

    # --- the engine's calls ------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        with _trouble():
            self._holders.warm_up(self._api(), self._network, self._architecture())

    def check(self) -> None:
        with _trouble():
            api = self._api()
            answer = api.get(f"{api.base_url}/_ping", timeout=CHECK_SECONDS)
            if answer.status_code != 200:
                raise EngineError(f"the Docker engine is not well: {answer.status_code}")

    def prepare(self, image: str, registry: Registry | None = None) -> None:
        with _trouble():
            self._images.prepare(self._api(), image, registry)

    def image_id(self, image: str) -> str | None:
        return self._images.id_of(image)

    def places(self, folder: Path) -> Places:
        at = [f"{_HOME}/{name}" for name in ("steps", "workspace", "home", "tmp")]
        return Places(*at)

    def serve(self, order: ServiceOrder) -> None:
        with _trouble():
            api = self._api()
            self._companions.start(api, order, min(order.limits.cpus, self._facts.get("NCPU") or order.limits.cpus))

    def service(self, key: Key, name: str) -> ServiceState:
        with _trouble():
            return self._companions.look(self._api(), key, name)

    def ask_service(self, key: Key, name: str, command: str) -> int:
        with _trouble():
            return self._companions.ask(self._api(), key, name, command)

    def service_log(self, key: Key, name: str) -> Iterator[bytes]:
        with _trouble():
            yield from self._companions.log(self._api(), key, name)

    def reserve(self, order: Order) -> None:
        try:
            made: str | Exception = self._create(order)
        except (EngineError, ImageMissing) as error:
            made = error
        with self._lock:
            self._reserved[order.key, order.part] = made

    def run(self, order: Order, sink: Sink) -> Ended:
        begun = stopwatch()
        with self._lock:
            made = self._reserved.pop((order.key, order.part), None)
        if isinstance(made, Exception):
            raise made
        container = made or self._create(order)
        with self._lock:
            self._running[order.key] = container
        try:
            try:
                return self._run(container, order.given, sink, begun)
            except _HolderLost:
                self._holders.forget()
                self._remove(container)
                container = self._create(order)
                with self._lock:
                    self._running[order.key] = container
                return self._run(container, order.given, sink, begun)
        except BaseException:
            with contextlib.suppress(EngineError):  # it may still run; what stays is found by the sweep
                self._remove(container)
            raise

    def build(self, order: BuildOrder, context: BinaryIO, sink: Sink) -> str:
        with _trouble():
            api = self._api()
            image = self._builder.build(api, order, self._network() if order.outside else "none", context, sink)
            self._builder.bound(api)
            return image

    def save(self, image: str) -> Iterator[bytes]:
        with _trouble():
            yield from self._api().get_image(image)

    def push(self, key: Key, image: str, place: str, tag: str, registry: Registry) -> str:
        with _trouble():
            return self._pusher.push(self._api(), key, image, place, tag, registry)

    def kill(self, key: Key) -> None:
        if self._client is not None:
            self._builder.kill(self._client, key)
            self._pusher.kill(self._client, key)
        with self._lock:
            container = self._running.get(key)
        if container is not None:
            with _trouble():
                try:
                    self._api().kill(container)
                except APIError as error:
                    if error.status_code not in (404, 409):  # gone, or not running
                        raise

    def discard(self, key: Key) -> None:
        with self._lock:
            made = self._made.pop(key, set())
            self._running.pop(key, None)
            self._reserved = {this: kept for this, kept in self._reserved.items() if this[0] != key}
            joined = self._joined.pop(key, None)
        services, network = self._companions.take(key)
        for container in (*made, *services):
            self._remove(container)
        if network is not None:
            with _trouble():
                self._companions.remove_network(self._api(), network)
        if joined is not None:
            self._holders.give_back(joined)

    def sweep(self, keep: Callable[[], Set[Key]]) -> frozenset[Key]:
        with _trouble():
            listed = self._api().containers(all=True, filters={"label": f"farmgate.node={self._node}"})
        kept, removed = keep(), set[Key]()
        for entry in listed:
            labels = entry.get("Labels") or {}
            key = Key.read(f"{labels.get('farmgate.job')}-{labels.get('farmgate.attempt')}")
            if key is not None and key not in kept:
                self._remove(entry["Id"])
                removed.add(key)
            elif self._holders.is_orphan(entry["Id"], labels):
                self._remove(entry["Id"])
        with _trouble():
            self._companions.sweep(self._api(), frozenset(keep()))
        return frozenset(removed)

    def close(self) -> None:
        with self._lock:
            keys = {*self._made, *self._companions.keys()}
        for key in keys:
            with contextlib.suppress(EngineError):
                self.discard(key)
        if self._client is not None:
            with contextlib.suppress(EngineError):
                self._holders.close(self._remove)
            self._client.close()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _run(self, container: str, given: bytes, sink: Sink, begun: float) -> Ended:
        api = self._api()
        with _trouble():
            ways = {"stdin": 1} if given else {}
            connection = api.attach_socket(container, params={"stdout": 1, "stderr": 1, "stream": 1, **ways})
        try:
            # the engine may be silent for as long as the job is
            getattr(connection, "_sock", connection).settimeout(None)
            with _trouble():
                try:
                    api.start(container)
                except APIError as error:
                    said = str(error.explanation or error)
                    if "join network" in said or "No such container" in said:
                        raise _HolderLost(said) from None
                    if not any(sign in said.lower() for sign in _CANNOT_START):
                        raise
                    sink(f"{said}\n".encode())
                    return Ended(127, start_seconds=stopwatch() - begun)
            started = stopwatch() - begun
            if given:
                threading.Thread(target=_hand_over, args=(connection, given), name="given", daemon=True).start()
            for data in _frames(connection):
                sink(data)
        finally:
            _close(connection)
        with _trouble():
            code = int(api.wait(container, timeout=30)["StatusCode"])
            state = api.inspect_container(container)["State"] if code else {}
        return Ended(code, bool(state.get("OOMKilled")), started)

    def _create(self, order: Order) -> str:
        try:
            return self._try_to_create(order)
        except NotFound as error:  # the image or the network was removed behind us
            self._images.forget(order.image)
            self._network_there = False
            self._holders.forget()
            with _trouble():
                self._images.prepare(self._api(), order.image)
            try:
                return self._try_to_create(order)
            except NotFound:
                raise EngineError(f"the Docker engine cannot make a container: {error.explanation}") from None

    def _try_to_create(self, order: Order) -> str:
        name = f"farmgate-{self._node}-{order.key}" + (f"-{order.part}" if order.part else "")
        with _trouble(let=NotFound):
            api = self._api()
            config = self._config(order)
            try:
                made = api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
            except APIError as error:
                if error.status_code != 409:
                    raise
                self._remove(name)  # of a worker that died with this attempt
                made = api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        container = str(made["Id"])
        with self._lock:
            self._made.setdefault(order.key, set()).add(container)
        return container

    def _config(self, order: Order) -> Any:
        api = self._api()
        user = self.user_for(order.user)
        binds = [f"{order.folder}:{_HOME}:rw"]
        binds += [f"{path}:{path}:ro" for path in order.read_only]
        host = api.create_host_config(
            binds=binds,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=max(order.limits.memory_bytes, _LEAST_MEMORY_BYTES),
            memswap_limit=max(order.limits.memory_bytes, _LEAST_MEMORY_BYTES),
            nano_cpus=int(min(order.limits.cpus, self._facts.get("NCPU") or order.limits.cpus) * 1e9),
            pids_limit=order.limits.pids,
            network_mode=self._companions.network_of(order.key)
            or (self._network_for(order) if order.network else "none"),
            log_config=LogConfig(type="none"),
            init=True,
            restart_policy=None,
        )
        return api.create_container_config(
            image=order.image,
            command=[],
            entrypoint=["sh", f"{_HOME}/steps/{order.script}"],
            environment=dict(order.environment),
            user=f"{user[0]}:{user[1]}",
            working_dir=f"{_HOME}/workspace",
            stdin_open=bool(order.given),
            labels={
                "farmgate.node": self._node,
                "farmgate.job": str(order.key.job),
                "farmgate.attempt": str(order.key.attempt),
            },
            healthcheck=Healthcheck(test=["NONE"]),
            host_config=host,
        )

    def user_for(self, owner: tuple[int, int] | None) -> tuple[int, int]:
        """Whom the container runs as: the owner of its folder. A rootless engine calls us 0."""
        if any("rootless" in option for option in self._facts.get("SecurityOptions") or ()):
            return (0, 0)
        return owner or (os.getuid(), os.getgid())

    def _network_for(self, order: Order) -> str:
        with self._lock:
            holder = self._joined.get(order.key)
        if holder is not None and self._holders.has(holder):  # all parts of a job share one network
            return f"container:{holder}"
        holder = self._holders.take(self._api(), self._network, self._architecture())
        if holder is None:
            return self._network()
        with self._lock:
            self._joined[order.key] = holder
        return f"container:{holder}"

    def _architecture(self) -> str:
        return str(self._facts.get("Architecture", ""))

    def _network(self) -> str:
        if not self._network_there:
            api = self._api()
            with self._lock:
                if not api.networks(names=[NETWORK]):
                    options = {"com.docker.network.bridge.enable_icc": "false"}
                    with contextlib.suppress(APIError):  # another worker of this engine was first
                        api.create_network(NETWORK, driver="bridge", options=options, check_duplicate=True)
                self._network_there = True
        return NETWORK

    def _remove(self, container: str) -> None:
        with _trouble():
            try:
                self._api().remove_container(container, v=True, force=True)
            except APIError as error:
                if error.status_code not in (404, 409):  # gone, or going
                    raise

    def _api(self) -> docker.APIClient:
        """The connection, made when first needed: a worker starts without its engine."""
        with self._lock:
            if self._client is None:
                with _trouble():
                    if self._base_url is not None:
                        client = docker.APIClient(
                            base_url=self._base_url, version="auto", timeout=self._timeout, max_pool_size=64
                        )
                    else:
                        client = docker.from_env(timeout=self._timeout, max_pool_size=64, version="auto").api
                    self._facts = client.info()
                    self._client = client
            return self._client


class _HolderLost(Exception):
    """The network that the container was to join is gone."""


def _close(connection: Any) -> None:
    """Close an attached connection: the client library's response and socket each keep it open."""
    for part in (getattr(connection, "_response", None), connection, getattr(connection, "_sock", None)):
        if part is not None:
            with contextlib.suppress(OSError, ValueError):  # closed by its neighbour
                part.close()


def _hand_over(connection: Any, given: bytes) -> None:
    """To the script's standard input. A script that is over before it read has no use for it."""
    with contextlib.suppress(OSError, ValueError):
        getattr(connection, "_sock", connection).sendall(given)


def _frames(connection: Any) -> Iterator[bytes]:
    try:
        yield from read_frames(connection)
    except OSError as error:
        raise EngineError(f"the Docker engine was lost while the job ran: {error}") from None


@contextlib.contextmanager
def _trouble(let: type[Exception] | None = None) -> Iterator[None]:
    """Whatever the client library raises is an EngineError, except `let`."""
    try:
        yield
    except (ImageNotFound, NotFound) as error:
        if let is not None:
            raise
        raise EngineError(f"the Docker engine refused: {error.explanation}") from None
    except APIError as error:
        raise EngineError(f"the Docker engine refused: {error.explanation or error}") from None
    except (DockerException, RequestException, OSError) as error:
        raise EngineError(f"the Docker engine does not answer: {error}") from None
