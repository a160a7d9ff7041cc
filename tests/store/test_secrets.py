"""Secrets on both databases: what is sealed at this moment keeps its key."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from farmgate.sealing import Keyring
from farmgate.store import sealed, secrets
from farmgate.store.database import Store
from tests.store import rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_no_key_is_forgotten_that_a_value_is_being_sealed_with(store: Store, tmp_path: Path) -> None:
    ring = Keyring(b"r" * 32, file=tmp_path / "sealing.keys")
    ring.draw()
    with store.writing() as connection:
        shop = rows.a_repository(connection, NOW)

    def forget() -> None:
        with store.writing() as connection:
            ring.forget(sealed.keys_in_use(connection))

    other = threading.Thread(target=forget)
    with store.writing() as connection:
        secrets.put(connection, ring, shop, "TOKEN", "pears", "ada", NOW)
        ring.draw()
        other.start()
        other.join(0.3)
        assert other.is_alive(), "it waits for the one who seals"
    other.join(10)
    assert not other.is_alive()
    with store.reading() as connection:
        (kept,) = secrets.of_repository(connection, shop)
    assert secrets.value_of(ring, kept) == b"pears"
