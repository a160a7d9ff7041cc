"""The store read more quickly: what was read is given again while the rows that it was made of are the same.

Rules:
1. What a function asks of the store is seen while it runs, not declared: nothing can be forgotten. Given the same
   rows it gives the same answer, so it runs again only when one of its questions, asked anew in its own words after a
   write to a table in it, brings other rows.
2. A transaction that is taken back counts as a write to every table.
3. What depends on the time as well is kept until the time at which it would change by itself.
4. Nothing else is changed: every write goes to the real store, with its guards. Looks share one connection, and one
   that writes is refused.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, event, func, select

from deploy import snapshot
from farmgate.invariants import INVARIANTS
from farmgate.store import (
    approvals,
    bans,
    candidates,
    events,
    fixes,
    holds,
    joints,
    lane_groups,
    lane_views,
    lanes,
    releases,
    repositories,
    rollouts,
    searches,
)
from farmgate.store.database import Store
from farmgate.store.schema import holds as holds_table
from farmgate.store.schema import metadata, tokens

_WRITTEN: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_TABLE: Final = re.compile(r"\b(" + "|".join(sorted(metadata.tables, key=len, reverse=True)) + r")\b")
_READ: Final[Sequence[tuple[Any, Sequence[str]]]] = (
    (approvals, ("authored",)),
    (bans, ("standing", "between", "ahead")),
    (candidates, ("by_id", "of_commit")),
    (events, ("latest",)),
    (fixes, ("of_queue",)),
    (holds, ("was_lifted",)),
    (lane_views, ("live_of", "_bans", "_queue", "_gone", "verified", "_followed", "security")),
    (joints, ("of_rollout", "rollouts_of", "open_of")),
    (lane_groups, ("of_lane", "lanes_of")),
    (lanes, ("every", "by_id", "by_name")),
    (releases, ("live_of", "by_id", "before")),
    (repositories, ("commit", "commits_of", "by_name")),
    (
        rollouts,
        ("active_of", "latest", "finished", "entries", "by_id", "sizes", "commits_of", "outcomes", "beginnings"),
    ),
    (searches, ("open_of",)),
)


_MANY: Final = 20_000
_EVER: Final = datetime.min.replace(tzinfo=UTC)
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)


def _ever(_connection: Connection, _found: Any) -> datetime:
    return _FOR_EVER


def _as_its_parts(_connection: Connection, _found: Any) -> datetime:
    """It hands the time to others of these, and does nothing else with it."""
    return _FOR_EVER


def _first_to_expire(connection: Connection, _found: Any) -> datetime:
    return connection.execute(select(func.min(tokens.c.expires_at))).scalar() or _FOR_EVER


def _first_end(_connection: Connection, found: Sequence[Any]) -> datetime:
    return min((hold.until for hold in found), default=_FOR_EVER)


def _first_to_tell(connection: Connection, found: bool) -> datetime:
    if found:
        return _FOR_EVER  # until it is told, which is a write
    untold = select(func.min(holds_table.c.until)).where(
        holds_table.c.lifted_at.is_(None), holds_table.c.told_at.is_(None)
    )
    return connection.execute(untold).scalar() or _FOR_EVER


_TIMED: Final[Sequence[tuple[Any, str, Callable[[Connection, Any], datetime]]]] = (
    (holds, "ahead", _first_end),
    (holds, "any_to_tell", _first_to_tell),
    (approvals, "_who_may", _first_to_expire),
    (approvals, "standing", _as_its_parts),
    (lane_views, "view", _as_its_parts),
    (snapshot, "read", _as_its_parts),
)
"""What reads with the time as its last argument, and until when its answer stays."""


def raw(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


class OneStore(Store):
    """A store in memory of which one thread does one thing at a time: to look, no transaction is needed."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._looks: Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        if self._looks is None:
            self._looks = self.engine.connect()
        driver = raw(self._looks)
        before = driver.total_changes
        yield self._looks
        assert driver.total_changes == before, "a look wrote something: elsewhere it is not kept"


