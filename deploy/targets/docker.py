"""Instances as containers on one Docker engine, of this host or of another.

Rules:
1. A container is found by its labels, named by farm, lane, rollout and index, and created once: `ensure` starts what is
   there and stopped, creates what is not there.
2. It gets no socket of the engine, no new privileges, no capability, no root: the artifact is put into /app before the
   start, owned by the user it runs as. Memory, processors and processes are bounded.
3. Its port is published on the loopback under a number that is kept, so a restart changes nothing for the switch.
   Where we run in a container ourselves, we join the instances' network instead and publish nothing; an instance that
   starts again may have another address there, which the next look tells the switch. On a host of several
   (`docker_hosts`) it is published on the host's own address, under one of the ports that the policy gives.
4. Its image is pulled where it is not here. One that a job of the farm built comes by digest, from the farm's registry
   or from the blob store.
5. Secrets are given to a container that runs (`container_secrets`), each time it was started.
6. `unless-stopped`: the engine starts it again after a crash of its own or of the machine.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from deploy.targets import archive, built_images, container_network, container_secrets, contents, given
from deploy.targets.container_network import NETWORK, instance
from deploy.targets.engines import ASK_SECONDS
from deploy.targets.protocol import Instance, Package
from deploy.targets.spot import Spot
from farmgate.blobs import Blobs
from farmgate.errors import TargetError
from farmgate.policy import DockerTarget
from farmgate.registries import Registry

USER: Final = 10001
_TAIL: Final = 600
_TRIES: Final = 3
_DRAWS: Final = 20
_PIDS: Final = 2048
_MEMORY_BYTES: Final = 2 * 2**30
_STOP_SECONDS: Final = 5


class DockerRunner:
    """The containers of one lane on one engine. `farm` and `lane` tell them from those of others there.

    `spot` and `connect`: of one of several hosts; without, the engine is this host's.
    """

    def __init__(
        self,
        farm: str,
        lane: str,
        blobs: Blobs,
        *,
        in_container: bool = False,
        registry: Registry | None = None,
        secret: Callable[[str], str] = given.nothing,
        folder: Path | None = None,
        spot: Spot | None = None,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        self._spot = spot
        self._connect = connect
        self._secret = secret
        self._given = folder / "given.json" if folder is not None else None
        self._farm = farm
        self._lane = lane
        self._blobs = blobs
        self._in_container = in_container
        self._registry = registry
        self._connected: Any = None

    def ensure(self, package: Package, indexes: Iterable[int] | None = None) -> tuple[Instance, ...]:
        """`indexes`: those of the package's instances that run here; None: all."""
        target = package.target
        if not isinstance(target, DockerTarget):
            raise TargetError(f"release {package.sha[:12]} was made for a {target.type} target, not for containers")
        with self._speaking():
            there = {int(each.labels["farmgate.index"]): each for each in self._containers(package.rollout_id)}
            for index in range(target.instances) if indexes is None else indexes:
                container = there.get(index)
                if container is not None and (container.status == "running" or _started(container)):
                    continue
                if container is not None:
                    container.remove(force=True)  # created, perhaps without its files: a death in between
                self._create(package, target, index)
            self._give(package, target)
            return self._instances(package.rollout_id)

    def running(self) -> Mapping[int, tuple[Instance, ...]]:
        with self._speaking():
            rollouts = {int(each.labels["farmgate.rollout"]) for each in self._containers(None)}
            return {rollout: self._instances(rollout) for rollout in sorted(rollouts)}

    def log_tail(self, package: Package, index: int) -> str:
        with self._speaking():
            for container in self._containers(package.rollout_id):
                if container.labels["farmgate.index"] == str(index):
                    said: bytes = container.logs(tail=8)
                    return said.decode(errors="replace")[-_TAIL:].strip()
        return ""

    def log(self, package: Package, index: int, since: datetime | None) -> Iterable[bytes]:
        with self._speaking():
            for container in self._containers(package.rollout_id):
                if container.labels["farmgate.index"] == str(index):
                    # The engine keeps at most two files of ten megabytes: less than may be read.
                    yield from container.logs(
                        stream=True, follow=False, since=since.timestamp() if since is not None else None
                    )

    def lacking(self, package: Package) -> Sequence[str]:
        target, lacks = package.target, contents.lacking(self._blobs, package)
        if not isinstance(target, DockerTarget):
            return (*lacks, f"{package.sha[:12]} was made for a {target.type} target, not for containers")
        with self._speaking():
            if target.built is not None:
                named = (self._client, self._blobs, package, target.built, self._registry)
                return (*lacks, *built_images.lacking(*named))
            if target.image is None:
                return lacks
            return (*lacks, *built_images.unavailable(self._client, target.image, self._registry))

    def remove(self, rollout_id: int) -> None:
        from docker.errors import NotFound

        with self._speaking():
            for container in self._containers(rollout_id):
                try:
                    container.stop(timeout=_STOP_SECONDS)
                    container.remove(force=True, v=True)
                except NotFound:
                    continue
            built_images.bound(self._client)

    def answers(self) -> None:
        """Raises TargetError if the engine does not within a few seconds."""
        with self._speaking():
            api = self._client.api
            patience, api.timeout = api.timeout, ASK_SECONDS
            try:
                api.ping()
            finally:
                api.timeout = patience

    def mark(self, epoch: int) -> int:
        """The highest epoch that was marked on this engine, which is this one then if none was higher."""
        from docker.errors import NotFound

        labels = {"farmgate.farm": self._farm, "farmgate.lane": self._lane, "farmgate.host": self._here}
        with self._speaking():
            there = self._client.volumes.list(filters={"label": [f"{key}={value}" for key, value in labels.items()]})
            seen = {int(each.attrs["Labels"]["farmgate.epoch"]): each for each in there}
            highest = max(seen, default=0)
            if epoch > highest:
                name = f"farmgate-{self._farm}-{self._lane}-{self._here}-epoch-{epoch}"
                self._client.volumes.create(name, labels={**labels, "farmgate.epoch": str(epoch)})
                highest = epoch
            for lower, volume in seen.items():
                if lower < highest:
                    with suppress(NotFound):
                        volume.remove()
        return highest

    @property
    def _here(self) -> str:
        return self._spot.host if self._spot is not None else ""

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """The engine's errors, and those on the way to it, as ours."""
        import requests
        from docker.errors import DockerException

        try:
            yield
        except (DockerException, requests.RequestException, OSError) as error:
            where = f" of {self._here}" if self._spot is not None else ""
            raise TargetError(f"the Docker engine{where}: {error}") from error

    @property
    def _client(self) -> Any:
        if self._connected is None and self._connect is not None:
            self._connected = self._connect()
        if self._connected is None:
            import docker

            client = docker.from_env(timeout=60)
            if self._in_container:
                container_network.join(client)
            self._connected = client
        return self._connected

    def _containers(self, rollout_id: int | None) -> list[Any]:
        wanted = [f"farmgate.farm={self._farm}", f"farmgate.lane={self._lane}"]
        if rollout_id is not None:
            wanted.append(f"farmgate.rollout={rollout_id}")
        found: list[Any] = self._client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
        return [each for each in found if each.labels.get("farmgate.host", "") == self._here]

    def _instances(self, rollout_id: int) -> tuple[Instance, ...]:
        return tuple(sorted((instance(each) for each in self._containers(rollout_id)), key=lambda each: each.index))

    def _create(self, package: Package, target: DockerTarget, index: int) -> None:
        from docker.errors import APIError

        container_network.network(self._client)
        tries = _TRIES if self._spot is None else _DRAWS
        name = f"{self._farm}/{self._lane}/{package.rollout_id}/{index}"
        for attempt in range(tries):
            port = container_network.free_port() if self._spot is None else self._spot.port(name, attempt)
            container = self._created(package, target, index, port)
            try:
                self._fill(container, package)
                container.start()
            except APIError as error:
                container.remove(force=True)
                taken = "port is already allocated" in str(error) or "address already in use" in str(error)
                if not taken or attempt + 1 == tries:
                    raise
            except BaseException:
                container.remove(force=True)
                raise
            else:
                return

    def _give(self, package: Package, target: DockerTarget) -> None:
        """Each start of each container is given the secrets once: what was started again has none."""
        if not target.secrets:
            return
        before = self._marks()
        after: dict[str, str] = {}
        values: dict[str, str] | None = None
        for container in self._containers(package.rollout_id):
            container.reload()
            mark = container_secrets.mark(container, target.secrets)
            if container.status == "running" and before.get(container.id) != mark:
                values = given.opened(target, self._secret) if values is None else values
                container_secrets.give(container, values)
            after[container.id] = mark
        if self._given is not None and not after.items() <= before.items():
            there = {each.id for each in self._containers(None)}
            kept = {known: mark for known, mark in {**before, **after}.items() if known in there}
            aside = self._given.with_suffix(".new")
            aside.write_text(json.dumps(kept))
            aside.replace(self._given)

    def _marks(self) -> dict[str, str]:
        try:
            found = json.loads(self._given.read_text()) if self._given is not None else {}
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _created(self, package: Package, target: DockerTarget, index: int, port: int) -> Any:
        from docker.errors import ImageNotFound

        published = self._spot.address if self._spot is not None else "127.0.0.1"
        joined = self._in_container and self._spot is None
        labels = {
            **({"farmgate.host": self._spot.host} if self._spot is not None else {}),
            "farmgate.farm": self._farm,
            "farmgate.lane": self._lane,
            "farmgate.rollout": str(package.rollout_id),
            "farmgate.index": str(index),
            "farmgate.sha": package.sha,
            "farmgate.port": str(target.port),
            "farmgate.address": f":{target.port}" if joined else f"{published}:{port}",
        }
        ours = {"PORT": str(target.port), "FARMGATE_SHA": package.sha, "FARMGATE_INSTANCE": str(index)}
        options: dict[str, Any] = {
            "name": f"farmgate-{self._farm}-{self._lane}-{package.rollout_id}-{index}",
            **_starts(target),
            "user": f"{USER}:{USER}",
            "environment": {"HOME": "/tmp", **target.environment, **ours},  # noqa: S108 - inside the container
            "labels": labels,
            "ports": {} if joined else {f"{target.port}/tcp": (published, port)},
            "network": NETWORK,
            "restart_policy": {"Name": "unless-stopped"},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": target.memory_bytes or _MEMORY_BYTES,
            "pids_limit": _PIDS,
            "nano_cpus": int(target.cpus * 1e9) if target.cpus else None,
            "tmpfs": {"/tmp": "size=256m,mode=1777"},  # noqa: S108 - inside the container
            "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}},
            "init": True,
        }
        if target.secrets:
            argv = self._argv(package, target)
            more = container_secrets.options(sorted(target.secrets), argv, USER)
            for name in ("tmpfs", "environment"):
                more[name] = {**options[name], **more[name]}
            options.update(more)
        if target.built is not None:
            image = built_images.present(self._client, self._blobs, package, target.built, self._registry)
            return self._client.containers.create(image, **options)
        if target.image is None:
            raise TargetError("the policy names no image")
        try:
            return self._client.containers.create(target.image, **options)
        except ImageNotFound:
            built_images.pull(self._client, target.image, self._registry)
            return self._client.containers.create(target.image, **options)

    def _argv(self, package: Package, target: DockerTarget) -> list[str]:
        """What starts once the secrets are there: an image that a job built may know it itself."""
        if target.command or target.built is None:
            return list(target.command)
        image = built_images.present(self._client, self._blobs, package, target.built, self._registry)
        known = self._client.images.get(image).attrs["Config"]
        return [*(known.get("Entrypoint") or ()), *(known.get("Cmd") or ())]

    def _fill(self, container: Any, package: Package) -> None:
        digest = contents.digest_of(package)
        if digest is None and isinstance(package.target, DockerTarget) and package.target.built is not None:
            return  # all of it is in the image
        with tempfile.TemporaryFile() as spool:
            if digest is None:
                archive.repacked(iter(()), spool, "app", USER)
            else:
                with contents.opened(self._blobs, digest) as stream:
                    name = package.target.artifact or digest
                    files = contents.files(self._blobs, digest, name, stream)
                    archive.repacked(files, spool, "app", USER)
            spool.seek(0)
            container.put_archive("/", spool)


def _starts(target: DockerTarget) -> dict[str, Any]:
    """What runs, and where: an image that a job built may know it itself."""
    if not target.command:
        return {}
    folder = {} if target.built is not None and target.artifact is None else {"working_dir": "/app"}
    return {"command": list(target.command), "entrypoint": [], **folder}


def _started(container: Any) -> bool:
    """Start one that was running before; False if it never was."""
    if container.status != "exited":
        return bool(container.status == "restarting")
    container.start()
    return True
