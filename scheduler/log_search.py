"""Where a text stands in a log, however large the log is.

Rules:
1. One call reads at most BUDGET bytes and finds at most `limit` lines; it says where to go on.
2. Letters are found in either case unless asked otherwise (beyond ASCII: as they are written). Colour codes are no part
   of the text.
3. Lines are read as they are shown: of one beyond LINE_BYTES only its beginning is searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

LINE_BYTES = 64 * 2**10
BUDGET = 128 * 2**20
AROUND = 160  # characters shown before and after
_CODES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Match:
    """`text` is the line around the first hit; `at` and `length` say where in `text` that stands, in characters."""

    line: int
    text: str
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Found:
    """`next_offset` and `next_line`: where to go on; None: the log was searched to its end."""

    matches: tuple[Match, ...]
    next_offset: int | None
    next_line: int


def search(
    pieces: Iterable[bytes], text: str, *, offset: int, line: int, limit: int, exact_case: bool = False
) -> Found:
    """The next lines that hold `text`. `pieces` begin at byte `offset`, at the beginning of line number `line`."""
    wanted = re.compile(re.escape(text.encode()), 0 if exact_case else re.IGNORECASE)
    matches: list[Match] = []
    begun = offset
    rest = b""
    for piece in pieces:
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > LINE_BYTES:
            rest = data[:LINE_BYTES]  # a line without an end: its beginning is enough
            offset += len(data) - LINE_BYTES
            continue
        whole, rest = data[:cut], data[cut:]
        for number, found in _lines(whole, wanted, line):
            matches.append(found)
            if len(matches) >= limit:
                # All ends of line up to this one: a line whose middle was left out has one too.
                ends = number - line + 1
                return Found(tuple(matches), offset + _after(whole, ends), number + 1)
        offset += len(whole)
        line += whole.count(b"\n")
        if offset - begun >= BUDGET:
            return Found(tuple(matches), offset, line)
    matches += [found for _, found in _lines(rest, wanted, line)]
    return Found(tuple(matches), None, line)


def _lines(data: bytes, wanted: re.Pattern[bytes], line: int) -> Iterable[tuple[int, Match]]:
    """The lines of the data that hold it, each once."""
    if b"\x1b" in data:
        data = _CODES.sub(b"", data)  # holds no end of line
    at = counted = 0
    while (hit := wanted.search(data, at)) is not None:
        line += data.count(b"\n", counted, hit.start())
        counted = hit.start()
        begin = data.rfind(b"\n", 0, hit.start()) + 1
        end = data.find(b"\n", hit.end())
        end = len(data) if end < 0 else end
        before = data[max(begin, hit.start() - AROUND * 4) : hit.start()].decode(errors="replace")[-AROUND:]
        held = hit.group().decode(errors="replace")
        after = data[hit.end() : min(end, hit.end() + AROUND * 4)].decode(errors="replace")[:AROUND].rstrip("\r")
        yield line, Match(line, before + held + after, len(before), len(held))
        at = end


def _after(data: bytes, ends: int) -> int:
    """The byte after so many ends of line."""
    at = 0
    for _ in range(ends):
        at = data.find(b"\n", at) + 1
    return at
