"""A whole farm on this machine, embedded in one data folder: what `farmgate up` and `farmgate demo` start.

Rules:
1. One farm per data folder: the lock names the process that holds it.
2. Order of start: Redis (unless FARMGATE_BROKER_URL names one), scheduler, this machine's agent, deploy. An agent that
   has yet to join starts beside the scheduler and waits for its token. Order of stop: agent, deploy, scheduler, Redis;
   so what a worker still has to say finds an ear.
3. This machine joins as a node with a one-time token, once; its credential stays in the data folder.
4. Everything that is started dies with us, even of `kill -9`. What was deployed stays, unless it is retired.
5. The agent gets no secret of the control plane in its environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from farmgate import vault
from farmgate.cli import door, guard
from farmgate.cli.processes import LOOK_AGAIN, Program, Supervisor, Tell, last_lines
from farmgate.client.api import Api
from farmgate.clock import Clock, SystemClock, stopwatch
from farmgate.embedded import EmbeddedRedis
from farmgate.errors import FarmgateError, FolderInUse, MissingProgram, PortTaken, ProcessFailed
from farmgate.node_folder import NodeFolder, write_whole
from farmgate.settings import DeploySettings, NodeSettings, SchedulerSettings, environment_for_child, read

READY_WITHIN = 60.0
NODE_WITHIN = 60.0
NEXT_PORTS = 50
# What only the control plane may know: a node's agent, and the jobs below it, must not find it in their environment.
NOT_FOR_NODES = (
    *("DATABASE_URL", "SECRET_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY", "BLOBS_URL", "TOKEN"),
    *("SEALING_KEYS", "REGISTRY", "REGISTRY_USER", "REGISTRY_PASSWORD"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; None: the settings' own word."""

    data: Path | None = None
    host: str | None = None
    port: int | None = None
    slots: int | None = None
    engine: str | None = None  # docker or process; None: docker where it answers
    default_image: str | None = None
    any_port: bool = False  # a taken port is answered by taking the next free one
    delivers: bool = True  # False: no deploy loop, only builds
    push_limit: int | None = None  # commits of a push that get a run


