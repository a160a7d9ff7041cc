"""The page of a commit without a culprit: what to make a pull request of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.store import lanes
from scheduler import revert_reading, reverts_api
from scheduler.auth import Person, Principal
from scheduler.context import Context

Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]


def add(pages: APIRouter, context: Context, show: Show) -> None:
    """The page's address, and that of its patch."""

    @pages.get("/lanes/{application}/{environment}/reverts/{number}")
    def of_revert(request: Request, person: Person, application: str, environment: str, number: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            lane = lanes.by_name(connection, application, environment)
            row = revert_reading.find(connection, lane, number)
            return {
                "here": "/",
                "live": False,
                "r": revert_reading.body(connection, lane, row, now),
                "lane": {"application": application, "environment": environment},
                "path": f"/lanes/{application}/{environment}",
            }

        return show(request, person, "revert.html", read)

    @pages.get("/lanes/{application}/{environment}/reverts/{number}/patch")
    def patch(person: Person, application: str, environment: str, number: int) -> Response:
        return reverts_api.patch(context, application, environment, number)
