"""Services beside a job, on the real engine: healthy, never healthy, dying, gone, and swept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import docker
import pytest

from farmgate.pipeline.models import HealthSpec, ServiceSpec
from tests.workers.conftest import Node
from tests.workers.test_engine_contract import wait_until
from tests.workers.test_run import in_background
from workers.engines.docker import DockerEngine
from workers.services import orders
from workers.stop import Ending

SERVE = "mkdir -p /srv; echo hello > /srv/index.html; echo up; sleep 0.3; exec httpd -f -v -p 8080 -h /srv"


@pytest.fixture
def api(docker_node: Node) -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


def service(node: Node, script: str = SERVE, **more: Any) -> ServiceSpec:
    return ServiceSpec(
        **{"name": "web", "image": node.image, "command": ("sh", "-c", script), "environment": {}, **more}
    )


def port(number: int = 8080, **more: Any) -> HealthSpec:
    return HealthSpec(**{"port": number, "timeout": timedelta(seconds=20), **more})


def left(api: docker.APIClient, node: Node) -> list[str]:
    mine = {"label": [f"farmgate.node={node.bench.folder.identity()}", "farmgate.job"]}
    found = api.containers(all=True, filters=mine) + api.networks(filters=mine)
    return [str(one["Id"]) for one in found]


@pytest.mark.parametrize("health", [port(), port(http="/index.html"), HealthSpec(command="wget -qO- localhost:8080")])
def test_the_steps_find_a_healthy_service_by_its_name(
    docker_node: Node, api: docker.APIClient, health: HealthSpec
) -> None:
    result, record = docker_node.run("wget -qO- http://web:8080/", services=(service(docker_node, health=health),))
    assert result is not None
    assert result.outcome == "passed", record.log
    assert record.log.endswith(b"hello\n")
    assert record.artifacts["farmgate-services/web.log"].startswith(b"up\n")
    assert record.told["farmgate-services/web.log"]["kind"] == "log"
    assert {"services", "start_services", "service_logs"} <= set(result.timings)
    assert left(api, docker_node) == []


def test_a_service_that_is_never_healthy_is_an_error_with_its_last_lines(
    docker_node: Node, api: docker.APIClient
) -> None:
    never = service(docker_node, "echo starting slowly; sleep 100", health=port(timeout=timedelta(seconds=1)))
    result, record = docker_node.run("echo ran", services=(never,))
    assert result is not None
    assert result.outcome == "error"
    assert result.reason == "the service 'web' was not healthy within 1s: port 8080 did not answer"
    assert b"web | starting slowly\n" in record.log
    assert b"ran\n" not in record.log
    assert record.artifacts["farmgate-services/web.log"] == b"starting slowly\n"
    assert left(api, docker_node) == []


def test_a_service_that_ends_before_it_is_healthy_is_an_error(docker_node: Node) -> None:
    result, record = docker_node.run("true", services=(service(docker_node, "echo broken; exit 3", health=port()),))
    assert result is not None
    assert result.outcome == "error"
    assert result.reason == "the service 'web' ended with exit code 3 before it was healthy"
    assert b"web | broken\n" in record.log


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"entrypoint": ("/no/such/program",)}, "exit code 127 before it was healthy"),
        ({"command": None}, "No command specified (its image has none: say 'command')"),
    ],
)
def test_a_service_that_cannot_start_is_an_error_in_words(
    docker_node: Node, api: docker.APIClient, more: dict[str, Any], said: str
) -> None:
    result, record = docker_node.run("echo ran", services=(service(docker_node, **more),))
    assert result is not None
    assert result.outcome == "error"
    assert said in (result.reason or "")
    assert b"ran\n" not in record.log
    assert left(api, docker_node) == []


def test_a_service_whose_registry_does_not_answer_is_lost_infrastructure(
    docker_node: Node, api: docker.APIClient
) -> None:
    result, record = docker_node.run("echo ran", services=(service(docker_node, image="127.0.0.1:1/none:1"),))
    assert result is not None
    assert result.outcome == "lost"
    assert "127.0.0.1:1/none:1" in (result.reason or "")
    assert b"ran\n" not in record.log
    assert left(api, docker_node) == []


def test_a_service_that_dies_in_the_middle_is_told(docker_node: Node) -> None:
    dies = service(docker_node, "echo bye; sleep 1; exit 9")
    result, record = docker_node.run("sleep 3; exit 1", services=(dies,))
    assert result is not None
    assert result.outcome == "failed"
    assert (result.reason or "").endswith("; the service 'web' ended with exit code 9 before that")
    assert b"web | bye\n" in record.log


def test_a_service_is_hardened_and_bears_what_databases_do(docker_node: Node) -> None:
    checks = "grep -E 'CapEff|NoNewPrivs' /proc/1/status; mkdir /d; chown 70:70 /d; echo well; sleep 100"
    result, record = docker_node.run("sleep 1", services=(service(docker_node, checks),))
    assert result is not None
    assert result.outcome == "passed"
    said = record.artifacts["farmgate-services/web.log"].decode().split()
    assert said[-1] == "well"
    effective = int(said[said.index("CapEff:") + 1], 16)
    assert not effective & (1 << 13 | 1 << 21 | 1 << 27)  # raw sockets, administration, devices
    assert said[said.index("NoNewPrivs:") + 1] == "1"


def test_a_cancelled_job_waits_for_no_service_and_leaves_nothing(docker_node: Node, api: docker.APIClient) -> None:
    key = docker_node.offer("true", services=(service(docker_node, "sleep 100", health=port()),))
    thread, results = in_background(docker_node, key)
    name = f"farmgate-{docker_node.bench.folder.identity()}-{key}-service-web"
    wait_until(lambda: api.containers(filters={"name": name}))
    docker_node.bench.leases.stop_all(Ending.CANCELLED)
    thread.join(timeout=30)
    assert results[0] is not None
    assert results[0].outcome == "cancelled"
    assert left(api, docker_node) == []


def test_what_a_dead_worker_left_is_swept_network_and_all(docker_node: Node, api: docker.APIClient) -> None:
    dead = DockerEngine(docker_node.bench.folder.identity())
    key = docker_node.offer("true")
    for order in orders((service(docker_node),), key, docker_node.bench.settings):
        dead.prepare(order.image)
        dead.serve(order)
    assert len(left(api, docker_node)) == 2
    assert docker_node.bench.engine.sweep(lambda: {key}) == frozenset()
    assert len(left(api, docker_node)) == 2
    assert docker_node.bench.engine.sweep(frozenset) == {key}
    assert left(api, docker_node) == []
    dead.close()


def test_services_that_are_removed_behind_us_cost_an_attempt(docker_node: Node, api: docker.APIClient) -> None:
    key = docker_node.offer("true", services=(service(docker_node, "sleep 100", health=port()),))
    thread, results = in_background(docker_node, key)
    name = f"farmgate-{docker_node.bench.folder.identity()}-{key}-service-web"
    wait_until(lambda: api.containers(filters={"name": name}))
    api.remove_container(name, force=True)
    thread.join(timeout=30)
    assert results[0] is not None
    assert results[0].outcome == "lost"


def test_plain_processes_have_no_services_and_say_so(process_node: Node) -> None:
    result, _ = process_node.run("true", services=(ServiceSpec(name="db", image="postgres:16"),))
    assert result is not None
    assert result.outcome == "error"
    assert "needs containers" in (result.reason or "")
