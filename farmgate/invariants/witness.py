"""What no single look can see: a final state that changed."""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from farmgate import states
from farmgate.invariants.registry import Violation, with_states


@functools.cache
def _states(table: Table) -> Select[Any]:
    return select(*table.primary_key.columns, table.c.state)


@functools.cache
def _final(kind: Any) -> frozenset[Any]:
    return frozenset(state for state in kind if states.is_final(state))


class Witness:
    """Remembers what was final, and says when it changed (I4)."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Any], str] = {}

    def look(self, connection: Connection) -> list[Violation]:
        """What was final at an earlier look and is otherwise now, or gone."""
        found: list[Violation] = []
        for table, kind in with_states():
            final = _final(kind)
            rows = connection.execute(_states(table))
            now_states = {(table.name, tuple(row[:-1])): row.state for row in rows}
            for key, state in now_states.items():
                before = self._seen.get(key)
                if before is not None and before != state:
                    found.append(Violation("I4", f"{key[0]}/{key[1]}", f"was {before} for good, and is {state}"))
                if state in final:
                    self._seen[key] = state
        return found