@dataclass(slots=True, eq=False)
class _Question:
    """A statement, and what it brought when its tables were last written. `changes`: how often that was other rows."""

    sql: str
    parameters: Any
    tables: tuple[str, ...]
    rows: list[Any]
    versions: tuple[int, ...]
    changes: int = 0


@dataclass(slots=True)
class _Kept:
    """What a function gave, and of which answers it was made. `args`: kept, so that what is told apart by its identity
    lives as long."""

    value: Any
    args: Any
    asked: dict[_Question, int]
    since: datetime
    until: datetime


class Reads:
    """The memory of one process."""

    def __init__(self, engine: Engine) -> None:
        self.versions: Counter[str] = Counter()
        self._kept: dict[Any, _Kept] = {}
        self._questions: dict[Any, _Question] = {}
        self._running: list[_Kept] = []
        self._dirty = False
        self._tables: dict[str, tuple[str, ...]] = {}
        event.listen(engine, "before_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)
        event.listen(engine, "rollback", self._rolled_back)

    def forget(self) -> None:
        """Another farm begins."""
        if len(self._questions) > _MANY:
            self._kept.clear()
            self._questions.clear()
        self.versions.update(metadata.tables.keys())
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
        for module, name, until in _TIMED:
            function = getattr(module, name)
            before.append(functools.partial(setattr, module, name, function))
            setattr(module, name, self.remembering(function, timed=True, until=until))
        plain = dict(INVARIANTS)
        before.append(functools.partial(INVARIANTS.update, plain))
        for name, ask in plain.items():
            INVARIANTS[name] = self.remembering(functools.partial(_all, ask), timed=True)

        def undo() -> None:
            for step in before:
                step()

        return undo

    def remembering(
        self, function: Callable[..., Any], *, timed: bool = False, until: Callable[[Connection, Any], datetime] = _ever
    ) -> Callable[..., Any]:
        """`timed`: its last argument is the time, and what it gave stays `until` then."""

        def remembered(connection: Any, *args: Any, **more: Any) -> Any:
            given = args[:-1] if timed else args
            now = args[-1] if timed else None
            key = (function, *map(_key, given), *((name, _key(value)) for name, value in more.items()))
            kept = self._kept.get(key)
            driver = raw(connection)
            if kept is None or not (now is None or kept.since <= now < kept.until) or not self._stands(kept, driver):
                kept = _Kept(None, (args, more), {}, now or _EVER, _FOR_EVER)
                self._running.append(kept)
                try:
                    kept.value = function(connection, *args, **more)
                    kept.until = min(kept.until, until(connection, kept.value))
                    self._kept[key] = kept
                finally:
                    self._running.pop()
                    for question in kept.asked:
                        self._ask(question, driver)
                        kept.asked[question] = question.changes
                    for outer in self._running[-1:]:
                        outer.asked.update(kept.asked)
            for outer in self._running[-1:]:
                outer.asked.update(kept.asked)
                outer.until = min(outer.until, kept.until)
            return kept.value

        return remembered

    def _stands(self, kept: _Kept, driver: sqlite3.Connection) -> bool:
        """Rule 1. In the order in which they were asked: the next depends on what the last brought."""
        for question, changes in kept.asked.items():
            self._ask(question, driver)
            if question.changes != changes:
                return False
        return True

    def _ask(self, question: _Question, driver: sqlite3.Connection) -> None:
        versions = tuple([self.versions[table] for table in question.tables])
        if versions != question.versions:
            rows = driver.execute(question.sql, question.parameters).fetchall()
            question.versions = versions
            if rows != question.rows:
                question.rows = rows
                question.changes += 1

    def _executed(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        tables = self._tables.get(statement)
        if tables is None:
            tables = self._tables[statement] = tuple(sorted(set(_TABLE.findall(statement))))
        written = _WRITTEN.match(statement)
        if written is not None:
            self.versions[written[1]] += 1
            self._dirty = True
            assert not self._running, "what reads must not write"
        elif self._running and tables:
            key = (statement, parameters)
            question = self._questions.get(key)
            if question is None:
                question = self._questions[key] = _Question(statement, parameters, tables, [], ())
            self._running[-1].asked.setdefault(question, -1)

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
