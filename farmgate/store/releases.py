"""Releases: what good rollouts left live. One is live per lane; a restore or a rollback needs nothing but its row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from farmgate.errors import NotFound
from farmgate.models import Release, Rollout
from farmgate.store import made
from farmgate.store.database import many, newest, one
from farmgate.store.schema import lanes, late_reds, releases, rollouts


def publish(
    connection: Connection, rollout: Rollout, artifacts: dict[str, str], config: dict[str, Any], now: datetime
) -> int:
    """The rollout's commit is live from now on, and what was live before is not; the release's id."""
    connection.execute(
        update(releases)
        .where(releases.c.lane_id == rollout.lane_id, releases.c.live_until.is_(None))
        .values(live_until=now)
    )
    created = connection.execute(
        insert(releases).values(
            lane_id=rollout.lane_id,
            rollout_id=rollout.id,
            candidate_id=rollout.candidate_id,
            sha=rollout.until_sha,
            position=rollout.until_position,
            artifacts=artifacts,
            config=config,
            live_from=now,
            live_until=None,
        )
    )
    (release_id,) = created.inserted_primary_key or (0,)
    return int(release_id)


def live_of(connection: Connection, lane_id: int) -> Release | None:
    return one(
        connection, Release, select(releases).where(releases.c.lane_id == lane_id, releases.c.live_until.is_(None))
    )


def by_id(connection: Connection, release_id: int) -> Release:
    """Raises NotFound."""
    found = one(connection, Release, select(releases).where(releases.c.id == release_id))
    if found is None:
        raise NotFound(f"no release has the id {release_id}")
    return found


def of_rollout(connection: Connection, rollout_id: int) -> Release | None:
    return one(connection, Release, select(releases).where(releases.c.rollout_id == rollout_id))


def by_rollout_number(connection: Connection, lane_id: int, number: int) -> Release:
    """What the lane's rollout of that number left live. Raises NotFound: only a good rollout left something."""
    found = one(
        connection,
        Release,
        select(releases)
        .join(rollouts, rollouts.c.id == releases.c.rollout_id)
        .where(releases.c.lane_id == lane_id, rollouts.c.number == number),
    )
    if found is None:
        raise NotFound(f"rollout {number} left nothing live that was verified good; choose another to go back to")
    return found


def before(connection: Connection, live: Release) -> Release | None:
    """Where to go back to: the newest release with another commit, earlier in history than the one that is live, whose
    checks did not turn red since. Of a made commit, that is what it stands on."""
    of = connection.execute(select(lanes.c.repository_id).where(lanes.c.id == live.lane_id)).scalar_one()
    below = made.chain(connection, of, live.sha)[:1]
    earlier = and_(releases.c.position < live.position, releases.c.sha != live.sha)
    return one(
        connection,
        Release,
        newest(releases).where(
            releases.c.lane_id == live.lane_id,
            releases.c.sha == below[0].onto if below else earlier,
            releases.c.sha.not_in(_red(live.lane_id)),
        ),
    )


def retire(connection: Connection, lane_id: int, now: datetime) -> None:
    """Nothing is live in the lane any more."""
    connection.execute(
        update(releases).where(releases.c.lane_id == lane_id, releases.c.live_until.is_(None)).values(live_until=now)
    )


def latest(connection: Connection, lane_id: int, limit: int = 50) -> list[Release]:
    """The newest first."""
    return many(connection, Release, newest(releases).where(releases.c.lane_id == lane_id).limit(limit))


def _red(lane_id: int) -> Any:
    of = select(lanes.c.repository_id).where(lanes.c.id == lane_id).scalar_subquery()
    return select(late_reds.c.sha).where(late_reds.c.repository_id == of, late_reds.c.over_at.is_(None))
