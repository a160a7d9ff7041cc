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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, event

from farmgate.invariants import INVARIANTS
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from farmgate.store.schema import metadata
from tests.simulation.readers import FOR_EVER, TIMED, Until, readers, timeless

_WRITTEN: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_TABLE: Final = re.compile(r"\b(" + "|".join(sorted(metadata.tables, key=len, reverse=True)) + r")\b")
_MANY: Final = 20_000
_EVER: Final = datetime.min.replace(tzinfo=UTC)


def _ever(_connection: Connection, _found: Any, *_given: Any) -> datetime:
    return FOR_EVER


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


@functools.cache
def _blank() -> tuple[OneStore, bytes]:
    store = OneStore(Store.at("sqlite://").engine)
    migrate(store)
    with store.engine.connect() as connection:
        return store, raw(connection).serialize()


def the_store() -> OneStore:
    """The store of all simulated farms of this process: making tables takes longer than a story."""
    return _blank()[0]


def begin_with(rows: bytes | None = None) -> OneStore:
    """The store, holding these rows and no others; without any, it is empty."""
    store, blank = _blank()
    with store.engine.connect() as connection:
        raw(connection).deserialize(blank if rows is None else rows)
    for reads in _QUICKER:
        reads.forget()
    return store


_QUICKER: Final[list[Reads]] = []


@contextmanager
def quick() -> Iterator[None]:
    """Within it, this process reads the store of simulated farms by memory."""
    if not _QUICKER:
        _QUICKER.append(Reads(the_store().engine))
    undo = _QUICKER[0].install()
    try:
        yield
    finally:
        undo()


@dataclass(slots=True, eq=False)
class _Question:
    """A statement, and what it brought when its tables were last written. `changes`: how often that was other rows."""

    sql: str
    parameters: Any
    tables: tuple[str, ...]
    rows: list[Any]
    versions: tuple[int, ...]
    changes: int = 0
    held_at: int = -1


@dataclass(slots=True)
class _Kept:
    """What a function gave, and of which answers it was made. `args`: kept, so that what is told apart by its identity
    lives as long."""

    value: Any
    args: Any
    asked: dict[_Question, int]
    since: datetime
    until: datetime
    held_at: int = -1


class Reads:
    """The memory of one process."""

    def __init__(self, engine: Engine) -> None:
        self.versions: Counter[str] = Counter()
        self.writes = 0
        self._kept: dict[Any, _Kept] = {}
        self._questions: dict[Any, _Question] = {}
        self._running: list[_Kept] = []
        self._dirty = False
        self._tables: dict[str, tuple[str, ...]] = {}
        event.listen(engine, "before_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)
        event.listen(engine, "rollback", self._rolled_back)

    def forget(self) -> None:
        """Other rows are there."""
        if len(self._questions) > _MANY:
            self._kept.clear()
            self._questions.clear()
        self._all_changed()
        self._dirty = False

    def install(self) -> Callable[[], None]:
        """Let the store's reading functions remember; gives what undoes it."""
        before: list[Callable[[], None]] = []
        for module, name in readers():
            function = getattr(module, name)
            before.append(functools.partial(setattr, module, name, function))
            setattr(module, name, self.remembering(function))
        for module, name, until in TIMED:
            function = getattr(module, name)
            before.append(functools.partial(setattr, module, name, function))
            setattr(module, name, self.remembering(function, until))
        plain = {name: INVARIANTS[name] for name in timeless()}
        before.append(functools.partial(INVARIANTS.update, plain))
        for name, ask in plain.items():
            INVARIANTS[name] = self.remembering(functools.partial(_all, ask), _ever)

        def undo() -> None:
            for step in before:
                step()

        return undo

    def remembering(self, function: Callable[..., Any], until: Until | None = None) -> Callable[..., Any]:
        """`until`: its last argument is the time, and what it gave stays until then."""

        def remembered(connection: Any, *args: Any, **more: Any) -> Any:
            given, now = (args, None) if until is None else (args[:-1], args[-1])
            key = (function, *map(_key, given), *((name, _key(value)) for name, value in more.items()))
            kept = self._kept.get(key)
            running = self._running
            if (
                kept is None
                or not (now is None or kept.since <= now < kept.until)
                or not (kept.held_at == self.writes or self._stands(kept, raw(connection)))
            ):
                kept = _Kept(None, (args, more), {}, now or _EVER, FOR_EVER)
                running.append(kept)
                try:
                    kept.value = function(connection, *args, **more)
                    if until is not None:
                        kept.until = min(kept.until, until(connection, kept.value, *given))
                    self._kept[key] = kept
                finally:
                    running.pop()
                    driver = raw(connection)
                    for question in kept.asked:
                        self._ask(question, driver)
                        kept.asked[question] = question.changes
                    kept.held_at = self.writes
            if running:
                outer = running[-1]
                outer.asked.update(kept.asked)
                outer.until = min(outer.until, kept.until)
            return kept.value

        return remembered

    def _stands(self, kept: _Kept, driver: sqlite3.Connection) -> bool:
        """Rule 1. In the order in which they were asked: the next depends on what the last brought."""
        for question, changes in kept.asked.items():
            if question.held_at != self.writes:
                self._ask(question, driver)
            if question.changes != changes:
                return False
        kept.held_at = self.writes
        return True

    def _ask(self, question: _Question, driver: sqlite3.Connection) -> None:
        question.held_at = self.writes
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
            self.writes += 1
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
            self._all_changed()
            self._dirty = False

    def _all_changed(self) -> None:
        self.versions.update(metadata.tables.keys())
        self.writes += 1


def _all(ask: Callable[..., Any], connection: Any, *args: Any) -> list[Any]:
    return list(ask(connection, *args))


def _key(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        match value:
            case list():
                return tuple(map(_key, value))
            case set():
                return frozenset(value)
            case dict():
                return tuple((name, _key(each)) for name, each in value.items())
            case _:
                return id(value)
    return value
