"""Hotfixes: asking for one, cancelling it, and saying what contains it.

Rules:
1. A hotfix stands on what is live. Whether its commits go there is tried before anything is written: a conflict is an
   answer to who asks.
2. A commit must have come to the repository itself, by a branch; one that is known only from a fork is refused.
3. What is banned in the lane is refused, and so is a second hotfix while one is open. A commit without a culprit that
   is not delivered yet gives way.
4. It can be cancelled until its rollout begins; that one is ended as any other, by rolling back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import Conflict, MissingProgram, NotFound, NotInRepository
from farmgate.git import Clash, Workshop
from farmgate.models import Lane, Made, MadeKind, Repository
from farmgate.refs import HEADS, is_sha
from farmgate.store import bans, events, lane_views, lanes, made, repositories, submissions
from scheduler import made_reading, making
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.decisions import EndMade
from scheduler.made_bodies import BroughtBody, MadeBody


class HotfixAsked(BaseModel):
    """The commits, in the order in which they are picked; a unique beginning of a hash will do."""

    commits: list[Annotated[str, Field(min_length=4, max_length=64)]] = Field(
        min_length=1, max_length=making.MOST_PICKS
    )
    reason: str = Field(min_length=1, max_length=1000)


class CancelAsked(BaseModel):
    reason: str = Field(min_length=1, max_length=1000)


class ContainsAsked(BaseModel):
    """The commit of the branch that contains it."""

    commit: str = Field(min_length=4, max_length=64)
    reason: str = Field(min_length=1, max_length=1000)


def router(context: Context) -> APIRouter:
    """POST, GET and cancel hotfixes; say what contains one."""
    routes = APIRouter(tags=["lanes"])
    path = "/api/lanes/{application}/{environment}/hotfixes"

    @routes.get(path)
    def get_hotfixes(
        application: str, environment: str, who: Person, limit: Annotated[int, Query(ge=1, le=200)] = 20
    ) -> list[MadeBody]:
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            view = lane_views.view(connection, lane, context.clock.now())
            return [made_reading.body(connection, row, view) for row in made.latest(connection, lane.id, limit)]

    @routes.post(path, status_code=202)
    def post_hotfix(application: str, environment: str, asked: HotfixAsked, who: Writer) -> MadeBody:
        return ask(context, application, environment, asked.commits, asked.reason, who.name)

    @routes.post(f"{path}/{{made_id}}/cancel")
    def post_cancel(application: str, environment: str, made_id: int, asked: CancelAsked, who: Writer) -> MadeBody:
        return cancel(context, application, environment, made_id, asked.reason, who.name)

    @routes.post(f"{path}/{{made_id}}/contained")
    def post_contained(
        application: str, environment: str, made_id: int, asked: ContainsAsked, who: Writer
    ) -> list[BroughtBody]:
        return say_contained(context, application, environment, made_id, asked.commit, asked.reason, who.name)

    return routes


# --- what a person does: the same for the API and for the forms of the pages -----------------------------------------


def ask(context: Context, application: str, environment: str, commits: list[str], reason: str, who: str) -> MadeBody:
    """Raises Conflict, NotFound."""
    now = context.clock.now()
    with context.store.reading() as connection:
        lane = lanes.by_name(connection, application, environment)
        repository = repositories.by_id(connection, lane.repository_id)
        policy = lanes.policy_of(lane)
        workshop = context.mirrors.of(repository)
        picks = [_pick(connection, lane, repository, workshop, each.lower()) for each in commits]
        live = lane_views.live_of(connection, lane, policy)
    if live is None:
        raise Conflict(f"nothing is live in {application}/{environment}: there is nothing that a hotfix could stand on")
    if len(set(picks)) != len(picks):
        raise Conflict("a commit is named twice")
    try:
        tried = workshop.grow(live.sha, picks, at=now)
    except (NotInRepository, MissingProgram) as error:
        raise Conflict(str(error)) from None
    if isinstance(tried, Clash):
        raise Conflict(f"on what is live ({live.sha[:12]}) {tried.words}: bring a commit that goes there")
    wish = made.Wish(MadeKind.HOTFIX, policy.branch, tuple(picks), live.sha, live.base, reason, who)
    with context.store.writing() as connection:
        _give_way(connection, lane, who, now)
        row = made.ask(connection, lane, wish, now)
        told = f"hotfix {row.id}: {', '.join(pick[:12] for pick in picks)} on {live.sha[:12]}: {reason}"
        events.record(connection, now, "hotfix.asked", f"lane/{application}/{environment}", who, told)
        answer = made_reading.body(connection, row, lane_views.view(connection, lane, now))
    context.wake()
    context.acted_on_lanes()
    return answer


def _give_way(connection: Connection, lane: Lane, who: str, now: datetime) -> None:
    """A commit without a culprit that is not delivered yet: the lane asks for one again on what the hotfix leaves."""
    opened = made.open_of(connection, lane.id)
    if opened is not None and opened.kind is MadeKind.REVERT and opened.state in made.BEFORE_DELIVERY:
        told = "a hotfix goes first; if it is needed then, it is made again"
        making.end(connection, EndMade(opened.id, states.Made.NEEDLESS, told), now, who)


def cancel(context: Context, application: str, environment: str, made_id: int, reason: str, who: str) -> MadeBody:
    """Raises Conflict, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        row = _of_lane(connection, lane, made_id)
        if row.state not in made.BEFORE_DELIVERY:
            more = (
                ": roll the lane back to take it back"
                if row.state in (states.Made.DELIVERING, states.Made.LIVE)
                else ""
            )
            raise Conflict(f"{row.kind} {row.id} is {row.state}{more}")
        making.end(connection, EndMade(row.id, states.Made.CANCELLED, f"cancelled by {who}: {reason}"), now, who)
        answer = made_reading.body(connection, made.by_id(connection, row.id), lane_views.view(connection, lane, now))
    context.wake()
    context.acted_on_lanes()
    return answer


