"""Lanes for people and tools: what runs where, why a commit waits, and a person's word.

Rules:
1. A policy file is applied all or nothing, by an administrator; whatever is wrong is told at file:line:column.
2. Whatever a person does here is an order or a record in the database; the deploy loop acts on it.
3. A rollback goes only to what was verified good, and says first what it takes back.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from farmgate import lanes as rules
from farmgate.errors import Conflict, Forbidden
from farmgate.lanes import carried
from farmgate.models import Lane, Rollout, RolloutKind
from farmgate.policy import LanePolicy, parse
from farmgate.store import (
    bans,
    events,
    fixes,
    lane_ahead,
    lanes,
    late_reds,
    looks,
    made,
    releases,
    repositories,
    rollouts,
)
from scheduler import back, lane_reading
from scheduler.auth import Admin, Person, Writer
from scheduler.context import Context
from scheduler.lane_bodies import (
    AppliedBody,
    BanBody,
    CarriedBody,
    DecisionAsked,
    FixedAsked,
    FixedBody,
    LaneBody,
    LaneDetail,
    LiftAsked,
    PolicyBody,
    PreviewBody,
    RollbackAsked,
    RollbackBody,
    RolloutBody,
    RolloutDetail,
    WithItBody,
)


def router(context: Context) -> APIRouter:
    """GET and PUT what a lane is; POST what a person wants of it."""
    routes = APIRouter(tags=["lanes"])
    _reading(routes, context)
    _policy(routes, context)
    _acting(routes, context)
    return routes


def _reading(routes: APIRouter, context: Context) -> None:
    @routes.get("/api/lanes")
    def all_lanes(who: Person) -> list[LaneBody]:
        now = context.clock.now()
        with context.store.reading() as connection:
            return [lane_reading.summary(connection, lane, now) for lane in lanes.every(connection)]

    @routes.get("/api/lanes/{application}/{environment}")
    def one_lane(
        application: str,
        environment: str,
        who: Person,
        history: Annotated[int, Query(ge=1, le=500)] = 50,
        waiting: Annotated[int, Query(ge=1, le=20_000)] = 500,
    ) -> LaneDetail:
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            return lane_reading.detail(connection, lane, context.clock.now(), history=history, waiting=waiting)

    @routes.get("/api/lanes/{application}/{environment}/preview")
    def get_preview(application: str, environment: str, who: Person) -> PreviewBody:
        """The batch that would be cut next, and when; while a rollout is under way: after that one, if it is good."""
        now = context.clock.now()
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            return lane_reading.preview_body(lane_ahead.view(connection, lane, now, full=True), now)

    @routes.get("/api/rollouts/{rollout_id}")
    def one_rollout(rollout_id: int, who: Person) -> RolloutDetail:
        with context.store.reading() as connection:
            rollout = rollouts.by_id(connection, rollout_id)
            return lane_reading.rollout_detail(connection, lanes.by_id(connection, rollout.lane_id), rollout)


def _policy(routes: APIRouter, context: Context) -> None:
    @routes.put("/api/lanes/policy")
    async def apply_policy(
        request: Request, who: Admin, source: Annotated[str, Query(max_length=500)] = "delivery.yml"
    ) -> PolicyBody:
        return await run_in_threadpool(_apply, context, await request.body(), source, who.name)


def _apply(context: Context, text: bytes, source: str, who: str) -> PolicyBody:
    policies = parse(text, source)
    if not context.settings.embedded:
        for policy in policies:
            if policy.target.EMBEDDED_ONLY:
                raise Conflict(
                    f"{policy.target.type} targets run only in the embedded farm (`farmgate up`): use docker"
                )
    now = context.clock.now()
    for policy in policies:
        if rules.may_begin(rules.LaneView(0, policy), now) is None:
            raise Conflict(
                f"the windows and freezes of {policy.name} leave it no moment to begin in the next three years"
            )
    with context.store.writing() as connection:
        before = {lane.name: lanes.find(connection, lane.application, lane.environment) for lane in policies}
        applied = lanes.apply_policy(connection, policies, who, now)
        for each, policy in zip(applied, policies, strict=True):
            if each.change != "unchanged":
                told = f"policy {each.change}, version {each.version}"
                was, is_now = before[policy.name], lanes.find(connection, policy.application, policy.environment)
                events.record(
                    connection,
                    now,
                    "lane.policy",
                    f"lane/{each.lane}",
                    who,
                    told,
                    before=was.policy if was is not None else None,
                    after=is_now.policy if is_now is not None else None,
                )
    context.acted_on_lanes()
    bodies = []
    for each in applied:
        application, _, environment = each.lane.partition("/")
        body = AppliedBody(application=application, environment=environment, version=each.version, change=each.change)
        bodies.append(body)
    return PolicyBody(lanes=bodies)


def _acting(routes: APIRouter, context: Context) -> None:
    lane_path = "/api/lanes/{application}/{environment}"

    @routes.post(f"{lane_path}/rollback", status_code=202)
    def post_rollback(application: str, environment: str, asked: RollbackAsked, who: Writer) -> RollbackBody:
        return roll_back(context, application, environment, asked.to, asked.reason, who.name, together=asked.together)

    @routes.post(f"{lane_path}/decide")
    def post_decision(application: str, environment: str, asked: DecisionAsked, who: Writer) -> RolloutBody:
        return decide(context, application, environment, asked.verdict, asked.reason, who.name)

    @routes.post(f"{lane_path}/bans/{{sha}}/lift")
    def post_lift(application: str, environment: str, sha: str, asked: LiftAsked, who: Writer) -> list[BanBody]:
        return lift_ban(context, application, environment, sha, asked.reason, who.name)

    @routes.post(f"{lane_path}/bans/{{sha}}/fixed")
    def post_fixed(application: str, environment: str, sha: str, asked: FixedAsked, who: Writer) -> FixedBody:
        return say_fixed(context, application, environment, sha, asked.commit, asked.reason, who.name)


# --- what a person does: the same for the API and for the forms of the pages -----------------------------------------


def roll_back(
    context: Context,
    application: str,
    environment: str,
    to: int | None,
    reason: str,
    who: str,
    live_seen: int | None = None,
    *,
    together: bool | None = None,
) -> RollbackBody:
    """Order a rollback. `live_seen`: the rollout that the person saw as live; `together`: with the lanes of its group,
    or alone, which must be said where there are any. Raises Conflict, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        live = releases.live_of(connection, lane.id)
        changed = live is None or rollouts.by_id(connection, live.rollout_id).number != live_seen
        if live_seen is not None and changed:
            raise Conflict("what is live has changed since you looked: look again at what would be taken back")
        body, release_id = _going_back(connection, lane, to)
        goes = back.lanes_of(connection, lane, release_id, together)
        for member, target in goes:
            named = [back.name_of(each) for each, _ in goes] if len(goes) > 1 else []
            lanes.order_rollback(connection, member.id, target, who, reason, now, named)
            release = releases.by_id(connection, target)
            number = rollouts.by_id(connection, release.rollout_id).number
            told = f"back to {release.sha[:12]} (rollout {number}): {reason}"
            after = {"release": target, "sha": release.sha}
            events.record(connection, now, "lane.rollback", f"lane/{back.name_of(member)}", who, told, after=after)
        body.together = [
            WithItBody(lane=back.name_of(member), to_sha=releases.by_id(connection, target).sha)
            for member, target in goes
            if member.id != lane.id
        ]
    context.acted_on_lanes()
    return body


