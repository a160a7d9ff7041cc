"""What keeps lanes from delivering: holds and freezes of one lane, and the stop of all of them at once.

Rules:
1. Each has a reason, a name and an end; one without an end ends when a person lifts it.
2. A stop is one act for every lane, those to come included, and so is lifting it.
"""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from sqlalchemy import Connection

from farmgate.errors import Conflict
from farmgate.models import HoldKind
from farmgate.store import events, holds, lanes
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.lane_bodies import FreezeAsked, HoldAsked, HoldBody, LiftedBody

EVERY_LANE = "lanes"
"""What events of a stop are about."""


def router(context: Context) -> APIRouter:
    """POST and DELETE holds, freezes and the stop; GET the stop."""
    routes = APIRouter(tags=["lanes"])
    lane_path = "/api/lanes/{application}/{environment}"

    @routes.post(f"{lane_path}/hold", status_code=201)
    def post_hold(application: str, environment: str, asked: HoldAsked, who: Writer) -> HoldBody:
        until = asked.ends(context.clock.now())
        return hold(context, application, environment, until, asked.reason, who.name)

    @routes.post(f"{lane_path}/freeze", status_code=201)
    def post_freeze(application: str, environment: str, asked: FreezeAsked, who: Writer) -> HoldBody:
        return freeze(context, application, environment, asked.begins, asked.until, asked.reason, who.name)

    @routes.delete(f"{lane_path}/hold")
    def delete_hold(application: str, environment: str, who: Writer) -> LiftedBody:
        return LiftedBody(lifted=unhold(context, application, environment, who.name))

    @routes.get("/api/stop")
    def get_stop(who: Person) -> list[HoldBody]:
        with context.store.reading() as connection:
            return [hold_body(each) for each in holds.standing(connection, None, context.clock.now())]

    @routes.post("/api/stop", status_code=201)
    def post_stop(asked: HoldAsked, who: Writer) -> HoldBody:
        return stop(context, asked.ends(context.clock.now()), asked.reason, who.name)

    @routes.delete("/api/stop")
    def delete_stop(who: Writer) -> LiftedBody:
        return LiftedBody(lifted=go_on(context, who.name))

    return routes


# --- what a person does: the same for the API and for the forms of the pages -----------------------------------------


def hold(
    context: Context, application: str, environment: str, until: datetime | None, reason: str, who: str
) -> HoldBody:
    """Stop a lane; without `until`, until a person lifts it. Raises Conflict, NotFound."""
    return _place(context, (application, environment), HoldKind.HOLD, None, until, reason, who)


def freeze(
    context: Context, application: str, environment: str, begins: datetime, until: datetime, reason: str, who: str
) -> HoldBody:
    """Plan a time without rollouts. Raises Conflict, NotFound."""
    if until <= begins:
        raise Conflict("that freeze would end before it begins: give an end after its beginning")
    return _place(context, (application, environment), HoldKind.FREEZE, begins, until, reason, who)


def stop(context: Context, until: datetime | None, reason: str, who: str) -> HoldBody:
    """Stop every lane; without `until`, until a person lets them go on. Raises Conflict."""
    return _place(context, None, HoldKind.STOP, None, until, reason, who)


def unhold(context: Context, application: str, environment: str, who: str) -> int:
    """Lift every hold and freeze of a lane; how many there were. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        lifted = holds.lift(connection, lane.id, who, now)
        _released(connection, now, f"lane/{application}/{environment}", who, lifted)
    context.acted_on_lanes()
    return lifted


def go_on(context: Context, who: str) -> int:
    """Lift the stop; how many there were."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lifted = holds.lift(connection, None, who, now)
        _released(connection, now, EVERY_LANE, who, lifted)
    context.acted_on_lanes()
    return lifted


def hold_body(found: object) -> HoldBody:
    return HoldBody.model_validate(found, from_attributes=True)


def _place(
    context: Context,
    lane_name: tuple[str, str] | None,
    kind: HoldKind,
    begins: datetime | None,
    until: datetime | None,
    reason: str,
    who: str,
) -> HoldBody:
    now = context.clock.now()
    if until is not None and until <= now:
        raise Conflict(f"that {kind} would be over before it began: give an end that lies ahead")
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, *lane_name) if lane_name is not None else None
        placed = holds.place(connection, lane.id if lane else None, reason, who, now, until, begins=begins, kind=kind)
        subject = f"lane/{'/'.join(lane_name)}" if lane_name is not None else EVERY_LANE
        events.record(connection, now, _EVENTS[kind], subject, who, reason)
        body = hold_body(holds.by_id(connection, placed))
    context.acted_on_lanes()
    return body


_EVENTS = {HoldKind.HOLD: "lane.held", HoldKind.FREEZE: "lane.frozen", HoldKind.STOP: "lanes.stopped"}


def _released(connection: Connection, now: datetime, subject: str, who: str, lifted: int) -> None:
    if lifted:
        events.record(connection, now, "lane.released", subject, who, f"{lifted} holds lifted")
