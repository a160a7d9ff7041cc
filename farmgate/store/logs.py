"""Logs: chunks while an attempt runs, one compressed blob afterwards.

Rules:
1. A log has no gaps: a chunk that begins after the end is not taken, what overlaps is trimmed, so that sending twice
   is harmless. The answer is always the length so far.
2. Beyond the limit nothing is kept and the log says so.
3. An ended attempt's chunks are packed into one blob; they are removed in the transaction that names the blob.
4. Each row says how many ends of line stand before it, and when it came: a page finds any line, and its time, without
   reading what is before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from farmgate import states
from farmgate.errors import StaleAttempt
from farmgate.models import LogChunk
from farmgate.store.database import many
from farmgate.store.schema import attempts, log_chunks

CHUNK_BYTES = 256 * 1024
"""The largest row; a longer piece becomes several."""
ROWS_AT_ONCE = 64
"""Rows that one reading takes at most: small pieces are many."""


def append(
    connection: Connection, attempt_id: int, offset: int, data: bytes, now: datetime, limit_bytes: int
) -> tuple[int, bool]:
    """Take a piece of a live attempt's log: the length now, and whether the log is cut. Raises StaleAttempt."""
    row = connection.execute(
        select(attempts.c.log_bytes, attempts.c.log_cut, attempts.c.log_lines).where(
            attempts.c.id == attempt_id, attempts.c.state == states.Attempt.RUNNING
        )
    ).first()
    if row is None:
        raise StaleAttempt("the log of an attempt that is over takes no more")
    length, cut, line = int(row[0]), bool(row[1]), int(row[2])
    if cut or offset > length:
        return length, cut
    fresh = data[length - offset :]
    if not fresh:
        return length, cut
    if length + len(fresh) > limit_bytes:
        note = f"\n[the log is cut here: it reached its limit of {limit_bytes} bytes]\n".encode()
        fresh, cut = fresh[: max(0, limit_bytes - length)] + note, True
    rows: list[dict[str, object]] = []
    for at in range(0, len(fresh), CHUNK_BYTES):
        piece = fresh[at : at + CHUNK_BYTES]
        rows.append({"attempt_id": attempt_id, "offset": length + at, "data": piece, "received_at": now, "line": line})
        line += piece.count(b"\n")
    taken = connection.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.state == states.Attempt.RUNNING,
            attempts.c.log_bytes == length,
        )
        .values(log_bytes=length + len(fresh), log_cut=cut, log_lines=line)
    )
    if taken.rowcount != 1:  # the same piece arrived twice at once: the other one is stored
        return length, cut
    connection.execute(insert(log_chunks), rows)
    return length + len(fresh), cut


def read(connection: Connection, attempt_id: int, offset: int, limit_bytes: int) -> bytes:
    """From the chunks: at most about `limit_bytes` from `offset` on; empty at the end."""
    holds_it = select(func.max(log_chunks.c.offset)).where(
        log_chunks.c.attempt_id == attempt_id, log_chunks.c.offset <= offset
    )
    statement = (
        select(log_chunks)
        .where(log_chunks.c.attempt_id == attempt_id, log_chunks.c.offset >= holds_it.scalar_subquery())
        .order_by(log_chunks.c.offset)
        .limit(ROWS_AT_ONCE)
    )
    found: list[bytes] = []
    size = 0
    for row in connection.execute(statement):
        chunk = LogChunk(**row._mapping)
        data = chunk.data[max(0, offset - chunk.offset) :]
        if chunk.offset + len(chunk.data) <= offset:
            continue
        found.append(data[: limit_bytes - size])
        size += len(found[-1])
        if size >= limit_bytes:
            break
    return b"".join(found)


@dataclass(frozen=True, slots=True)
class Mark:
    """At this byte of a log, `line` ends of line stand before it; it came at `at`."""

    offset: int
    line: int
    at: datetime


def marks(connection: Connection, attempt_id: int, start: int, end: int) -> list[Mark]:
    """Of the chunks that hold the bytes from `start` up to `end`, in order."""
    holds_it = select(func.max(log_chunks.c.offset)).where(
        log_chunks.c.attempt_id == attempt_id, log_chunks.c.offset <= start
    )
    statement = (
        select(log_chunks.c.offset, log_chunks.c.line, log_chunks.c.received_at)
        .where(
            log_chunks.c.attempt_id == attempt_id,
            log_chunks.c.offset >= func.coalesce(holds_it.scalar_subquery(), 0),
            log_chunks.c.offset < end,
        )
        .order_by(log_chunks.c.offset)
    )
    return [Mark(*row) for row in connection.execute(statement)]


def before_line(connection: Connection, attempt_id: int, line: int) -> Mark | None:
    """The last chunk that begins before line number `line` does; None: none does."""
    statement = (
        select(log_chunks.c.offset, log_chunks.c.line, log_chunks.c.received_at)
        .where(log_chunks.c.attempt_id == attempt_id, log_chunks.c.line <= line - 2)
        .order_by(log_chunks.c.offset.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else Mark(*row)


def unpacked(connection: Connection, limit: int) -> list[int]:
    """Ended attempts whose log is still in chunks, oldest first."""
    return [row[0] for row in connection.execute(_UNPACKED, {"most": limit})]


_UNPACKED: Final = (
    select(attempts.c.id)
    .where(attempts.c.log_blob.is_(None), attempts.c.state != states.Attempt.RUNNING)
    .order_by(attempts.c.id)
    .limit(bindparam("most"))
)


def chunks_after(connection: Connection, attempt_id: int, offset: int, count: int) -> list[LogChunk]:
    """The next few rows from `offset` on."""
    statement = (
        select(log_chunks)
        .where(log_chunks.c.attempt_id == attempt_id, log_chunks.c.offset >= offset)
        .order_by(log_chunks.c.offset)
        .limit(count)
    )
    return many(connection, LogChunk, statement)


def packed(connection: Connection, attempt_id: int, blob: str, index: str) -> bool:
    """The log is in a blob now: name it and its index, and remove the chunks. False if somebody packed it before."""
    named = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.log_blob.is_(None))
        .values(log_blob=blob, log_index=index)
    )
    connection.execute(delete(log_chunks).where(log_chunks.c.attempt_id == attempt_id))
    return named.rowcount == 1
