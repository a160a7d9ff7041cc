"""A lane's recorded history under another policy, beside its own policy and beside how it went. Nothing is changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from farmgate.errors import Conflict, NotFound
from farmgate.lanes.replay import Replayed, replay
from farmgate.lanes.replay_limits import leaves_out
from farmgate.policy import parse
from farmgate.quantities import Duration
from farmgate.store import lane_history, lanes
from scheduler.auth import Person
from scheduler.context import Context

_LONGEST: Final = timedelta(days=366)
_TOLD: Final = 500
"""So many batches are told: the newest."""


class ReplayedBatch(BaseModel):
    """A rollout of the replay."""

    kind: str
    sha: str
    commits: int
    good: bool
    cut_at: datetime
    ended_at: datetime


class ReplayFigures(BaseModel):
    """How a policy does. Delays are from green to live; `left`: green and not live at the end."""

    rollouts: int
    sick: int
    delivered: int
    left: int
    delay_p50_seconds: float | None
    delay_p95_seconds: float | None
    exposure_commit_minutes: float


class ReplayBody(BaseModel):
    """The same time three times: as it was recorded, and as it would have been under each policy. `leaves_out`: what
    the replay does not reckon with, or only as it is known today, in words."""

    lane: str
    since: datetime
    until: datetime
    commits: int
    recorded: ReplayFigures
    current: ReplayFigures
    proposed: ReplayFigures
    leaves_out: list[str]
    batches: list[ReplayedBatch]


def router(context: Context) -> APIRouter:
    """POST a policy file to see what it would have done."""
    routes = APIRouter(tags=["lanes"])

    @routes.post("/api/lanes/{application}/{environment}/replay")
    async def post_replay(
        application: str,
        environment: str,
        request: Request,
        who: Person,
        since: Annotated[Duration, Query(description="How far back: 12h, 30d.")] = timedelta(days=30),
        source: Annotated[str, Query(max_length=500)] = "delivery.yml",
    ) -> ReplayBody:
        text = await request.body()
        return await run_in_threadpool(replayed, context, application, environment, text, source, since)

    return routes


def replayed(
    context: Context, application: str, environment: str, text: bytes, source: str, span: timedelta
) -> ReplayBody:
    """Raises BadDocument, Conflict, NotFound."""
    found = [each for each in parse(text, source) if (each.application, each.environment) == (application, environment)]
    if not found:
        raise NotFound(f"{source} has no lane {application}/{environment}: name it there as its policy would be")
    if not timedelta(0) < span <= _LONGEST:
        raise Conflict("a replay goes back more than 0s and at most 366d")
    now, policy = context.clock.now(), found[0]
    with context.store.reading() as connection:
        lane = lanes.by_name(connection, application, environment)
        since = max(lane.created_at, now - span)
        was = lane_history.recorded(connection, lane, since)
        own = lanes.policy_of(lane)
        current = lane_history.past(connection, lane, own, since, now)
        proposed = lane_history.past(connection, lane, policy, since, now)
        beside = lane_history.beside(connection, lane, since)
    would = replay(proposed, policy)
    return ReplayBody(
        lane=policy.name,
        since=since,
        until=now,
        commits=len(proposed.commits),
        recorded=figures(was),
        current=figures(replay(current, own)),
        proposed=figures(would),
        leaves_out=list(leaves_out((own, policy), beside)),
        batches=[
            ReplayedBatch(
                kind=each.kind,
                sha=each.sha,
                commits=each.size,
                good=each.good,
                cut_at=each.cut_at,
                ended_at=each.ended_at,
            )
            for each in would.batches[-_TOLD:]
        ],
    )


def figures(found: Replayed) -> ReplayFigures:
    p50, p95 = found.delay(50), found.delay(95)
    return ReplayFigures(
        rollouts=len(found.batches),
        sick=sum(not each.good for each in found.batches),
        delivered=len(found.delays),
        left=found.left,
        delay_p50_seconds=p50.total_seconds() if p50 is not None else None,
        delay_p95_seconds=p95.total_seconds() if p95 is not None else None,
        exposure_commit_minutes=round(found.exposure, 1),
    )
