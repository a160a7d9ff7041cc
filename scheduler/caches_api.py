"""Caches: what attempts restore and save, and what people see and clear.

Rules:
1. An attempt sees the caches of its own repository, and reads them whatever its trust.
2. Only a trusted run's attempt writes: what a fork names as a key, it can never fill. A key that is there stays.
3. A cache is kept when its bytes are in the store and its row names them, in that order; a blob that went away
   makes the row go too, and is a miss.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from farmgate import models
from farmgate.errors import BadPayload, Forbidden, NotFound, TooLarge
from farmgate.messages import CacheAnswer, CacheFound, CacheTaken
from farmgate.models import Cache, Trust
from farmgate.store import attempts, caches, events, repositories, runs
from farmgate.store.caches import LONGEST_KEY
from scheduler.auth import AskingAttempt, LiveAttempt, Person, Writer
from scheduler.blob_streams import named, pieces_of
from scheduler.context import Context
from scheduler.streams import pieces

UPLOADS_AT_ONCE = 8
BEGINNINGS = 50


class CacheBody(BaseModel):
    """A cache of a repository."""

    key: str
    size_bytes: int
    sha256: str
    job: int
    created_at: datetime
    used_at: datetime


class CachesBody(BaseModel):
    """What was used last first, and how much there may be."""

    caches: list[CacheBody]
    size_bytes: int
    limit_bytes: int


class Cleared(BaseModel):
    """How many were forgotten."""

    cleared: int


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["caches"])
    uploads = anyio.CapacityLimiter(UPLOADS_AT_ONCE)  # threads of their own, as for artifacts

    @routes.get("/api/attempts/{job}/{attempt}/caches")
    def find(
        asking: AskingAttempt,
        key: Annotated[str, Query(min_length=1, max_length=LONGEST_KEY)],
        beginning: Annotated[list[str] | None, Query(max_length=BEGINNINGS)] = None,
    ) -> CacheAnswer:
        """The cache of a key, else the newest of a beginning."""
        return look_up(context, asking, key, beginning or [])

    @routes.get("/api/attempts/{job}/{attempt}/caches/{sha256}", response_class=StreamingResponse)
    def content(asking: AskingAttempt, sha256: str) -> StreamingResponse:
        """A cache's archive."""
        return StreamingResponse(archive(context, asking, sha256), media_type="application/octet-stream")

    @routes.put("/api/attempts/{job}/{attempt}/caches")
    async def keep(
        asking: AskingAttempt, key: Annotated[str, Query(min_length=1, max_length=LONGEST_KEY)], request: Request
    ) -> CacheTaken:
        """Keep an archive under a key that is not there yet."""
        take = partial(save, context, asking, key, pieces(request))
        return await anyio.to_thread.run_sync(take, limiter=uploads)

    @routes.get("/api/repositories/{name}/caches")
    def every(person: Person, name: str) -> CachesBody:
        """The caches of a repository."""
        return caches_body(context, name)

    @routes.delete("/api/repositories/{name}/caches")
    def clear(person: Writer, name: str, beginning: str = "") -> Cleared:
        """Forget the caches whose keys begin so; default: all."""
        return forget(context, name, beginning, person.name)

    return routes


def look_up(context: Context, asking: LiveAttempt, key: str, beginnings: list[str]) -> CacheAnswer:
    """Rule 1. What is found counts as used."""
    with context.store.reading() as connection:
        of = runs.by_id(connection, asking.job.run_id).repository_id
        found = caches.find(connection, of, key, beginnings)
    if found is None:
        return CacheAnswer()
    now = context.clock.now()
    if found.used_at < now - caches.USED_AGAIN:
        with context.store.writing() as connection:
            caches.used(connection, found, now)
    return CacheAnswer(found=CacheFound(key=found.key, sha256=found.sha256, size_bytes=found.size_bytes))


def archive(context: Context, asking: LiveAttempt, sha256: str) -> Iterable[bytes]:
    """A cache's bytes. Raises NotFound, also where the store lost them: then the cache is forgotten."""
    with context.store.reading() as connection:
        of = runs.by_id(connection, asking.job.run_id).repository_id
        known = caches.with_bytes(connection, of, sha256)
    if known is None:
        raise NotFound(f"no cache of this repository has the sha256 {sha256[:80]}")
    try:
        return pieces_of(context.blobs, sha256)
    except NotFound:
        with context.store.writing() as connection:
            caches.forget(connection, of, sha256)
        raise


def save(context: Context, asking: LiveAttempt, key: str, chunks: Iterable[bytes]) -> CacheTaken:
    """Rules 2 and 3. Raises Forbidden, StaleAttempt, TooLarge, BlobsUnreachable, BadPayload."""
    if not key.isprintable():
        raise BadPayload("key: holds characters that cannot be shown")
    with context.store.reading() as connection:
        run = runs.by_id(connection, asking.job.run_id)
        known = caches.find(connection, run.repository_id, key)
    if run.trust is not Trust.TRUSTED:
        raise Forbidden("a run of a fork reads caches and writes none")
    if known is not None:  # read to its end all the same: who is answered half way takes it for a broken connection
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > context.settings.cache_limit_bytes:
                raise TooLarge(f"more than the {context.settings.cache_limit_bytes} bytes that are allowed")
        return CacheTaken(kept=False, sha256=known.sha256)
    stored = context.blobs.put(chunks, context.settings.cache_limit_bytes)
    now = context.clock.now()
    with context.store.writing() as connection:
        attempts.still_live(connection, asking.attempt.id)
        named(context, connection, stored.sha256)
        kept = caches.keep(
            connection,
            run.repository_id,
            key,
            stored.sha256,
            stored.size_bytes,
            asking.job.id,
            now,
            context.settings.caches_limit_bytes,
        )
    return CacheTaken(kept=kept, sha256=stored.sha256)


def caches_body(context: Context, name: str) -> CachesBody:
    """Raises NotFound."""
    with context.store.reading() as connection:
        found = caches.of_repository(connection, repositories.by_name(connection, name).id)
    return CachesBody(
        caches=[cache_body(cache) for cache in found],
        size_bytes=sum(cache.size_bytes for cache in found),
        limit_bytes=context.settings.caches_limit_bytes,
    )


def cache_body(cache: Cache) -> CacheBody:
    """A cache as it is listed."""
    return CacheBody(
        key=cache.key,
        size_bytes=cache.size_bytes,
        sha256=cache.sha256,
        job=cache.job_id,
        created_at=cache.created_at,
        used_at=cache.used_at,
    )


def forget(context: Context, name: str, beginning: str, who: str) -> Cleared:
    """Forget caches; their bytes go with the next sweep. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        repository: models.Repository = repositories.by_name(connection, name)
        count = caches.clear(connection, repository.id, beginning)
        text = f"{count} caches were forgotten" + (f", those that begin with {beginning[:200]!r}" if beginning else "")
        events.record(connection, now, "caches.cleared", f"repository/{name}", who, text)
    return Cleared(cleared=count)
