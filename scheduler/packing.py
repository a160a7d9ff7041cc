"""Logs of ended attempts: from chunks to one gzip-compressed blob and its index, streaming.

Rules:
1. The blobs are complete before the row names them; chunks go in the transaction that names them.
2. A log of any size is packed in bounded memory.
3. A log is read from the part that holds the asked byte on; one without an index (packed by an older version) is one
   part.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from farmgate.errors import NotFound
from farmgate.models import LogChunk
from farmgate.store import attempts, logs
from farmgate.store.logs import Mark
from scheduler import log_index
from scheduler.blob_streams import named
from scheduler.context import Context
from scheduler.log_index import APART, Entry, Index

ROWS_AT_ONCE = 16
PART_BYTES = 2**20
READ_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024


def pack(context: Context, attempt_id: int) -> None:
    """Pack one attempt's log; harmless if that was done before."""
    with context.store.reading() as connection:
        try:
            attempt = attempts.by_id(connection, attempt_id)
        except NotFound:
            return
    if attempt.log_blob is not None:
        return
    entries: list[Entry] = []
    stored = context.blobs.put(compressed(chunks(context, attempt_id), entries))
    index = context.blobs.put([log_index.write(entries)])
    with context.store.writing() as connection:
        named(context, connection, stored.sha256, index.sha256)
        logs.packed(connection, attempt_id, stored.sha256, index.sha256)


def chunks(context: Context, attempt_id: int) -> Iterator[LogChunk]:
    """The log's rows in order, a few at a time."""
    offset = 0
    while True:
        with context.store.reading() as connection:
            rows = logs.chunks_after(connection, attempt_id, offset, ROWS_AT_ONCE)
        for row in rows:
            yield row
            offset = row.offset + len(row.data)
        if not rows:
            return


def compressed(rows: Iterator[LogChunk], entries: list[Entry]) -> Iterator[bytes]:
    """As gzip in parts; fills `entries`. The same log gives the same bytes: no time stands in the header."""
    squeeze = zlib.compressobj(level=6, wbits=31)
    written, part_at = 0, 0
    for row in rows:
        begins = not entries
        if row.offset - part_at >= PART_BYTES:
            rest = squeeze.flush()
            written += len(rest)
            yield rest
            squeeze = zlib.compressobj(level=6, wbits=31)
            part_at, begins = row.offset, True
        if begins or row.received_at - entries[-1].mark.at > APART:
            entries.append(Entry(Mark(row.offset, row.line, row.received_at), written if begins else None))
        data = squeeze.compress(row.data)
        written += len(data)
        yield data
    yield squeeze.flush()


def squeezed(data: bytes) -> Iterator[bytes]:
    """A short log, as one part without an index."""
    squeeze = zlib.compressobj(level=6, wbits=31)
    yield squeeze.compress(data) + squeeze.flush()


def index_of(context: Context, sha256: str | None) -> Index | None:
    """The index that a row names; None: it has none."""
    if sha256 is None:
        return None
    with context.blobs.open(sha256) as file:
        index = log_index.read(file.read())
    return index if index.entries else None


def expanded(context: Context, blob: str, offset: int = 0, index: Index | None = None) -> Iterator[bytes]:
    """The log's bytes from `offset` on, streaming."""
    part = index.part_at(offset) if index is not None and offset else None
    begin = part.packed_offset or 0 if part is not None else 0
    skip = offset - (part.mark.offset if part is not None else 0)
    with context.blobs.open(blob, begin) as file:
        for data in _gunzip(iter(lambda: file.read(READ_BYTES), b"")):
            if skip < len(data):
                yield data[skip:]
            skip = max(0, skip - len(data))


def _gunzip(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Of any number of gzip members, in bounded pieces."""
    expand = zlib.decompressobj(wbits=31)
    for piece in raw:
        while piece:
            if expand.eof:
                expand = zlib.decompressobj(wbits=31)
            if data := expand.decompress(piece, PIECE_BYTES):
                yield data
            piece = expand.unused_data if expand.eof else expand.unconsumed_tail
