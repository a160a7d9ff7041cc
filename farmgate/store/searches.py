"""Searches for the culprit in a batch that went sick: sealed when they open, narrowed by every rollout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from farmgate import states
from farmgate.models import SearchRow
from farmgate.store.database import many, move, newest, one
from farmgate.store.schema import searches

PATIENCE = timedelta(days=7)
"""How long a search may be open; then everything still suspected is banned."""


def open_up(
    connection: Connection,
    lane_id: int,
    rollout_id: int,
    since: int,
    until: int,
    points: Sequence[str],
    now: datetime,
) -> int:
    """Seal a batch; the search's id."""
    created = connection.execute(
        insert(searches).values(
            lane_id=lane_id,
            rollout_id=rollout_id,
            since_position=since,
            until_position=until,
            points=list(points),
            state=states.Search.OPEN,
            rollouts=0,
            culprit=None,
            opened_at=now,
            closed_at=None,
            deadline=now + PATIENCE,
        )
    )
    (search_id,) = created.inserted_primary_key or (0,)
    return int(search_id)


def narrow(connection: Connection, search_id: int, *, since: int | None = None, until: int | None = None) -> bool:
    """Good up to `since`, or sick at `until`; False if the search is closed (a person took the lane elsewhere)."""
    values = {"since_position": since} if since is not None else {"until_position": until}
    found = connection.execute(
        update(searches).where(searches.c.id == search_id, searches.c.state == states.Search.OPEN).values(**values)
    )
    return found.rowcount == 1


def abandon(connection: Connection, lane_id: int, now: datetime) -> None:
    """Close the lane's search without a culprit, if one is open."""
    found = open_of(connection, lane_id)
    if found is not None:
        close(connection, found.id, states.Search.ABANDONED, now, None)


def count(connection: Connection, search_id: int) -> None:
    """One more rollout of the search."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(rollouts=searches.c.rollouts + 1))


def uncount(connection: Connection, search_id: int) -> None:
    """One that was counted did not begin."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(rollouts=searches.c.rollouts - 1))


def close(connection: Connection, search_id: int, state: states.Search, now: datetime, culprit: str | None) -> None:
    """Found or abandoned. Raises LostRace if it is closed already."""
    move(connection, searches, {"id": search_id}, states.Search.OPEN, state, culprit=culprit, closed_at=now)


def open_of(connection: Connection, lane_id: int) -> SearchRow | None:
    return one(
        connection,
        SearchRow,
        select(searches).where(searches.c.lane_id == lane_id, searches.c.state == states.Search.OPEN),
    )


def latest(connection: Connection, lane_id: int, limit: int = 20) -> list[SearchRow]:
    """The newest first."""
    return many(connection, SearchRow, newest(searches).where(searches.c.lane_id == lane_id).limit(limit))


def prolong(connection: Connection, search_id: int, deadline: datetime) -> None:
    """Give an open search until then."""
    connection.execute(
        update(searches)
        .where(searches.c.id == search_id, searches.c.state == states.Search.OPEN)
        .values(deadline=deadline)
    )
