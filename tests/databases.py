"""Databases with this version's tables, without migrating each time: a SQLite file is copied, PostgreSQL's is emptied.

Rules:
1. What is copied or emptied was made by `migrate` itself; what that does is for tests/store/test_migrations.py.
2. A test finds what a fresh database has: the same tables, no row, numbers that begin at 1, nobody else connected.
3. A test that changes the tables themselves takes an empty database of its own and migrates it.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from farmgate.store.database import Store, path_of
from farmgate.store.migrate import migrate
from farmgate.store.schema import metadata

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != %s"
BEGUN = "SELECT sequencename, start_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"


def prepared(url: str) -> Store:
    """Connect to the database at `url`, which is new, with its tables in it."""
    path = path_of(url)
    if path is not None:
        assert not path.exists(), f"{path} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_file())
    store = Store.at(url)
    migrate(store)  # finds all done, unless it is in memory
    return store


def emptied(url: str) -> None:
    """Rule 2, for a migrated PostgreSQL database. Deleting from the few tables that a test filled is a hundred times
    cheaper than a database of its own."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql", 1)) as connection:
        connection.execute(OTHERS, [connection.info.backend_pid])
        found = {name for (name,) in connection.execute(TABLES)} - {"alembic_version"}
        assert found == set(metadata.tables), "a test changed the tables of the shared database: rule 3"
        any_rows = [
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(name, sql.Identifier(name)) for name in found
        ]
        filled = [name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(any_rows))]
        connection.execute("SET LOCAL session_replication_role = replica")  # in any order, whatever refers to what
        for name in filled:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        for name, start in connection.execute(BEGUN).fetchall():
            connection.execute("SELECT setval(%s::regclass, %s, false)", [f'"{name}"', start])


@functools.cache
def _file() -> bytes:
    """A migrated SQLite file."""
    folder = Path(tempfile.mkdtemp(prefix="farmgate-test-"))
    try:
        store = Store.at(f"sqlite:///{folder}/farm.db")
        migrate(store)
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        store.close()
        return (folder / "farm.db").read_bytes()
    finally:
        shutil.rmtree(folder)