def say_contained(
    context: Context, application: str, environment: str, made_id: int, commit: str, reason: str, who: str
) -> list[BroughtBody]:
    """A person says which commit of the branch contains what a made commit brought. Raises Conflict, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        row = _of_lane(connection, lane, made_id)
        by = repositories.by_prefix(connection, lane.repository_id, commit.lower())
        place = next(
            (
                each.position
                for each in repositories.branches_of(connection, lane.repository_id, by.sha)
                if each.branch == row.branch and each.gone_at is None
            ),
            None,
        )
        if place is None:
            raise Conflict(f"{by.sha[:12]} is not on {row.branch}, from which this lane delivers")
        if place <= row.onto_position:
            raise Conflict(f"{by.sha[:12]} stands before what {row.kind} {row.id} was made on: name a later one")
        for pick, sha in zip(row.picks, row.shas, strict=False):
            if made.contained_at(connection, row, row.branch, pick, sha) is None:
                made.say(connection, row.id, pick, by.sha, who, reason, now)
        told = f"{by.sha[:12]} contains {row.kind} {row.id}: {reason}"
        events.record(connection, now, "hotfix.contained", f"lane/{application}/{environment}", who, told)
        answer = made_reading.brought(connection, lane)
    context.acted_on_lanes()
    return answer


def _of_lane(connection: Connection, lane: Lane, made_id: int) -> Made:
    row = made.by_id(connection, made_id)
    if row.lane_id != lane.id:
        raise NotFound(f"{lane.application}/{lane.environment} has no hotfix {made_id}")
    return row


def _pick(connection: Connection, lane: Lane, repository: Repository, workshop: Workshop, text: str) -> str:
    """The whole hash of a commit that may be picked. Raises Conflict, NotFound."""
    try:
        sha = repositories.by_prefix(connection, repository.id, text).sha
    except NotFound:
        if not is_sha(text):
            raise
        try:
            sha = workshop.commit(text).sha
        except NotInRepository:
            raise NotFound(f"{repository.name} has no commit {text[:12]} (yet): was it pushed?") from None
    banned = [ban for ban in bans.standing(connection, lane.id) if sha in (ban.sha, *ban.covers)]
    if banned:
        raise Conflict(f"{sha[:12]} is banned here: {banned[0].reason}; lift the ban first")
    if not submissions.stands_on_a_branch(connection, repository.id, sha) and not _on_a_branch(workshop, sha):
        raise Conflict(
            f"{sha[:12]} is on no branch of {repository.name}: push it to one (a fork's commit is not delivered)"
        )
    return sha


def _on_a_branch(workshop: Workshop, sha: str) -> bool:
    tips = {tip for name, tip in workshop.refs().items() if name.startswith(HEADS)}
    try:
        return any(workshop.is_ancestor(sha, tip) for tip in tips)
    except NotInRepository:
        return False
