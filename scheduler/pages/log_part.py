"""The part of a log that a page shows first: its last lines, numbered, in bounded memory.

Rules:
1. Lines are counted from 1 over the whole log, so that a link to a line holds for ever.
2. What is held is bounded whatever the log is: at most LINES lines and BYTES bytes; of a longer line its beginning.
3. A last line without an end is given apart: the stream goes on with it.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

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


def tail(pieces: Iterable[bytes], lines: int, upto: int | None = None) -> Part:
    """The last `lines` lines; with `upto`, the last of those numbered up to it."""
    kept: deque[tuple[int, int, bytes]] = deque()
    most, held = max(1, min(lines, LINES)), 0
    number, offset, begin = 1, 0, 0
    line = bytearray()
    for piece in pieces:
        at = 0
        while (found := piece.find(b"\n", at)) >= 0:
            line += piece[at : min(found, at + LINE_BYTES - len(line))] if len(line) < LINE_BYTES else b""
            kept.append((number, begin, bytes(line)))
            held += len(line)
            while len(kept) > most or (held > BYTES and len(kept) > 1):
                held -= len(kept.popleft()[2])
            line.clear()
            at = found + 1
            begin, number = offset + at, number + 1
            if upto is not None and number > upto:
                return Part(_shown(kept), number, begin, "", begin, at_end=False)
        if len(line) < LINE_BYTES:
            line += piece[at : at + LINE_BYTES - len(line)]
        offset += len(piece)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = decoder.decode(bytes(line))
    # A character cut in half comes whole with what follows.
    return Part(_shown(kept), number, offset - len(decoder.getstate()[0]), rest, begin, at_end=True)


def _shown(kept: Iterable[tuple[int, int, bytes]]) -> tuple[tuple[int, int, str], ...]:
    return tuple((number, begin, line.decode(errors="replace")) for number, begin, line in kept)
