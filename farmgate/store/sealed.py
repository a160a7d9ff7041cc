"""All that is sealed at rest, in one list: a newer key reaches all of it, and none is forgotten that some of it needs.

Rules:
1. Sealing again is one guarded write a row: it may end anywhere, and go on later.
2. Who seals says so first (`sealing`). Who asks which keys are in use waits for him, and keeps others from it until his
   transaction ends: no key is forgotten that a value was just sealed with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, select, text, update

from farmgate.errors import LostRace
from farmgate.sealing import Keyring
from farmgate.store.schema import attestation_keys, repositories, secrets, signing_keys


def place_of_secret(repository_id: int, name: str, environment: str, branch: str) -> str:
    return "\0".join((str(repository_id), environment, branch, name))


def place_of_signing_key(kid: str) -> str:
    return f"signing key\0{kid}"


def place_of_attestation_key(kid: str) -> str:
    return f"attestation key\0{kid}"


def place_of_login(url: str) -> str:
    """Bound to the address: who changes that gets no password sent to another server."""
    return f"login for\0{url}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A table with sealed values in two columns, and what binds a value to its row."""

    table: Table
    place: Callable[[Any], str]
    value: str = "sealed"
    key: str = "key_id"


# Tables are locked in this order.
KINDS: Final = (
    Kind(secrets, lambda row: place_of_secret(row.repository_id, row.name, row.environment, row.branch)),
    Kind(signing_keys, lambda row: place_of_signing_key(row.kid)),
    Kind(attestation_keys, lambda row: place_of_attestation_key(row.kid)),
    Kind(repositories, lambda row: place_of_login(row.url), "login", "login_key"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A sealed value where it stands."""

    kind: Kind
    row: int
    key: str
    sealed: str
    place: str


def sealing(connection: Connection, table: Table) -> None:
    """Rule 2: before anything is sealed for this table. On SQLite a transaction that writes is alone anyway."""
    _lock(connection, table, "ROW EXCLUSIVE")


def sealed_otherwise(connection: Connection, key: str, limit: int) -> list[Item]:
    """What another key seals."""
    found: list[Item] = []
    for kind in KINDS:
        columns = kind.table.c
        query = select(kind.table).where(columns[kind.value].is_not(None), columns[kind.key] != key)
        found += [
            Item(kind, row.id, getattr(row, kind.key), getattr(row, kind.value), kind.place(row))
            for row in connection.execute(query.order_by(columns.id).limit(limit - len(found)))
        ]
        if len(found) >= limit:
            break
    return found


def seal_again(connection: Connection, keyring: Keyring, item: Item) -> None:
    """With the newest key. Raises BadSettings; LostRace, if it was changed meanwhile."""
    table, value, key = item.kind.table, item.kind.value, item.kind.key
    sealing(connection, table)
    name, sealed = keyring.seal(keyring.open(item.key, item.sealed, item.place), item.place)
    unchanged = (table.c.id == item.row) & (table.c[value] == item.sealed)
    if not connection.execute(update(table).where(unchanged).values({value: sealed, key: name})).rowcount:
        raise LostRace(f"{table.name} {item.row} was changed at this moment")


def keys_in_use(connection: Connection) -> set[str]:
    """Of a connection that writes: rule 2."""
    found: set[str] = set()
    for kind in KINDS:
        _lock(connection, kind.table, "SHARE")
        column = kind.table.c[kind.key]
        found |= set(connection.execute(select(column).distinct().where(column.is_not(None))).scalars())
    return found


def _lock(connection: Connection, table: Table, mode: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {table.name} IN {mode} MODE"))
