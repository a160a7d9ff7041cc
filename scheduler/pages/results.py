"""The pages of tests: a run's part, a repository's tests, one test; and the forms of quarantine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy import Connection

from farmgate.errors import BadPayload
from farmgate.store import repositories
from scheduler import report_reading, tests_api
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.pages.actions import Fields, back_to
from scheduler.pages.rendering import query
from scheduler.report_bodies import NewQuarantine, VariantBody

Read = Callable[[Connection, datetime], dict[str, Any]]
Live = Callable[[Request, Person, str, Read], Awaitable[Response]]
WIDE, HIGH = 600, 60  # of a trend


def add(pages: APIRouter, context: Context, live: Live) -> None:
    """The pages' addresses."""

    @pages.get("/tests/{repository}")
    async def of_repository(request: Request, person: Person, repository: str, ref: str = "") -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            of = repositories.by_name(connection, repository)
            full = tests_api.whole_ref(ref) or report_reading.default_ref(of)
            return {"told": report_reading.of_repository(connection, of, full, now), "here": "/runs", "ref": ref}

        return await live(request, person, "tests.html", read)

    @pages.get("/tests/{repository}/test")
    async def of_test(request: Request, person: Person, repository: str, name: str, ref: str = "") -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            of = repositories.by_name(connection, repository)
            full = tests_api.whole_ref(ref) or report_reading.default_ref(of)
            told = report_reading.of_test(connection, of, name, full, now)
            trends = [trend(variant) for variant in told.variants]
            latest = (now + tests_api.LONGEST).date()
            return {"told": told, "trends": trends, "here": "/runs", "ref": ref, "latest": latest, "today": now.date()}

        return await live(request, person, "test.html", read)

    @pages.post("/tests/{repository}/quarantine")
    def quarantine(person: Writer, repository: str, fields: Fields) -> Response:
        test = fields.get("test", "")
        try:
            day = datetime.combine(date.fromisoformat(fields.get("until", "")), time(), UTC)
            body = NewQuarantine(test=test, owner=fields.get("owner", ""), reason=fields.get("reason", ""), until=day)
        except ValidationError as error:
            names = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise BadPayload(f"{names}: must be given, and may not be longer than a few lines") from None
        except ValueError:
            raise BadPayload("until: must be a day, such as 2026-12-01") from None
        tests_api.place(context, repository, body, person.name)
        return back_to(_page_of(repository, test))

    @pages.post("/tests/{repository}/release")
    def release(person: Writer, repository: str, fields: Fields) -> Response:
        test = fields.get("test", "")
        tests_api.release(context, repository, test, person.name)
        return back_to(_page_of(repository, test))


def _page_of(repository: str, test: str) -> str:
    return f"/tests/{repository}/test?{query({'name': test})}"


def trend(variant: VariantBody) -> dict[str, Any] | None:
    """A test's duration over its last commits, as the points of a line, oldest first; None for less than two."""
    took = [point.seconds for point in reversed(variant.points) if point.outcome != "skipped"]
    if len(took) < 2:
        return None
    most = max(took) or 1.0
    step = WIDE / (len(took) - 1)
    points = [f"{at * step:.1f},{HIGH - 2 - seconds / most * (HIGH - 6):.1f}" for at, seconds in enumerate(took)]
    return {"points": " ".join(points), "first": took[0], "last": took[-1], "most": most, "count": len(took)}
