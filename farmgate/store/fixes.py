"""What fixes or takes back what: by a commit's own words, by its patch, by a person's word.

Rules:
1. A message says it: `This reverts commit <hash>` or `Fixes-commit: <hash>`.
2. A later commit whose patch is the inverse of an earlier one takes that back, whatever it says. Patches are computed
   when commits are read; merges, and what changes anything but text, have none.
3. A person may say that a commit is the fix. That is kept with who and why, and counts like the commit's own word.
4. Nothing here decides: what a fix is worth, and that a fix which is taken back itself fixes nothing, is decided in
   `farmgate.lanes.eligible`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select, true

from farmgate.lanes import fixes_in
from farmgate.models import SaidFix
from farmgate.store.database import insert_if_absent, many, newest
from farmgate.store.schema import branch_commits, commits, patches, said_fixes


def keep_patches(connection: Connection, repository_id: int, found: Mapping[str, tuple[str, str]]) -> None:
    """Write the ids of commits' patches and of their inverses."""
    for sha, (patch_id, inverse_id) in found.items():
        values = {"repository_id": repository_id, "sha": sha, "patch_id": patch_id, "inverse_id": inverse_id}
        insert_if_absent(connection, patches, values, "repository_id", "sha")


def say(
    connection: Connection, repository_id: int, fix: str, fixes: str, said_by: str, reason: str, now: datetime
) -> None:
    """A person says that `fix` fixes `fixes`, both whole hashes."""
    values = {"repository_id": repository_id, "fix": fix, "fixes": fixes, "said_by": said_by}
    connection.execute(insert(said_fixes).values(**values, reason=reason, said_at=now))


def said(connection: Connection, repository_id: int, fixed: str) -> list[SaidFix]:
    """What people said about a commit, the newest first."""
    wanted = (said_fixes.c.repository_id == repository_id, said_fixes.c.fixes == fixed)
    return many(connection, SaidFix, newest(said_fixes).where(*wanted))


def of_queue(
    connection: Connection, repository_id: int, branch: str, base: int, *, also_gone: bool = False
) -> dict[str, tuple[str, ...]]:
    """Which others each commit of a branch after `base` fixes or takes back, by hash or its first digits. `also_gone`:
    what a forced push dropped, too."""
    found: dict[str, list[str]] = {}
    queue = and_(
        branch_commits.c.repository_id == repository_id,
        branch_commits.c.branch == branch,
        branch_commits.c.position > base,
        true() if also_gone else branch_commits.c.gone_at.is_(None),
    )
    for row in connection.execute(_told(queue)):
        found.setdefault(row.sha, []).extend(fixes_in(row.message))
    for row in connection.execute(_inverse(repository_id, branch, base)):
        found.setdefault(row.sha, []).append(row.fixed)
    for row in connection.execute(_said(queue)):
        found.setdefault(row.sha, []).append(row.fixes)
    return {sha: tuple(dict.fromkeys(named)) for sha, named in found.items()}


def _told(queue: Any) -> Select[Any]:
    message = func.lower(commits.c.message)
    same = and_(commits.c.repository_id == branch_commits.c.repository_id, commits.c.sha == branch_commits.c.sha)
    return (
        select(branch_commits.c.sha, commits.c.message)
        .join_from(branch_commits, commits, same)
        .where(queue, or_(message.like("%this reverts commit%"), message.like("%fixes-commit:%")))
    )


def _inverse(repository_id: int, branch: str, base: int) -> Select[Any]:
    fix, fixed = patches.alias("fix"), patches.alias("fixed")
    later, earlier = branch_commits.alias("later"), branch_commits.alias("earlier")
    statement = (
        select(fix.c.sha, fixed.c.sha.label("fixed"))
        .join_from(fix, fixed, and_(fix.c.patch_id == fixed.c.inverse_id, fix.c.repository_id == fixed.c.repository_id))
        .join(later, and_(later.c.repository_id == fix.c.repository_id, later.c.sha == fix.c.sha))
        .join(earlier, and_(earlier.c.repository_id == fix.c.repository_id, earlier.c.sha == fixed.c.sha))
        .where(fix.c.repository_id == repository_id, later.c.position > earlier.c.position)
    )
    for place in (later, earlier):
        statement = statement.where(place.c.branch == branch, place.c.position > base, place.c.gone_at.is_(None))
    return statement


def _said(queue: Any) -> Select[Any]:
    same = and_(said_fixes.c.repository_id == branch_commits.c.repository_id, said_fixes.c.fix == branch_commits.c.sha)
    return select(branch_commits.c.sha, said_fixes.c.fixes).join_from(branch_commits, said_fixes, same).where(queue)
