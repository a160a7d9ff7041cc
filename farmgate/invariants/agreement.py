"""I9: where people are asked, they agreed to just what was cut.

Reckoned from the rows by itself, commit by commit, and not by the rules that decide (`farmgate.lanes.approving`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from farmgate.invariants.registry import Finding, invariant, rows
from farmgate.lanes import is_author
from farmgate.models import RolloutKind
from farmgate.store import schema as t


@invariant
def i9(connection: Connection, now: datetime) -> Iterator[Finding]:
    """No rollout without a valid approval of exactly that batch where one is asked."""
    cut = select(
        t.rollouts.c.id,
        t.rollouts.c.lane_id,
        t.rollouts.c.policy,
        t.rollouts.c.candidate_id,
        t.rollouts.c.until_sha,
        t.rollouts.c.created_at,
        t.rollouts.c.kind,
    ).where(  # the halves of a search: each of their commits was agreed to
        t.rollouts.c.kind.in_((RolloutKind.FORWARD, RolloutKind.REVERT))
    )
    for rollout in rows(connection, cut):
        asks = rollout.policy.get("approvals")
        if not asks:
            continue
        counted = _counted(connection, rollout, asks)
        ends = [
            each
            for each in counted
            if each.until_sha == rollout.until_sha and each.candidate_id == rollout.candidate_id
        ]
        one_whole = rollout.kind is RolloutKind.REVERT  # a commit of no branch: it is approved as that
        for commit in rows(connection, _carried(rollout.id)):
            of = counted if commit.sha != rollout.until_sha and not one_whole else ends
            agreed = {
                each.approved_by
                for each in of
                if each.since_position < commit.position <= each.until_position
                and not (asks["not_author"] and is_author(each.approved_by, commit.author_name, commit.author_email))
            }
            if len(agreed) < asks["count"]:
                who = ", ".join(sorted(agreed)) or "nobody"
                yield f"rollout/{rollout.id}", f"{commit.sha[:9]} needs {asks['count']} approvals; {who} agreed to it"


def _counted(connection: Connection, rollout: Row[Any], asks: dict[str, Any]) -> list[Row[Any]]:
    """The approvals that stood at the cut: of commits that stood, by people who might."""
    at = rollout.created_at
    place, approval = t.branch_commits, t.approvals
    of: Any = approval.c.until_sha
    if rollout.kind is RolloutKind.REVERT:  # it stands where what it is made from stands
        of = func.coalesce(select(t.made.c.onto).where(t.made.c.rollout_id == rollout.id).scalar_subquery(), of)
    stood = (
        select(approval)
        .join(t.lanes, t.lanes.c.id == approval.c.lane_id)
        .join(
            place,
            and_(
                place.c.repository_id == t.lanes.c.repository_id,
                place.c.branch == rollout.policy["branch"],
                place.c.sha == of,
                place.c.position == approval.c.until_position,
            ),
        )
        .where(
            approval.c.lane_id == rollout.lane_id,
            approval.c.created_at <= at,
            or_(approval.c.withdrawn_at.is_(None), approval.c.withdrawn_at > at),
            or_(place.c.gone_at.is_(None), place.c.gone_at > at),
        )
        .distinct()
    )
    known = select(t.tokens.c.name, t.tokens.c.created_at, t.tokens.c.revoked_at, t.tokens.c.expires_at)
    keys = rows(connection, known.where(t.tokens.c.name.in_(select(approval.c.approved_by))))
    there, may = set(), set()
    for key in keys:
        there.add(key.name)
        closed = min((each for each in (key.revoked_at, key.expires_at) if each is not None), default=None)
        if key.created_at <= at and (closed is None or closed > at):
            may.add(key.name)
    return [
        each
        for each in rows(connection, stood)
        # of whom no token is left, nobody can tell what they might do
        if (each.approved_by in may or each.approved_by not in there)
        and (not asks["by"] or each.approved_by in asks["by"])
    ]


def _carried(rollout_id: int) -> Any:
    return (
        select(t.rollout_commits.c.sha, t.rollout_commits.c.position, t.commits.c.author_name, t.commits.c.author_email)
        .join(t.rollouts, t.rollouts.c.id == t.rollout_commits.c.rollout_id)
        .join(t.lanes, t.lanes.c.id == t.rollouts.c.lane_id)
        .join(
            t.commits,
            and_(t.commits.c.repository_id == t.lanes.c.repository_id, t.commits.c.sha == t.rollout_commits.c.sha),
        )
        .where(t.rollout_commits.c.rollout_id == rollout_id)
    )