def decide(context: Context, application: str, environment: str, verdict: str, reason: str, who: str) -> RolloutBody:
    """A person's verdict, good or sick, on the rollout that asks. Raises Conflict, LostRace, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        active = rollouts.active_of(connection, lane.id)
        if active is None:
            raise Conflict(f"no rollout is under way in {application}/{environment}")
        _may_decide(active, who)
        if not rollouts.decide(connection, active, verdict, who, reason, now):
            raise Conflict("someone has decided this wave already")
        told = f"rollout {active.number}: {verdict}: {reason}"
        events.record(connection, now, "rollout.decided", f"lane/{application}/{environment}", who, told)
        body = lane_reading.rollout_bodies(connection, lane, [active])[0]
    context.acted_on_lanes()
    return body


def _may_decide(active: Rollout, who: str) -> None:
    """Where the wave names who answers, nobody else does. Raises Forbidden."""
    if active.started_at is None:
        return  # it asks before its start, whoever may act on lanes
    person = LanePolicy.model_validate(active.policy).person_of(active.wave)
    if person is not None and person.who and who not in person.who:
        raise Forbidden(f"wave {active.wave + 1} of rollout {active.number} asks {', '.join(person.who)}, not {who}")


def lift_ban(context: Context, application: str, environment: str, sha: str, reason: str, who: str) -> list[BanBody]:
    """Lift every ban that covers a commit. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        lifted = bans.lift(connection, lane.id, sha.lower(), who, now)
        told = f"{', '.join(ban.sha[:12] for ban in lifted)}: {reason}"
        events.record(connection, now, "ban.lifted", f"lane/{application}/{environment}", who, told)
    context.acted_on_lanes()
    return [BanBody.model_validate(each, from_attributes=True) for each in lifted]


