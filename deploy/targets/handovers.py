"""The hand-overs of a farm, as its targets see them: rows that callbacks reach as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from farmgate.clock import Clock
from farmgate.handovers import Told
from farmgate.models import HandoverRow
from farmgate.store import handovers
from farmgate.store.database import Store
from farmgate.vault import Vault


class Handovers(Protocol):
    """See farmgate.store.handovers."""

    def of(self, rollout_id: int, step: str) -> HandoverRow | None: ...

    def any(self, rollout_id: int) -> bool: ...

    def begin(self, rollout_id: int, step: str, delivery: str, epoch: int, within: timedelta) -> HandoverRow:
        """Raises StaleEpoch."""
        ...

    def answered(self, row: HandoverRow, said: Told, answer: Mapping[str, str]) -> HandoverRow: ...

    def looked(self, row: HandoverRow, said: Told) -> HandoverRow: ...

    def over(self, rollout_id: int, but: str) -> None: ...

    def tellings(self, rollout_id: int) -> int: ...

    def callback(self, row: HandoverRow) -> str:
        """Where the other tool says how it stands: an address for this hand-over, and this epoch's, alone."""
        ...


class StoredHandovers:
    """The real ones. `vault` is called when a callback is first given out."""

    def __init__(self, store: Store, clock: Clock, vault: Callable[[], Vault], public_url: str) -> None:
        self._store = store
        self._clock = clock
        self._vault = vault
        self._public_url = public_url.rstrip("/")

    def of(self, rollout_id: int, step: str) -> HandoverRow | None:
        with self._store.reading() as connection:
            return handovers.of(connection, rollout_id, step)

    def any(self, rollout_id: int) -> bool:
        with self._store.reading() as connection:
            return handovers.any_of(connection, rollout_id)

    def begin(self, rollout_id: int, step: str, delivery: str, epoch: int, within: timedelta) -> HandoverRow:
        with self._store.writing() as connection:
            return handovers.begin(connection, rollout_id, step, delivery, epoch, self._clock.now(), within)

    def answered(self, row: HandoverRow, said: Told, answer: Mapping[str, str]) -> HandoverRow:
        with self._store.writing() as connection:
            return handovers.answered(connection, row, said, answer, self._clock.now())

    def looked(self, row: HandoverRow, said: Told) -> HandoverRow:
        with self._store.writing() as connection:
            return handovers.looked(connection, row, said, self._clock.now())

    def over(self, rollout_id: int, but: str) -> None:
        with self._store.writing() as connection:
            handovers.over(connection, rollout_id, but)

    def tellings(self, rollout_id: int) -> int:
        with self._store.reading() as connection:
            return handovers.tellings(connection, rollout_id)

    def callback(self, row: HandoverRow) -> str:
        token = handovers.token(self._vault(), row.id, row.epoch)
        return f"{self._public_url}/api/handovers/{row.id}/{row.epoch}/{token}"
