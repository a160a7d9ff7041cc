"""Networks that are set up ahead: containers that do nothing but hold one, for a job's container to join.

Rules:
1. Setting up a network is half of a container's start, and taking it down half of its end. A job that joins a holder's
   pays neither.
2. A holder serves one job at a time, and outlives it; nothing of a job stays in a network once its processes are dead,
   since it has no right to change it.
3. A holder is a convenience: where there is none free, a job sets up its own network, and one more holder is made.
4. It carries its worker's process id and start: the holders of dead workers are swept. A container that starts again
   gives out the same ids again, hence the start.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from docker.errors import DockerException, ImageNotFound
from docker.types import LogConfig
from requests.exceptions import RequestException

from farmgate.clock import random_token
from workers.engines import pause

AHEAD: Final = 4  # made before they are needed
ROLE: Final = "farmgate.role"
WORKER: Final = "farmgate.worker"

log = structlog.get_logger()


class Holders:
    """At most `limit` holders of one worker."""

    def __init__(self, node: str, limit: int) -> None:
        self._node = node
        self._limit = limit
        self._lock = threading.Lock()
        self._all: set[str] = set()
        self._free: list[str] = []
        self._making = 0
        self._closed = False

    def warm_up(self, api: Any, network: Callable[[], str], architecture: str) -> None:
        """Make the first ones."""
        for _ in range(min(self._limit, AHEAD)):
            self._make(api, network, architecture)

    def take(self, api: Any, network: Callable[[], str], architecture: str) -> str | None:
        """A free holder's id. None: none is free; there will be another one soon."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._closed or self._making or len(self._all) >= self._limit:
                return None
        threading.Thread(target=self._make, args=(api, network, architecture), name="holder", daemon=True).start()
        return None

    def give_back(self, holder: str) -> None:
        with self._lock:
            if holder in self._all:
                self._free.append(holder)

    def has(self, holder: str) -> bool:
        """False once it was lost."""
        with self._lock:
            return holder in self._all

    def forget(self) -> None:
        """The engine lost them."""
        with self._lock:
            self._all.clear()
            self._free.clear()

    def is_orphan(self, container: str, labels: dict[str, str]) -> bool:
        """True for a holder whose worker is dead."""
        if labels.get(ROLE) != "network":
            return False
        worker = labels.get(WORKER, "")
        if worker == _mark(os.getpid()):
            with self._lock:
                return container not in self._all and not self._making
        pid = worker.partition("-")[0]
        return not (pid.isdecimal() and _alive(int(pid)) and _mark(int(pid)) == worker)

    def close(self, remove: Callable[[str], None]) -> None:
        with self._lock:
            self._closed = True
            held = set(self._all)
            self._all.clear()
            self._free.clear()
        for holder in held:
            remove(holder)

    def _make(self, api: Any, network: Callable[[], str], architecture: str) -> None:
        with self._lock:
            if self._closed or len(self._all) + self._making >= self._limit:
                return
            self._making += 1
        made = None
        try:
            made = self._start(api, network(), architecture)
        except (DockerException, RequestException, OSError) as error:
            log.warning("no network could be prepared ahead", error=str(error))
        finally:
            kept = self._keep(made)
        if made is not None and not kept:
            with contextlib.suppress(DockerException, RequestException, OSError):
                api.remove_container(made, force=True)

    def _keep(self, made: str | None) -> bool:
        """False if we were closed meanwhile, or nothing was made."""
        with self._lock:
            self._making -= 1
            if made is None or self._closed:
                return False
            self._all.add(made)
            self._free.append(made)
            return True

    def _start(self, api: Any, network: str, architecture: str) -> str | None:
        try:
            api.inspect_image(pause.IMAGE)
        except ImageNotFound:
            layer = pause.image(architecture)
            if layer is None:
                return None
            api.import_image_from_data(layer, repository=pause.REPOSITORY, tag=pause.TAG)
        host = api.create_host_config(
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=6 * 2**20,
            pids_limit=4,
            read_only=True,
            network_mode=network,
            log_config=LogConfig(type="none"),
        )
        config = api.create_container_config(
            image=pause.IMAGE,
            command=[pause.PROGRAM],
            user="65534:65534",
            labels={"farmgate.node": self._node, ROLE: "network", WORKER: _mark(os.getpid())},
            host_config=host,
        )
        made = str(
            api.create_container_from_config(config, f"farmgate-{self._node}-network-{random_token()[:8]}")["Id"]
        )
        api.start(made)
        return made


def _mark(pid: int) -> str:
    """A process as nobody was before it on this machine: its id, and when it started (in ticks since the boot)."""
    try:
        return f"{pid}-{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return str(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
