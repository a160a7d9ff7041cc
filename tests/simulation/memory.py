"""The store read more quickly: what was read is read again only after a table that it came from was written.

Rules:
1. Which tables a function reads is seen while it runs, not declared: nothing can be forgotten.
2. A transaction that is taken back counts as a write to every table.
3. Nothing else is changed: every write goes to the real store, with its guards.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Engine, event

from farmgate.invariants import INVARIANTS
from farmgate.store import (
    bans,
    candidates,
    events,
    holds,
    lane_views,
    lanes,
    releases,
    repositories,
    rollouts,
    searches,
)
from farmgate.store.schema import metadata

_WRITTEN: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_TABLE: Final = re.compile(r"\b(" + "|".join(sorted(metadata.tables, key=len, reverse=True)) + r")\b")
_READ: Final[Sequence[tuple[Any, Sequence[str]]]] = (
    (bans, ("standing", "between", "ahead")),
    (candidates, ("by_id", "of_commit")),
    (events, ("latest",)),
    (holds, ("was_lifted",)),
    (lane_views, ("live_of", "_bans", "_queue", "_gone", "verified")),
    (lanes, ("every", "by_id", "by_name")),
    (releases, ("live_of", "by_id", "before")),
    (repositories, ("commit", "commits_of", "by_name")),
    (rollouts, ("active_of", "latest", "finished", "entries", "by_id", "sizes", "commits_of")),
    (searches, ("open_of",)),
)


class Reads:
    """The memory of one process."""

    def __init__(self, engine: Engine) -> None:
        self.versions: Counter[str] = Counter()
        self._kept: dict[Any, tuple[dict[str, int], Any, Any]] = {}
        self._reading: list[set[str]] = []
        self._dirty = False
        self._tables: dict[str, frozenset[str]] = {}
        event.listen(engine, "before_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)
        event.listen(engine, "rollback", self._rolled_back)

    def forget(self) -> None:
        """Another farm begins."""
        self._kept.clear()
        self._dirty = False

    def install(self) -> Callable[[], None]:
        """Let the store's reading functions remember; gives what undoes it."""
        before: list[Callable[[], None]] = []
        for module, names in _READ:
            for name in names:
                if hasattr(module, name):
                    function = getattr(module, name)
                    before.append(functools.partial(setattr, module, name, function))
                    setattr(module, name, self.remembering(function))
        plain = dict(INVARIANTS)
        before.append(functools.partial(INVARIANTS.update, plain))
        for name, ask in plain.items():
            INVARIANTS[name] = self.remembering(functools.partial(_all, ask), without_time=True)

        def undo() -> None:
            for step in before:
                step()

        return undo

    def remembering(self, function: Callable[..., Any], *, without_time: bool = False) -> Callable[..., Any]:
        def remembered(connection: Any, *args: Any, **more: Any) -> Any:
            given = () if without_time else args
            key = (function, *map(_key, given), *((name, _key(value)) for name, value in more.items()))
            hit = self._kept.get(key)
            if hit is not None and all(self.versions[table] == version for table, version in hit[0].items()):
                for reading in self._reading[-1:]:
                    reading.update(hit[0])
                return hit[1]
            self._reading.append(set())
            try:
                value = function(connection, *args, **more)
            finally:
                tables = self._reading.pop()
                for reading in self._reading[-1:]:
                    reading.update(tables)
            self._kept[key] = ({table: self.versions[table] for table in tables}, value, args)
            return value

        return remembered

    def _executed(self, _c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        written = _WRITTEN.match(statement)
        if written is not None:
            self.versions[written[1]] += 1
            self._dirty = True
        tables = self._tables.get(statement)
        if tables is None:
            tables = self._tables[statement] = frozenset(_TABLE.findall(statement))
        for reading in self._reading[-1:]:
            reading.update(tables)

    def _committed(self, _connection: Any) -> None:
        self._dirty = False

    def _rolled_back(self, _connection: Any) -> None:
        if self._dirty:
            self.versions.update(metadata.tables.keys())
            self._dirty = False


def _all(ask: Callable[..., Any], connection: Any, *args: Any) -> list[Any]:
    return list(ask(connection, *args))


def _key(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return tuple(value) if isinstance(value, list) else id(value)
    return value
