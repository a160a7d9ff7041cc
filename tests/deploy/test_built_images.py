"""What a job built runs in a lane, with no registry in between."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
from datetime import timedelta
from typing import Any

import pytest

from deploy.targets import built_images
from deploy.targets.docker import DockerRunner
from deploy.targets.protocol import Package
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock, random_token, stopwatch
from farmgate.errors import BadDocument, TargetError
from farmgate.policy import DockerTarget, parse
from farmgate.registries import Registry
from tests.registry import PASSWORD, USER, ImageRegistry

LANE = "lanes: {production: {listen: '127.0.0.1:8101'}}\n"


def packed(**files: Any) -> io.BytesIO:
    """A tar archive; `manifest_json` stands for manifest.json."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


NAMED = {"io.containerd.image.name": "docker.io/library/postgres:16"}


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (packed(manifest_json=[{"Config": "c", "RepoTags": ["postgres:16"]}]), "brings names along: postgres:16"),
        (packed(index_json={"manifests": [{"annotations": NAMED}]}, manifest_json=[{}]), "brings names along: docker"),
        (packed(manifest_json=[{"RepoTags": None}], repositories={"postgres": {}}), "brings names along"),
        (packed(manifest_json=[{}, {}]), "exactly one image"),
        (packed(manifest_json=b"[{" + b" " * (1 << 20)), "no list of one image"),
        (packed(other=b"x"), "no manifest.json"),
        (packed(manifest_json=b"{"), "as `docker save` writes it"),
        (io.BytesIO(b"no archive at all"), "as `docker save` writes it"),
    ],
)
def test_an_archive_that_could_replace_another_image_is_refused(archive: io.BytesIO, said: str) -> None:
    with pytest.raises(TargetError, match="the image 'shop' cannot be loaded") as refused:
        built_images.nameless(archive, "shop")
    assert said in str(refused.value)


def test_an_archive_of_one_image_without_a_name_is_taken() -> None:
    built_images.nameless(packed(manifest_json=[{"Config": "c", "RepoTags": None}], layer_tar=b"x"), "shop")


def test_a_commit_without_that_image_says_what_it_has() -> None:
    target = DockerTarget(built="shop", port=8080)
    with pytest.raises(TargetError, match=r"no built image 'shop' .*it has dist/a\.whl"):
        built_images.digest_of(Package(1, "a" * 40, {"dist/a.whl": "sha256:1"}, target), "shop")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{type: docker, port: 1, command: [x]}", "'image', or 'built'"),
        ("{type: docker, port: 1, command: [x], image: a, built: b}", "two images"),
        ("{type: docker, port: 1, image: a}", "'command' must be there"),
        ("{type: docker, port: 1, built: a, artifact: dist/a.tar}", "what starts it"),
    ],
)
def test_a_target_says_exactly_one_image(target: str, said: str) -> None:
    with pytest.raises(BadDocument) as refused:
        parse(f"application: shop\ntarget: {target}\n{LANE}")
    assert said in str(refused.value)


def test_a_built_image_needs_no_command() -> None:
    (lane,) = parse(f"application: shop\ntarget: {{type: docker, port: 80, built: shop}}\n{LANE}")
    assert isinstance(lane.target, DockerTarget)
    assert (lane.target.built, lane.target.image, lane.target.command) == ("shop", None, ())


@pytest.mark.needs("docker")
def test_an_image_from_the_blob_store_is_loaded_once_and_runs(busybox_image: str) -> None:
    import docker

    client, blobs = docker.from_env(), MemoryBlobs()
    said = random_token()
    script = f"mkdir /tmp/www; echo {said} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    made = client.containers.create(busybox_image, ["sh", "-c", script])
    image = str(made.commit().id)  # as a job's build leaves it: by its id, without a name
    made.remove()
    stored = blobs.put(client.api.get_image(image))
    client.api.remove_image(image)
    name = f"{built_images.REPOSITORY}:{stored.sha256}"
    target = DockerTarget(built="shop", port=8080, instances=2)
    package = Package(1, "a" * 40, {"farmgate-images/shop.tar": f"sha256:{stored.sha256}"}, target)
    runner = DockerRunner(f"t{stored.sha256[:8]}", "1", blobs)
    try:
        instances = runner.ensure(package)
        assert [instance.up for instance in instances] == [True, True]
        assert runner.ensure(package) == instances
        assert client.images.get(name).id == image
        assert answered(instances[1].address) == said
        with pytest.raises(docker.errors.APIError):
            client.api.remove_image(name)  # a container is made of it
    finally:
        runner.remove(1)
        client.api.remove_image(name)
        client.close()


