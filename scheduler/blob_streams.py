"""A blob's bytes as they are answered: a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from farmgate.blobs import Blobs

PIECE = 256 * 1024


def pieces_of(blobs: Blobs, sha256: str) -> Iterator[bytes]:
    """Opened at once, read later. Raises NotFound, DamagedBlob, BlobsUnreachable."""
    return _read(blobs.open(sha256))


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
