"""A document that was read, and where in it everything stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from farmgate.documents.complaints import Mark
from farmgate.documents.tree import Node, read_tree
from farmgate.errors import BadDocument, Problem

Location = tuple[str | int, ...]
"""The way to a value: ("jobs", "unit", "steps", 0)."""


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping out of a file. `data` is plain Python: dict, list, str, int, float, bool, None."""

    source: str
    data: dict[str, Any]
    root: Node

    def place(self, location: Location, *, key: bool = False) -> Mark:
        """Where the value (or its key) at `location` stands, or the nearest thing above it that does."""
        node, mark, found = self.root, self.root.mark, True
        for part in location:
            found = part in node.below
            if found:  # else a union's tag, or something that is missing
                mark = node.keys[part] if isinstance(part, str) else node.below[part].mark
                node = node.below[part]
        short = isinstance(node.value, list) if key else not isinstance(node.value, dict)
        if not found and short:  # it stands for a mapping
            return node.mark
        return mark if key or not found else node.mark

    def problem(self, location: Location, message: str, suggestion: str | None = None, *, key: bool = False) -> Problem:
        """A problem with the value (or the key) at `location`."""
        return Problem(self.source, *self.place(location, key=key), message, suggestion)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Raise BadDocument with the problems, in the order of the file, if there are any."""
        found = sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))
        if found:
            raise BadDocument(tuple(found))


def read(text: str | bytes, source: str) -> Document:
    """Read a document whose outermost value is a mapping. Raises BadDocument."""
    root = read_tree(text, source)
    if root.value is None:
        raise BadDocument((Problem(source, 1, 1, "the file is empty"),))
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "a single value"
        said = f"the file is {kind}, not a mapping of keys to values"
        raise BadDocument((Problem(source, *root.mark, said, "start with 'key: value'"),))
    return Document(source, root.value, root)
