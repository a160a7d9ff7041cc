"""Images that a job builds from its workspace, after its steps have passed.

Rules:
1. Only in trusted runs: commands of a Dockerfile run as root in the engine's own builder.
2. The context is a folder of the workspace, less what its `.dockerignore` names; links in it stay links, and nothing
   outside is read. The Dockerfile is a path in the context.
3. Where the farm has a registry, the image is pushed there, and the artifact `farmgate-images/NAME.image` says where,
   by digest. Else it goes into the farm's store as `docker save` writes it, the artifact `farmgate-images/NAME.tar`,
   with its id. Either way any node and any target can have it, and it is what was tested.
4. The job's time spans its builds. A build that fails as it is written fails the job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from docker.utils.build import create_archive, exclude_paths

from farmgate.messages import Result
from farmgate.pipeline.models import BuildSpec, image_artifact, pushed_artifact
from farmgate.registries import Registry, place_of, tag_of
from workers.artifacts import NothingThere, Workspace
from workers.engines.engine import BuildFailed, BuildOrder, Limits
from workers.given import registry
from workers.logs import while_it_may_speak
from workers.upload import send_file
from workers.workspace import no_space_named

if TYPE_CHECKING:
    from workers.around import Around

_LONGEST_IGNORE_BYTES: Final = 2**20


def build_all(around: Around, workspace: Workspace, result: Result) -> Result:
    """Build and keep each image. Raises BuildFailed, NotHere, EngineError, OSError and what the client raises."""
    for spec in around.spec.builds:
        if around.claimed.trust != "trusted":
            around.say(f"farmgate: image {spec.name}: not built: this run comes from a fork")
            continue
        with around.timings.phase("builds"):
            image = _build(around, workspace, spec)
        if around.stop.ending is not None:
            break
        images = registry(around.claimed)
        if images is not None:
            with around.timings.phase("push_images"):
                _push(around, spec, image, images)
        else:
            with around.timings.phase("save_images"):
                _keep(around, spec, image)
    return result


def _build(around: Around, workspace: Workspace, spec: BuildSpec) -> str:
    settings, job = around.bench.settings, around.spec
    order = BuildOrder(
        key=around.key,
        dockerfile=spec.dockerfile,
        arguments=spec.arguments,
        limits=Limits(
            job.memory_bytes or settings.default_memory_bytes, job.cpus or settings.default_cpus, settings.pids_limit
        ),
        target=spec.target,
        outside=settings.network == "bridge",
        registry=registry(around.claimed),
    )
    around.say(f"farmgate: building image {spec.name}")
    with _aside(around.folder / "context.tar") as file:
        pack(workspace, spec, file)
        file.seek(0)
        image = around.bench.engine.build(order, file, _lines(around))  # type: ignore[arg-type]
    around.say(f"farmgate: image {spec.name} is {image}")
    return image


def pack(workspace: Workspace, spec: BuildSpec, into: IO[bytes]) -> None:
    """Write the context as a tar archive. Raises BuildFailed, OutsideWorkspace."""
    try:
        folder = workspace.folder(spec.context)
        workspace.find([f"{spec.context}/{spec.dockerfile}"])
    except NothingThere as error:
        raise BuildFailed(f"the image {spec.name} cannot be built: {error}") from None
    try:
        ignored = workspace.read_text(f"{spec.context}/.dockerignore", _LONGEST_IGNORE_BYTES)
    except NothingThere:
        ignored = ""
    lines = (line.strip() for line in ignored.splitlines())
    patterns = [line for line in lines if line and not line.startswith("#")]
    files = sorted(exclude_paths(str(folder), patterns, dockerfile=spec.dockerfile))
    try:
        create_archive(str(folder), files=files, fileobj=into)
    except OSError as error:
        if error.errno is None:  # a file that cannot be read
            raise BuildFailed(f"the image {spec.name} cannot be built: {error}") from None
        raise


def _push(around: Around, spec: BuildSpec, image: str, images: Registry) -> None:
    place, tag = place_of(images, around.claimed.repository, spec.name), tag_of(around.claimed.sha, image)
    around.say(f"farmgate: pushing image {spec.name} to {place}:{tag}")
    digest = around.bench.engine.push(around.key, image, place, tag, images)
    if around.stop.ending is not None:
        return
    called = f"{place}@{digest}"
    with _aside(around.folder / "image.txt") as file:
        file.write(f"{called}\n".encode())
        file.flush()
        name = pushed_artifact(spec.name)
        send = partial(
            send_file, around.bench.client, around.claimed, name, file.fileno(), kind="image", image_id=called
        )
        while_it_may_speak(around.stop, send)
    around.say(f"farmgate: image {spec.name} is kept as {called}")


def _keep(around: Around, spec: BuildSpec, image: str) -> None:
    with _aside(around.folder / "image.tar") as file:
        for piece in around.bench.engine.save(image):
            file.write(piece)
        file.flush()
        name, descriptor = image_artifact(spec.name), file.fileno()
        size = os.fstat(descriptor).st_size
        send = partial(send_file, around.bench.client, around.claimed, name, descriptor, kind="image", image_id=image)
        while_it_may_speak(around.stop, send)
    around.say(f"farmgate: image {spec.name} is kept as {name}, {size / 2**20:.1f} MiB")


@contextmanager
def _aside(path: Path) -> Iterator[IO[bytes]]:
    """A file beside the workspace, removed at the end; a full disk is named."""
    try:
        with no_space_named(path), path.open("w+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _lines(around: Around) -> partial[None]:
    return partial(_say, around)


def _say(around: Around, data: bytes) -> None:
    around.say(data.decode(errors="replace").rstrip("\n"))
