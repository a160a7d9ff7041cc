"""Secrets of repositories: put, listed, removed, and chosen for a job.

Rules:
1. A value is sealed before it comes near the database, bound to its place: repository, environment, branch, name.
2. A job is given the most specific that fits: of its environment before any other, then of its branch, then the rest;
   an exact branch before a pattern, a longer pattern before a shorter one.
3. What is bound to a branch is given to that branch's runs alone: never to a tag's or a pull request's.
4. All that is sealed is sealed again by `farmgate.store.sealed`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from farmgate.errors import BadPayload, NotFound
from farmgate.models import Secret
from farmgate.pipeline.globs import fits_one
from farmgate.sealing import Keyring
from farmgate.store.database import many
from farmgate.store.schema import secrets
from farmgate.store.sealed import place_of_secret, sealing

LEAST_BYTES: Final = 4  # a shorter one could not be masked: it would be found everywhere
MOST_BYTES: Final = 48 * 2**10


def put(
    connection: Connection,
    keyring: Keyring,
    repository_id: int,
    name: str,
    value: str,
    who: str,
    now: datetime,
    *,
    environment: str = "",
    branch: str = "",
) -> bool:
    """Keep a value at its place; True if there was none yet. Raises BadPayload."""
    raw = value.encode()
    if not LEAST_BYTES <= len(raw) <= MOST_BYTES:
        raise BadPayload(
            f"value: a secret has between {LEAST_BYTES} bytes (a shorter one could not be masked in logs) and "
            f"{MOST_BYTES // 2**10} KiB; this one has {len(raw)}"
        )
    if "\0" in value:
        raise BadPayload("value: a NUL byte cannot be handed to a program; encode the value, in base64 for example")
    sealing(connection, secrets)
    key, sealed = keyring.seal(raw, place_of_secret(repository_id, name, environment, branch))
    values = {"sealed": sealed, "key_id": key, "changed_by": who, "changed_at": now}
    changed = connection.execute(update(secrets).where(_at(repository_id, name, environment, branch)).values(values))
    if changed.rowcount:
        return False
    place = {"repository_id": repository_id, "name": name, "environment": environment, "branch": branch}
    connection.execute(insert(secrets).values(**place, **values))
    return True


def of_repository(connection: Connection, repository_id: int) -> Sequence[Secret]:
    """All of a repository, by name, the widest first."""
    order = (secrets.c.name, secrets.c.environment, secrets.c.branch)
    return many(connection, Secret, select(secrets).where(secrets.c.repository_id == repository_id).order_by(*order))


def remove(connection: Connection, repository_id: int, name: str, *, environment: str = "", branch: str = "") -> None:
    """Raises NotFound."""
    gone = connection.execute(delete(secrets).where(_at(repository_id, name, environment, branch)))
    if not gone.rowcount:
        raise NotFound(f"there is no secret {described(name, environment, branch)} here")


def chosen(
    connection: Connection, repository_id: int, names: Collection[str], environment: str | None, branch: str | None
) -> dict[str, Secret]:
    """The most specific secret of each name that a job of this environment and branch may have (rules 2 and 3)."""
    query = select(secrets).where(secrets.c.repository_id == repository_id, secrets.c.name.in_(sorted(names)))
    fitting = [
        secret
        for secret in many(connection, Secret, query)
        if secret.environment in ("", environment)
        and (not secret.branch or (branch is not None and fits_one(secret.branch, branch)))
    ]
    return {secret.name: secret for secret in sorted(fitting, key=lambda secret: _rank(secret, branch))}


def value_of(keyring: Keyring, secret: Secret) -> bytes:
    """Raises BadSettings when its key is not known."""
    return keyring.open(secret.key_id, secret.sealed, _place_of(secret))


def described(name: str, environment: str, branch: str) -> str:
    """As people are told of it."""
    return name + (f" for {environment}" if environment else "") + (f" on {branch}" if branch else "")


def _rank(secret: Secret, branch: str | None) -> tuple[bool, bool, bool, int]:
    return bool(secret.environment), bool(secret.branch), secret.branch == branch, len(secret.branch)


def _at(repository_id: int, name: str, environment: str, branch: str) -> ColumnElement[bool]:
    return (
        (secrets.c.repository_id == repository_id)
        & (secrets.c.name == name)
        & (secrets.c.environment == environment)
        & (secrets.c.branch == branch)
    )


def _place_of(secret: Secret) -> str:
    return place_of_secret(secret.repository_id, secret.name, secret.environment, secret.branch)
