"""The lanes that go together with one, and what waiting commits need of each other's lines, as the rules want it.

Rules:
1. Only what a message says of a repository in the group counts: `Depends-On: <repository>@<hash>`.
2. Where the needed commit stands is looked up on the branch of that line; one that is not there is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, and_, func, select

from farmgate.lanes import JointSearch, LaneView, Need, Together, needs_in
from farmgate.models import Lane, LaneGroup
from farmgate.store import joints, lane_groups
from farmgate.store.schema import branch_commits, commits


class Reads(Protocol):
    """Reads a lane by itself."""

    def __call__(self, connection: Connection, lane: Lane, now: datetime) -> LaneView: ...


def with_mates(connection: Connection, alone: LaneView, group: LaneGroup, now: datetime, read: Reads) -> LaneView:
    """The lane's view with the group that it is in."""
    members = lane_groups.lanes_of(connection, group.id)
    views = [alone if lane.id == alone.lane_id else read(connection, lane, now) for lane in members]
    known = {view.line: lane.repository_id for view, lane in zip(views, members, strict=True)}
    views = [replace(view, needs=tuple(_needs(connection, view, known))) for view in views]
    at = next(place for place, lane in enumerate(members) if lane.id == alone.lane_id)
    open_search = joints.open_of(connection, group.id)
    search = None
    if open_search is not None:
        search = JointSearch(
            open_search.id,
            joints.points_of(open_search),
            open_search.good,
            open_search.sick,
            open_search.rollouts,
            open_search.deadline,
        )
    return replace(views[at], together=Together(group.name, tuple(views[:at]), tuple(views[at + 1 :]), search))


def _needs(connection: Connection, view: LaneView, known: dict[tuple[str, str], int]) -> Iterator[Need]:
    """What waiting commits of a lane need of other lines."""
    if len(known) < 2:
        return
    same = and_(commits.c.repository_id == branch_commits.c.repository_id, commits.c.sha == branch_commits.c.sha)
    told = (
        select(branch_commits.c.position, commits.c.message)
        .join_from(branch_commits, commits, same)
        .where(
            branch_commits.c.repository_id == known[view.line],
            branch_commits.c.branch == view.policy.branch,
            branch_commits.c.position > view.base,
            branch_commits.c.gone_at.is_(None),
            func.lower(commits.c.message).like("%depends-on:%"),
        )
        .order_by(branch_commits.c.position)
    )
    for row in connection.execute(told).all():
        for repository, sha in needs_in(row.message):
            for line, repository_id in known.items():
                if line[0] == repository and line != view.line:
                    yield Need(row.position, sha, line, _place(connection, repository_id, line[1], sha))


def _place(connection: Connection, repository_id: int, branch: str, sha: str) -> int | None:
    """Of several that begin so, the newest."""
    found: Sequence[int] = (
        connection.execute(
            select(branch_commits.c.position)
            .where(
                branch_commits.c.repository_id == repository_id,
                branch_commits.c.branch == branch,
                branch_commits.c.sha.like(f"{sha}%"),
                branch_commits.c.gone_at.is_(None),
            )
            .order_by(branch_commits.c.position.desc())
            .limit(1)
        )
        .scalars()
        .all()
    )
    return found[0] if found else None
