"""Bans: commits that may not ship in a lane until their fix or revert is in the same batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, or_, select, update

from farmgate.errors import NotFound
from farmgate.models import Ban, BranchCommit
from farmgate.store.database import many, newest
from farmgate.store.schema import bans, branch_commits


def put(
    connection: Connection,
    lane_id: int,
    sha: str,
    position: int,
    covers: Sequence[str],
    reason: str,
    created_by: str,
    now: datetime,
    *,
    rollout_id: int | None,
) -> int:
    """Ban a commit and everything in `covers`; the ban's id."""
    created = connection.execute(
        insert(bans).values(
            lane_id=lane_id,
            sha=sha,
            position=position,
            covers=list(covers),
            rollout_id=rollout_id,
            reason=reason,
            created_by=created_by,
            created_at=now,
            lifted_at=None,
            lifted_by=None,
        )
    )
    (ban_id,) = created.inserted_primary_key or (0,)
    return int(ban_id)


def lift(connection: Connection, lane_id: int, sha: str, lifted_by: str, now: datetime) -> list[Ban]:
    """Lift every standing ban that covers the commit (a unique beginning of its hash will do). Raises NotFound."""
    found = covering(connection, lane_id, sha)
    connection.execute(
        update(bans).where(bans.c.id.in_([ban.id for ban in found])).values(lifted_at=now, lifted_by=lifted_by)
    )
    return found


def covering(connection: Connection, lane_id: int, sha: str) -> list[Ban]:
    """The standing bans that cover a commit (a unique beginning of its hash will do); one at least. Raises NotFound."""
    found = [
        ban
        for ban in standing(connection, lane_id)
        if len(sha) >= 7 and any(covered.startswith(sha) for covered in {ban.sha, *ban.covers})
    ]
    if not found:
        raise NotFound(f"no standing ban covers {sha}; give at least 7 digits of the commit's hash")
    return found


def standing(connection: Connection, lane_id: int) -> list[Ban]:
    """Those that nobody lifted, newest first."""
    return many(connection, Ban, newest(bans).where(bans.c.lane_id == lane_id, bans.c.lifted_at.is_(None)))


def ahead(connection: Connection, lane_id: int, repository_id: int, branch: str, base: int) -> list[Ban]:
    """The standing ones that may matter after `base` of a branch: by their commit's place when it was banned, or by
    where it stands now (after a forced push, or on another branch)."""
    now_there = select(branch_commits.c.sha).where(
        branch_commits.c.repository_id == repository_id,
        branch_commits.c.branch == branch,
        branch_commits.c.position > base,
        branch_commits.c.gone_at.is_(None),
    )
    matters = or_(bans.c.position > base, bans.c.sha.in_(now_there))
    return many(connection, Ban, newest(bans).where(bans.c.lane_id == lane_id, bans.c.lifted_at.is_(None), matters))


def every(connection: Connection, lane_id: int, limit: int = 100) -> list[Ban]:
    """Also those that were lifted, newest first."""
    return many(connection, Ban, newest(bans).where(bans.c.lane_id == lane_id).limit(limit))


def between(connection: Connection, repository_id: int, branch: str, since: int, until: int) -> list[BranchCommit]:
    """The commits of a branch in (since, until], oldest first: what a ban of that range covers."""
    statement = select(branch_commits).where(
        branch_commits.c.repository_id == repository_id,
        branch_commits.c.branch == branch,
        branch_commits.c.position > since,
        branch_commits.c.position <= until,
        branch_commits.c.gone_at.is_(None),
    )
    return many(connection, BranchCommit, statement.order_by(branch_commits.c.position))
