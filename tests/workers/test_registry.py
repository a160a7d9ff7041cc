"""Built images in the farm's registry: a real one, reached by the real engine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import docker
import pytest

from farmgate.clock import random_token
from farmgate.pipeline.models import BuildSpec
from farmgate.registries import REFERENCE, Registry
from tests.conftest import BUSYBOX
from tests.registry import PASSWORD, USER, ImageRegistry
from tests.workers.conftest import Node

SHOP = (BuildSpec(name="Team/Shop:1"),)


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def dockerfile() -> str:
    """Of an image that nobody else builds."""
    return f"printf 'FROM {BUSYBOX}\\nRUN echo {random_token()} > /mark\\n' > Dockerfile"


def told(registry: ImageRegistry, **more: Any) -> dict[str, Any]:
    """What a claim says of it."""
    return {"registry": {"address": registry.address, "user": USER, "password": PASSWORD, **more}}


def test_an_image_is_pushed_and_runs_elsewhere_by_its_digest(
    docker_node: Node, registry: ImageRegistry, client: docker.DockerClient
) -> None:
    result, record = docker_node.run(dockerfile(), f"echo {PASSWORD}", builds=SHOP, claimed=told(registry))
    assert result is not None
    assert result.outcome == "passed", (result, bytes(record.log))
    assert "push_images" in result.timings
    assert list(record.artifacts) == ["farmgate-images/Team-Shop-1.image"]
    called = record.artifacts["farmgate-images/Team-Shop-1.image"].decode().strip()
    assert REFERENCE.fullmatch(called)
    assert called.startswith(f"{registry.address}/shop/team/shop@sha256:")
    assert record.told["farmgate-images/Team-Shop-1.image"]["image_id"] == called
    assert registry.has(called)
    assert f"is kept as {called}".encode() in record.log
    assert PASSWORD.encode() not in record.log  # not even where the job says it
    (built,) = [image for image in client.images.list() if called in (image.attrs["RepoDigests"] or ())]
    client.api.remove_image(str(built.id), force=True)  # as on a node that never saw it
    result, record = docker_node.run("cat /mark", image=called, claimed=told(registry))
    assert result is not None
    assert result.outcome == "passed", (result, bytes(record.log))
    client.api.remove_image(called, force=True)


def test_nothing_that_others_can_look_at_has_the_password(
    docker_node: Node, registry: ImageRegistry, client: docker.DockerClient
) -> None:
    result, record = docker_node.run(
        dockerfile(),
        "cat /proc/*/cmdline /proc/*/environ > all 2>/dev/null || true",
        "tr '\\0' '\\n' < all | grep -c 'opens-th[e]' || true; env | grep -ci 'registr[y]' || true",
        builds=SHOP,
        claimed=told(registry),
    )
    assert result is not None
    assert result.outcome == "passed", (result, bytes(record.log))
    assert record.log.startswith(b"0\n0\n"), bytes(record.log)
    called = record.artifacts["farmgate-images/Team-Shop-1.image"].decode().strip()
    image = client.images.get(called)
    inspected = json.dumps(image.attrs) + json.dumps(image.history())
    assert PASSWORD not in inspected
    assert repr(Registry("r.test", USER, PASSWORD)) == f"Registry(address='r.test', user='{USER}')"
    client.api.remove_image(called, force=True)


def test_a_registry_that_is_down_is_lost_infrastructure(docker_node: Node, registry: ImageRegistry) -> None:
    registry.stop()
    result, record = docker_node.run(dockerfile(), builds=SHOP, claimed=told(registry))
    assert result is not None
    assert result.outcome == "lost", result
    assert "FARMGATE_REGISTRY" in (result.reason or "")
    assert record.artifacts == {}


@pytest.mark.parametrize("wrong", [{"password": "not-this-one"}, {"user": None, "password": None}])
def test_a_login_that_is_not_taken_is_an_error_that_names_the_setting(
    docker_node: Node, registry: ImageRegistry, wrong: dict[str, Any]
) -> None:
    result, record = docker_node.run(dockerfile(), builds=SHOP, claimed=told(registry, **wrong))
    assert result is not None
    assert result.outcome == "error", result
    assert "FARMGATE_REGISTRY_USER and FARMGATE_REGISTRY_PASSWORD" in (result.reason or "")
    assert b"not-this-one" not in record.log
    assert record.artifacts == {}


def test_an_image_may_stand_on_one_of_the_registry(
    docker_node: Node, registry: ImageRegistry, client: docker.DockerClient
) -> None:
    base = f"{registry.address}/base:{random_token()[:8]}"
    client.images.get(BUSYBOX).tag(base)
    login = Registry(registry.address, USER, PASSWORD).login_of(base)
    assert "error" not in client.images.push(base, auth_config=login)
    client.api.remove_image(base)
    result, record = docker_node.run(
        f"printf 'FROM {base}\\nRUN echo {random_token()} > /mark\\n' > Dockerfile", builds=SHOP, claimed=told(registry)
    )
    assert result is not None
    assert result.outcome == "passed", (result, bytes(record.log))


def test_a_push_ends_with_its_jobs_time(docker_node: Node, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):  # takes calls and never answers
        result, _ = docker_node.run(
            dockerfile(),
            builds=SHOP,
            timeout=timedelta(seconds=6),
            claimed={"registry": {"address": f"127.0.0.1:{free_port}"}},
        )
    assert result is not None
    assert (result.outcome, result.reason) == ("failed", "timed out after 6s")
