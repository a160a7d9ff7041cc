"""Artifacts on their way to the server.

Rules:
1. A file is read once per try, streamed, and hashed on the way; its size is what it was when it was opened.
2. The server's hash must be ours, otherwise the bytes are sent again.
3. Each file is sent before the next is opened; all of them are found before the first is sent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from farmgate.client.node import NodeClient
from farmgate.errors import ServerUnreachable
from farmgate.messages import Claimed
from workers.artifacts import Workspace
from workers.logs import while_it_may_speak
from workers.stop import Stop

_CHUNK_BYTES: Final = 256 * 1024


def upload(client: NodeClient, claimed: Claimed, workspace: Workspace, patterns: Sequence[str], stop: Stop) -> None:
    """Send every file that the patterns name. Raises OutsideWorkspace, NothingThere and what the client raises."""
    for found in workspace.find(patterns):
        descriptor = workspace.open(found)
        try:
            while_it_may_speak(stop, partial(_send, client, claimed, found.path, descriptor))
        finally:
            os.close(descriptor)


def _send(client: NodeClient, claimed: Claimed, path: str, descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    digest = hashlib.sha256()
    taken = client.artifact(claimed, path, size, _read(descriptor, size, digest))
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
