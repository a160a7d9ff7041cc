"""A farm per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.farm import ONE_JOB, Farm


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """A scheduler that knows nothing yet."""
    farm = Farm(tmp_path)
    yield farm
    farm.close()


@pytest.fixture
def shop(farm: Farm) -> Farm:
    """A scheduler with a connected repository that has one commit with one job."""
    farm.repository.add("first", {".farmgate.yml": ONE_JOB})
    farm.connect()
    return farm
