"""How a node joins: once, with a one-time token; afterwards it has a credential of its own.

Rules:
1. The credential is stored before anything else is done with it, for its owner alone (0600).
2. A node that has one never joins again, so a token left in the environment does no harm.
"""

from __future__ import annotations

import json
import socket

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from farmgate import __version__
from farmgate.client.node import NodeClient
from farmgate.errors import BadSettings, Unauthorised
from farmgate.messages import Join, Joined
from farmgate.node_folder import NodeFolder, write_whole
from farmgate.settings import NodeSettings


class Credential(BaseModel):
    """What joining left behind."""

    model_config = ConfigDict(frozen=True)

    server: str
    node: int
    name: str
    credential: SecretStr
    broker_url: SecretStr
    heartbeat_seconds: float


def load(folder: NodeFolder) -> Credential | None:
    """The stored credential, if this node joined. Raises BadSettings if the file cannot be read."""
    if not folder.credential.exists():
        return None
    try:
        stored = Credential.model_validate_json(folder.credential.read_bytes())
    except (ValidationError, OSError):
        raise BadSettings(
            f"{folder.credential} cannot be read: remove it and join again with a new token (farmgate node enrol)"
        ) from None
    return stored


def join(folder: NodeFolder, settings: NodeSettings, client: NodeClient) -> Credential:
    """Join with the one-time token. Raises Unauthorised, ServerUnreachable, BadSettings."""
    if settings.join_token is None:
        raise BadSettings(
            "FARMGATE_JOIN_TOKEN: this node has not joined a farm yet and was given no token; "
            "make one on the server with `farmgate node enrol`"
        )
    wish = Join(
        token=settings.join_token.get_secret_value(),
        name=settings.node_name or socket.gethostname(),
        pool=settings.pool,
        slots=settings.slots,
        engine=settings.engine,
        labels=settings.labels,
        version=__version__,
    )
    try:
        joined: Joined = client.join(wish)
    except Unauthorised as error:
        raise Unauthorised(
            f"{error}. A join token works once and for a short time: make a new one with `farmgate node enrol`"
        ) from None
    credential = Credential(
        server=settings.server,
        node=joined.node,
        name=joined.name,
        credential=SecretStr(joined.credential),
        broker_url=SecretStr(joined.broker_url),
        heartbeat_seconds=joined.heartbeat_seconds,
    )
    stored = credential.model_dump(mode="json") | {
        "credential": joined.credential,
        "broker_url": joined.broker_url,
    }
    write_whole(folder.credential, json.dumps(stored, indent=2).encode())
    return credential
