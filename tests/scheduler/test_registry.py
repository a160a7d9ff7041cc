"""Who is told of the farm's registry, and its login."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from farmgate.store import schema
from tests.scheduler.farm import Farm

LOGIN = {"address": "registry.test/farm", "user": "builder", "password": "opens-it"}


@pytest.fixture
def made(tmp_path: Path) -> Any:
    farms: list[Farm] = []

    def make(file: str) -> Farm:
        farm = Farm(
            tmp_path, registry=LOGIN["address"], registry_user=LOGIN["user"], registry_password=LOGIN["password"]
        )
        farms.append(farm)
        farm.repository.add("first", {".farmgate.yml": file})
        farm.connect()
        return farm

    yield make
    for farm in farms:
        farm.close()


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("{steps: [make], builds: [shop]}", True),
        ("{steps: [make], image: registry.test/farm/tools:1}", True),
        ("{steps: [{run: make, image: registry.test/other/tools:1}]}", True),
        ("{steps: [make], services: {db: registry.test/farm/db:1}}", True),
        ("{steps: [make], image: 'python:3.12'}", False),
        ("{steps: [make]}", False),
    ],
)
def test_a_node_is_told_where_a_job_needs_it(made: Callable[[str], Farm], job: str, told: bool) -> None:
    farm = made(f"jobs: {{image: {job}}}\n")
    assert farm.join().claim(1).claimed["registry"] == (LOGIN if told else None)


def test_a_fork_is_never_told(made: Callable[[str], Farm]) -> None:
    farm = made("jobs: {image: {steps: [make], builds: [shop]}}\n")
    with farm.store.writing() as connection:
        connection.execute(update(schema.runs).values(trust="untrusted"))
    held = farm.join().claim(1)
    assert held.claimed["registry"] is None
    assert "opens-it" not in str(held.claimed)


def test_what_was_pushed_is_the_candidates_by_the_digest_of_what_says_so(made: Callable[[str], Farm]) -> None:
    farm = made("jobs: {image: {steps: [make], builds: [shop]}}\n")
    held = farm.join().claim(1)
    called = f"registry.test/farm/shop/shop@sha256:{'a' * 64}"
    path = "farmgate-images/shop.image"
    about = {"path": path, "kind": "image", "image_id": called}
    data = f"{called}\n".encode()
    assert (
        farm.stranger.put(f"{held.path}/artifacts", params=about, content=data, headers=held.headers).status_code == 200
    )
    held.end("passed")
    (listed,) = farm.http.get("/api/runs/1/artifacts").json()["artifacts"]
    assert (listed["path"], listed["kind"], listed["image_id"]) == (path, "image", called)
    candidate = farm.http.get(f"/api/commits/shop/{held.claimed['sha']}").json()["candidate"]
    assert candidate == {path: f"sha256:{listed['sha256']}"}
