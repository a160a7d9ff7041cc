"""Artifacts on their way to the server.

Rules:
1. A file is read once per try, streamed, and hashed on the way; its size is what it was when it was opened.
2. The server's hash must be ours, otherwise the bytes are sent again.
3. All files are found before the first is sent; then a few are sent at a time.
4. What is kept depends on how the job ended (`when`). A promise that a green job did not keep makes it red, unless it
   is `optional`; what a red job did not leave is only said.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from farmgate.client.node import NodeClient
from farmgate.errors import ServerUnreachable
from farmgate.messages import Claimed
from farmgate.pipeline.models import ArtifactSpec
from workers.artifacts import MOST_FILES, BadArtifacts, Found, NothingThere, Workspace
from workers.logs import while_it_may_speak
from workers.stop import Stop

AT_ONCE: Final = 4
_CHUNK_BYTES: Final = 256 * 1024


def keep(
    client: NodeClient,
    claimed: Claimed,
    workspace: Workspace,
    artifacts: Sequence[ArtifactSpec],
    outcome: str,
    stop: Stop,
    say: Callable[[str], None],
) -> None:
    """Send what the job promised for this end of it. Raises OutsideWorkspace, NothingThere, BadArtifacts and what the
    client raises."""
    found: dict[str, Found] = {}
    for artifact in wanted(artifacts, outcome):
        for pattern in artifact.paths:
            try:
                found.update((one.path, one) for one in workspace.find([pattern], MOST_FILES))
            except NothingThere as error:
                if outcome == "passed" and not artifact.optional:
                    raise
                say(f"farmgate: {error}")
    if len(found) > MOST_FILES:
        raise BadArtifacts(f"the job's artifacts are more than {MOST_FILES} files: pack them into an archive")
    upload(client, claimed, workspace, [found[path] for path in sorted(found)], stop)


def wanted(artifacts: Sequence[ArtifactSpec], outcome: str) -> tuple[ArtifactSpec, ...]:
    """What is kept after this end of the job; nothing of a job that was lost or could not run."""
    if outcome not in ("passed", "failed"):
        return ()
    return tuple(one for one in artifacts if one.when in (outcome, "always"))


def upload(client: NodeClient, claimed: Claimed, workspace: Workspace, files: Sequence[Found], stop: Stop) -> None:
    """Send these files, a few at a time. Raises the first error; then no further file is begun."""

    def send(found: Found) -> None:
        descriptor = workspace.open(found)
        try:
            while_it_may_speak(stop, partial(send_file, client, claimed, found.path, descriptor))
        finally:
            os.close(descriptor)

    if len(files) < 2:
        for one in files:
            send(one)
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(files)), thread_name_prefix="upload") as pool:
        sending = [pool.submit(send, one) for one in files]
        try:
            for future in sending:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def send_file(
    client: NodeClient,
    claimed: Claimed,
    path: str,
    descriptor: int,
    *,
    kind: str = "file",
    image_id: str | None = None,
) -> None:
    """Send an open file as the artifact `path`. Raises ServerUnreachable where it did not arrive whole."""
    about = os.fstat(descriptor)
    digest = hashlib.sha256()
    taken = client.artifact(
        claimed,
        path,
        about.st_size,
        _read(descriptor, about.st_size, digest),
        executable=kind == "file" and bool(about.st_mode & 0o100),
        kind=kind,
        image_id=image_id,
    )
    if taken.sha256 != digest.hexdigest():
        raise ServerUnreachable(f"the artifact {path!r} arrived damaged")


def _read(descriptor: int, size: int, digest: hashlib._Hash) -> Iterator[bytes]:
    at = 0
    while at < size:
        data = os.pread(descriptor, min(_CHUNK_BYTES, size - at), at)
        if not data:
            raise ServerUnreachable("a file became shorter while it was sent")
        digest.update(data)
        at += len(data)
        yield data
