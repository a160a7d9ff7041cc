"""What is recorded of a lane since a moment, as its replay wants it (`farmgate.lanes.replay.Past`), and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from farmgate import states
from farmgate.lanes import QueuedCommit, StandingBan
from farmgate.lanes.replay import Batch, Past, Replayed
from farmgate.lanes.replay_limits import Beside
from farmgate.models import Lane, Release, Rollout, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import attestations, bans, exposures, holds, lane_groups, lane_views, lanes, osv, rollouts
from farmgate.store.database import many, one
from farmgate.store.schema import branch_commits, candidates, releases, rollout_commits
from farmgate.store.schema import rollouts as rollout_table
from farmgate.vulnerabilities.exposure import Exposure

_FORWARD = (RolloutKind.FORWARD, RolloutKind.SEARCH, RolloutKind.REVERT)


def past(connection: Connection, lane: Lane, policy: LanePolicy, since: datetime, now: datetime) -> Past:
    """The lane's history from `since` on, for a policy that need not be its own."""
    base = _live_at(connection, lane, policy, since)
    commits = lane_views.after(connection, lane, policy, base)
    over = [each for each in _rollouts(connection, lane, since) if each.finished_at is not None]
    return Past(
        since=since,
        until=now,
        base=base,
        commits=commits,
        verified=lane_views.verified(connection, lane, policy, base),
        broke=tuple(
            StandingBan(ban.id, ban.sha, ban.position, tuple(ban.covers), ban.reason)
            for ban in bans.standing(connection, lane.id)
            if ban.created_by == "farmgate"
        ),
        work=tuple(_took(each) - _soak(each) for each in over if each.state is states.Rollout.GOOD),
        sick=tuple(_took(each) for each in over if each.state is states.Rollout.SICK),
        security=lane_views.security(connection, lane, policy, base),
        made_of=_made_of(connection, lane, policy, commits, since, now),
        unproven=_unproven(connection, lane, policy, commits),
    )


def _made_of(
    connection: Connection,
    lane: Lane,
    policy: LanePolicy,
    commits: Sequence[QueuedCommit],
    since: datetime,
    now: datetime,
) -> Exposure | None:
    """What all that came was made of, and what was live at first."""
    if policy.vulnerabilities is None:
        return None
    seen = exposures.of_lane(connection, lane, policy, commits, since)
    first = _release_at(connection, lane, since)
    live = exposures.made_of(connection, osv.current(connection), [first.candidate_id]) if first is not None else {}
    ends = exposures.standing(connection, now)
    known = {each.id: each for each in (*seen.decisions, *ends)}
    live_made = live.get(first.candidate_id) if first is not None else None
    more = exposures.known(connection, osv.current(connection), live.values())
    return replace(seen, live=live_made, decisions=tuple(known.values()), known={**more, **seen.known})


def _unproven(
    connection: Connection, lane: Lane, policy: LanePolicy, commits: Sequence[QueuedCommit]
) -> dict[int, str]:
    if policy.provenance is None:
        return {}
    wanted = [(each.candidate_id, each.sha) for each in commits if each.candidate_id is not None]
    return attestations.missing(connection, lane.repository_id, wanted, policy.provenance.keys)


def beside(connection: Connection, lane: Lane, since: datetime) -> Beside:
    """What happened beside the lane's queue, which a replay does not repeat."""
    group = lane_groups.of_lane(connection, lane.id)
    mates = lane_groups.lanes_of(connection, group.id) if group is not None else []
    counted = select(rollout_table.c.kind, func.count()).where(
        rollout_table.c.lane_id == lane.id, rollout_table.c.created_at >= since
    )
    kinds = {row[0]: row[1] for row in connection.execute(counted.group_by(rollout_table.c.kind))}
    gone = connection.execute(
        select(func.count())
        .select_from(branch_commits)
        .where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == lanes.policy_of(lane).branch,
            branch_commits.c.gone_at >= since,
        )
    ).scalar_one()
    return Beside(
        group=group.name if group is not None else None,
        mates=tuple(f"{each.application}/{each.environment}" for each in mates if each.id != lane.id),
        hotfixes=kinds.get(RolloutKind.HOTFIX, 0),
        rollbacks=kinds.get(RolloutKind.ROLLBACK, 0),
        holds=holds.placed(connection, lane.id, since),
        dropped=gone,
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


def _release_at(connection: Connection, lane: Lane, at: datetime) -> Release | None:
    """What was live at a moment."""
    found = releases.c
    statement = select(releases).where(
        found.lane_id == lane.id, found.live_from <= at, or_(found.live_until.is_(None), found.live_until > at)
    )
    return one(connection, Release, statement.order_by(found.id.desc()).limit(1))


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
