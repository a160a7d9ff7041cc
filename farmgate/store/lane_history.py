"""What is recorded of a lane since a moment, as its replay wants it (`farmgate.lanes.replay.Past`), and how it went."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from farmgate import states
from farmgate.lanes import StandingBan
from farmgate.lanes.replay import Batch, Past, Replayed
from farmgate.models import Lane, Rollout, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import bans, lane_views, rollouts
from farmgate.store.database import many
from farmgate.store.schema import branch_commits, candidates, releases, rollout_commits
from farmgate.store.schema import rollouts as rollout_table

_FORWARD = (RolloutKind.FORWARD, RolloutKind.SEARCH)


def past(connection: Connection, lane: Lane, policy: LanePolicy, since: datetime, now: datetime) -> Past:
    """The lane's history from `since` on, for a policy that need not be its own."""
    base = _live_at(connection, lane, policy, since)
    over = [each for each in _rollouts(connection, lane, since) if each.finished_at is not None]
    return Past(
        since=since,
        until=now,
        base=base,
        commits=lane_views.after(connection, lane, policy, base),
        verified=lane_views.verified(connection, lane, policy, base),
        broke=tuple(
            StandingBan(ban.id, ban.sha, ban.position, tuple(ban.covers), ban.reason)
            for ban in bans.standing(connection, lane.id)
            if ban.created_by == "farmgate"
        ),
        work=tuple(_took(each) - _soak(each) for each in over if each.state is states.Rollout.GOOD),
        sick=tuple(_took(each) for each in over if each.state is states.Rollout.SICK),
        security=lane_views.security(connection, lane, policy, base),
    )


def recorded(connection: Connection, lane: Lane, since: datetime) -> Replayed:
    """How it really went: the rollouts that were cut since and are over. Nothing is counted as left."""
    over = [each for each in _rollouts(connection, lane, since) if each.finished_at is not None]
    sizes = rollouts.sizes(connection, [each.id for each in over])
    batches = tuple(
        Batch(
            since=each.since_position,
            until=each.until_position,
            sha=each.until_sha,
            size=sizes.get(each.id, 0),
            kind=each.kind,
            good=each.state is states.Rollout.GOOD,
            cut_at=each.created_at,
            ended_at=each.created_at + _took(each),
        )
        for each in over
    )
    rows = connection.execute(
        select(rollout_table.c.finished_at, candidates.c.created_at)
        .join(rollout_commits, rollout_commits.c.rollout_id == rollout_table.c.id)
        .join(
            candidates,
            and_(candidates.c.repository_id == lane.repository_id, candidates.c.sha == rollout_commits.c.sha),
        )
        .where(_since(lane, since), rollout_table.c.state == states.Rollout.GOOD)
    )
    delays = tuple(sorted(max(timedelta(0), row.finished_at - row.created_at) for row in rows))
    return Replayed.of(batches, delays, 0)


def _live_at(connection: Connection, lane: Lane, policy: LanePolicy, at: datetime) -> int:
    """The place of what was live at a moment; 0: nothing was."""
    place = connection.execute(
        select(branch_commits.c.position)
        .join(releases, releases.c.sha == branch_commits.c.sha)
        .where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == policy.branch,
            branch_commits.c.gone_at.is_(None),
            releases.c.lane_id == lane.id,
            releases.c.live_from <= at,
            or_(releases.c.live_until.is_(None), releases.c.live_until > at),
        )
    ).scalar()
    return place or 0


def _rollouts(connection: Connection, lane: Lane, since: datetime) -> list[Rollout]:
    return many(connection, Rollout, select(rollout_table).where(_since(lane, since)).order_by(rollout_table.c.id))


def _since(lane: Lane, since: datetime) -> Any:
    forward = rollout_table.c.kind.in_(_FORWARD)
    return and_(rollout_table.c.lane_id == lane.id, rollout_table.c.created_at >= since, forward)


def _took(rollout: Rollout) -> timedelta:
    assert rollout.finished_at is not None
    return rollout.finished_at - rollout.created_at


def _soak(rollout: Rollout) -> timedelta:
    """Of its own policy; what a wave took longer than that is work."""
    waves = LanePolicy.model_validate(rollout.policy).waves
    return min(_took(rollout), sum((wave.soak for wave in waves), timedelta(0)))
