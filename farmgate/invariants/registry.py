"""How an invariant is written down and told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select, Table, select

from farmgate import states
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


def rows(connection: Connection, statement: Executable, **values: Any) -> Iterable[Row[Any]]:
    return connection.execute(statement, values)


@functools.cache
def with_states() -> tuple[tuple[Table, Any], ...]:
    """The tables whose rows have a state, each with its kind."""
    tables = [table for table in t.metadata.sorted_tables if "state" in table.c]
    return tuple((table, table.c.state.type.kind) for table in tables if isinstance(table.c.state.type, t.State))


@functools.cache
def open_rows(table: Table, kind: Any) -> Select[Any]:
    """What is not final of a table with states. Made once: it is asked after every step of a simulation."""
    return select(table).where(table.c.state.in_(states.open_states(kind)))
