"""What runs where: every application in every environment, and the latest runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from farmgate import states
from farmgate.models import Hold, Lane, Rollout
from farmgate.store import (
    answers,
    holds,
    jobs,
    lane_ahead,
    lanes,
    late_reds,
    nodes,
    releases,
    repositories,
    rollouts,
    runs,
    searches,
)
from farmgate.store.schema import branch_commits, commits, rollout_commits
from scheduler import asking, views
from scheduler.bodies import RunSummary
from scheduler.pages import alarms

LATEST = 15


def read(connection: Connection, now: datetime) -> dict[str, Any]:
    """The values of home.html."""
    found: list[alarms.Alarm] = []
    cells: dict[str, dict[str, Any]] = {}
    environments: list[str] = []
    for lane in lanes.every(connection):
        cells.setdefault(lane.application, {})[lane.environment] = _cell(connection, lane, now, found)
        if lane.environment not in environments:
            environments.append(lane.environment)
    machines = nodes.everyone(connection)
    open_jobs = jobs.counts(connection)
    known = repositories.all_connected(connection)
    stops = holds.standing(connection, None, now)
    found.extend(alarms.of_stops(stops, now))
    found.extend(alarms.of_questions(answers.asking(connection), runs.held(connection), now))
    # A farm that nobody uses yet needs no alarm about its nodes.
    found.extend(alarms.of_nodes(machines, now) if known or machines else ())
    return {
        "status": {
            "running": open_jobs.get(states.Job.RUNNING, 0),
            "waiting": sum(count for state, count in open_jobs.items() if state is not states.Job.RUNNING),
            "oldest_waiting": jobs.oldest_waiting(connection),
            "nodes": len(machines),
            "nodes_ready": sum(node.state is states.Node.READY for node in machines),
        },
        "alarm_list": sorted(found, key=lambda alarm: ("bad", "ask", "busy").index(alarm.tone)),
        "stopped": bool(stops),
        "matrix": {
            "environments": environments,
            "rows": [
                {"application": name, "cells": [(each, row.get(each)) for each in environments]}
                for name, row in cells.items()
            ],
        },
        "runs": latest_runs(connection, limit=LATEST),
        "repositories": [repository.name for repository in known],
    }


def latest_runs(connection: Connection, limit: int, **wanted: Any) -> list[RunSummary]:
    """Rows of runs as lists show them; `wanted` as `store.runs.find` takes it."""
    return views.summaries(connection, runs.find(connection, limit=limit, **wanted))


def href(lane: Lane) -> str:
    """The lane's page."""
    return f"/lanes/{lane.application}/{lane.environment}"


def _cell(connection: Connection, lane: Lane, now: datetime, found: list[alarms.Alarm]) -> dict[str, Any]:
    active = rollouts.active_of(connection, lane.id)
    last = next(iter(rollouts.latest(connection, lane.id, 1)), None)
    standing = holds.standing(connection, lane.id, now)
    name = f"{lane.application} / {lane.environment}"
    search = searches.open_of(connection, lane.id)
    found.extend(
        alarms.of_lane(name, href(lane), active, last, standing, search, now, asking.asked(connection, active))
    )
    found.extend(red_alarms(connection, lane, now))
    waiting, oldest = _waiting(connection, lane, active)
    bad = last is not None and last.state in (states.Rollout.SICK, states.Rollout.STUCK)
    return {
        "application": lane.application,
        "environment": lane.environment,
        "href": href(lane),
        "live": live(connection, lane),
        "rollout": rollout(connection, lane, active) if active else None,
        "waiting": waiting,
        "oldest_waiting": oldest,
        "held": held(standing),
        "problem": f"#{last.number} went {last.state}: {last.reason or ''}" if bad and last is not None else None,
    }


def held(standing: list[Hold]) -> dict[str, Any] | None:
    """The newest hold that stands."""
    return {"reason": standing[0].reason, "by": standing[0].created_by, "kind": standing[0].kind} if standing else None


def live(connection: Connection, lane: Lane) -> dict[str, Any] | None:
    """What is live, with its commit."""
    release = releases.live_of(connection, lane.id)
    if release is None:
        return None
    commit = repositories.commit(connection, lane.repository_id, release.sha)
    return {
        "sha": release.sha,
        "title": commit.title if commit else "",
        "author": commit.author_name if commit else "",
        "since": release.live_from,
        "number": rollouts.by_id(connection, release.rollout_id).number,
    }


def rollout(connection: Connection, lane: Lane, row: Rollout) -> dict[str, Any]:
    """A rollout as lists show it."""
    commit = repositories.commit(connection, lane.repository_id, row.until_sha)
    counted = select(func.count()).where(rollout_commits.c.rollout_id == row.id)
    return {
        "number": row.number,
        "kind": row.kind,
        "state": row.state,
        "wave": row.wave,
        "waves": row.policy.get("waves", []),
        "commits": int(connection.execute(counted).scalar_one()),
        "until_sha": row.until_sha,
        "title": commit.title if commit else "",
        "reason": row.reason,
        "asked_by": row.asked_by,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def _waiting(connection: Connection, lane: Lane, active: Rollout | None) -> tuple[int, datetime | None]:
    """How many commits wait, apart from those on their way, and since when the oldest does."""
    policy = lanes.policy_of(lane)
    ahead = lane_ahead.live(connection, lane, active)
    place = ahead.base if ahead is not None else 0
    row = connection.execute(
        select(func.count(), func.min(commits.c.seen_at))
        .select_from(branch_commits)
        .join(
            commits,
            (commits.c.repository_id == branch_commits.c.repository_id) & (commits.c.sha == branch_commits.c.sha),
            isouter=True,
        )
        .where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == policy.branch,
            branch_commits.c.position > place,
            branch_commits.c.gone_at.is_(None),
        )
    ).one()
    return int(row[0]), row[1]


def red_alarms(connection: Connection, lane: Lane, now: datetime) -> list[alarms.Alarm]:
    """That what is live in a lane turned red."""
    live = releases.live_of(connection, lane.id)
    found = late_reds.standing(connection, lane.repository_id, [live.sha]) if live is not None else []
    name = f"{lane.application} / {lane.environment}"
    return list(alarms.of_red(name, href(lane), found, lanes.policy_of(lane).on_late_red, now))
