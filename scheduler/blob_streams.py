"""A blob's bytes as they are answered, a piece at a time; and how a row comes to name a blob."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from sqlalchemy import Connection

from farmgate.blobs import Blobs
from farmgate.errors import BlobsUnreachable
from farmgate.store import holdings
from scheduler.context import Context

PIECE = 256 * 1024


def pieces_of(blobs: Blobs, sha256: str) -> Iterator[bytes]:
    """Opened at once, read later. Raises NotFound, DamagedBlob, BlobsUnreachable."""
    return _read(blobs.open(sha256))


def named(context: Context, connection: Connection, *shas: str) -> None:
    """In the transaction that names blobs whose bytes were put: none of them is being removed, all of them are there.
    Raises BlobsUnreachable: send the bytes again."""
    for sha256 in shas:
        holdings.name(connection, sha256)
        if not context.blobs.exists(sha256):
            raise BlobsUnreachable(f"blob {sha256} went while it was named: send its bytes again")


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
