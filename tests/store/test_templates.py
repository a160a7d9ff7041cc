"""Templates of the server, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from farmgate.errors import NotFound
from farmgate.store import templates
from farmgate.store.database import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_version_is_never_changed_and_a_removal_is_one(store: Store) -> None:
    with store.writing() as connection:
        assert templates.find(connection, "a") is None
        assert templates.apply(connection, "a", "one", "ada", NOW)[1]
        assert not templates.apply(connection, "a", "one", "bob", NOW)[1]
        assert templates.apply(connection, "b", "x", "ada", NOW)[0].version == 1
        assert templates.apply(connection, "a", "two", "bob", NOW)[0].version == 2
        templates.remove(connection, "b", "bob", NOW)
        assert [(row.name, row.version) for row in templates.present(connection)] == [("a", 2)]
        first = templates.find(connection, "a", 1)
        assert first is not None
        assert first.text == "one"
        with pytest.raises(NotFound, match="was removed by bob at 2026-01-01 00:00 UTC"):
            templates.find(connection, "b", 1)
        with pytest.raises(NotFound, match="has no version 3: the newest is 2"):
            templates.find(connection, "a", 3)
        assert [row.text for row in templates.history(connection, "b")] == [None, "x"]
