"""Candidates from outside, as rows: put once, settled once.

Rules:
1. The same content for a commit by a source is the same submission, however often it comes. Other content is refused
   while an earlier one waits or was accepted; after a refusal or an expiry it is a new one: the outside run was
   repeated.
2. What makes a submission a candidate is one transaction with its move to `accepted`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, exists, insert, select

from farmgate import states
from farmgate.errors import Conflict, NotFound
from farmgate.models import Submission, Trust
from farmgate.refs import HEADS
from farmgate.store.database import many, move, newest, one
from farmgate.store.schema import branch_commits, candidates, jobs, repositories, runs, submissions


def put(connection: Connection, values: dict[str, Any]) -> tuple[Submission, bool]:
    """Keep a submission that waits, or is refused already; False if it was there. Raises Conflict (rule 1)."""
    repository, sha = values["repository_id"], values["sha"]
    connection.execute(select(repositories.c.id).where(repositories.c.id == repository).with_for_update())
    for known in of_commit(connection, repository, sha):
        if known.source != values["source"] or known.state is states.Submission.EXPIRED:
            continue
        if known.digest == values["digest"]:
            return known, False
        if known.state is not states.Submission.REFUSED:
            raise Conflict(
                f"{values['source']} submitted {sha[:10]} with other checks or artifacts before "
                f"(submission {known.id}, {known.state}): a candidate never changes"
            )
    created = connection.execute(insert(submissions).values(**values))
    (submission_id,) = created.inserted_primary_key or (0,)
    return by_id(connection, int(submission_id)), True


def by_id(connection: Connection, submission_id: int) -> Submission:
    """Raises NotFound."""
    found = one(connection, Submission, select(submissions).where(submissions.c.id == submission_id))
    if found is None:
        raise NotFound(f"there is no submission {submission_id}")
    return found


def of_commit(connection: Connection, repository_id: int, sha: str) -> list[Submission]:
    """Newest first."""
    statement = newest(submissions).where(submissions.c.repository_id == repository_id, submissions.c.sha == sha)
    return many(connection, Submission, statement)


def latest(connection: Connection, repository_id: int, limit: int = 50) -> list[Submission]:
    """Of a repository, newest first."""
    return many(
        connection, Submission, newest(submissions).where(submissions.c.repository_id == repository_id).limit(limit)
    )


def waiting(connection: Connection) -> list[Submission]:
    """Oldest first."""
    return many(connection, Submission, _WAITING)


_WAITING: Final = select(submissions).where(submissions.c.state == states.Submission.WAITING).order_by(submissions.c.id)


def settle(
    connection: Connection, submission_id: int, after: states.Submission, reason: str | None, now: datetime
) -> None:
    """Raises LostRace."""
    values = {"reason": reason, "settled_at": now}
    move(connection, submissions, {"id": submission_id}, states.Submission.WAITING, after, **values)


# --- what a decision about one looks at ------------------------------------------------------------------------------


def stands_on_a_branch(connection: Connection, repository_id: int, sha: str) -> bool:
    """True if the commit was seen on a branch of the repository itself."""
    place = branch_commits.c
    seen = exists().where(place.repository_id == repository_id, place.sha == sha, place.gone_at.is_(None))
    return bool(connection.execute(select(seen)).scalar())


def own_run(connection: Connection, repository_id: int, sha: str) -> tuple[int, states.Run] | None:
    """The newest trusted run of the commit on a branch that had a job: a file that names none says nothing."""
    row = connection.execute(
        select(runs.c.id, runs.c.state)
        .where(
            runs.c.repository_id == repository_id,
            runs.c.sha == sha,
            runs.c.trust == Trust.TRUSTED,
            runs.c.ref.startswith(HEADS),
            exists().where(jobs.c.run_id == runs.c.id),
        )
        .order_by(runs.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.id, row.state)


def candidate_of(connection: Connection, repository_id: int, sha: str) -> tuple[int, str, dict[str, str]] | None:
    """The commit's candidate: its id, source and artifacts."""
    row = connection.execute(
        select(candidates.c.id, candidates.c.source, candidates.c.artifacts).where(
            candidates.c.repository_id == repository_id, candidates.c.sha == sha
        )
    ).first()
    return None if row is None else (row.id, row.source, row.artifacts)
