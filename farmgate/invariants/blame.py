"""I14 to I17: what was banned stays away, searches end, orders of people stand, an older controller does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, or_, select

from farmgate import states
from farmgate.invariants.delivery import OF_BRANCH, lane_of
from farmgate.invariants.registry import Finding, invariant, rows
from farmgate.lanes import fixes_in, most_rollouts
from farmgate.models import HoldKind, RolloutKind
from farmgate.store import schema as t
from farmgate.store.rollouts import by_id, takes_back

_AT_ONCE: Final = 500
"""How many values a condition holds."""


@invariant
def i14(connection: Connection, now: datetime) -> Iterator[Finding]:
    """No batch that was cut while a ban stood holds a commit that it covers, unless a fix or revert of it comes later
    in the same batch."""
    lane, own = t.lanes.alias("lane"), t.lanes
    for ban in rows(connection, select(t.bans, own.c.environment).join(own, own.c.id == t.bans.c.lane_id)):
        covers = sorted({ban.sha, *ban.covers})
        for at in range(0, len(covers), _AT_ONCE):
            holding = (
                select(
                    t.rollouts.c.id,
                    t.rollouts.c.lane_id,
                    t.rollouts.c.policy,
                    t.rollouts.c.kind,
                    func.max(t.rollout_commits.c.position).label("last"),
                )
                .join(t.rollout_commits, t.rollout_commits.c.rollout_id == t.rollouts.c.id)
                .join(lane, lane.c.id == t.rollouts.c.lane_id)
                .join(own, and_(own.c.id == ban.lane_id, own.c.application == lane.c.application))
                .where(
                    t.rollouts.c.kind.in_(OF_BRANCH),
                    t.rollouts.c.created_at > ban.created_at,
                    t.rollout_commits.c.sha.in_(covers[at : at + _AT_ONCE]),
                )
                .group_by(t.rollouts.c.id, t.rollouts.c.lane_id)
            )
            if ban.lifted_at is not None:
                holding = holding.where(t.rollouts.c.created_at < ban.lifted_at)
            for row in rows(connection, holding):
                concerned = row.lane_id == ban.lane_id or ban.environment in row.policy.get("follows", ())
                if concerned and not _mended(connection, row, covers) and not _without(connection, row, covers):
                    yield f"rollout/{row.id}", f"it holds a commit of the ban of {ban.sha[:9]}, and no fix of it"


def _without(connection: Connection, rollout: Row[Any], covers: Sequence[str]) -> bool:
    """True if it delivers a made commit that takes back all of the batch that the ban covers."""
    picks = connection.execute(select(t.made.c.picks).where(t.made.c.rollout_id == rollout.id)).scalar()
    held = select(t.rollout_commits.c.sha).where(
        t.rollout_commits.c.rollout_id == rollout.id, t.rollout_commits.c.sha.in_(list(covers))
    )
    if rollout.kind is not RolloutKind.REVERT or picks is None:
        return False
    return set(connection.execute(held).scalars()) <= set(picks)


def _mended(connection: Connection, rollout: Row[Any], covers: Sequence[str]) -> bool:
    """True if a fix of a covered commit stands at the end of the batch: one that is reverted itself fixes nothing.

    A fix says so, or a person does, or its patch is the inverse of what it takes back."""
    takes_back = {row.sha: row.inverse_id for row in rows(connection, select(t.patches.c.sha, t.patches.c.inverse_id))}
    said = {(row.fix, row.fixes) for row in rows(connection, select(t.said_fixes.c.fix, t.said_fixes.c.fixes))}
    carried = (
        select(t.rollout_commits.c.sha, t.commits.c.message, t.patches.c.patch_id)
        .join(t.commits, t.commits.c.sha == t.rollout_commits.c.sha)
        .join(t.patches, t.patches.c.sha == t.rollout_commits.c.sha, isouter=True)
        .where(t.rollout_commits.c.rollout_id == rollout.id, t.rollout_commits.c.position > rollout.last)
        .order_by(t.rollout_commits.c.position)
    )
    fixes: list[str] = []
    for row in rows(connection, carried):
        named = [*fixes_in(row.message), *(fixed for fix, fixed in said if fix == row.sha)]
        if row.patch_id is not None:
            named += [sha for sha in (*covers, *fixes) if takes_back.get(sha) == row.patch_id]
        if any(sha.startswith(prefix) for sha in covers for prefix in named):
            fixes.append(row.sha)
        else:
            fixes = [sha for sha in fixes if not any(sha.startswith(prefix) for prefix in named)]
    return bool(fixes)


@invariant
def i15(connection: Connection, now: datetime) -> Iterator[Finding]:
    """A search for a culprit over n candidates takes at most ceil(log2 n) further rollouts that tell something, each
    of one of its sealed candidates."""
    verdict, control = t.journal.alias("verdict"), t.journal.alias("control")
    tried = (
        select(
            t.rollouts.c.id,
            t.rollouts.c.search_id,
            t.rollouts.c.state,
            t.rollouts.c.until_sha,
            verdict.c.outcome.label("verdict"),
            control.c.outcome.label("control"),
        )
        .join(verdict, and_(verdict.c.rollout_id == t.rollouts.c.id, verdict.c.key == "verdict"), isouter=True)
        .join(control, and_(control.c.rollout_id == t.rollouts.c.id, control.c.key == "control"), isouter=True)
        .where(t.rollouts.c.search_id.is_not(None))
    )
    points = {row.id: row.points for row in rows(connection, select(t.searches.c.id, t.searches.c.points))}
    telling: dict[int, int] = {}
    for row in rows(connection, tried):
        if row.until_sha not in points[row.search_id]:
            yield f"rollout/{row.id}", f"{row.until_sha[:9]} is no candidate of the sealed batch it searches"
        blamed = row.state == states.Rollout.SICK and row.verdict == "sick" and row.control in (None, "healthy")
        if row.state == states.Rollout.GOOD or blamed:
            telling[row.search_id] = telling.get(row.search_id, 0) + 1
    for search_id, many in telling.items():
        most = most_rollouts(len(points[search_id]))
        if many > most:
            yield f"search/{search_id}", f"{many} further rollouts; over {len(points[search_id])} it is at most {most}"


@invariant
def i16(connection: Connection, now: datetime) -> Iterator[Finding]:
    """An order of a person is never undone by automation: nothing is cut while a hold stands, and what a rollback took
    back is banned."""
    held = (
        select(t.rollouts.c.id, t.holds.c.created_by, t.holds.c.reason)
        .join(t.holds, or_(t.holds.c.lane_id == t.rollouts.c.lane_id, t.holds.c.lane_id.is_(None)))
        .where(
            or_(
                t.rollouts.c.kind.in_(OF_BRANCH),
                and_(t.rollouts.c.kind == RolloutKind.HOTFIX, t.holds.c.kind != HoldKind.FREEZE),
            ),
            t.rollouts.c.created_at > t.holds.c.created_at,
            t.rollouts.c.created_at >= t.holds.c.begins,
            t.rollouts.c.created_at < t.holds.c.until,
            or_(t.holds.c.lifted_at.is_(None), t.rollouts.c.created_at < t.holds.c.lifted_at),
        )
    )
    for row in rows(connection, held):
        yield f"rollout/{row.id}", f"it was cut although {row.created_by} held the lane: {row.reason}"
    back = select(t.rollouts.c.id).where(
        t.rollouts.c.kind == RolloutKind.ROLLBACK,
        t.rollouts.c.state == states.Rollout.GOOD,
        t.rollouts.c.until_position <= t.rollouts.c.since_position,
    )
    for row in rows(connection, back):
        if not takes_back(connection, by_id(connection, row.id)):
            continue
        banned = connection.execute(select(t.bans.c.covers).where(t.bans.c.rollout_id == row.id)).scalars()
        covered = {sha for covers in banned for sha in covers}
        taken = connection.execute(select(t.rollout_commits.c.sha).where(t.rollout_commits.c.rollout_id == row.id))
        free = sorted(set(taken.scalars()) - covered)
        if free or not covered:
            yield f"rollout/{row.id}", f"it went back, and what it took back is not banned: {', '.join(free)[:60]}"


@invariant
def i17(connection: Connection, now: datetime) -> Iterator[Finding]:
    """An older controller never acts after a newer one: epochs rise from rollout to rollout, and no entry of a journal
    is newer than its rollout."""
    newest: dict[int, int] = {}
    taken = select(t.rollouts.c.id, t.rollouts.c.lane_id, t.rollouts.c.epoch).order_by(t.rollouts.c.id)
    for row in rows(connection, taken):
        if row.epoch < newest.get(row.lane_id, 0):
            yield f"rollout/{row.id}", f"its epoch is {row.epoch}, one before it had {newest[row.lane_id]}"
        newest[row.lane_id] = max(row.epoch, newest.get(row.lane_id, 0))
    for row in rows(connection, select(t.lanes.c.id, t.lanes.c.epoch)):
        if row.epoch < newest.get(row.id, 0):
            yield lane_of(connection, row.id), f"its epoch is {row.epoch}, its rollout's {newest[row.id]}"
    ahead = (
        select(t.journal.c.rollout_id, t.journal.c.key, t.journal.c.epoch, t.rollouts.c.epoch.label("own"))
        .join(t.rollouts, t.rollouts.c.id == t.journal.c.rollout_id)
        .where(t.journal.c.epoch > t.rollouts.c.epoch)
    )
    for row in rows(connection, ahead):
        yield f"rollout/{row.rollout_id}", f"{row.key} is of epoch {row.epoch}, the rollout of {row.own}"
