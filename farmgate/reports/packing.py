"""How the rows of a report are kept: a page each, packed.

Rules:
1. A page of test results is three columns (which test, how it ended, milliseconds), sorted by test, so that one test
   is found without reading the others; 10,000 results take about 25 kB.
2. Pages of other kinds are lists of rows as JSON. Both are compressed.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

CODES: Final = {"passed": b"p", "failed": b"f", "error": b"e", "skipped": b"s"}
_OUTCOMES: Final = {code[0]: outcome for outcome, code in CODES.items()}
_HEAD: Final = struct.Struct("<IQ")
_MOST_MILLISECONDS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Packed:
    """A page of test results, unpacked."""

    tests: Sequence[int]  # ids, ascending
    outcomes: bytes
    milliseconds: Sequence[int]

    def find(self, test_id: int) -> tuple[str, float] | None:
        """How the test ended and its seconds; None: it is not in here."""
        at = bisect_left(self.tests, test_id)
        if at == len(self.tests) or self.tests[at] != test_id:
            return None
        return _OUTCOMES[self.outcomes[at]], self.milliseconds[at] / 1000

    def rows(self) -> Iterator[tuple[int, str, float]]:
        for test, outcome, milliseconds in zip(self.tests, self.outcomes, self.milliseconds, strict=True):
            yield test, _OUTCOMES[outcome], milliseconds / 1000


def pack_results(rows: Iterable[tuple[int, str, float]]) -> bytes:
    """Rows of (test, outcome, seconds)."""
    made = sorted(rows)
    ids = [row[0] for row in made]
    steps = _column(right - left for left, right in pairwise(ids))
    times = _column(min(_MOST_MILLISECONDS, round(row[2] * 1000)) for row in made)
    outcomes = b"".join(CODES[row[1]] for row in made)
    return zlib.compress(_HEAD.pack(len(made), ids[0] if ids else 0) + steps + outcomes + times, 6)


def unpack_results(data: bytes) -> Packed:
    """What `pack_results` made."""
    plain = zlib.decompress(data)
    count, first = _HEAD.unpack_from(plain)
    if not count:
        return Packed((), b"", ())
    at = _HEAD.size
    steps = _numbers(plain[at : at + 4 * (count - 1)])
    at += 4 * (count - 1)
    outcomes = plain[at : at + count]
    return Packed(list(accumulate(steps, initial=first)), outcomes, _numbers(plain[at + count :]))


def pack_rows(rows: Sequence[Any]) -> bytes:
    """Rows of any other kind."""
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)


def unpack_rows(data: bytes) -> list[Any]:
    """What `pack_rows` made."""
    rows: list[Any] = json.loads(zlib.decompress(data))
    return rows


def _column(numbers: Iterable[int]) -> bytes:
    made = array("I", numbers)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def _numbers(data: bytes) -> array[int]:
    made = array("I", data)
    if sys.byteorder == "big":
        made.byteswap()
    return made
