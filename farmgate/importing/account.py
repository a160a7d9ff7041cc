"""What became of every key of the files that are converted.

Rules:
1. Each key is taken (its converter knows it), needless here, or left. What nobody took is left by `Part.close`: a key
   that the importer does not know cannot be dropped silently.
2. What is left says where it stands, why, and what to do. So does what was converted but must be looked at.
3. What is left inside a job or a step is also a comment there, in the pipeline file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem


class Kind(StrEnum):
    """What a remark says of its place."""

    LEFT = "left"  # not converted
    LOOK = "look"  # converted, and a person should look at it
    NEEDLESS = "needless"  # Farmgate does this by itself, or it has no meaning here


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of a place in a source."""

    kind: Kind
    problem: Problem

    def __str__(self) -> str:
        return f"{self.kind}: {self.problem}"


@dataclass(slots=True)
class Account:
    """All remarks, and the steps that were counted."""

    remarks: list[Remark] = field(default_factory=list)
    converted: int = 0
    left_steps: list[str] = field(default_factory=list)  # why, one entry per step
    notes: list[str] = field(default_factory=list)  # comments for where we are: the file, a job, a step

    def say(
        self, kind: Kind, document: Document, at: Location, message: str, remedy: str | None, *, key: bool = False
    ) -> None:
        """Remark on a place. What is left or to be looked at becomes a comment, too."""
        remark = Remark(kind, document.problem(at, message, remedy, key=key))
        if remark not in self.remarks:
            self.remarks.append(remark)
        if kind is not Kind.NEEDLESS:
            problem = remark.problem
            hint = f" ({remedy})" if remedy else ""
            word = "TODO" if kind is Kind.LEFT else "CHECK"
            note = f"{word}(import) {problem.source}:{problem.line}: {message}{hint}"
            if note not in self.notes:
                self.notes.append(note)

    @contextmanager
    def noting(self, notes: list[str]) -> Iterator[None]:
        """Comments go to `notes` meanwhile."""
        before, self.notes = self.notes, notes
        try:
            yield
        finally:
            self.notes = before

    def step_left(self, why: str) -> None:
        """A step was not converted, or only a part of it."""
        self.left_steps.append(why)


class Part:
    """A mapping of a source, which knows which of its keys were looked at."""

    def __init__(self, account: Account, document: Document, at: Location, value: dict[str, Any]) -> None:
        self.account = account
        self.document = document
        self.at = at
        self.value = value
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def names(self) -> list[str]:
        """All keys, in the order of the file."""
        return list(self.value)

    def take(self, key: str) -> Any:
        """The value, or None. The caller now answers for it."""
        self._taken.add(key)
        return self.value.get(key)

    def text(self, key: str) -> str | None:
        """A scalar as it is written; anything else is left."""
        value = self.take(key)
        if value is None:
            return None
        found = as_written(value)
        if found is None:
            self.left(key, f"{key} is {kind_of(value)} where a word is wanted", "write it by hand")
        return found

    def texts(self, key: str) -> list[str]:
        """A scalar, or a list of them (lists within lists are made flat); anything else is left."""
        value = self.take(key)
        found: list[str] = []
        for at, one in flat(value, (*self.at, key)):
            text = as_written(one)
            if text is not None:
                found.append(text)
            elif one is not None:
                self.say(Kind.LEFT, at, f"{kind_of(one)} where a word is wanted", "write it by hand")
        return found

    def number(self, key: str) -> int | None:
        """A whole number; anything else is left."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return int(float(text))
        except (ValueError, OverflowError):
            self.left(key, f"{key}: {text[:60]!r} is not a number", "write it by hand")
            return None

    def flag(self, key: str) -> bool:
        """True if the value says so."""
        return str(self.take(key)).lower() in ("true", "yes", "on", "1")

    def part(self, key: str) -> Part | None:
        """A mapping below; anything else but nothing is left."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.left(key, f"{key} is {kind_of(value)} where a mapping is wanted", "write it by hand")
            return None
        return self.below(key, value)

    def below(self, key: str | int, value: dict[str, Any], *more: str | int) -> Part:
        """A part for a mapping that stands below."""
        return Part(self.account, self.document, (*self.at, key, *more), value)

    def listed(self, key: str) -> list[tuple[Location, Any]]:
        """The entries of a list (a single value is a list of one), with their places."""
        value = self.take(key)
        if value is None:
            return []
        if isinstance(value, list):
            return [((*self.at, key, index), one) for index, one in enumerate(value)]
        return [((*self.at, key), value)]

    def at_part(self, at: Location, value: Any) -> Part | None:
        """A part for an entry of `listed`, or None with a remark if it is not a mapping."""
        if isinstance(value, dict):
            return Part(self.account, self.document, at, value)
        self.say(Kind.LEFT, at, f"{kind_of(value)} where a mapping is wanted", "write it by hand")
        return None

    def say(self, kind: Kind, at: Location, message: str, remedy: str | None = None, *, key: bool = False) -> None:
        """Remark on any place of this document."""
        self.account.say(kind, self.document, at, message, remedy, key=key)

    def left(self, key: str, message: str, remedy: str | None = None) -> None:
        """This key is not converted."""
        if key in self.value:
            self._taken.add(key)
            self.say(Kind.LEFT, (*self.at, key), message, remedy, key=True)

    def look(self, key: str, message: str, remedy: str | None = None) -> None:
        """This key was converted to something a person should look at."""
        if key in self.value:
            self._taken.add(key)
            self.say(Kind.LOOK, (*self.at, key), message, remedy, key=True)

    def needless(self, key: str, why: str) -> None:
        """This key has nothing to say here."""
        if key in self.value:
            self._taken.add(key)
            self.say(Kind.NEEDLESS, (*self.at, key), f"{key}: {why}", key=True)

    def close(self, what: str) -> None:
        """All keys that nobody took are left (rule 1)."""
        for key in self.value:
            if key not in self._taken:
                self.left(key, f"{key} of {what} is not known to the importer", "write it by hand")


def flat(value: Any, at: Location, *, nothing: bool = False) -> Iterator[tuple[Location, Any]]:
    """The leaves of a value that may be lists of lists; with `nothing`, also those where nothing stands."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from flat(one, (*at, index), nothing=nothing)
    elif value is not None or nothing:
        yield at, value


def kind_of(value: object) -> str:
    """What a value is, in a word."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case _:
            return "a single value"
