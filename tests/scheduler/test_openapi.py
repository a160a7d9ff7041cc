"""The committed description of the API is the one that is served."""

from __future__ import annotations

import json
from pathlib import Path

from scheduler.openapi import text
from tests.scheduler.farm import Farm

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_description_is_not_stale() -> None:
    assert COMMITTED.read_text() == text(), "run: python -m scheduler.openapi > docs/openapi.json"


def test_the_description_is_served_to_everyone(farm: Farm) -> None:
    assert farm.stranger.get("/openapi.json").json() == json.loads(COMMITTED.read_text())
