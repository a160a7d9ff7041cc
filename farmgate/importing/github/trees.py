"""GitHub's expressions, read: what stands between `${{` and `}}` as a tree.

Rules:
1. Or binds less than and, and less than a comparison, as at GitHub; brackets, calls and names go as deep as they like
   within a bound.
2. What is no expression is `Unsaid`, with its text.

Follows "Expressions" of the documentation of GitHub Actions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"\s*(?:('(?:[^']|'')*')|(&&|\|\||==|!=|<=|>=|[!<>(),])|([A-Za-z_][\w.*-]*(?:\[[^\]]*\][\w.-]*)*)|(-?[0-9.]+))"
)


Tree = tuple[str, tuple["Tree | str", ...]]
"""A kind (`text`, `name`, `call`, or the sign) and what it is made of."""


class Unsaid(Exception):
    """An expression that has no words here; the text says which."""


def parse(text: str) -> Tree:
    """An expression as a tree. Raises Unsaid where it is none."""
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or found.end() == at or len(tokens) > 200:
            raise Unsaid(f"${{{{ {text[:80]} }}}}")
        for kind, group in (("text", 1), ("sign", 2), ("name", 3), ("number", 4)):
            if found[group] is not None:
                tokens.append((kind, found[group]))
        at = found.end()
    parser = _Parser(tokens, text)
    tree = parser.either()
    if parser.at != len(tokens):
        raise Unsaid(f"${{{{ {text[:80]} }}}}")
    return tree


def shown(tree: Tree | str) -> str:
    """A tree in words, for messages."""
    if isinstance(tree, str):
        return tree
    kind, parts = tree
    match kind:
        case "text":
            return f"'{parts[0]}'"
        case "name":
            return str(parts[0])
        case "call":
            return f"{parts[0]}({', '.join(shown(part) for part in parts[1:])})"
        case "!":
            return f"!{shown(parts[0])}"
        case _:
            return f" {kind} ".join(shown(part) for part in parts)


def ands(tree: Tree) -> list[Tree]:
    """What must all hold."""
    kind, parts = tree
    return [one for part in parts if not isinstance(part, str) for one in ands(part)] if kind == "&&" else [tree]


@dataclass(slots=True)
class _Parser:
    tokens: list[tuple[str, str]]
    text: str
    at: int = 0
    depth: int = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) and self.tokens[self.at][0] == "sign" else ""

    def either(self) -> Tree:
        return self._chain("||", self.both)

    def both(self) -> Tree:
        return self._chain("&&", self.compared)

    def _chain(self, sign: str, below: Callable[[], Tree]) -> Tree:
        parts = [below()]
        while self.peek() == sign:
            self.at += 1
            parts.append(below())
        return parts[0] if len(parts) == 1 else (sign, tuple(parts))

    def compared(self) -> Tree:
        left = self.single()
        if self.peek() in ("==", "!=", "<", ">", "<=", ">="):
            sign = self.peek()
            self.at += 1
            return (sign, (left, self.single()))
        return left

    def single(self) -> Tree:
        self.depth += 1
        if self.at >= len(self.tokens) or self.depth > 100:
            raise Unsaid(f"${{{{ {self.text[:80]} }}}}")
        kind, text = self.tokens[self.at]
        self.at += 1
        try:
            if text == "!" and kind == "sign":
                return ("!", (self.single(),))
            if text == "(" and kind == "sign":
                inside = self.either()
                self.expect(")")
                return inside
            if kind == "text":
                return ("text", (text[1:-1].replace("''", "'"),))
            if kind == "number":
                return ("text", (text,))
            if kind == "name" and self.peek() == "(":
                self.at += 1
                arguments: list[Tree | str] = [text.lower()]
                while self.peek() != ")":
                    arguments.append(self.either())
                    if self.peek() == ",":
                        self.at += 1
                    elif self.peek() != ")":
                        break
                self.expect(")")
                return ("call", tuple(arguments))
            if kind == "name":
                return ("name", (text,))
        finally:
            self.depth -= 1
        raise Unsaid(f"${{{{ {self.text[:80]} }}}}")

    def expect(self, sign: str) -> None:
        if self.peek() != sign:
            raise Unsaid(f"${{{{ {self.text[:80]} }}}}")
        self.at += 1
