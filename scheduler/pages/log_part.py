"""The part of a log that a page shows first: its last lines, numbered, with their times, in bounded memory.

Rules:
1. Lines are counted from 1 over the whole log, so that a link to a line holds for ever.
2. What is held is bounded whatever the log is: at most LINES lines and BYTES bytes; of a longer line its beginning.
3. A last line without an end is given apart: the stream goes on with it.
4. What is read is bounded too: from the piece of the log in which the first of the lines begins.
5. The time of a line is when its first byte came to the server.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from farmgate.models import Attempt
from farmgate.store.logs import Mark
from scheduler import log_reading
from scheduler.context import Context

LINES = 5000
BYTES = 4 * 2**20
LINE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Part:
    """`lines`: number, byte offset, text. `end`: bytes read so far; `at_end`: there is nothing after the last line."""

    lines: tuple[tuple[int, int, str], ...]
    next_line: int
    end: int
    rest: str
    rest_offset: int
    at_end: bool


def read(context: Context, attempt: Attempt, lines: int, upto: int | None) -> tuple[Part, list[Mark]]:
    """The last `lines` lines, or the last of those numbered up to `upto`; and when their bytes came."""
    most = max(1, min(lines, LINES))
    first = max(1, (attempt.log_lines if upto is None else upto) - most + 1)
    begin = log_reading.before_line(context, attempt, first)
    at, line = (begin.offset, begin.line) if begin is not None else (0, 0)
    part = tail(log_reading.following(context, attempt.id, at), most, upto, at=at, line=line)
    since = part.lines[0][1] if part.lines else part.rest_offset
    return part, log_reading.marks(context, attempt.id, since, part.end)


def tail(pieces: Iterable[bytes], most: int, upto: int | None = None, *, at: int = 0, line: int = 0) -> Part:
    """The last `most` lines; with `upto`, the last of those numbered up to it.

    `pieces` begin at byte `at`, before which `line` ends of line stand; the line that is cut there is left out.
    """
    kept: deque[tuple[int, int, bytes]] = deque()
    held = 0
    whole = at == 0  # the line under way was seen from its beginning
    number, offset, begin = line + 1, at, at
    current = bytearray()
    for piece in pieces:
        here = 0
        while (found := piece.find(b"\n", here)) >= 0:
            if len(current) < LINE_BYTES:
                current += piece[here : min(found, here + LINE_BYTES - len(current))]
            if whole:
                kept.append((number, begin, bytes(current)))
                held += len(current)
            while len(kept) > most or (held > BYTES and len(kept) > 1):
                held -= len(kept.popleft()[2])
            current.clear()
            here, whole = found + 1, True
            begin, number = offset + here, number + 1
            if upto is not None and number > upto:
                return Part(_shown(kept), number, begin, "", begin, at_end=False)
        if len(current) < LINE_BYTES:
            current += piece[here : here + LINE_BYTES - len(current)]
        offset += len(piece)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = decoder.decode(bytes(current))
    # A character cut in half comes whole with what follows.
    return Part(_shown(kept), number, offset - len(decoder.getstate()[0]), rest, begin, at_end=True)


def _shown(kept: Iterable[tuple[int, int, bytes]]) -> tuple[tuple[int, int, str], ...]:
    return tuple((number, begin, line.decode(errors="replace")) for number, begin, line in kept)
