"""The API's description as a file: `python -m scheduler.openapi > docs/openapi.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from farmgate.blobs import MemoryBlobs
from farmgate.broker import LocalSignals
from farmgate.clock import SystemClock
from farmgate.settings import SchedulerSettings
from farmgate.store.database import Store
from farmgate.vault import Vault
from scheduler.app import create_app
from scheduler.context import Context, GitMirrors


class NoBell:
    """Nobody is rung: nothing runs here."""

    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        return


def text() -> str:
    """The description of this version, the same each time."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SchedulerSettings(data=Path(folder))
        keys = Vault(b"only for a description")
        context = Context(
            settings=settings,
            store=Store.at("sqlite://"),
            blobs=MemoryBlobs(),
            vault=keys,
            clock=clock,
            bell=NoBell(),
            signals=LocalSignals(clock),
            deploy_signals=LocalSignals(clock),
            mirrors=GitMirrors(settings, keys.keyring),
        )
        description = create_app(context).openapi()
        context.store.close()
    return json.dumps(description, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
