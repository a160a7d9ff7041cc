"""Every test of the store runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farmgate.store.database import Store
from tests.databases import prepared


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the database."""
    named: str = request.param
    return named


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a file in WAL mode, or one of a PostgreSQL server."""
    return f"sqlite:///{tmp_path}/empty.db" if kind == "sqlite" else request.getfixturevalue("postgres_database")


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A migrated database of its own."""
    url = f"sqlite:///{tmp_path}/farm.db" if kind == "sqlite" else request.getfixturevalue("migrated_postgres")
    store = prepared(url)
    yield store
    store.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC)
