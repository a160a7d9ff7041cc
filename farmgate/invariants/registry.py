"""How an invariant is written down and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, Row, Table

from farmgate.store import schema as t


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be. `subject`: job/7, lane/shop/production."""

    invariant: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.text}"


Finding = tuple[str, str]
Check = Callable[[Connection, datetime], Iterable[Finding]]
INVARIANTS: dict[str, Check] = {}


def invariant(ask: Check) -> Check:
    """Register a check under its own name; its docstring is the sentence."""
    INVARIANTS[ask.__name__.upper()] = ask
    return ask


def rows(connection: Connection, statement: Executable) -> Iterable[Row[Any]]:
    return connection.execute(statement)


def with_states() -> Iterator[tuple[Table, Any]]:
    """The tables whose rows have a state, each with its kind."""
    for table in t.metadata.sorted_tables:
        state = table.c.get("state")
        if state is not None and isinstance(state.type, t.State):
            yield table, state.type.kind
