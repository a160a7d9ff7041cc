"""Caches: what trusted jobs left for later ones of their repository.

Rules:
1. A key is written once; who comes second finds it there. What has another content has another key.
2. A key that is not there falls back to the newest one of a beginning, the beginnings in the order asked.
3. A repository's caches have a bound: what was not used for the longest time goes first, never the one just written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from farmgate.models import Cache
from farmgate.store.database import insert_if_absent, many, newest, one
from farmgate.store.schema import caches

LONGEST_KEY = 512
"""Characters."""
USED_AGAIN = timedelta(minutes=1)
"""Within this time another use is not written down."""


def find(connection: Connection, repository_id: int, key: str, beginnings: Sequence[str] = ()) -> Cache | None:
    """The cache of that key, else rule 2."""
    mine = caches.c.repository_id == repository_id
    found = one(connection, Cache, select(caches).where(mine, caches.c.key == key))
    for beginning in beginnings:
        if found is not None or not beginning:
            break
        begins = func.substr(caches.c.key, 1, len(beginning)) == beginning
        found = one(connection, Cache, newest(caches).where(mine, begins).limit(1))
    return found


def with_bytes(connection: Connection, repository_id: int, sha256: str) -> Cache | None:
    """A cache of the repository that has these bytes."""
    mine = caches.c.repository_id == repository_id
    return one(connection, Cache, select(caches).where(mine, caches.c.sha256 == sha256).limit(1))


def used(connection: Connection, cache: Cache, now: datetime) -> None:
    """It was asked for: it is not the next to go."""
    connection.execute(
        update(caches).where(caches.c.id == cache.id, caches.c.used_at < now - USED_AGAIN).values(used_at=now)
    )


def keep(
    connection: Connection,
    repository_id: int,
    key: str,
    sha256: str,
    size_bytes: int,
    job_id: int,
    now: datetime,
    limit_bytes: int,
) -> bool:
    """Note a cache, and let others go (rule 3); False if the key was there."""
    values = {
        "repository_id": repository_id,
        "key": key,
        "sha256": sha256,
        "size_bytes": size_bytes,
        "job_id": job_id,
        "created_at": now,
        "used_at": now,
    }
    if not insert_if_absent(connection, caches, values, "repository_id", "key"):
        return False
    total = 0
    for cache in of_repository(connection, repository_id):
        total += cache.size_bytes
        if total > limit_bytes and cache.key != key:
            connection.execute(delete(caches).where(caches.c.id == cache.id))
            total -= cache.size_bytes
    return True


def of_repository(connection: Connection, repository_id: int) -> list[Cache]:
    """What was used last first."""
    statement = (
        select(caches)
        .where(caches.c.repository_id == repository_id)
        .order_by(caches.c.used_at.desc(), caches.c.id.desc())
    )
    return many(connection, Cache, statement)


def clear(connection: Connection, repository_id: int, beginning: str = "") -> int:
    """Forget the caches whose key begins so; how many."""
    begins = func.substr(caches.c.key, 1, len(beginning)) == beginning
    return connection.execute(delete(caches).where(caches.c.repository_id == repository_id, begins)).rowcount


def forget(connection: Connection, repository_id: int, sha256: str) -> None:
    """Its bytes are gone or damaged."""
    connection.execute(delete(caches).where(caches.c.repository_id == repository_id, caches.c.sha256 == sha256))
