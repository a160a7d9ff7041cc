"""The pipeline file as text: in our order, with comments, without surprises.

Rules:
1. What is written is read back as the same values: a word is quoted wherever it would be read as something else.
2. Commands of several lines stand as a block, as people write them; short lists of plain words stand in one line.
3. A comment stands above what it is about.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 110
_PLAIN: Final = re.compile(r"[A-Za-z_./$(][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff\\\"']*")
_BARE: Final = re.compile(r"[A-Za-z_./][A-Za-z0-9_./@+-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_PRINTABLE: Final = re.compile(
    r"[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with comments above it."""

    value: Any
    notes: tuple[str, ...]


def text_of(data: Mapping[str, Any]) -> str:
    """The document."""
    return "\n".join(_mapping(data, 0)) + "\n"


def comments(notes: tuple[str, ...] | list[str], indent: int) -> Iterator[str]:
    """Comment lines, wrapped."""
    pad = " " * indent
    for note in notes:
        plain = "".join(c if c.isprintable() else " " for c in note)
        lines = textwrap.wrap(plain, max(WIDTH - indent, 60), subsequent_indent="  ", break_long_words=False)
        yield from (f"{pad}# {line}" for line in lines)


def _mapping(data: Mapping[str, Any], indent: int) -> Iterator[str]:
    pad = " " * indent
    for key, value in data.items():
        if isinstance(value, Noted):
            yield from comments(value.notes, indent)
            value = value.value
        yield from _entry(f"{pad}{_scalar(str(key))}:", value, indent + 2)


def _entry(head: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield head if value else f"{head} {{}}"
        yield from _mapping(value, indent)
    elif isinstance(value, list | tuple):
        items = list(value)
        flow = _flow(items)
        if flow is not None and len(head) + len(flow) < WIDTH - 10:
            yield f"{head} {flow}"
        else:
            yield head
            yield from _list(items, indent)
    elif isinstance(value, str) and "\n" in value and (block := _block(value, indent)) is not None:
        yield f"{head} {block[0]}"
        yield from block[1:]
    else:
        yield f"{head} {_scalar(value)}"


def _list(items: list[Any], indent: int) -> Iterator[str]:
    pad = " " * indent
    for item in items:
        if isinstance(item, Noted):
            yield from comments(item.notes, indent)
            item = item.value
        if isinstance(item, dict) and item:
            lines = list(_mapping(item, indent + 2))
            yield f"{pad}- {lines[0][indent + 2 :]}"
            yield from lines[1:]
        else:
            yield from _entry(f"{pad}-", item, indent + 2)


def _flow(items: list[Any]) -> str | None:
    """A list in one line, if all its items are short words."""
    if any(not isinstance(item, str | int | float) for item in items):
        return None
    written = [_scalar(item) for item in items]
    if not all(_BARE.fullmatch(one) or one[0] in "'0123456789" or one in _WORDS for one in written):
        return None
    return f"[{', '.join(written)}]"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int | float):
        return "null" if value is None else str(value)
    text = str(value)
    plain = (
        _PLAIN.fullmatch(text) is not None
        and text.lower() not in _WORDS
        and not re.search(r": |:$| #|\s$|\t", text)
        and not re.match(r"\.[0-9inaINA]|\.$", text)
        and text not in ("---", "...")
    )
    if plain:
        return text
    if _PRINTABLE.fullmatch(text) and "\n" not in text and "\t" not in text:
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    """A character within double quotes."""
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if 0xD800 <= code < 0xE000:
        return "\\ufffd"
    if character != "\t" and _PRINTABLE.fullmatch(character) and character != "\n":
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _block(text: str, indent: int) -> list[str] | None:
    """A literal block, or None where one would not be read back the same."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if (
        not _PRINTABLE.fullmatch(text)
        or not lines[0].strip()
        or lines[0].startswith((" ", "\t"))
        or body.endswith("\n")
    ):
        return None
    if any(line and not line.strip() for line in lines):
        return None
    pad = " " * indent
    return ["|" if text.endswith("\n") else "|-", *(f"{pad}{line}" if line else "" for line in lines)]
