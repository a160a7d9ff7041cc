"""The pages of vulnerabilities: what is live, the worst first; one of them, with what was decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.store import osv
from farmgate.vulnerabilities.ratings import Severity
from scheduler import vulnerability_reading as reading
from scheduler.auth import Person, Principal
from scheduler.vulnerabilities_api import detail

Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]
MOST: int = 500
MOST_OF_LANE: int = 30


def add(pages: APIRouter, show: Show) -> None:
    """The pages' addresses."""

    @pages.get("/vulnerabilities")
    def listed(
        request: Request,
        person: Person,
        lane: str = "",
        severity: str = "",
        package: str = "",
        all: str = "",  # noqa: A002
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            floor = Severity(severity) if severity in list(Severity) else None
            whole = reading.overview(connection, now)
            told = reading.overview(
                connection, now, lane=lane[:200] or None, severity=floor, package=package[:400] or None
            )
            rows = [
                (one, place) for one in told.vulnerabilities for place in one.lanes if all or place.decision is None
            ]
            return {
                "live": False,
                "told": told,
                "rows": rows[:MOST],
                "count": len(rows),
                "lanes": [each.lane for each in whole.lanes],
                "made_of": told.lanes,
                "under_way": osv.under_way(connection),
                "failed": _failed(connection),
                "wanted": {"lane": lane, "severity": severity, "package": package, "all": all},
                "severities": [each for each in Severity if each is not Severity.UNKNOWN],
            }

        return show(request, person, "vulnerabilities.html", read)

    @pages.get("/vulnerabilities/untold")
    def untold(request: Request, person: Person) -> Response:
        return show(
            request,
            person,
            "untold.html",
            lambda connection, now: {"here": "/vulnerabilities", "live": False, "told": reading.untold(connection)},
        )

    @pages.get("/vulnerabilities/{vulnerability}")
    def one(request: Request, person: Person, vulnerability: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            return {"here": "/vulnerabilities", "live": False, "v": detail(connection, vulnerability[:100], now)}

        return show(request, person, "vulnerability.html", read)


def of_lane(connection: Connection, name: str, now: datetime) -> dict[str, Any] | None:
    """For the page of a lane; None: nothing was imported, and the lane asks for nothing."""
    told = reading.overview(connection, now, lane=name)
    (made,) = told.lanes
    if told.imported is None and made.refuses is None:
        return None
    return {
        "imported": told.imported is not None,
        "made_of": made,
        "rows": [(one, place) for one in told.vulnerabilities for place in one.lanes][:MOST_OF_LANE],
        "count": len(told.vulnerabilities),
    }


def _failed(connection: Connection) -> Any:
    last = next(iter(osv.latest(connection, 1)), None)
    return last if last is not None and last.state == "failed" else None
