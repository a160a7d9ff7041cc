"""The output of a container as the Docker engine sends it over an attached connection.

Each frame: one byte for the stream, three of zero, four with the length (big-endian), then the bytes.
(Docker Engine API, "Attach to a container", stream format.)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024


def read_frames(connection: io.RawIOBase) -> Iterator[bytes]:
    """What the container wrote, to both streams, until the engine closes the connection."""
    reader = io.BufferedReader(connection, 256 * 1024)
    try:
        while len(header := reader.read(8)) == 8:
            left = int.from_bytes(header[4:], "big")
            while left:
                data = reader.read1(min(left, _CHUNK_BYTES))
                if not data:
                    return
                left -= len(data)
                yield data
    finally:
        reader.detach()  # the connection is its owner's to close
