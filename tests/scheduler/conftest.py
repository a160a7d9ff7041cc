"""A farm per test; where databases could differ, on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.farm import ONE_JOB, Farm

ON_BOTH_DATABASES = {
    "test_caches",
    "test_claims",
    "test_forgetting",
    "test_loop",
    "test_races",
    "test_reporting",
    "test_reuse",
    "test_vulnerability_imports",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What claims, fences and moves is held to its promises on PostgreSQL too; the rest does not depend on it."""
    both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH_DATABASES
    if both and "database" in metafunc.fixturenames:
        postgres = pytest.param("postgres", marks=pytest.mark.needs("postgres"))
        metafunc.parametrize("database", ["sqlite", postgres], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str | None:
    """The database's URL; None: the farm's own SQLite file."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    url: str = request.getfixturevalue("migrated_postgres")
    return url


@pytest.fixture
def farm(tmp_path: Path, database: str | None) -> Iterator[Farm]:
    """A scheduler that knows nothing yet."""
    farm = Farm(tmp_path, database)
    yield farm
    farm.close()


@pytest.fixture
def shop(farm: Farm) -> Farm:
    """A scheduler with a connected repository that has one commit with one job."""
    farm.repository.add("first", {".farmgate.yml": ONE_JOB})
    farm.connect()
    return farm
