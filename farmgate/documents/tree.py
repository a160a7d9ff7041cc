"""YAML as people mean it, with the place of every word.

Rules:
1. YAML 1.2: only `true` and `false` are booleans. `on`, `off`, `yes`, `no`, `12:30` and `2026-01-01` are text, `010`
   is ten.
2. A key stands once in its mapping, and is text or a plain number or word taken as text.
3. Anchors, aliases and merge keys (`<<`) work. What a file becomes when they are followed is bounded in size and depth,
   and nothing leads back into itself.
4. One document, no tags but the standard ones, UTF-8, at most two megabytes.
5. The file is read as a stream of events with a stack of our own, so that depth costs no recursion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from farmgate.documents.complaints import Mark, explained
from farmgate.errors import BadDocument, Problem

SIZE_LIMIT: Final = 2 * 1024 * 1024
NODE_LIMIT: Final = 250_000
DEPTH_LIMIT: Final = 40

_STANDARD: Final = "tag:yaml.org,2002:"
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_NUMBER_START: Final = frozenset("-+.0123456789")
_INT: Final = re.compile(r"[-+]?[0-9]{1,30}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,30}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,30}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT: Final = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class WrittenInt(int):
    """A whole number that remembers how it was written: `007`."""

    text: str


class WrittenFloat(float):
    """A number that remembers how it was written: `1.10`."""

    text: str


def as_written(value: object) -> str | None:
    """The text of a scalar as it stands in the file; None for what is not one (or is null)."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case WrittenInt() | WrittenFloat():
            return value.text
        case int() | float():
            return str(value)
        case _:
            return None


