"""Groups for people and tools: which lanes go together, what they do, and why they wait.

Rules:
1. A group's file is applied by an administrator, all or nothing; what is wrong is told at file:line:column.
2. A change counts from the next cut. Without lanes a group is dissolved: each goes by itself again.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from farmgate.policy import parse_group
from farmgate.store import events, lane_groups
from scheduler import group_reading
from scheduler.auth import Admin, Person
from scheduler.context import Context
from scheduler.group_bodies import AppliedGroupBody, GroupBody, GroupDetail


def router(context: Context) -> APIRouter:
    """GET, PUT and DELETE of groups."""
    routes = APIRouter(tags=["groups"])

    @routes.get("/api/groups")
    def all_groups(who: Person) -> list[GroupBody]:
        with context.store.reading() as connection:
            found = [group_reading.summary(connection, group) for group in lane_groups.every(connection)]
        return [group for group in found if group.lanes]

    @routes.get("/api/groups/{name}")
    def one_group(name: str, who: Person) -> GroupDetail:
        with context.store.reading() as connection:
            return group_reading.detail(connection, lane_groups.by_name(connection, name), context.clock.now())

    @routes.put("/api/groups")
    async def apply_group(
        request: Request, who: Admin, source: Annotated[str, Query(max_length=500)] = "together.yml"
    ) -> AppliedGroupBody:
        return await run_in_threadpool(_apply, context, await request.body(), source, who.name)

    @routes.delete("/api/groups/{name}")
    def dissolve_group(name: str, who: Admin) -> AppliedGroupBody:
        return _give(context, name, (), who.name)

    return routes


def _apply(context: Context, text: bytes, source: str, who: str) -> AppliedGroupBody:
    group = parse_group(text, source)
    return _give(context, group.name, group.lanes, who)


def _give(context: Context, name: str, wanted: tuple[str, ...], who: str) -> AppliedGroupBody:
    now = context.clock.now()
    with context.store.writing() as connection:
        found = lane_groups.find(connection, name)
        before = [group_reading.name_of(lane) for lane in lane_groups.lanes_of(connection, found.id)] if found else None
        done = lane_groups.apply(connection, name, wanted, who, now)
        if done.change != "unchanged":
            told = f"group {done.change}, version {done.version}: {', '.join(wanted) or 'no lanes'}"
            after = {"lanes": list(wanted)}
            was = {"lanes": before} if before is not None else None
            events.record(connection, now, "group.lanes", f"group/{name}", who, told, before=was, after=after)
    context.acted_on_lanes()
    return AppliedGroupBody(name=done.name, version=done.version, change=done.change)