def say_fixed(
    context: Context, application: str, environment: str, sha: str, commit: str, reason: str, who: str
) -> FixedBody:
    """A person says which commit fixes a banned one. Raises Conflict, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        ban = bans.covering(connection, lane.id, sha.lower())[0]
        fix = repositories.by_prefix(connection, lane.repository_id, commit.lower())
        branch = lanes.policy_of(lane).branch
        places = {
            place.sha: place.position
            for place in repositories.branches_of(connection, lane.repository_id, fix.sha)
            + repositories.branches_of(connection, lane.repository_id, ban.sha)
            if place.branch == branch and place.gone_at is None
        }
        if fix.sha not in places:
            raise Conflict(f"{fix.sha[:12]} is not on {branch}, from which this lane delivers")
        if places[fix.sha] <= places.get(ban.sha, ban.position):
            raise Conflict(f"{fix.sha[:12]} stands before {ban.sha[:12]}, which is banned: a fix comes after it")
        fixes.say(connection, lane.repository_id, fix.sha, ban.sha, who, reason, now)
        told = f"{ban.sha[:12]} is fixed by {fix.sha[:12]}: {reason}"
        events.record(connection, now, "ban.fixed", f"lane/{application}/{environment}", who, told)
    context.acted_on_lanes()
    return FixedBody(banned=ban.sha, fix=fix.sha, title=fix.title)


def _going_back(connection: Connection, lane: Lane, to: int | None) -> tuple[RollbackBody, int]:
    """What a rollback would do, and to which release. Raises Conflict, NotFound."""
    name = f"{lane.application}/{lane.environment}"
    live = releases.live_of(connection, lane.id)
    if live is None:
        raise Conflict(f"nothing is live in {name} that could be taken back")
    if to is not None:
        release = releases.by_rollout_number(connection, lane.id, to)
        red = late_reds.standing(connection, lane.repository_id, [release.sha])
        if red and release.id != live.id:
            said = f"rollout {to} left {release.sha[:12]} live, and {red[-1].check} says no of it since"
            raise Conflict(f"{said}: choose another, or say that it is good (farmgate candidate green)")
    else:
        earlier = releases.before(connection, live)
        if earlier is None:
            raise Conflict(f"{name} has no earlier good release to go back to")
        release = earlier
    active, upto = rollouts.active_of(connection, lane.id), live.position
    if active is not None and active.kind is not RolloutKind.ROLLBACK:
        upto = max(upto, active.until_position)  # what is on its way is taken back as well
    if release.id == live.id and upto == live.position:
        raise Conflict(f"rollout {to} is what is live in {name}")
    branch = lanes.policy_of(lane).branch
    taken = bans.between(connection, lane.repository_id, branch, release.position, upto)
    places = [(each.sha, each.position) for each in taken]
    places += [(sha, live.position) for sha in made.over(connection, lane.repository_id, live.sha, release.sha)]
    known = repositories.commits_of(connection, lane.repository_id, [sha for sha, _ in places])
    commits = [
        CarriedBody(
            sha=sha,
            position=position,
            title=known[sha].title if sha in known else "",
            author=known[sha].author_name if sha in known else "",
        )
        for sha, position in places
    ]
    number = rollouts.by_id(connection, release.rollout_id).number
    crosses = list(carried.irreversible(looks.beyond(connection, lane.id, release.position)))
    body = RollbackBody(lane=name, to_sha=release.sha, to_rollout=number, takes_back=commits, crosses=crosses)
    return body, release.id
