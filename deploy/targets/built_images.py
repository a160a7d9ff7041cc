"""Images that the farm's own jobs built, in the engine that runs them: pulled by digest from the registry that they
were pushed to, else loaded from the blob store: no registry needed.

Rules:
1. What is loaded is one image without a name. An archive that brings names along is refused before the engine sees it:
   it would put another image in the place of one that something else here runs.
2. It is called by the hash of its archive, so it is loaded once, and is the same bytes on every host.
3. The newest `KEPT` of them stay for the next rollouts, and every one that a container was made of; the others go. A
   release that comes back is loaded again.
4. An image in a registry is called by the digest that its artifact says, and by nothing else. The farm's login is for
   the farm's registry alone; one that was used before it is asked with the engine's own.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

from deploy.targets import contents
from deploy.targets.protocol import Package
from farmgate.blobs import Blobs
from farmgate.errors import TargetError
from farmgate.pipeline.models import image_artifact, pushed_artifact
from farmgate.registries import REFERENCE, Registry, host_of

REPOSITORY: Final = "farmgate-built"
KEPT: Final = 5
_PIECE: Final = 256 * 1024
_LONGEST: Final = 1 << 20
_LINE: Final = 1024
_NAMING: Final = ("RepoTags", "repositories")


def present(client: Any, blobs: Blobs, package: Package, name: str, registry: Registry | None = None) -> str:
    """The image's name here, pulled or loaded if it was not. Raises TargetError, and what the client library raises."""
    from docker.errors import ImageNotFound

    pushed = package.artifacts.get(pushed_artifact(name))
    if pushed is not None:
        digest = pushed.removeprefix("sha256:")
        called = _called(blobs, digest, name)
        try:
            client.images.get(called)
        except ImageNotFound:
            pull(client, called, registry)
        client.api.tag(called, REPOSITORY, digest)
        return called
    digest = digest_of(package, name)
    with suppress(ImageNotFound):
        client.images.get(f"{REPOSITORY}:{digest}")
        return f"{REPOSITORY}:{digest}"
    with contents.opened(blobs, digest) as stream:
        nameless(stream, name)
    with contents.opened(blobs, digest) as stream:
        loaded = _load(client, stream)
    if loaded is None:
        raise TargetError(f"the engine did not say which image it loaded of {name!r} ({digest})")
    client.api.tag(loaded, REPOSITORY, digest)
    return f"{REPOSITORY}:{digest}"


def pull(client: Any, image: str, registry: Registry | None) -> None:
    """Raises TargetError."""
    from docker.errors import APIError

    login = registry.login_of(image) if registry is not None else None
    try:
        client.images.pull(image, auth_config=login)
    except APIError as error:
        said = str(error.explanation or error)
        remedy = ""
        if any(sign in said.lower() for sign in ("unauthorized", "denied", "no basic auth", "authentication required")):
            remedy = (
                f"; the registry does not let {login['username']!r} read it: look at FARMGATE_REGISTRY_USER and "
                "FARMGATE_REGISTRY_PASSWORD of the deploy loop"
                if login is not None
                else f"; where {host_of(image)} asks who you are, set FARMGATE_REGISTRY, its _USER and _PASSWORD, or "
                "`docker login` on this host"
            )
        raise TargetError(f"the image {image} is not on this host and cannot be pulled: {said}{remedy}") from error


def unavailable(client: Any, image: str, registry: Registry | None) -> tuple[str, ...]:
    """In words: that an image is neither on this host nor in its registry. Pulls nothing."""
    from docker.errors import APIError, ImageNotFound

    login = registry.login_of(image) if registry is not None else None
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.get_registry_data(image, auth_config=login)
        except APIError as error:
            said = str(error.explanation or error)[:200]
            return (f"the image {image} is not on this host, and its registry says: {said}",)
    return ()


def _called(blobs: Blobs, digest: str, name: str) -> str:
    """Rule 4. Raises TargetError."""
    with contents.opened(blobs, digest) as stream:
        text = stream.read(_LINE).decode(errors="replace").strip()
    if REFERENCE.fullmatch(text) is None:
        raise TargetError(f"the artifact {pushed_artifact(name)} ({digest}) names no image by digest: {text[:100]!r}")
    return text


