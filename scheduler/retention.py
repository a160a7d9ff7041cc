"""Bytes whose time is over: artifacts end, and blobs that nothing names are removed. In the background.

Rules:
1. An artifact is kept for the time that its job says (`keep`), the longest of what fits its path; else for the farm's
   own.
2. What delivery may still need is never removed, whatever its time: of what is live or was, of rollouts under way, of
   candidates that wait in a lane (`holdings.delivered`). Nor is anything of a run that is not over.
3. An artifact whose time is over stays as a record; its bytes go when nothing else names them.
4. Blobs that nothing names (of ended artifacts, cleared caches, refused uploads) are listed, and removed after a grace
   time, unless something named them meanwhile (`farmgate.store.holdings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import and_, or_, select, update

from farmgate import states
from farmgate.models import Artifact
from farmgate.pipeline import JobSpec, globs
from farmgate.store import events, holdings
from farmgate.store.schema import artifacts, jobs, runs
from scheduler import forgetting
from scheduler.context import Context

log = structlog.get_logger("farmgate.retention")
ACTOR: Final = "scheduler"
AT_ONCE: Final = 400


def ends_at(spec: Mapping[str, Any], path: str, now: datetime, default: timedelta) -> datetime:
    """Rule 1."""
    kept = [
        artifact.keep
        for artifact in JobSpec.model_validate(spec).artifacts
        if globs.fits(artifact.paths, path, folders=True) and artifact.keep is not None
    ]
    return now + max(kept, default=default)


def ends_of(artifact: Artifact, default: timedelta) -> datetime:
    """When an artifact's time is over."""
    return artifact.expires_at or artifact.created_at + default


def tidy(context: Context) -> tuple[int, int]:
    """How many artifacts ended, and how many blobs were removed; rows that are too old go as well (`forgetting`)."""
    forgotten = forgetting.forget(context)
    ended, removed = expire(context), sweep(context)
    if ended or removed or forgotten:
        log.info("tidied", artifacts=ended, blobs=removed, forgotten=str(forgotten))
        with context.store.writing() as connection:
            text = f"the time of {ended} artifacts was over; {removed} blobs that nothing names were removed"
            text += f"; too old: {forgotten}" if forgotten else ""
            events.record(connection, context.clock.now(), "farm.tidied", "blobs", ACTOR, text)
    return ended, removed


def expire(context: Context) -> int:
    """Rules 2 and 3."""
    now = context.clock.now()
    over = or_(
        artifacts.c.expires_at <= now,
        and_(artifacts.c.expires_at.is_(None), artifacts.c.created_at <= now - context.settings.artifact_keep),
    )
    count = last = 0
    while True:
        with context.store.writing() as connection:
            due = connection.execute(
                select(artifacts.c.id, artifacts.c.sha256)
                .select_from(
                    artifacts.join(jobs, jobs.c.id == artifacts.c.job_id).join(runs, runs.c.id == jobs.c.run_id)
                )
                .where(
                    over,
                    artifacts.c.id > last,
                    artifacts.c.removed_at.is_(None),
                    runs.c.state.not_in(states.open_states(states.Run)),
                )
                .order_by(artifacts.c.id)
                .limit(AT_ONCE)
            ).all()
            if not due:
                return count
            last = due[-1].id
            needed = holdings.delivered(connection)
            gone = [row.id for row in due if row.sha256 not in needed]
            if gone:
                count += connection.execute(
                    update(artifacts).where(artifacts.c.id.in_(gone), over).values(removed_at=now)
                ).rowcount


def sweep(context: Context) -> int:
    """Rule 4."""
    now = context.clock.now()
    part: list[str] = []
    for sha256 in context.blobs.names():
        part.append(sha256)
        if len(part) == AT_ONCE:
            _mark(context, part, now)
            part = []
    _mark(context, part, now)
    with context.store.reading() as connection:
        due = holdings.doomed(connection, now - context.settings.blob_grace)
    count = 0
    for blob in due:
        with context.store.writing() as connection:
            goes = holdings.begin_removing(connection, blob.sha256, holdings.delivered(connection))
        if goes:
            context.blobs.delete(blob.sha256)
            with context.store.writing() as connection:
                holdings.removed(connection, blob.sha256)
            count += 1
    return count


def _mark(context: Context, shas: list[str], now: datetime) -> None:
    if not shas:
        return
    with context.store.reading() as connection:
        needed = holdings.named(connection, shas) | (holdings.delivered(connection) & set(shas))
        listed = holdings.listed(connection, shas)
    fresh = [sha256 for sha256 in shas if sha256 not in needed and sha256 not in listed]
    spared = [sha256 for sha256 in shas if sha256 in needed and sha256 in listed]
    if fresh or spared:
        with context.store.writing() as connection:
            holdings.doom(connection, fresh, now)
            holdings.spare(connection, spared)