@dataclass(slots=True)
class Node:
    """A value, where it stands, and what is below it. `size` counts the nodes with every alias followed."""

    value: Any
    mark: Mark
    size: int = 1
    depth: int = 1
    keys: dict[str, Mark] = field(default_factory=dict)
    below: dict[str | int, Node] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is still being read."""

    node: Node
    anchor: str | None
    mapping: bool
    key: Node | None = None
    merged: list[Node] = field(default_factory=list)


class Refused(Exception):
    """The file cannot be read on from here."""

    def __init__(self, mark: Mark, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.suggestion = suggestion


def read_tree(text: str | bytes, source: str) -> Node:
    """Read a document. Raises BadDocument with the first problem: what follows it cannot be trusted."""
    try:
        return _compose(_decoded(text))
    except Refused as refused:
        mark, message, suggestion = refused.mark, refused.message, refused.suggestion
    except yaml.MarkedYAMLError as error:
        mark, message, suggestion = explained(error, _shown(text))
    except yaml.reader.ReaderError as error:
        before = _shown(text)
        mark = _place(before, max(before.find(chr(error.character)) if isinstance(error.character, int) else 0, 0))
        message, suggestion = "a character that YAML does not allow", "remove the control character"
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        mark, message, suggestion = (1, 1), f"not YAML: {error}".partition("\n")[0], None
    raise BadDocument((Problem(source, *mark, message, suggestion),))


def _shown(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")


def _decoded(text: str | bytes) -> str:
    if len(text) > SIZE_LIMIT:
        raise Refused((1, 1), f"the file has more than {SIZE_LIMIT:,} bytes")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode(errors="replace")
        place = _place(before, len(before))
        raise Refused(place, f"byte 0x{text[error.start]:02x} is not UTF-8", "save it as UTF-8") from None


def _place(text: str, offset: int) -> Mark:
    before = text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _compose(text: str) -> Node:
    anchors: dict[str, Node] = {}
    opening: set[str] = set()
    stack: list[_Open] = []
    root: Node | None = None
    documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        done: Node
        match event:
            case yaml.ScalarEvent():
                done = Node(_scalar(event), _mark(event))
                if event.anchor:
                    anchors[event.anchor] = done
            case yaml.AliasEvent():
                if event.anchor in opening:
                    raise Refused(_mark(event), f"*{event.anchor} leads back into itself")
                if event.anchor not in anchors:
                    raise Refused(_mark(event), f"no &{event.anchor} stands before this alias")
                known = anchors[event.anchor]
                done = Node(known.value, _mark(event), known.size, known.depth, known.keys, known.below)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                mapping = isinstance(event, yaml.MappingStartEvent)
                _check_tag(event, "map" if mapping else "seq")
                if len(stack) >= DEPTH_LIMIT:
                    raise Refused(_mark(event), f"nested more than {DEPTH_LIMIT} deep")
                if event.anchor:
                    opening.add(event.anchor)
                stack.append(_Open(Node({} if mapping else [], _mark(event)), event.anchor, mapping))
                continue
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = stack.pop()
                for other in closed.merged:
                    _merge(closed.node, other)
                done = closed.node
                if closed.anchor:
                    anchors[closed.anchor] = done
                    opening.discard(closed.anchor)
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise Refused(_mark(event), "a second document starts here", "one file holds one document")
                continue
            case _:
                continue
        if stack:
            _put(stack[-1], done, len(stack))
        else:
            root = done
    return root if root is not None else Node(None, (1, 1))


def _put(into: _Open, done: Node, above: int) -> None:
    if not into.mapping:
        into.node.below[len(into.node.value)] = done
        into.node.value.append(done.value)
    elif into.key is None:
        into.key = done
        return
    else:
        key, into.key = into.key, None
        name = as_written(key.value)
        if name is None:
            raise Refused(key.mark, "a key must be a word, not a list, a mapping or nothing")
        if name == "<<" and isinstance(done.value, dict | list):
            into.merged += _merge_sources(done)
        elif name in into.node.keys:
            first = into.node.keys[name]
            raise Refused(key.mark, f"key {name!r} stands twice", f"first at line {first[0]}")
        else:
            into.node.keys[name] = key.mark
            into.node.below[name] = done
            into.node.value[name] = done.value
    into.node.size += done.size
    into.node.depth = max(into.node.depth, done.depth + 1)
    if into.node.size > NODE_LIMIT:
        raise Refused(done.mark, f"the file becomes more than {NODE_LIMIT:,} values when its aliases are followed")
    if above + done.depth > DEPTH_LIMIT:
        raise Refused(done.mark, f"nested more than {DEPTH_LIMIT} deep when its aliases are followed")


def _merge_sources(node: Node) -> list[Node]:
    parts = [node] if isinstance(node.value, dict) else list(node.below.values())
    for part in parts:
        if not isinstance(part.value, dict):
            raise Refused(part.mark, "<< takes a mapping or a list of mappings")
    return parts


def _merge(into: Node, other: Node) -> None:
    """Keys that stand in the mapping itself win, then the earlier of the merged ones."""
    for name, node in other.below.items():
        if name not in into.below:
            into.below[name] = node
            into.keys[str(name)] = other.keys[str(name)]
            into.value[name] = node.value


def reads_as_text(text: str) -> bool:
    """True if the word, standing bare, is read as text."""
    if not text or text in _NULLS or text in _BOOLEANS:
        return False
    return text[0] not in _NUMBER_START or isinstance(_number(text), str)


def _scalar(event: yaml.ScalarEvent) -> Any:
    plain, text = event.implicit[0], event.value
    if event.tag not in (None, "!"):
        kind = event.tag.removeprefix(_STANDARD)
        if kind not in ("str", "int", "float", "bool", "null") or kind == event.tag:
            raise Refused(_mark(event), f"tag {event.tag!r} is not known here", "remove it")
        plain = kind != "str"
    if not plain:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return _number(text) if text[0] in _NUMBER_START else text


def _number(text: str) -> Any:
    number: WrittenInt | WrittenFloat
    if _INT.fullmatch(text):
        number = WrittenInt(text)
    elif _OCTAL.fullmatch(text):
        number = WrittenInt(text[2:], 8)
    elif _HEX.fullmatch(text):
        number = WrittenInt(text[2:], 16)
    elif _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit():
        number = WrittenFloat(text)
    elif _SPECIAL_FLOAT.fullmatch(text):
        number = WrittenFloat(text.replace(".", ""))
    else:
        return text
    number.text = text
    return number


def _check_tag(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _STANDARD + kind):
        raise Refused(_mark(event), f"tag {event.tag!r} is not known here", "remove it")


def _mark(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1
