"""What reports say, as values with bounded texts.

Rules:
1. A name is cut at LONGEST_NAME; its end is then a hash of the whole, so that two long names stay two.
2. Of a failure's text the beginning and the end are kept: what was called, and what it came to.
3. Characters that no database and no page can hold (NUL, lone surrogates) become U+FFFD.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

LONGEST_NAME: Final = 500
LONGEST_MESSAGE: Final = 1000
LONGEST_TEXT: Final = 12_000
_HEAD: Final = 4000
_BAD: Final = re.compile("[\0\ud800-\udfff]")

Outcome = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Case:
    """One test's result. `failed_tries`: how often it failed before the result, as the file itself says."""

    suite: str
    class_name: str
    name: str
    file: str
    outcome: Outcome
    seconds: float
    message: str = ""
    text: str = ""
    failed_tries: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same test in the next run."""
        return (self.suite, self.class_name, self.name, self.file)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a tool found at a place of the sources. `level`: error, warning, note, none."""

    rule: str
    level: str
    path: str
    line: int
    message: str
    print: str  # of the rule, the place without its line, and the text: the same finding in the next run


def name_of(text: str, longest: int = LONGEST_NAME) -> str:
    """Rule 1, in one line."""
    plain = _BAD.sub("�", text)
    if not plain.isprintable():
        plain = "".join(character if character.isprintable() else " " for character in plain)
    if len(plain) <= longest:
        return plain.strip()
    return f"{plain[: longest - 10]}…{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def text_of(text: str, longest: int = LONGEST_TEXT) -> str:
    """Rule 2."""
    plain = _BAD.sub("�", text).strip("\n")
    if len(plain) <= longest:
        return plain
    head = min(_HEAD, longest // 3)
    return f"{plain[:head]}\n[… {len(plain) - longest} characters …]\n{plain[head - longest :]}"


class Text:
    """A text that grows piece by piece and stays bounded: its beginning and its end."""

    __slots__ = ("_head", "_tail", "length")

    def __init__(self) -> None:
        self._head, self._tail, self.length = "", "", 0

    def add(self, piece: str) -> None:
        self.length += len(piece)
        room = _HEAD - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail = (self._tail + piece)[_HEAD - LONGEST_TEXT :]

    def value(self) -> str:
        """The whole, or its beginning and its end."""
        left_out = self.length - len(self._head) - len(self._tail)
        between = f"\n[… {left_out} characters …]\n" if left_out else ""
        return text_of(self._head + between + self._tail, LONGEST_TEXT + 100)


def seconds_of(text: str | None) -> float:
    """A time as producers write it: `0.5`, `1,234.5`, `0,5`; what is no time, or negative, is 0."""
    if not text:
        return 0.0
    plain = text.strip().removesuffix("s")
    plain = plain.replace(",", "") if "." in plain else plain.replace(",", ".")
    try:
        seconds = float(plain)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e7 else 0.0  # NaN compares false


def finding_print(rule: str, path: str, message: str, given: str = "") -> str:
    """The line is left out: what moves with the code around it is not new."""
    whole = given or message
    return hashlib.sha256(f"{rule}\0{path}\0{whole}".encode()).hexdigest()[:24]
