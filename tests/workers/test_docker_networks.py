"""Networks that are set up ahead for containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.workers.conftest import Node
from tests.workers.test_engine_contract import wait_until
from workers.engines.docker import DockerEngine
from workers.engines.holders import ROLE, WORKER
from workers.engines.pause import IMAGE, program


@pytest.fixture
def api(docker_node: Node) -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


def holders(api: docker.APIClient, node: Node) -> list[str]:
    label = f"farmgate.node={node.bench.folder.identity()}"
    return [entry["Id"] for entry in api.containers(filters={"label": [label, f"{ROLE}=network"]})]


def test_a_job_joins_a_network_that_waits_for_it(docker_node: Node, api: docker.APIClient) -> None:
    docker_node.bench.engine.warm_up()
    made = holders(api, docker_node)
    assert len(made) == docker_node.bench.settings.slots
    result, record = docker_node.run("ip -o -4 addr show eth0")
    assert result is not None
    assert result.outcome == "passed", record.log
    address = record.log.decode().split()[3].split("/")[0]
    networks = [api.inspect_container(holder)["NetworkSettings"]["Networks"] for holder in made]
    assert address in [network["farmgate-jobs"]["IPAddress"] for network in networks]


def test_jobs_run_on_when_the_networks_were_lost(docker_node: Node, api: docker.APIClient) -> None:
    docker_node.bench.engine.warm_up()
    for holder in holders(api, docker_node):
        api.kill(holder)
    for _ in range(2):
        result, _ = docker_node.run("true")
        assert result is not None
        assert result.outcome == "passed", result.reason
    for holder in holders(api, docker_node):
        api.remove_container(holder, force=True)
    result, _ = docker_node.run("true")
    assert result is not None
    assert result.outcome == "passed", result.reason


def test_the_networks_of_a_dead_worker_are_swept(docker_node: Node, api: docker.APIClient) -> None:
    docker_node.bench.engine.warm_up()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    labels = {"farmgate.node": docker_node.bench.folder.identity(), ROLE: "network", WORKER: str(dead.pid)}
    config = api.create_container_config(IMAGE, ["/pause"], labels=labels)
    left = api.create_container_from_config(config)["Id"]  # type: ignore[no-untyped-call]
    before = holders(api, docker_node)
    docker_node.bench.engine.sweep(frozenset)
    with pytest.raises(docker.errors.NotFound):
        api.inspect_container(left)
    assert holders(api, docker_node) == before


def test_nothing_is_left_when_the_worker_ends(docker_node: Node, api: docker.APIClient) -> None:
    engine = docker_node.bench.engine
    assert isinstance(engine, DockerEngine)
    engine.warm_up()
    assert holders(api, docker_node)
    engine.close()
    wait_until(lambda: not holders(api, docker_node))


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_the_pause_program_is_an_executable(tmp_path: Path, architecture: str) -> None:
    content = program(architecture)
    assert content is not None
    assert content.startswith(b"\x7fELF\x02\x01\x01")
    assert len(content) < 200
    assert program("pdp11") is None
