"""Where the lines of a packed log stand, and when they came: what lets a page open the middle of a log of a gibibyte.

Rules:
1. A packed log is gzip in parts (members); any gzip reader reads the whole, and a reader can begin at any part.
2. An entry stands at the first byte of each part, and at the first byte that came more than a second after the entry
   before it. So the index of a day is small, and a time is right to a second.
3. An index is a blob of its own: gzip of JSON, `{"entries": [[offset, line, milliseconds, packed offset or null]]}`.
"""

from __future__ import annotations

import bisect
import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from farmgate.store.logs import Mark

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """A mark in the log's bytes; `packed_offset`: the byte of the blob where a part begins with it."""

    mark: Mark
    packed_offset: int | None


@dataclass(frozen=True, slots=True)
class Index:
    """Entries by offset; the first stands at 0 and begins a part."""

    entries: tuple[Entry, ...]

    def part_at(self, offset: int) -> Entry:
        """The beginning of the last part that begins at or before `offset`."""
        at = self._at(offset)
        while self.entries[at].packed_offset is None:
            at -= 1
        return self.entries[at]

    def before_line(self, line: int) -> Mark | None:
        """The last mark that stands before line number `line` begins; None: none does."""
        at = bisect.bisect_right(self.entries, line - 2, key=lambda entry: entry.mark.line)
        return self.entries[at - 1].mark if at else None

    def marks(self, start: int, end: int) -> list[Mark]:
        """Those that tell of the bytes from `start` up to `end`."""
        at = self._at(start)
        upto = bisect.bisect_left(self.entries, end, key=lambda entry: entry.mark.offset)
        return [entry.mark for entry in self.entries[at:upto]]

    def _at(self, offset: int) -> int:
        return max(0, bisect.bisect_right(self.entries, offset, key=lambda entry: entry.mark.offset) - 1)


def write(entries: list[Entry]) -> bytes:
    """The index as a blob. The same entries give the same bytes."""
    rows = [[entry.mark.offset, entry.mark.line, milliseconds(entry.mark.at), entry.packed_offset] for entry in entries]
    return gzip.compress(json.dumps({"entries": rows}, separators=(",", ":")).encode(), mtime=0)


def read(data: bytes) -> Index:
    """What `write` wrote."""
    rows = json.loads(gzip.decompress(data))["entries"]
    return Index(
        tuple(
            Entry(Mark(offset, line, EPOCH + timedelta(milliseconds=at)), packed) for offset, line, at, packed in rows
        )
    )


def milliseconds(at: datetime) -> int:
    """Since 1970."""
    return round((at - EPOCH) / timedelta(milliseconds=1))
