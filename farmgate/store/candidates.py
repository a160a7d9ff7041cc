"""Candidates: good commits and their artifacts. The one hand-off from integration to delivery.

Rules:
1. A commit is a candidate once; the first green run of it makes it one, and what it names never changes.
2. An artifact is named by its path in the workspace (as the pipeline file's globs found it), and told by its digest.
   Where several jobs made the same path, the later job of the pipeline file wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from farmgate.models import Candidate
from farmgate.store.database import insert_if_absent, many, newest, one
from farmgate.store.schema import candidates


def put(
    connection: Connection,
    repository_id: int,
    sha: str,
    artifacts: Mapping[str, str],
    now: datetime,
    *,
    run_id: int | None,
    source: str = "farmgate",
) -> bool:
    """Hand a commit over; False if it was handed over before."""
    values = {
        "repository_id": repository_id,
        "sha": sha,
        "run_id": run_id,
        "source": source,
        "artifacts": dict(artifacts),
        "created_at": now,
    }
    return insert_if_absent(connection, candidates, values, "repository_id", "sha")


def of_commit(connection: Connection, repository_id: int, sha: str) -> Candidate | None:
    """If the commit is one."""
    return one(
        connection,
        Candidate,
        select(candidates).where(candidates.c.repository_id == repository_id, candidates.c.sha == sha),
    )


def by_id(connection: Connection, candidate_id: int) -> Candidate | None:
    return one(connection, Candidate, select(candidates).where(candidates.c.id == candidate_id))


def latest(connection: Connection, repository_id: int, limit: int = 50) -> list[Candidate]:
    """The newest first."""
    return many(
        connection, Candidate, newest(candidates).where(candidates.c.repository_id == repository_id).limit(limit)
    )
