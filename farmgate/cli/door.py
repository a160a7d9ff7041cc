"""How a command reaches its farm.

Rules:
1. The address: `--server` or FARMGATE_SERVER, else what a farm on this machine wrote into its data folder, else the
   default port.
2. The token: FARMGATE_TOKEN, else the admin token in the data folder. Never on the command line, where others see it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farmgate.client.api import Api
    from farmgate.settings import ClientSettings

ADMIN_TOKEN = "admin.token"  # noqa: S105 - a file's name
ADDRESS = "address.json"


@dataclass(slots=True)
class Given:
    """What was given before the command's name."""

    server: str | None = None
    data: Path | None = None


given = Given()  # written once by the root command, before any other runs


def settings() -> ClientSettings:
    """Raises BadSettings."""
    from farmgate.settings import ClientSettings, read

    return read(ClientSettings, server=given.server, data=given.data)


def connect() -> Api:
    """The farm's API, with this machine's or the environment's token."""
    from farmgate.client.api import Api

    chosen = settings()
    server = chosen.server
    if "server" not in chosen.model_fields_set:
        server = address_in(chosen.data) or server
    token = chosen.token.get_secret_value() if chosen.token else admin_token(chosen.data)
    return Api(server, token)


def admin_token(data: Path) -> str | None:
    """The admin token of the farm in `data`, if we may read it."""
    try:
        return (data / ADMIN_TOKEN).read_text().strip() or None
    except OSError:
        return None


def address_in(data: Path) -> str | None:
    """Where the farm in `data` listens, as it wrote it down."""
    try:
        body = json.loads((data / ADDRESS).read_text())
    except (OSError, ValueError):
        return None
    address = body.get("address") if isinstance(body, dict) else None
    return address if isinstance(address, str) else None
