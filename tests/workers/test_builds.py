"""Images that jobs build, on the real engine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import docker
import pytest

from farmgate.pipeline.models import BuildSpec, image_artifact
from tests.conftest import BUSYBOX
from tests.workers.conftest import Node
from workers.artifacts import OutsideWorkspace, Workspace
from workers.builds import pack
from workers.engines import images_built


@pytest.fixture
def api(docker_node: Node) -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


def dockerfile(*lines: str) -> str:
    return "printf '" + "\\n".join((f"FROM {BUSYBOX}", *lines)) + "\\n' > Dockerfile"


def test_an_image_is_built_from_what_the_steps_made_and_kept_by_its_id(
    docker_node: Node, api: docker.APIClient
) -> None:
    result, record = docker_node.run(
        "echo made > made; echo secret > secret; echo secret > .dockerignore",
        dockerfile("ARG COLOUR", "COPY . /app", "RUN echo $COLOUR > /colour"),
        builds=(BuildSpec(name="shop", arguments={"COLOUR": "blue; exit 1"}),),
    )
    assert result is not None
    assert result.outcome == "passed", record.log
    path = "farmgate-images/shop.tar"
    told = record.told[path]
    assert told["kind"] == "image"
    assert told["image_id"].startswith("sha256:")
    with tarfile.open(fileobj=io.BytesIO(record.artifacts[path])) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["Config"].startswith(told["image_id"].removeprefix("sha256:"))
    api.remove_image(told["image_id"], force=True)
    api.load_image(record.artifacts[path])  # type: ignore[no-untyped-call]
    client = docker.from_env()
    said = client.containers.run(told["image_id"], ["sh", "-c", "ls /app; cat /colour"], remove=True).decode()
    client.close()
    assert "made" in said
    assert "secret" not in said.split()
    assert said.endswith("blue; exit 1\n")
    assert {"builds", "save_images"} <= set(result.timings)
    assert docker_node.left() == []


@pytest.mark.parametrize(
    ("steps", "build", "said"),
    [
        ((dockerfile("RUN exit 3"),), {}, "returned a non-zero code: 3"),
        (("echo NONSENSE > Dockerfile",), {}, "NONSENSE"),
        ((), {}, "Dockerfile"),
        ((dockerfile(),), {"context": "no/such"}, "no/such"),
        ((dockerfile(),), {"target": "nobody"}, "nobody"),
    ],
)
def test_a_build_that_fails_as_it_is_written_fails_the_job(
    docker_node: Node, steps: tuple[str, ...], build: dict[str, Any], said: str
) -> None:
    result, record = docker_node.run("true", *steps, builds=(BuildSpec(name="shop", **build),))
    assert result is not None
    assert result.outcome == "failed", result
    assert said in (result.reason or "")
    assert record.artifacts == {}


def test_a_build_that_takes_too_long_is_ended_with_the_jobs_time(docker_node: Node) -> None:
    result, _ = docker_node.run(
        dockerfile("RUN sleep 60"), builds=(BuildSpec(name="shop"),), timeout=timedelta(seconds=5)
    )
    assert result is not None
    assert (result.outcome, result.reason) == ("failed", "timed out after 5s")
    assert result.timings["total"] < 30


def test_a_run_of_a_fork_builds_no_image(docker_node: Node) -> None:
    result, record = docker_node.run(dockerfile(), builds=(BuildSpec(name="shop"),), claimed={"trust": "untrusted"})
    assert result is not None
    assert result.outcome == "passed"
    assert record.artifacts == {}
    assert b"not built" in record.log


def test_a_red_job_builds_nothing_and_plain_processes_say_that_they_cannot(process_node: Node) -> None:
    result, _ = process_node.run("exit 1", builds=(BuildSpec(name="shop"),))
    assert result is not None
    assert result.outcome == "failed"
    result, _ = process_node.run("touch Dockerfile", builds=(BuildSpec(name="shop"),))
    assert result is not None
    assert result.outcome == "error"
    assert "built by a Docker engine" in (result.reason or "")


def test_old_builds_do_not_fill_the_node(
    docker_node: Node, api: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(images_built, "KEPT", 1)

    class Api:
        def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
            assert filters == {"label": images_built.LABEL}
            return [{"Id": "old", "Created": 1}, {"Id": "new", "Created": 3}, {"Id": "older", "Created": 0}]

        def remove_image(self, image: str, force: bool) -> None:
            removed.append(image)

    images_built.Builder().bound(Api())
    assert removed == ["old", "older"]


def test_a_context_reads_nothing_outside_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("secret")
    here = tmp_path / "workspace"
    here.mkdir()
    (here / "Dockerfile").write_text("FROM scratch\n")
    (here / "link").symlink_to(tmp_path / "outside")
    (here / "file").symlink_to(tmp_path / "outside" / "key")
    with Workspace(here) as workspace:
        buffer = io.BytesIO()
        pack(workspace, BuildSpec(name="shop"), buffer)
        assert b"secret" not in buffer.getvalue()
        with pytest.raises(OutsideWorkspace):
            pack(workspace, BuildSpec(name="shop", context="link"), io.BytesIO())
        with pytest.raises(OutsideWorkspace):
            pack(workspace, BuildSpec(name="shop", dockerfile="file"), io.BytesIO())


def test_an_images_artifact_is_a_plain_name() -> None:
    assert image_artifact("team/shop:1") == "farmgate-images/team-shop-1.tar"
