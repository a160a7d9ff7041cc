"""Markers: how a job's script says where its steps begin and end, inside the one stream of its output.

Rules:
1. A marker is a line of its own kind: a control byte, a nonce drawn for this attempt, what happened, an end of line.
   What merely looks like one (another attempt's log, printed) is output.
2. Markers never reach the log; every other byte does, unchanged. A step's output that does not end its last line gets
   an end of line, so that the next step begins on its own.
3. A marker may be cut anywhere by the chunks it arrives in. What is held back is never longer than one marker.
4. A job can forge its own markers. That only spoils its own steps' display: what counts is the script's exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LIMIT_BYTES: Final = 160
_BODY = re.compile(rb"(?:begin ([0-9]{1,6})|end ([0-9]{1,6}) ([0-9]{1,3}))(?: ([0-9]{9,12}\.[0-9]{6,9}))?(?: [^\n]*)?")


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes of the log."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Begin:
    """A step begins at this byte of the log. `at` is seconds since 1970, where the image can tell."""

    number: int
    offset: int
    at: float | None


@dataclass(frozen=True, slots=True)
class End:
    """A step ended."""

    number: int
    exit_code: int
    at: float | None


Item = Text | Begin | End


def prefix(nonce: str) -> bytes:
    """What every marker of an attempt begins with."""
    return b"\x1efarmgate " + nonce.encode() + b" "


class Markers:
    """Takes the markers out of a stream."""

    def __init__(self, nonce: str) -> None:
        self._prefix = prefix(nonce)
        self._held = b""
        self._offset = 0
        self._line_open = False

    def feed(self, data: bytes) -> list[Item]:
        """What the bytes hold, in order."""
        items: list[Item] = []
        rest = self._held + data if self._held else data
        self._held = b""
        while rest:
            at = rest.find(self._prefix)
            if at < 0:
                keep = self._tail(rest)
                self._text(items, rest[: len(rest) - keep])
                self._held = rest[len(rest) - keep :]
                break
            self._text(items, rest[:at])
            rest = rest[at:]
            end = rest.find(b"\n", 0, LIMIT_BYTES)
            if end < 0 and len(rest) < LIMIT_BYTES:
                self._held = rest
                break
            found = _BODY.fullmatch(rest[len(self._prefix) : end]) if end >= 0 else None
            if found is None:  # looks like one and is none
                self._text(items, rest[: len(self._prefix)])
                rest = rest[len(self._prefix) :]
                continue
            self._marker(items, found)
            rest = rest[end + 1 :]
        return items

    def close(self) -> list[Item]:
        """What was held back, at the end of the stream."""
        items: list[Item] = []
        self._text(items, self._held)
        self._held = b""
        return items

    def _text(self, items: list[Item], data: bytes) -> None:
        if data:
            items.append(Text(data))
            self._offset += len(data)
            self._line_open = not data.endswith(b"\n")

    def _marker(self, items: list[Item], found: re.Match[bytes]) -> None:
        if self._line_open:
            self._text(items, b"\n")
        at = float(found[4]) if found[4] else None
        if found[1]:
            items.append(Begin(int(found[1]), self._offset, at))
        else:
            items.append(End(int(found[2]), int(found[3]), at))

    def _tail(self, rest: bytes) -> int:
        """How many last bytes could be the beginning of a marker."""
        for length in range(min(len(self._prefix) - 1, len(rest)), 0, -1):
            if rest.endswith(self._prefix[:length]):
                return length
        return 0
