"""Logs of ended attempts: from chunks to one gzip-compressed blob, streaming.

Rules:
1. The blob is complete before the row names it; chunks go in the transaction that names it.
2. A log of any size is packed in bounded memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from farmgate.errors import NotFound
from farmgate.store import attempts, logs
from scheduler.context import Context

ROWS_AT_ONCE = 16


def pack(context: Context, attempt_id: int) -> None:
    """Pack one attempt's log; harmless if that was done before."""
    with context.store.reading() as connection:
        try:
            attempt = attempts.by_id(connection, attempt_id)
        except NotFound:
            return
    if attempt.log_blob is not None:
        return
    stored = context.blobs.put(compressed(chunks(context, attempt_id)))
    with context.store.writing() as connection:
        logs.packed(connection, attempt_id, stored.sha256)


def chunks(context: Context, attempt_id: int) -> Iterator[bytes]:
    """The log's bytes in order, a few rows at a time."""
    offset = 0
    while True:
        with context.store.reading() as connection:
            rows = logs.chunks_after(connection, attempt_id, offset, ROWS_AT_ONCE)
        for row in rows:
            yield row.data
            offset = row.offset + len(row.data)
        if not rows:
            return


def compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """As gzip. The same log gives the same bytes: no time stands in the header."""
    squeeze = zlib.compressobj(level=6, wbits=31)
    for piece in pieces:
        yield squeeze.compress(piece)
    yield squeeze.flush()


def expanded(context: Context, blob: str, offset: int = 0) -> Iterator[bytes]:
    """The log's bytes from `offset` on, streaming."""
    expand = zlib.decompressobj(wbits=31)
    skip = offset
    with context.blobs.open(blob) as file:
        while raw := file.read(64 * 1024):
            data = expand.decompress(raw, 256 * 1024)
            while data:
                if skip < len(data):
                    yield data[skip:]
                skip = max(0, skip - len(data))
                data = expand.decompress(expand.unconsumed_tail, 256 * 1024) if expand.unconsumed_tail else b""
