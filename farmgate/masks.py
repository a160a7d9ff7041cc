"""Secret values in what leaves the process that knows them: *** instead, in every form that they are written in.

Rules:
1. Forms of a value: as it is; line by line; base64 (both alphabets) wherever it begins in what was encoded, also broken
   into lines from its beginning; hexadecimal; URL-encoded; as a JSON string; in XML; as a shell quotes it. Upper and
   lower case where that makes no difference.
2. A value (or a form, or a line) of fewer than 4 bytes is not masked: it would mask half of the log.
3. Where forms overlap, all they cover is one ***. Every other byte passes unchanged.
4. However the stream is cut, the output is the same. Held back is only what is the beginning of a form, so memory is
   bounded by the longest form, and a line that is no secret is never late.
5. At a boundary (a step ends) nothing is held back any longer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick, MatchKind

MASK: Final = b"***"
LEAST_BYTES: Final = 4
_HEAD_BYTES: Final = 8
_UNTOUCHED: Final = ("", "/", "!'()*", "!'()*/:")  # what encoders of addresses leave as it is
_COLUMNS: Final = (76, 64)  # where base64 breaks its lines
_HEX_COLUMNS: Final = 60
_MOST_LINES: Final = 200  # of a longer value the lines are masked as they are, and in no other form


class Masks:
    """The forms of some values. Immutable: safe for several threads."""

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        heads: dict[bytes, list[bytes]] = {}
        for form in sorted({form for value in values for form in forms(value)}, key=len, reverse=True):
            heads.setdefault(form[:_HEAD_BYTES], []).append(form)
        self._forms: Final = list(heads.values())
        self._beginnings: Final = frozenset(head[:length] for head in heads for length in range(1, len(head)))
        # Only the heads are searched for: whatever the values, the automaton stays small, and fast.
        self._search: Final = BytesAhoCorasick(list(heads), matchkind=MatchKind.Standard) if heads else None

    def __bool__(self) -> bool:
        return self._search is not None

    def whole(self, data: bytes) -> bytes:
        """All there is, masked."""
        stream = Masking(self)
        return stream.feed(data) + stream.flush()

    def text(self, text: str) -> str:
        """The same for a message."""
        return self.whole(text.encode(errors="replace")).decode(errors="replace") if self else text

    def find(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """Where forms stand, overlapping ones too, by their beginnings; and where the end of the data becomes the
        beginning of a form (its length, if nowhere)."""
        if self._search is None:
            return [], len(data)
        places: list[tuple[int, int]] = []
        size = opening = len(data)
        for head, at, _ in self._search.find_matches_as_indexes(data, overlapping=True):
            for form in self._forms[head]:
                if data.startswith(form, at):
                    places.append((at, at + len(form)))
                elif size - at < len(form) and at < opening and form.startswith(data[at:]):
                    opening = at
        for length in range(min(_HEAD_BYTES - 1, size), size - opening, -1):
            if data[size - length :] in self._beginnings:
                opening = size - length
                break
        places.sort()
        return places, opening


class Masking:
    """One stream, masked as it comes."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._held = b""
        self._covered = 0  # of what is held: bytes whose *** was given already

    def feed(self, data: bytes) -> bytes:
        """What may leave now."""
        if not self._masks:
            return data
        data = self._held + data if self._held else data
        places, opening = self._masks.find(data)
        return self._give(data, places, opening)

    def flush(self) -> bytes:
        """Everything that is held back."""
        return self._give(self._held, self._masks.find(self._held)[0], len(self._held))

    def _give(self, data: bytes, places: Iterable[tuple[int, int]], until: int) -> bytes:
        """What stands before `until`, and *** for what begins there; the rest is held."""
        given: list[bytes] = []
        at = self._covered
        for begin, end in places:
            if begin >= until:
                break
            if begin >= at:
                given += (data[at:begin], MASK)
            at = max(at, end)
        if at < until:
            given.append(data[at:until])
        self._held, self._covered = data[until:], max(0, at - until)
        return b"".join(given)


def forms(value: bytes) -> Iterator[bytes]:
    """Rules 1 and 2."""
    if len(value) < LEAST_BYTES:
        return
    lines = {line.strip() for line in value.splitlines()}
    for one in {value, value.strip(), value.strip().replace(b"\n", b"\r\n"), *lines}:
        if len(one) >= LEAST_BYTES:
            written = (one,) if one in lines and len(lines) > _MOST_LINES else _written(one)
            yield from (form for form in written if len(form) >= LEAST_BYTES)


def _written(value: bytes) -> Iterator[bytes]:
    yield value
    yield from _base64(value)
    for digits in (value.hex(), value.hex().upper()):
        yield digits.encode()
        yield from _broken(digits.encode(), _HEX_COLUMNS)
    for untouched in _UNTOUCHED:
        yield from _either_case(quote(value, safe=untouched))
    yield from _either_case(quote_plus(value))
    yield value.replace(b"'", b"'\\''")
    yield value.replace(b"'", b"'\"'\"'")
    yield from _in_markup(value)
    text = value.decode(errors="replace")
    for plain_ascii in (True, False):
        quoted = json.dumps(text, ensure_ascii=plain_ascii)[1:-1]
        yield quoted.encode()
        yield quoted.replace("/", "\\/").encode()


def _in_markup(value: bytes) -> Iterator[bytes]:
    """As XML and HTML write it, in text and in attributes."""
    text = value.replace(b"&", b"&amp;").replace(b"<", b"&lt;")
    yield text
    text = text.replace(b">", b"&gt;")
    yield text
    for quotes in (b"&quot;", b"&#34;"):
        quoted = text.replace(b'"', quotes)
        yield quoted
        for single in (b"&#39;", b"&#x27;", b"&apos;"):
            yield quoted.replace(b"'", single)


def _base64(value: bytes) -> Iterator[bytes]:
    """Of the three ways to stand among other bytes: the characters that these do not change."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value + bytes(2))
        sure = whole[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        yield sure
        yield sure.translate(_URL_SAFE)
    for columns in _COLUMNS:
        yield from _broken(base64.b64encode(value).rstrip(b"="), columns)


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def _broken(text: bytes, columns: int) -> Iterator[bytes]:
    """A long form, line by line; a last line too short to tell is left out."""
    if len(text) > columns:
        for at in range(0, len(text), columns):
            if len(line := text[at : at + columns]) >= 2 * LEAST_BYTES:
                yield line


def _either_case(quoted: str) -> Iterator[bytes]:
    """`%2F` and `%2f`."""
    yield quoted.encode()
    parts = quoted.split("%")
    yield "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])]).encode()
