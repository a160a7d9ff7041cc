"""What follows from a rollout, or from a search: holds, searches and bans, written in the transaction of the act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from deploy.decisions import AbandonSearch, BanCulprit, NarrowSearch, OpenSearch, PlaceHold
from deploy.writing import ACTOR, subject_of
from farmgate import states
from farmgate.errors import LostRace
from farmgate.lanes import Culprit, LaneView
from farmgate.models import Lane
from farmgate.store import bans, events, holds, repositories, reverts, rollouts, searches


def follow(
    connection: Connection,
    lane: Lane,
    view: LaneView,
    consequence: PlaceHold | BanCulprit | OpenSearch | NarrowSearch | AbandonSearch,
    rollout_id: int | None,
    now: datetime,
) -> None:
    """Act on one consequence in a lane. Raises LostRace."""
    subject = subject_of(lane)
    match consequence:
        case PlaceHold(reason, until):
            holds.place(connection, lane.id, reason, ACTOR, now, until)
            events.record(connection, now, "lane.held", subject, ACTOR, reason)
        case OpenSearch(since, until, points):
            if rollout_id is None:
                raise LostRace("a search needs the rollout that went sick")
            searches.open_up(connection, lane.id, rollout_id, since, until, points, now)
            text = f"searching the culprit among {len(points)} candidates"
            events.record(connection, now, "search.opened", subject, ACTOR, text)
        case NarrowSearch(search_id, until):
            searches.narrow(connection, search_id, until=until)
        case BanCulprit(culprit, reason):
            if culprit.search_id is not None:
                searches.close(connection, culprit.search_id, states.Search.FOUND, now, culprit.sha)
            _ban_culprit(connection, lane, view, culprit, reason, rollout_id, now)
        case AbandonSearch(search_id, reason, suspects):
            searches.close(connection, search_id, states.Search.ABANDONED, now, None)
            events.record(connection, now, "search.abandoned", subject, ACTOR, reason)
            if suspects is not None:
                _ban_culprit(connection, lane, view, suspects, reason, rollout_id, now)
        case _:
            assert_never(consequence)


def _ban_culprit(
    connection: Connection,
    lane: Lane,
    view: LaneView,
    culprit: Culprit,
    reason: str,
    rollout_id: int | None,
    now: datetime,
) -> None:
    between = bans.between(connection, lane.repository_id, view.policy.branch, culprit.since, culprit.position)
    covers = [commit.sha for commit in between] or [culprit.sha]
    # A person lifted the ban of what was taken back in what is live: it came back with this batch.
    covers += reverts.came_back(connection, lane, view.live.sha if view.live is not None else None)
    evidence = rollout_id
    if culprit.search_id is not None:
        tried = [each for each in rollouts.finished(connection, lane.id, 50) if each.state is states.Rollout.SICK]
        last = next((each for each in tried if each.until_sha == culprit.sha), tried[0] if tried else None)
        if last is not None:
            evidence = last.id
            reason = f"{reason}; rollout {last.number} went sick: {last.reason}"
    ban(connection, lane, culprit.sha, culprit.position, covers, reason, ACTOR, evidence, now)
    if view.policy.on_culprit == "hold":
        told = f"the culprit {culprit.sha[:12]} was found and banned: lift this hold to let the lane go on without it"
        holds.place(connection, lane.id, told, ACTOR, now)
        events.record(connection, now, "lane.held", subject_of(lane), ACTOR, told)


def ban_together(
    connection: Connection, lane: Lane, view: LaneView, culprit: Culprit, reason: str, now: datetime
) -> None:
    """The culprit of a joint batch, in one of its lanes; the evidence is the last rollout of it there."""
    last = next((each for each in rollouts.finished(connection, lane.id, 1)), None)
    _ban_culprit(connection, lane, view, culprit, reason, last.id if last is not None else None, now)


def ban(
    connection: Connection,
    lane: Lane,
    sha: str,
    position: int,
    covers: Sequence[str],
    reason: str,
    by: str,
    rollout_id: int | None,
    now: datetime,
) -> None:
    """A commit, and what else is covered, may not ship again; its author reads why."""
    bans.put(connection, lane.id, sha, position, covers, reason, by, now, rollout_id=rollout_id)
    commit = repositories.commit(connection, lane.repository_id, sha)
    author = f" by {commit.author_name} <{commit.author_email}>: {commit.title}" if commit is not None else ""
    more = f" (and {len(covers) - 1} more)" if len(covers) > 1 else ""
    text = f"{sha[:12]}{author}{more} is banned: {reason}"
    events.record(connection, now, "commit.banned", subject_of(lane), by, text)
