"""Commits without a culprit, offered as pull requests: their text, and the commits as mails that `git am` applies.

Rules:
1. Whoever may look at a lane may read them.
2. The mails come from the farm's mirror, where the commits are kept; on the branch they are recognized whatever their
   hashes become.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from farmgate.errors import Conflict
from farmgate.store import lane_views, lanes, made, repositories
from scheduler import made_reading, revert_reading
from scheduler.auth import Person
from scheduler.context import Context
from scheduler.made_bodies import MadeBody, RevertBody


def router(context: Context) -> APIRouter:
    """GET the reverts of a lane, one with its text, and its commits."""
    routes = APIRouter(tags=["lanes"])
    path = "/api/lanes/{application}/{environment}/reverts"

    @routes.get(path)
    def get_reverts(
        application: str, environment: str, who: Person, limit: Annotated[int, Query(ge=1, le=200)] = 20
    ) -> list[MadeBody]:
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            view = lane_views.view(connection, lane, context.clock.now())
            return [made_reading.body(connection, row, view) for row in made.reverts(connection, lane.id, limit)]

    @routes.get(f"{path}/newest")
    def get_newest(application: str, environment: str, who: Person) -> RevertBody:
        return text(context, application, environment, None)

    @routes.get(f"{path}/{{number}}")
    def get_revert(application: str, environment: str, number: int, who: Person) -> RevertBody:
        return text(context, application, environment, number)

    @routes.get(f"{path}/{{number}}/patch", response_class=Response)
    def get_patch(application: str, environment: str, number: int, who: Person) -> Response:
        return patch(context, application, environment, number)

    return routes


def text(context: Context, application: str, environment: str, number: int | None) -> RevertBody:
    """Raises NotFound."""
    with context.store.reading() as connection:
        lane = lanes.by_name(connection, application, environment)
        row = revert_reading.find(connection, lane, number)
        return revert_reading.body(connection, lane, row, context.clock.now())


def patch(context: Context, application: str, environment: str, number: int) -> Response:
    """Rule 2. Raises NotFound, Conflict."""
    with context.store.reading() as connection:
        lane = lanes.by_name(connection, application, environment)
        row = revert_reading.find(connection, lane, number)
        of = repositories.by_id(connection, row.repository_id)
    if row.sha is None:
        raise Conflict(f"revert {row.id} has no commit: {row.problem or 'it is being made'}")
    mails = context.mirrors.of(of).mailbox(row.onto, row.sha)
    named = f'inline; filename="revert-{row.id}.patch"'
    safe = {"Content-Disposition": named, "X-Content-Type-Options": "nosniff"}
    return Response(mails, media_type="text/plain; charset=utf-8", headers=safe)