def answered(address: str) -> str:
    clock, deadline = SystemClock(), stopwatch() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except OSError:
            assert stopwatch() < deadline, "nothing answers"
            clock.sleep(timedelta(milliseconds=50))


@pytest.mark.needs("docker")
def test_an_image_in_the_registry_is_pulled_by_its_digest_with_the_farms_login(
    busybox_image: str, registry: ImageRegistry
) -> None:
    import docker

    client, blobs = docker.from_env(), MemoryBlobs()
    said, login = random_token(), Registry(registry.address, USER, PASSWORD)
    script = f"mkdir /tmp/www; echo {said} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    made = client.containers.create(busybox_image, ["sh", "-c", script])
    image = made.commit(f"{registry.address}/shop/shop", "first")
    made.remove()
    pushed = client.images.push(
        f"{registry.address}/shop/shop",
        "first",
        auth_config=login.login_of(f"{registry.address}/shop"),
        stream=True,
        decode=True,
    )
    digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    client.api.remove_image(str(image.id), force=True)
    called = f"{registry.address}/shop/shop@{digest}"
    stored = blobs.put([f"{called}\n".encode()])
    target = DockerTarget(built="shop", port=8080)
    package = Package(1, "a" * 40, {"farmgate-images/shop.image": f"sha256:{stored.sha256}"}, target)
    name = f"t{stored.sha256[:8]}"
    for registered, remedy in (
        (None, "set FARMGATE_REGISTRY"),
        (
            Registry(registry.address, USER, "not-this-one"),
            "look at FARMGATE_REGISTRY_USER and FARMGATE_REGISTRY_PASSWORD",
        ),
    ):
        with pytest.raises(TargetError, match=remedy) as refused:
            DockerRunner(name, "1", blobs, registry=registered).ensure(package)
        assert "not-this-one" not in str(refused.value)
    runner = DockerRunner(name, "1", blobs, registry=login)
    try:
        (instance,) = runner.ensure(package)
        assert answered(instance.address) == said
        registry.stop()
        assert runner.ensure(package) == (instance,)  # it is here: nobody is asked
        (container,) = client.containers.list(filters={"label": f"farmgate.farm={name}"})
        assert container.attrs["Config"]["Image"] == called
        assert PASSWORD not in str(container.attrs)
    finally:
        runner.remove(1)
        client.api.remove_image(called, force=True)
        client.api.remove_image(f"{built_images.REPOSITORY}:{stored.sha256}")
        client.close()


@pytest.mark.parametrize(
    "text", [b"", b"shop:latest", b"shop@sha256:12", b"a@sha256:" + b"a" * 64 + b" b", b"x" * 5000]
)
def test_a_file_that_names_no_image_by_digest_is_refused(text: bytes) -> None:
    blobs = MemoryBlobs()
    package = Package(
        1,
        "a" * 40,
        {"farmgate-images/shop.image": f"sha256:{blobs.put([text]).sha256}"},
        DockerTarget(built="shop", port=1),
    )
    with pytest.raises(TargetError, match="names no image by digest"):
        built_images.present(None, blobs, package, "shop")


def test_what_was_pulled_and_not_used_for_long_is_forgotten_whole() -> None:
    removed: list[str] = []

    class Api:
        def images(self, name: str) -> list[dict[str, Any]]:
            def image(age: int, *tags: str) -> dict[str, Any]:
                digests = [f"registry.test/shop@sha256:{age}"]
                return {"Created": -age, "RepoTags": [f"{name}:{age}", *tags], "RepoDigests": digests}

            return [image(age) for age in range(6)] + [image(7, "registry.test/shop:of-a-node")]

        def remove_image(self, image: str) -> None:
            removed.append(image)

    class Client:
        api = Api()

    built_images.bound(Client())
    assert removed == ["farmgate-built:5", "registry.test/shop@sha256:5", "farmgate-built:7"]
