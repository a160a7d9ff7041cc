"""Approvals of batches: who agreed to which commits, and whether that still counts.

Rules:
1. An approval is bound to two commits of the branch and the candidate at the later one. Everything between two commits
   of a history is fixed, so while both stand where they stood, the approval is of exactly these commits.
2. It counts while its giver may act on lanes and stands in the policy, and nobody withdrew it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, insert, or_, select, update

from farmgate.lanes import Approval, is_author
from farmgate.models import ApprovalRow, Lane, TokenKind
from farmgate.policy import LanePolicy
from farmgate.store.database import many, newest
from farmgate.store.schema import approvals, branch_commits, commits, tokens

RIGHTS = frozenset({"write", "admin"})


def give(
    connection: Connection,
    lane_id: int,
    since: tuple[int, str | None],
    until: tuple[int, str],
    candidate_id: int,
    approved_by: str,
    reason: str,
    now: datetime,
) -> int:
    """Write a person's word; its id. `since`, `until`: position and commit."""
    made = connection.execute(
        insert(approvals).values(
            lane_id=lane_id,
            since_position=since[0],
            since_sha=since[1],
            until_position=until[0],
            until_sha=until[1],
            candidate_id=candidate_id,
            reason=reason,
            approved_by=approved_by,
            created_at=now,
        )
    )
    (approval_id,) = made.inserted_primary_key or (0,)
    return int(approval_id)


def withdraw(connection: Connection, lane_id: int, approved_by: str, withdrawn_by: str, now: datetime) -> int:
    """Take back every standing approval of a person in a lane; how many there were."""
    standing_ = update(approvals).where(
        approvals.c.lane_id == lane_id, approvals.c.approved_by == approved_by, approvals.c.withdrawn_at.is_(None)
    )
    return connection.execute(standing_.values(withdrawn_at=now, withdrawn_by=withdrawn_by)).rowcount


def standing(connection: Connection, lane: Lane, policy: LanePolicy, base: int, now: datetime) -> list[ApprovalRow]:
    """Those that count for what comes after `base`, oldest first."""
    if policy.approvals is None:
        return []
    rows = many(
        connection,
        ApprovalRow,
        select(approvals)
        .where(approvals.c.lane_id == lane.id, approvals.c.withdrawn_at.is_(None), approvals.c.until_position > base)
        .order_by(approvals.c.id),
    )
    ends = {sha for row in rows for sha in (row.since_sha, row.until_sha) if sha is not None}
    places = _places(connection, lane, policy, ends)
    may = _who_may(connection, now) if rows else set()
    return [
        row
        for row in rows
        if row.approved_by in may
        and (not policy.approvals.by or row.approved_by in policy.approvals.by)
        and places.get(row.until_sha) == row.until_position
        and (row.since_sha is None or places.get(row.since_sha) == row.since_position)
    ]


def of_commit(
    connection: Connection, lane: Lane, policy: LanePolicy, brings: Sequence[str], sha: str | None, now: datetime
) -> frozenset[str]:
    """Whose word counts for exactly this commit, which is on no branch. `brings`: the commits that come with it."""
    if policy.approvals is None or sha is None:
        return frozenset()
    rows = connection.execute(
        select(approvals.c.approved_by).where(
            approvals.c.lane_id == lane.id, approvals.c.withdrawn_at.is_(None), approvals.c.until_sha == sha
        )
    )
    people = set(rows.scalars()) & _who_may(connection, now)
    if policy.approvals.by:
        people &= set(policy.approvals.by)
    if policy.approvals.not_author:
        people -= {person for person in people if wrote(connection, lane, person, brings)}
    return frozenset(people)


def wrote(connection: Connection, lane: Lane, person: str, brings: Sequence[str]) -> bool:
    """True if a person wrote any of these commits."""
    authors = connection.execute(
        select(commits.c.author_name, commits.c.author_email).where(
            commits.c.repository_id == lane.repository_id, commits.c.sha.in_(list(brings))
        )
    )
    return any(is_author(person, row.author_name, row.author_email) for row in authors)


def written_by(
    connection: Connection, lane: Lane, people: Iterable[str], brings: Sequence[str]
) -> dict[str, frozenset[str]]:
    """Who of these people wrote each of these commits."""
    rows = connection.execute(
        select(commits.c.sha, commits.c.author_name, commits.c.author_email).where(
            commits.c.repository_id == lane.repository_id, commits.c.sha.in_(list(brings))
        )
    )
    told = list(people)
    return {
        row.sha: frozenset(each for each in told if is_author(each, row.author_name, row.author_email)) for row in rows
    }


def given(rows: Iterable[ApprovalRow]) -> tuple[Approval, ...]:
    """As the rules want them."""
    return tuple(Approval(row.approved_by, row.since_position, row.until_position) for row in rows)


def authored(
    connection: Connection, lane: Lane, policy: LanePolicy, base: int, people: Iterable[str]
) -> dict[str, frozenset[int]]:
    """Which of the waiting commits these people wrote, by person."""
    wanted = set(people)
    if not wanted or policy.approvals is None or not policy.approvals.not_author:
        return {}
    rows = connection.execute(
        select(branch_commits.c.position, commits.c.author_name, commits.c.author_email)
        .join_from(
            branch_commits,
            commits,
            and_(commits.c.repository_id == branch_commits.c.repository_id, commits.c.sha == branch_commits.c.sha),
        )
        .where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == policy.branch,
            branch_commits.c.position > base,
            branch_commits.c.gone_at.is_(None),
        )
    ).all()
    return {
        person: frozenset(row.position for row in rows if is_author(person, row.author_name, row.author_email))
        for person in wanted
    }


def place(connection: Connection, lane: Lane, policy: LanePolicy, sha: str) -> int | None:
    """Where a commit stands on the lane's branch."""
    return _places(connection, lane, policy, [sha]).get(sha)


def latest(connection: Connection, lane_id: int, limit: int = 50) -> list[ApprovalRow]:
    """All there were, newest first."""
    return many(connection, ApprovalRow, newest(approvals).where(approvals.c.lane_id == lane_id).limit(limit))


def of_batch(connection: Connection, lane_id: int, since: int, until: int) -> list[ApprovalRow]:
    """Those that had to do with the commits of a batch, oldest first: for the ledger."""
    overlaps = and_(approvals.c.since_position < until, approvals.c.until_position > since)
    return many(
        connection,
        ApprovalRow,
        select(approvals).where(approvals.c.lane_id == lane_id, overlaps).order_by(approvals.c.id),
    )


def _places(connection: Connection, lane: Lane, policy: LanePolicy, shas: Iterable[str]) -> dict[str, int]:
    rows = connection.execute(
        select(branch_commits.c.sha, branch_commits.c.position).where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == policy.branch,
            branch_commits.c.sha.in_(sorted(shas)),
            branch_commits.c.gone_at.is_(None),
        )
    )
    return {row.sha: row.position for row in rows}


def _who_may(connection: Connection, now: datetime) -> set[str]:
    """The names of those who may act on lanes now."""
    rows = connection.execute(
        select(tokens.c.name, tokens.c.rights).where(
            tokens.c.kind.in_([TokenKind.API, TokenKind.SESSION]),
            tokens.c.revoked_at.is_(None),
            or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
        )
    )
    return {row.name for row in rows if RIGHTS & set(row.rights)}
