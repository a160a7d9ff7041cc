"""A node at work against a scheduler in miniature: real git, real engines, a real socket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate.client.node import NodeClient
from farmgate.clock import SystemClock
from farmgate.messages import Result
from farmgate.node_folder import Key, NodeFolder
from farmgate.pipeline import JobSpec, StepSpec
from farmgate.pipeline.models import ReportsSpec
from farmgate.settings import NodeSettings
from tests.conftest import need
from tests.workers.server import CREDENTIAL, AttemptRecord, FakeServer, serving
from workers.bench import Bench
from workers.engines import make_engine
from workers.engines.engine import Engine
from workers.leases import Leases
from workers.run import run_attempt


@dataclass
class Source:
    """A repository of one commit."""

    path: Path
    sha: str

    @property
    def url(self) -> str:
        return self.path.as_uri()


def make_source(path: Path, files: dict[str, bytes] | None = None) -> Source:
    path.mkdir(parents=True)
    for name, content in (files or {"README": b"hello\n", "src/a.txt": b"a\n"}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    def git(*line: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *who, *line], cwd=path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    return Source(path, git("rev-parse", "HEAD"))


@dataclass
class Node:
    """A worker's bench, and how tests use it."""

    server: FakeServer
    bench: Bench
    source: Source
    image: str | None
    jobs: int = 0
    records: dict[Key, AttemptRecord] = field(default_factory=dict)

    def offer(self, *steps: str | StepSpec, attempt: int = 1, **more: Any) -> Key:
        """A job that waits to be claimed."""
        self.jobs += 1
        given = dict(more)
        source = given.pop("source", self.source)
        claimed = given.pop("claimed", {})
        spec = JobSpec(
            name=given.pop("name", "build"),
            image=given.pop("image", self.image),
            needs=(),
            steps=tuple(
                StepSpec(name=step.splitlines()[0][:60], run=step) if isinstance(step, str) else step for step in steps
            ),
            timeout=given.pop("timeout", timedelta(minutes=2)),
            environment=given.pop("environment", {}),
            artifacts=tuple(given.pop("artifacts", ())),
            caches=tuple(given.pop("caches", ())),
            memory_bytes=given.pop("memory_bytes", None),
            cpus=None,
            pool="default",
            reports=given.pop("reports", ReportsSpec()),
            shard=given.pop("shard", None),
            **{name: given.pop(name) for name in ("fetch", "services", "builds", "emits") if name in given},
        )
        assert not given, given
        key = Key(self.jobs, attempt)
        dumped = spec.model_dump(mode="json")
        self.records[key] = self.server.offer(*key, git_url=source.url, sha=source.sha, spec=dumped, **claimed)
        return key

    def run(self, *steps: str | StepSpec, **more: Any) -> tuple[Result | None, AttemptRecord]:
        """Offer a job and run it to its end."""
        key = self.offer(*steps, **more)
        return run_attempt(self.bench, key), self.records[key]

    def left(self) -> list[str]:
        """What is left of attempts on the disk."""
        folder = self.bench.folder
        return [str(key) for key in folder.held()] + [entry.name for entry in folder.attempts.iterdir()]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    need("git")
    return make_source(tmp_path_factory.mktemp("source") / "shop")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeServer()) as server:
        yield server


def node_with(
    engine: Engine | None, settings: NodeSettings, server: FakeServer, source: Source, image: str | None
) -> Node:
    folder, clock = NodeFolder(settings.node_data), SystemClock()
    client = NodeClient(server.url, CREDENTIAL)
    leases = Leases(client, clock)
    made = engine or make_engine(settings, folder)
    beside = ThreadPoolExecutor(4)
    bench = Bench(client, made, folder, leases, clock, settings, beside)
    leases.start()
    return Node(server, bench, source, image)


def close(node: Node) -> None:
    node.bench.leases.close()
    node.bench.engine.close()
    node.bench.beside.shutdown()
    node.bench.client.close()


def settings_for(path: Path, server: FakeServer, engine: str, **more: Any) -> NodeSettings:
    return NodeSettings(server=server.url, node_data=path, engine=engine, embedded=True, **more)


@pytest.fixture
def docker_node(tmp_path: Path, server: FakeServer, source: Source, busybox_image: str) -> Iterator[Node]:
    node = node_with(None, settings_for(tmp_path / "node", server, "docker"), server, source, busybox_image)
    yield node
    node.bench.engine.sweep(frozenset)
    close(node)


@pytest.fixture
def process_node(tmp_path: Path, server: FakeServer, source: Source) -> Iterator[Node]:
    node = node_with(None, settings_for(tmp_path / "node", server, "process"), server, source, "busybox")
    yield node
    node.bench.engine.sweep(frozenset)
    close(node)


@pytest.fixture(params=["docker", "process"])
def node(request: pytest.FixtureRequest) -> Node:
    """A node with each real engine."""
    made: Node = request.getfixturevalue(f"{request.param}_node")
    return made
