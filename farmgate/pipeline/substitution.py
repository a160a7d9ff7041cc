"""`${{ matrix.NAME }}` and `${{ parameters.NAME }}` in the values of a file.

Rules:
1. What is put in comes from the file itself (an axis of its matrix) or from who uses a template: never from a commit, a
   branch or a person. Those are only ever variables of the environment.
2. Only these two words, only names that exist; anything else between the braces is a problem with a remedy.
3. A value that is nothing but one placeholder becomes what is put in, with its type; within a text it becomes text.
4. `$${{` stands for `${{` itself.
5. A template's parameters are put in first, its matrix later: what belongs to the other word, and `$${{`, is left as it
   stands, and a text that is put in never becomes a placeholder itself.
6. What is put in is counted: a few lines do not become a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from farmgate.documents import Location, as_written, nearest

Values = Mapping[str, Mapping[str, Any]]
"""What can be put in: word -> name -> value."""
Complain = Callable[[Location, str, str | None], None]

_PLACEHOLDER: Final = re.compile(r"\$?\$\{\{([^{}]*)\}\}")
_REFERENCE: Final = re.compile(r"\s*([A-Za-z_]+)\.([A-Za-z0-9_-]+)\s*")
_KNOWN: Final = ("matrix", "parameters")


@dataclass(slots=True)
class Room:
    """How many characters may still be put in."""

    left: int = 2**20

    def takes(self, text: str) -> bool:
        self.left -= len(text)
        return self.left >= 0


def has_placeholder(value: str) -> bool:
    """True if there is something to put in."""
    return "${{" in value


def placeholder_in(value: Any) -> bool:
    """True if there is something to put in, anywhere in it."""
    match value:
        case str():
            return has_placeholder(value)
        case dict():
            return any(placeholder_in(below) for below in value.values())
        case list():
            return any(placeholder_in(below) for below in value)
        case _:
            return False


def fill(
    value: Any, values: Values, complain: Complain, at: Location = (), *, room: Room, only: str | None = None
) -> Any:
    """The value with everything put in, keys of mappings left alone. Problems go to `complain`, with their place.

    `only`: just this word; the rest stays (rule 5).
    """
    match value:
        case str():
            return _fill_text(value, values, complain, at, room, only) if has_placeholder(value) else value
        case dict():
            return {
                key: fill(below, values, complain, (*at, key), room=room, only=only) for key, below in value.items()
            }
        case list():
            return [
                fill(below, values, complain, (*at, index), room=room, only=only) for index, below in enumerate(value)
            ]
        case _:
            return value


def _fill_text(text: str, values: Values, complain: Complain, at: Location, room: Room, only: str | None) -> Any:
    def found(reference: re.Match[str]) -> Any:
        if only is not None and not _is_of(only, reference[1]):
            return reference[0]
        put_in = _look_up(reference[1], values, complain, at)
        if not room.takes(_text_of(put_in)):
            if room.left > -(2**62):
                complain(at, "the file becomes too large with everything put in", "put in less, or shorter values")
            room.left = -(2**63)
            return ""
        return put_in if only is None else escaped(put_in)

    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None and not text.startswith("$$"):
        return found(whole)

    def one(reference: re.Match[str]) -> str:
        if reference[0].startswith("$$"):
            return reference[0] if only is not None else reference[0][1:]
        put_in = found(reference)
        written = as_written(put_in)
        if written is None:
            complain(at, f"{reference[0]} is a list or a mapping, which cannot stand within a text", None)
        return written or ""

    return _PLACEHOLDER.sub(one, text)


def _is_of(word: str, inside: str) -> bool:
    reference = _REFERENCE.fullmatch(inside)
    return reference is not None and reference[1] == word


def escaped(value: Any) -> Any:
    """What is put in first is not looked into later (rule 5)."""
    match value:
        case str():
            return value.replace("${{", "$${{")
        case list():
            return [escaped(one) for one in value]
        case dict():
            return {key: escaped(below) for key, below in value.items()}
        case _:
            return value


def _text_of(value: Any) -> str:
    return "".join(_text_of(one) for one in value) if isinstance(value, list) else as_written(value) or ""


def _look_up(inside: str, values: Values, complain: Complain, at: Location) -> Any:
    reference = _REFERENCE.fullmatch(inside)
    shown = "${{" + inside[:80] + "}}"
    if reference is None or reference[1] not in _KNOWN:
        complain(
            at,
            f"{shown} is not known: only ${{{{ matrix.NAME }}}} and, in a template, ${{{{ parameters.NAME }}}}",
            "what is known of the commit comes as variables, such as $FARMGATE_BRANCH; "
            "for the characters themselves write $${{",
        )
        return ""
    word, name = reference.groups()
    known = values.get(word)
    if known is None:
        complain(at, f"{shown}: there is no {word} here", None)
        return ""
    if name not in known:
        complain(at, f"{shown}: {word} has no {name!r}", nearest(name, known, otherwise=_listed(known)))
        return ""
    return known[name]


def _listed(known: Mapping[str, Any]) -> str | None:
    return f"known here: {', '.join(sorted(known))[:200]}" if known else None