class OwnFarm:
    """The farm while it runs; also a context manager. `tell` gets a line per event, from any thread."""

    def __init__(self, wanted: Wanted, tell: Tell, *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._tell = tell
        self._wanted = wanted
        settings = read(
            SchedulerSettings, data=wanted.data, host=wanted.host, port=wanted.port, push_limit=wanted.push_limit
        )
        self.data = settings.data.absolute()
        self._settings = settings
        self._lock: int | None = None
        self._redis: EmbeddedRedis | None = None
        self._redis_again = 0.0
        self._supervisor: Supervisor | None = None
        self.engine = "process"
        self._engine_chosen = False
        self.no_docker: str | None = None
        self.address = ""

    # --- start ---

    def start(self) -> Self:
        """Returns when the farm answers and its node is there. Raises FolderInUse, PortTaken, ProcessFailed..."""
        try:
            self._take_folder()
            port = self._choose_port()
            self.choose_engine()
            self._supervisor = Supervisor(self.clock, self._tell)
            broker = self._settings.broker_url or SecretStr(self._start_redis())
            host = self._settings.host
            self.address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{port}"
            self._settings = self._settings.model_copy(
                update={
                    "data": self.data,
                    "port": port,
                    "broker_url": broker,
                    "embedded": True,
                    "public_url": self._settings.public_url or self.address,
                }
            )
            self._start_program("scheduler", environment_for_child(self._settings))
            # The agent before deploy: builds wait for it, while deliveries come only after builds.
            node = NodeFolder(self.data / "node")
            joins = not node.credential.exists()
            if joins:
                node.join_token.unlink(missing_ok=True)
                self._start_program("agents", self._agent_environment(node))
            self._wait_until_ready()
            self._let_join(node)
            if not joins:
                self._start_program("agents", self._agent_environment(node))
            if self._wanted.delivers:
                self._start_program("deploy", environment_for_child(self._deploy_settings()))
            (self.data / door.ADDRESS).write_text(json.dumps({"address": self.address, "pid": os.getpid()}))
        except BaseException:
            self.stop()
            raise
        return self

    def wait_for_node(self) -> None:
        """Until this machine's node takes work. Raises ProcessFailed."""
        deadline = stopwatch() + NODE_WITHIN
        with self.api() as api:
            while not any(row["state"] == "ready" for row in api.nodes()):
                self._give_up_after(deadline, "agents", "this machine's node did not join")
                self.clock.sleep(LOOK_AGAIN)

    def api(self) -> Api:
        """The farm's API with the admin token."""
        return Api(self.address, door.admin_token(self.data), clock=self.clock)

    def log_of(self, name: str) -> Path:
        """The log file of a process."""
        return self.data / "logs" / f"{name}.log"

    def _take_folder(self) -> None:
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.data / "farm.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderInUse(
                f"the data folder {self.data} cannot be used ({error.strerror}): name another with --data"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise FolderInUse(
                f"another farm (process {holder}) works in {self.data}: stop it, or name another folder with --data"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _choose_port(self) -> int:
        host, first = self._settings.host, self._settings.port
        for port in range(first, min(first + (NEXT_PORTS if self._wanted.any_port else 1), 65_536)):
            if is_free(host, port):
                return port
        if self._wanted.any_port:
            raise PortTaken(f"no port of {host} from {first} on is free: name one with --port")
        raise PortTaken(f"port {first} of {host} is taken by another program: name another with --port")

    def choose_engine(self) -> None:
        """Find out what will run jobs, once: `engine`, and `no_docker` with the reason. Raises FarmgateError."""
        from farmgate.cli.engine import look_for_docker

        if self._engine_chosen:
            return
        self._engine_chosen = True
        if self._wanted.engine == "process":
            self.no_docker = "The process engine was asked for"
            return
        self.no_docker = look_for_docker()
        if self.no_docker is None:
            self.engine = "docker"
        elif self._wanted.engine == "docker":
            raise MissingProgram(f"{self.no_docker}. See to that, or leave --engine docker away")

    def _start_redis(self) -> str:
        supervisor = self._running()
        redis = EmbeddedRedis(self.data / "redis", clock=self.clock, wrap=lambda line: guard.line(line, signal.SIGKILL))
        self._redis = redis
        supervisor.run(redis.start)
        supervisor.tend_also(self._tend_redis)
        return redis.url

    def _tend_redis(self) -> None:
        if self._redis is None or self._redis.alive or stopwatch() < self._redis_again:
            return
        self._tell("redis ended; it is started again (what was queued is rung again, nothing is lost)")
        self._redis_again = stopwatch() + 2
        try:
            self._redis.start()
        except FarmgateError as error:
            self._tell(f"redis does not start: {error}")

    def _start_program(self, name: str, environment: dict[str, str]) -> None:
        line = (sys.executable, "-P", "-m", name)  # -P: the folder the user stands in must not shadow our modules
        self._running().start(Program(name, line, environment | {"PYTHONUNBUFFERED": "1"}, self.log_of(name)))

    def _wait_until_ready(self) -> None:
        # Another program may have taken the port a moment ago, another farm even: its answer is not ours.
        ours = vault.load(self._settings).farm()
        deadline = stopwatch() + READY_WITHIN
        with Api(self.address, clock=self.clock) as api:
            while not api.ready(ours):
                self._give_up_after(deadline, "scheduler", f"the scheduler did not answer at {self.address}")
                self.clock.sleep(LOOK_AGAIN)

    def _give_up_after(self, deadline: float, name: str, what: str) -> None:
        if stopwatch() > deadline or self._running().deaths(name) >= 3:
            lines = "\n  ".join(last_lines(self.log_of(name)))
            raise ProcessFailed(f"{what}; the end of {self.log_of(name)}:\n  {lines}")

    def _deploy_settings(self) -> DeploySettings:
        shared = DeploySettings.model_fields.keys() & SchedulerSettings.model_fields.keys()
        common = {name: getattr(self._settings, name) for name in shared}
        return read(DeploySettings, **common)

    def _agent_environment(self, node: NodeFolder) -> dict[str, str]:
        given: dict[str, Any] = {
            "server": self.address,
            "node_data": node.root,
            "slots": self._wanted.slots or max(2, min(8, os.cpu_count() or 2)),
            "engine": self.engine,
            "default_image": self._wanted.default_image,
            "embedded": True,
        }
        environment = environment_for_child(read(NodeSettings, **given))
        for name in NOT_FOR_NODES:
            environment.pop(f"FARMGATE_{name}", None)
        return environment

    def _let_join(self, node: NodeFolder) -> None:
        """Hand the agent a token if it needs one."""
        with self.api() as api:
            # A credential without its node (the database was made anew) opens nothing: join again.
            known = [row for row in api.nodes() if row["state"] != "removed"]
            if not node.credential.exists() or not known:
                node.credential.unlink(missing_ok=True)
                write_whole(node.join_token, str(api.enrol_node()["token"]).encode())

    # --- stop ---

    def stop(self, *, retire: bool = False) -> None:
        """End everything in order; with `retire` what was deployed too. Harmless if it was not started."""
        if self._supervisor is not None:
            self._supervisor.stop("agents")
            self._supervisor.stop("deploy")
            if retire and self.address:
                self.retire()
            self._supervisor.stop_all()
            self._supervisor = None
        if self._redis is not None:
            redis, self._redis = self._redis, None
            redis.stop()
        if self._lock is not None:
            (self.data / door.ADDRESS).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """End everything at once: the user asked twice."""
        if self._supervisor is not None:
            self._supervisor.kill_all()

    def retire(self) -> None:
        """Take down what the lanes have deployed."""
        with self.log_of("deploy").open("ab") as log, suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "deploy", "retire"],
                env=environment_for_child(self._deploy_settings()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
                check=False,
                start_new_session=True,
            )
            if done.returncode == 0:
                return
        self._tell(f"what was deployed could not all be taken down: see {self.log_of('deploy')}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise ProcessFailed("the farm is being stopped")
        return self._supervisor


def is_free(host: str, port: int) -> bool:
    """True if a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one leaves no trace
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
