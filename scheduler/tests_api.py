"""Tests and other results: of a run, of a repository, of one test; and quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from farmgate.errors import BadPayload, NotFound
from farmgate.refs import HEADS
from farmgate.reports.names import called
from farmgate.store import courses, events, quarantines, reports, repositories
from farmgate.store.intakes import storable
from scheduler import report_reading
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.report_bodies import NewQuarantine, RepositoryTests, RunReports, TestBody

PIECE = 256 * 1024
LONGEST = timedelta(days=30)
Name = Annotated[str, Query(min_length=1, max_length=1200)]


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["tests"])

    @routes.get("/runs/{run_id}/reports")
    def of_run(person: Person, run_id: int) -> RunReports:
        """What a run's jobs reported: tests, coverage, findings, components."""
        with context.store.reading() as connection:
            found = report_reading.of_run(connection, run_id, context.clock.now())
        if found is None:
            raise NotFound(f"no job of run {run_id} has reported anything: name files under 'reports' of a job")
        return found

    @routes.get("/repositories/{repository}/tests")
    def of_repository(person: Person, repository: str, ref: str | None = None) -> RepositoryTests:
        """What is red, flaky, slow and in quarantine. `ref`: a branch; default: the repository's own."""
        with context.store.reading() as connection:
            of = repositories.by_name(connection, repository)
            full = whole_ref(ref) or report_reading.default_ref(of)
            return report_reading.of_repository(connection, of, full, context.clock.now())

    @routes.get("/repositories/{repository}/test")
    def of_test(person: Person, repository: str, name: Name, ref: str | None = None) -> TestBody:
        """A test's history, by its class and name."""
        with context.store.reading() as connection:
            of = repositories.by_name(connection, repository)
            full = whole_ref(ref) or report_reading.default_ref(of)
            return report_reading.of_test(connection, of, name, full, context.clock.now())

    @routes.post("/repositories/{repository}/quarantine", status_code=201)
    def quarantine(person: Writer, repository: str, body: NewQuarantine) -> TestBody:
        """Let a test run without deciding, until a day."""
        place(context, repository, body, person.name)
        return of_test(person, repository, body.test)

    @routes.delete("/repositories/{repository}/quarantine", status_code=204)
    def lift(person: Writer, repository: str, name: Name) -> Response:
        """Let the test decide again."""
        release(context, repository, name, person.name)
        return Response(status_code=204)

    @routes.get("/reports/{report}/files/{number}", response_class=StreamingResponse)
    def file(person: Person, report: int, number: int) -> StreamingResponse:
        """The bytes of a file that was read."""
        with context.store.reading() as connection:
            found = next((one for one in reports.files_of(connection, [report]) if one.number == number), None)
        if found is None or found.sha256 is None:
            raise NotFound(f"report {report} keeps no file {number}")
        stream = context.blobs.open(found.sha256)
        name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in found.path.rpartition("/")[2])
        headers = {
            "Content-Length": str(found.size_bytes),
            "Content-Disposition": f'attachment; filename="{name or "report"}"',
            "X-Content-Type-Options": "nosniff",
        }

        def whole() -> Iterator[bytes]:
            with stream:
                while piece := stream.read(PIECE):
                    yield piece

        return StreamingResponse(whole(), media_type="application/octet-stream", headers=headers)

    return routes


def whole_ref(ref: str | None) -> str | None:
    """A branch's name as a ref."""
    return ref if not ref or ref.startswith("refs/") else HEADS + ref


def place(context: Context, repository: str, body: NewQuarantine, who: str) -> None:
    """Put a test into quarantine. Raises NotFound, BadPayload for a bad end."""
    now = context.clock.now()
    if body.until.tzinfo is None:
        raise BadPayload("until: has no time zone: write it as 2026-12-01T00:00:00Z")
    if not now < body.until <= now + LONGEST:
        raise BadPayload(f"until: must lie after now and at most {LONGEST.days} days ahead: a quarantine is no home")
    if not (body.owner.strip() and body.reason.strip()):
        raise BadPayload("owner, reason: must not be blank: somebody must look after the test")
    with context.store.writing() as connection:
        of = repositories.by_name(connection, repository)
        if not any(
            called(one.class_name, one.name) == body.test for one in courses.tests_named(connection, of.id, body.test)
        ):
            raise NotFound(
                f"no test of {repository} is called {body.test[:200]!r}: write its class and name, as a run shows them"
            )
        quarantines.place(
            connection, of.id, body.test, storable(body.owner), storable(body.reason), body.until, who, now
        )
        text = f"until {body.until:%Y-%m-%d}, owner {body.owner}: {body.test}: {body.reason}"
        events.record(connection, now, "test.quarantined", f"repository/{of.name}", who, storable(text)[:2000])
    context.changes.touch()


def release(context: Context, repository: str, name: str, who: str) -> None:
    """End a quarantine. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        of = repositories.by_name(connection, repository)
        quarantines.lift(connection, of.id, name, who, now)
        events.record(connection, now, "test.released", f"repository/{of.name}", who, storable(name)[:2000])
    context.changes.touch()
