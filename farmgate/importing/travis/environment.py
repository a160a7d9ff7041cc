"""Variables of Travis: `env`, in its many spellings.

Rules:
1. `global` is every job's; each entry of `jobs` (or of a plain list) is one combination.
2. What Travis encrypted cannot be read: it is left, as a secret to make.
3. A value that speaks of other variables is worked out by the shell, in front of each step.

Follows "Environment Variables" of Travis' documentation.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import put_variables
from farmgate.importing.shell import summary

_OF_ALL: Final = ("global", "jobs", "matrix", "secure")
_ENCRYPTED: Final = ("an encrypted variable", "farmgate cannot decrypt it: make a secret, and name it in 'secrets'")


@dataclass(slots=True)
class Environment:
    """What `env` of the file says."""

    shared: dict[str, str] = field(default_factory=dict)
    exports: list[str] = field(default_factory=list)  # lines of the shell, in front of every step (rule 3)
    cells: list[dict[str, str]] = field(default_factory=list)  # one for each combination

    def read(self, root: Part) -> None:
        """Read the file's `env` (rule 1)."""
        value = root.take("env")
        if not isinstance(value, dict) or not any(key in value for key in _OF_ALL):
            self._cells(root, "env")
            return
        part = root.below("env", value)
        for at, one in part.listed("global"):
            self._share(variables(part, at, one))
        for key in ("jobs", "matrix"):
            self._cells(part, key)
        part.left("secure", *_ENCRYPTED)
        for key in part.names():
            if key not in _OF_ALL:
                self._share(variables(part, (*part.at, key), {key: part.take(key)}))

    def _cells(self, part: Part, key: str) -> None:
        for at, one in part.listed(key):
            if cell := literal(variables(part, at, one)):
                self.cells.append(cell)

    def _share(self, found: dict[str, str]) -> None:
        for name, value in found.items():
            if re.search(r"\$[A-Za-z_{(]|`", value):
                self.exports.append('export {}="{}"'.format(name, value.replace('"', '\\"')))
            else:
                self.shared.update(literal({name: value}))


def literal(found: dict[str, str]) -> dict[str, str]:
    """Values that no shell reads: `${{` is just characters."""
    return {name: value.replace("${{", "$${{") for name, value in found.items()}


def variables(part: Part, at: Location, one: Any) -> dict[str, str]:
    """The variables of a mapping, or of `NAME=value NAME="other value"`; what is none is left at its place."""
    good: dict[str, str] = {}
    pairs = _of_mapping(part, at, one) if isinstance(one, dict) else _of_words(part, at, as_written(one) or "")
    put_variables(good, pairs, lambda _, why: part.say(Kind.LEFT, at, why, "rename it"))
    return good


def _of_mapping(part: Part, at: Location, one: dict[str, Any]) -> dict[str, str]:
    pairs = {}
    for key, value in one.items():
        if key == "secure" or (isinstance(value, dict) and "secure" in value):
            part.say(Kind.LEFT, at, *_ENCRYPTED)  # rule 2
        else:
            pairs[key] = as_written(value) or ""
    return pairs


def _of_words(part: Part, at: Location, text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            pairs[name] = value
        else:
            part.say(Kind.LEFT, at, f"env: {summary(word)} is not NAME=value", "write it by hand")
    return pairs
