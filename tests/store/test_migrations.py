"""The revisions make exactly the tables of `farmgate.store.schema`, whoever runs them and however many at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from farmgate.errors import NewerDatabase
from farmgate.store.database import Store
from farmgate.store.migrate import at_revision, head, migrate
from farmgate.store.schema import metadata


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """Migrated here, not copied."""
    store = Store.at(database_url)
    migrate(store)
    yield store
    store.close()


def differences(store: Store) -> list[Any]:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def partial_indexes(store: Store) -> set[str]:
    """The conditions of the indexes that have one: Alembic does not compare them."""
    where = (
        "SELECT name || ': ' || substr(sql, instr(sql, ' WHERE ')) FROM sqlite_master "
        "WHERE type = 'index' AND sql LIKE '% WHERE %'"
        if store.is_sqlite
        else "SELECT indexname || ': ' || substr(indexdef, strpos(indexdef, ' WHERE ')) FROM pg_indexes "
        "WHERE schemaname = 'public' AND indexdef LIKE '% WHERE %'"
    )
    with store.reading() as connection:
        return set(connection.execute(text(where)).scalars())


def test_a_migrated_database_has_the_tables_of_this_version(store: Store) -> None:
    assert differences(store) == [], 'draft a revision: python -m farmgate.store.migrate "what changes"'
    assert at_revision(store) == head()


def test_a_migrated_database_has_the_conditions_of_the_partial_indexes(store: Store) -> None:
    migrated = partial_indexes(store)
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == partial_indexes(store)
    assert any(line.startswith("ux_rollouts_one_active") for line in migrated)


def test_migrating_again_changes_nothing(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(text("INSERT INTO leaders VALUES ('scheduler', 'a', 1, '2026-01-01 00:00:00')"))
    migrate(store)
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM leaders")).scalar() == 1


def test_a_database_in_memory_has_the_tables_too() -> None:
    store = Store.at("sqlite://")
    migrate(store)
    with store.reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(metadata.tables)
    store.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match="9999"):
        migrate(store)
    assert at_revision(store) == "9999"


def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    program = (
        "import sys; from farmgate.store.database import Store; from farmgate.store.migrate import migrate; "
        "migrate(Store.at(sys.argv[1]))"
    )
    root = Path(__file__).parents[2]
    line = [sys.executable, "-c", program, database_url]
    started = [subprocess.Popen(line, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    failures = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, failures
    store = Store.at(database_url)
    assert differences(store) == []
    store.close()


def test_sqlite_holds_references_again_after_migrating(tmp_path: Path) -> None:
    store = Store.at(f"sqlite:///{tmp_path}/farm.db")
    migrate(store)
    with store.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    store.close()