def lacking(client: Any, blobs: Blobs, package: Package, name: str, registry: Registry | None) -> tuple[str, ...]:
    """In words: that the image is not there any more, where it was pushed to or where its archive was kept."""
    pushed = package.artifacts.get(pushed_artifact(name))
    try:
        if pushed is not None:
            return unavailable(client, _called(blobs, pushed.removeprefix("sha256:"), name), registry)
        digest = digest_of(package, name)
    except TargetError as error:
        return (f"the built image {name!r} of {package.sha[:12]}: {error}",)
    if blobs.exists(digest):
        return ()
    return (f"the built image {name!r} of {package.sha[:12]} (sha256:{digest}) is gone from the blob store",)


def digest_of(package: Package, name: str) -> str:
    """The sha256 of the image's archive among the commit's artifacts. Raises TargetError."""
    found = package.artifacts.get(image_artifact(name))
    if found is None:
        known = ", ".join(sorted(package.artifacts)[:10]) or "none at all"
        wanted = f"no built image {name!r} (it would be {image_artifact(name)})"
        raise TargetError(f"commit {package.sha[:12]} has {wanted}; it has {known}")
    return found.removeprefix("sha256:")


def nameless(stream: BinaryIO, name: str) -> None:
    """Rule 1. Raises TargetError."""
    wrong, seen = f"the image {name!r} cannot be loaded: ", False
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.name == "repositories":
                    raise TargetError(f"{wrong}its archive brings names along")
                if member.name not in ("manifest.json", "index.json"):
                    continue
                if member.size > _LONGEST or (file := archive.extractfile(member)) is None:
                    raise TargetError(f"{wrong}{member.name} is no list of one image")
                seen = seen or member.name == "manifest.json"
                _checked(json.loads(file.read(_LONGEST)), wrong)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise TargetError(f"{wrong}it is no archive as `docker save` writes it: {error}") from None
    if not seen:
        raise TargetError(f"{wrong}it is no archive as `docker save` writes it: no manifest.json")


def _checked(told: Any, wrong: str) -> None:
    """A manifest.json or an index.json: one image, and no name for it."""
    images = told.get("manifests") if isinstance(told, dict) else told
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
        raise TargetError(f"{wrong}its archive does not hold exactly one image")
    names = [*(images[0].get("RepoTags") or ()), *_annotated(images[0].get("annotations"))]
    if names:
        raise TargetError(f"{wrong}its archive brings names along: {', '.join(map(str, names[:3]))[:200]}")


def _annotated(annotations: Any) -> Iterator[str]:
    for key, value in (annotations or {}).items():
        if key in ("io.containerd.image.name", "org.opencontainers.image.ref.name"):
            yield value


def _load(client: Any, stream: BinaryIO) -> str | None:
    """The image's id, as the engine says it."""
    found = None
    for line in client.api.load_image(iter(lambda: stream.read(_PIECE), b"")):
        if line.get("error"):
            raise TargetError(f"the engine could not load the image: {str(line['error'])[:500]}")
        for said in str(line.get("stream") or "").splitlines():
            if said.startswith("Loaded image ID: "):
                found = said.removeprefix("Loaded image ID: ").strip()
    return found


def bound(client: Any) -> None:
    """Rule 3."""
    from docker.errors import APIError, ImageNotFound

    ours = sorted(client.api.images(name=REPOSITORY), key=lambda one: int(one["Created"]), reverse=True)
    for image in ours[KEPT:]:
        tags = image["RepoTags"] or ()
        names = [tag for tag in tags if tag.startswith(f"{REPOSITORY}:")]
        if len(names) == len(tags):  # nobody else here calls it anything: what it was pulled as goes, too
            names += image["RepoDigests"] or ()
        for known in names:
            with suppress(APIError, ImageNotFound):  # a container is made of it, or another lane was first
                client.api.remove_image(known)
