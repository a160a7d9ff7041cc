"""From rows to a commit without a culprit as a pull request, with its evidence."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import Lane, Made, MadeKind, Rollout
from farmgate.store import bans, lane_views, lanes, made, reverts, rollouts, searches
from scheduler import lane_reading, made_reading, revert_text
from scheduler.made_bodies import RevertBody
from scheduler.revert_text import Tried


def find(connection: Connection, lane: Lane, number: int | None) -> Made:
    """One of a lane; without a number the newest. Raises NotFound."""
    name = f"{lane.application}/{lane.environment}"
    if number is None:
        newest = next(iter(made.reverts(connection, lane.id, 1)), None)
        if newest is None:
            raise NotFound(f"{name} has never gone on without a culprit: no revert was made")
        return newest
    row = made.by_id(connection, number)
    if row.lane_id != lane.id or row.kind is not MadeKind.REVERT:
        raise NotFound(f"{name} has no revert {number}")
    return row


def body(connection: Connection, lane: Lane, row: Made, now: datetime) -> RevertBody:
    """The commit, its title and its text."""
    view = lane_views.view(connection, lane, now)
    told, branch = made_reading.body(connection, row, view), lanes.policy_of(lane).branch
    picks = set(row.picks)
    found = [ban for ban in reversed(bans.every(connection, lane.id)) if picks & {ban.sha, *ban.covers}]
    evidence = {ban.rollout_id for ban in found if ban.rollout_id is not None}
    for search in searches.latest(connection, lane.id, 50):
        if search.culprit in picks:
            evidence.add(search.rollout_id)
            evidence |= {each.id for each in _of_search(connection, lane, search.id)}
    tried = [_tried(rollouts.by_id(connection, each), connection) for each in sorted(evidence)]
    by_pick = reverts.answered(connection, row, branch)
    answered = [f"`{pick[:12]}` is answered by `{by}`: {how}" for pick, (by, how) in by_pick.items()]
    name = f"{lane.application}/{lane.environment}"
    text = revert_text.body(name, branch, told, [ban.reason for ban in found], tried, answered)
    return RevertBody(**told.model_dump(), branch=branch, title=revert_text.title(told), body=text)


def _of_search(connection: Connection, lane: Lane, search_id: int) -> list[Rollout]:
    return [each for each in rollouts.latest(connection, lane.id, 200) if each.search_id == search_id]


def _tried(row: Rollout, connection: Connection) -> Tried:
    waves = lane_reading.waves(row, rollouts.entries(connection, row.id))
    bad = row.state is not states.Rollout.GOOD
    checks = [each for wave in waves for each in wave.checks if bad and each.last not in ("", "healthy")]
    return Tried(row.number, str(row.kind), str(row.state), row.until_sha, row.reason, checks)
