"""Rows that delivery starts from: a connected repository, its commits, their candidates, a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, insert

from farmgate.models import Repository
from farmgate.policy import parse
from farmgate.store import candidates, lanes, repositories
from farmgate.store.schema import branch_commits, commits


def sha(position: int) -> str:
    return f"{position:040x}"


def connect(connection: Connection, now: datetime) -> Repository:
    return repositories.add(connection, "shop", "/nowhere/shop.git", "git", "", "main", now)


def push(
    connection: Connection,
    repository: Repository,
    positions: Iterable[int],
    now: datetime,
    *,
    artifacts: Mapping[str, str] | None = None,
    message: str = "a change",
    is_green: bool = True,
) -> None:
    """Commits at these positions of main."""
    for position in positions:
        commit = {
            "repository_id": repository.id,
            "sha": sha(position),
            "parents": [sha(position - 1)] if position > 1 else [],
            "tree": sha(0),
            "author_name": "Ada",
            "author_email": "ada@example.org",
            "title": f"commit {position}",
            "message": message,
            "committed_at": now,
            "seen_at": now,
        }
        connection.execute(insert(commits).values(**commit))
        place = {"repository_id": repository.id, "branch": "main", "sha": sha(position), "position": position}
        connection.execute(insert(branch_commits).values(**place, gone_at=None))
        if is_green:
            candidates.put(connection, repository.id, sha(position), artifacts or {}, now, run_id=None)


def apply(connection: Connection, text: str, now: datetime) -> None:
    lanes.apply_policy(connection, parse(text), "ada", now)
