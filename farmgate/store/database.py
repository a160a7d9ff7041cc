"""The connection to the database, and the three things every store module is made of.

Rules:
1. `reading()` gives a connection for looking, `writing()` one transaction that commits at the end or not at all.
2. On SQLite a writing transaction takes the write lock at its beginning, so that it never fails half way; readers are
   never blocked (WAL).
3. A database that has no room is NoSpace, one that does not answer DatabaseUnreachable: a fact with words for a person.
4. A state moves by `move`: along `farmgate.states.MOVES`, guarded by the state it is expected in. No row: LostRace.
5. What locks a row that every writer needs is left to the end of the transaction by `at_the_end`: nobody then waits
   while holding it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    Table,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import StaticPool

from farmgate import states
from farmgate.errors import DatabaseUnreachable, FarmgateError, IllegalMove, LostRace, NoSpace

T = TypeVar("T")
BUSY_TIMEOUT_MS = 30_000
_LEFT = "left to the end"


class Store:
    """The database of a farm. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def at(cls, url: str) -> Store:
        """Connect to `sqlite:///path`, `sqlite://` (in memory, for tests) or `postgresql+psycopg://...`."""
        if url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        if url in ("sqlite://", "sqlite:///:memory:"):
            engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        elif url.startswith("sqlite"):
            engine = create_engine(url, pool_size=10, max_overflow=30)
        else:
            engine = create_engine(url, pool_size=10, max_overflow=30, pool_pre_ping=True)
        if engine.dialect.name == "sqlite":
            _tune_sqlite(engine)
        return cls(engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to look with: one consistent snapshot; nothing is kept of what it writes."""
        with self._told_in_words(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: commits at the end of the block, rolls back when an error leaves it."""
        with self._told_in_words(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            with _committing(connection):
                connection.info.pop(_LEFT, None)  # of a transaction that was rolled back
                yield connection
                for work, arguments in connection.info.pop(_LEFT, {}).items():
                    work(connection, arguments)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _told_in_words(self) -> Iterator[None]:
        """Rule 3. Raises NoSpace, DatabaseUnreachable."""
        try:
            yield
        except DBAPIError as error:
            found = trouble(error, str(self.engine.url.database or self.engine.url.host))
            if found is None:
                raise
            raise found from error


def at_the_end(connection: Connection, work: Callable[[Connection, list[Any]], None]) -> list[Any]:
    """Rule 5: the list that `work` is called with, once, before the transaction commits; add to it."""
    left: dict[Callable[[Connection, list[Any]], None], list[Any]] = connection.info.setdefault(_LEFT, {})
    return left.setdefault(work, [])


@contextmanager
def _committing(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        cursor = raw.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.close()


def trouble(error: DBAPIError, where: str) -> FarmgateError | None:
    """What ails the database `where`; None where the statement itself is wrong."""
    said = str(error.orig).strip()
    full = "disk is full" in said or getattr(error.orig, "sqlstate", None) == "53100"
    if full:
        return NoSpace(f"no space left for the database {where}: make room on its disk ({said})")
    if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
        return DatabaseUnreachable(f"the database {where} cannot be used now: {said}")
    return None


def path_of(url: str) -> Path | None:
    """The file of a SQLite URL; None for another database or one in memory."""
    prefix = "sqlite:///"
    return Path(url[len(prefix) :]) if url.startswith(prefix) and not url.endswith(":memory:") else None


def as_model(kind: type[T], row: Row[Any]) -> T:
    """A row of `select(table)` as its dataclass."""
    return kind(**row._mapping)


def one(connection: Connection, kind: type[T], statement: Executable) -> T | None:
    """The first row of a select over one table, or None."""
    row = connection.execute(statement).first()
    return None if row is None else as_model(kind, row)


def many(connection: Connection, kind: type[T], statement: Executable) -> list[T]:
    """All rows of a select over one table."""
    return [as_model(kind, row) for row in connection.execute(statement)]


def move(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    before: StrEnum | tuple[StrEnum, ...],
    after: StrEnum,
    **values: Any,
) -> None:
    """Move one row from `before` (or any of them) to `after` and write `values`; guarded by `key` and the state.

    Raises IllegalMove when the page of states does not allow it and LostRace when no such row was there.
    """
    expected = before if isinstance(before, tuple) else (before,)
    for state in expected:
        if not states.may_move(state, after):
            raise IllegalMove(f"{table.name}: {state} -> {after} is not on the page of states")
    statement = update(table).where(table.c.state.in_(expected)).values(state=after, **values)
    for name, value in key.items():
        statement = statement.where(table.c[name] == value)
    if connection.execute(statement).rowcount != 1:
        wanted = ", ".join(f"{name}={value}" for name, value in key.items())
        raise LostRace(f"{table.name} {wanted} is not {' or '.join(expected)} any more")


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, Any], *key: str) -> bool:
    """Insert unless a row with the same `key` columns is there; True if it was inserted. Safe against a race."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    statement = insert(table).values(**values).on_conflict_do_nothing(index_elements=list(key))
    # An insert's rowcount is not kept on every driver; what it returns is.
    return connection.execute(statement.returning(*(table.c[name] for name in key))).first() is not None


def newest(table: Table) -> Any:
    """`select` of a table, newest id first."""
    return select(table).order_by(table.c.id.desc())
