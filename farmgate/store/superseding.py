"""Runs that a newer one of the same ref made needless: marked in the transaction that makes the newer one.

Rules:
1. Marked are older open runs of the same ref that are no re-runs, and whose commit delivery does not know: it is no
   candidate, and does not stand on the delivered branch (unless this is that branch).
2. A mark is never changed: the first newer run is the reason.
"""

from __future__ import annotations

from sqlalchemy import Connection, exists, select, update

from farmgate import states
from farmgate.refs import HEADS
from farmgate.store.schema import branch_commits, candidates, repositories, runs


def mark_older(connection: Connection, run_id: int) -> int:
    """Rule 1. How many runs were marked."""
    new = connection.execute(
        select(runs.c.repository_id, runs.c.ref, repositories.c.default_branch)
        .select_from(runs.join(repositories))
        .where(runs.c.id == run_id)
    ).one()
    handed_over = exists().where(candidates.c.repository_id == runs.c.repository_id, candidates.c.sha == runs.c.sha)
    delivered = exists().where(
        branch_commits.c.repository_id == runs.c.repository_id,
        branch_commits.c.branch == new.default_branch,
        branch_commits.c.sha == runs.c.sha,
        branch_commits.c.gone_at.is_(None),
    )
    statement = update(runs).where(
        runs.c.repository_id == new.repository_id,
        runs.c.ref == new.ref,
        runs.c.state.in_(states.open_states(states.Run)),
        runs.c.id < run_id,
        runs.c.ordinal == 1,
        runs.c.again_of.is_(None),
        runs.c.superseded_by.is_(None),
        ~handed_over,
    )
    if new.ref != HEADS + new.default_branch:
        statement = statement.where(~delivered)
    return connection.execute(statement.values(superseded_by=run_id)).rowcount


def reason(connection: Connection, run_id: int, by: int) -> str:
    """By which run, and how many commits newer that is where both have their place in the branch."""
    ref, positions = "", {}
    for row in connection.execute(
        select(runs.c.id, runs.c.ref, branch_commits.c.branch, branch_commits.c.position)
        .select_from(
            runs.outerjoin(
                branch_commits,
                (branch_commits.c.repository_id == runs.c.repository_id) & (branch_commits.c.sha == runs.c.sha),
            )
        )
        .where(runs.c.id.in_((run_id, by)))
    ):
        ref = row.ref
        if ref == HEADS + str(row.branch):
            positions[row.id] = row.position
    newer = positions[by] - positions[run_id] if len(positions) == 2 else 0
    commits = f"{newer} commit{'s' if newer > 1 else ''} newer" if newer > 0 else "a newer one"
    return f"superseded by run {by}: {commits}"
