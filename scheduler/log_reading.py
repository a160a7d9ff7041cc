"""A log from any offset, wherever its bytes are at the moment: in chunks while it grows, in a blob afterwards.

Rules:
1. Nothing is held whole: readers get pieces.
2. Packing may happen while somebody reads: a reader that finds no chunk looks for the blob and goes on there.
3. Nobody reads from the beginning what he wants from the middle: chunks and packed logs both know where lines stand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import Attempt, Job
from farmgate.store import attempts, jobs, logs
from farmgate.store.logs import Mark
from scheduler.context import Context
from scheduler.packing import expanded, index_of

PIECE = 256 * 1024


def find(context: Context, job_id: int, number: int | None) -> tuple[Job, Attempt | None]:
    """The job, and the attempt of that number, or its newest; None before its first claim. Raises NotFound."""
    with context.store.reading() as connection:
        job = jobs.by_id(connection, job_id)
        of = jobs.told_by(job)
        if number is None:
            return job, attempts.newest_of(connection, of)
        return job, attempts.by_number(connection, of, number)


def is_over(attempt: Attempt) -> bool:
    """True if the log grows no more."""
    return attempt.state is not states.Attempt.RUNNING


def whole(context: Context, attempt: Attempt, offset: int) -> Iterator[bytes]:
    """From `offset` to the length that the log had when asked."""
    while offset < attempt.log_bytes:
        for piece in following(context, attempt.id, offset):
            piece = piece[: attempt.log_bytes - offset]
            offset += len(piece)
            yield piece
            if offset >= attempt.log_bytes:
                return
        if offset < attempt.log_bytes:
            raise NotFound("the rest of this log is missing")


def following(context: Context, attempt_id: int, offset: int) -> Iterator[bytes]:
    """From `offset` to where the log ends now."""
    while True:
        with context.store.reading() as connection:
            piece = logs.read(connection, attempt_id, offset, PIECE)
            ended = None if piece else attempts.by_id(connection, attempt_id)
        if ended is not None and ended.log_blob is not None:
            index = index_of(context, ended.log_index) if offset else None
            yield from expanded(context, ended.log_blob, offset, index)
            return
        if not piece:
            return
        yield piece
        offset += len(piece)


def before_line(context: Context, attempt: Attempt, line: int) -> Mark | None:
    """Where to begin in order to read line number `line`; None: at the beginning."""
    if line <= 1:
        return None
    with context.store.reading() as connection:
        found = logs.before_line(connection, attempt.id, line)
        row = attempts.by_id(connection, attempt.id)
    if found is None and row.log_blob is not None and (index := index_of(context, row.log_index)) is not None:
        return index.before_line(line)
    return found


def marks(context: Context, attempt_id: int, start: int, end: int) -> list[Mark]:
    """When the bytes from `start` up to `end` came; empty where that is not known."""
    with context.store.reading() as connection:
        found = logs.marks(connection, attempt_id, start, end)
        row = attempts.by_id(connection, attempt_id)
    if not found and row.log_blob is not None and (index := index_of(context, row.log_index)) is not None:
        return index.marks(start, end)
    return found


def some(reader: Iterator[bytes], pieces: int) -> list[bytes]:
    """The next few pieces; fewer than asked for at the end."""
    return list(itertools.islice(reader, pieces))
