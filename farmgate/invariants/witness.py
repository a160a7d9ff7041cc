"""What no single look can see: a final state that changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from farmgate import states
from farmgate.invariants.registry import Violation, with_states


class Witness:
    """Remembers what was final, and says when it changed (I4)."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Any], str] = {}

    def look(self, connection: Connection) -> list[Violation]:
        """What was final at an earlier look and is otherwise now, or gone."""
        found: list[Violation] = []
        for table, kind in with_states():
            keys = list(table.primary_key.columns)
            final = [state for state in kind if states.is_final(state)]
            rows = connection.execute(select(*keys, table.c.state))
            now_states = {(table.name, tuple(row[:-1])): row.state for row in rows}
            for key, state in now_states.items():
                before = self._seen.get(key)
                if before is not None and before != state:
                    found.append(Violation("I4", f"{key[0]}/{key[1]}", f"was {before} for good, and is {state}"))
                if state in final:
                    self._seen[key] = state
        return found
