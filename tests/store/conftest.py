"""Every test of the store runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farmgate.store.database import Store
from farmgate.store.migrate import migrate


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a file in WAL mode, or one of a PostgreSQL server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/farm.db"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A migrated database of its own."""
    store = Store.at(database_url)
    try:
        migrate(store)
        yield store
    finally:
        store.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC)
