"""Candidates that turned red: a later check of the same commit says no.

Rules:
1. Only a candidate turns red late: before that, a red check is what keeps a commit from being one.
2. One stands per commit, source and check, since the first time. The same check that passes ends it; so does a person.
3. While one stands, the commit is no candidate for any lane, verifies nothing for lanes that follow, and is nowhere to
   go back to.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from farmgate.models import LateRed
from farmgate.store.database import many, newest
from farmgate.store.schema import candidates, late_reds


def put(
    connection: Connection,
    repository_id: int,
    sha: str,
    source: str,
    checks: Iterable[str],
    reason: str,
    told_by: str,
    now: datetime,
    *,
    run_id: int | None = None,
) -> list[str]:
    """These checks say no. Those of them that did not before; none if the commit is no candidate (rule 1)."""
    of = (candidates.c.repository_id == repository_id, candidates.c.sha == sha)
    if connection.execute(select(candidates.c.id).where(*of).with_for_update()).first() is None:
        return []
    known = {each.check for each in standing(connection, repository_id, [sha]) if each.source == source}
    new = [check for check in dict.fromkeys(checks) if check not in known]
    for check in new:
        values = {"repository_id": repository_id, "sha": sha, "source": source, "check": check, "run_id": run_id}
        told = {
            "reason": reason,
            "told_by": told_by,
            "since": now,
            "over_at": None,
            "over_by": None,
            "over_reason": None,
        }
        connection.execute(insert(late_reds).values(**values, **told))
    return new


def end(
    connection: Connection,
    repository_id: int,
    sha: str,
    by: str,
    reason: str,
    now: datetime,
    *,
    source: str | None = None,
    checks: Iterable[str] | None = None,
) -> list[str]:
    """They say yes now, or a person does; of no named source or checks: all. The checks that ended."""
    wanted = set(checks) if checks is not None else None
    found = [
        each
        for each in standing(connection, repository_id, [sha])
        if source in (None, each.source) and (wanted is None or each.check in wanted)
    ]
    ended = update(late_reds).where(late_reds.c.id.in_([each.id for each in found]), late_reds.c.over_at.is_(None))
    connection.execute(ended.values(over_at=now, over_by=by, over_reason=reason))
    return [each.check for each in found]


def standing(connection: Connection, repository_id: int, shas: Iterable[str] | None = None) -> list[LateRed]:
    """Those that are not over, the newest first; of all commits, or of these."""
    statement = newest(late_reds).where(late_reds.c.repository_id == repository_id, late_reds.c.over_at.is_(None))
    return many(connection, LateRed, statement if shas is None else statement.where(late_reds.c.sha.in_(list(shas))))


def of_commit(connection: Connection, repository_id: int, sha: str) -> list[LateRed]:
    """Also those that are over, the newest first."""
    return many(
        connection,
        LateRed,
        newest(late_reds).where(late_reds.c.repository_id == repository_id, late_reds.c.sha == sha),
    )


def shas(repository_id: Any) -> Select[Any]:
    """The commits of a repository that are red now."""
    return select(late_reds.c.sha).where(late_reds.c.repository_id == repository_id, late_reds.c.over_at.is_(None))
