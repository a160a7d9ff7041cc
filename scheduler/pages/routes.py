"""The addresses of the pages, and what each reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import NotFound
from farmgate.store import attempts, jobs, repositories, runs
from scheduler.auth import Person
from scheduler.context import Context
from scheduler.log_index import milliseconds
from scheduler.pages import (
    actions,
    artifacts,
    audit,
    confirm,
    confirm_hotfix,
    group,
    home,
    identity,
    lane,
    ledger,
    log_part,
    nodes,
    rendering,
    results,
    reverts,
    run,
    secrets,
    signin,
    vulnerabilities,
    vulnerability_forms,
    where,
)
from scheduler.pages.guard import PageRoute, error_page
from scheduler.pages.shared import Shared

RUNS_AT_ONCE = 60
NO_PAGE = ("api/", "hooks/", "git/", "static/", "openapi.json", "healthz", "readyz")
Read = Callable[[Connection, datetime], dict[str, Any]]


def router(context: Context) -> APIRouter:
    """All pages. To be mounted last: it answers for addresses that nobody else has."""
    pages = APIRouter(route_class=PageRoute, include_in_schema=False)

    def show(request: Request, person: Person, template: str, read: Read) -> Response:
        now = context.clock.now()
        with context.store.reading() as connection:
            values = read(connection, now)
        return rendering.page(request, context, template, values, viewer=person.name)

    shared = Shared()

    async def live(request: Request, person: Person, template: str, read: Read) -> Response:
        """A page that refreshes itself."""
        if not rendering.is_refresh(request):
            return await run_in_threadpool(show, request, person, template, read)

        def make() -> str:
            with context.store.reading() as connection:
                return rendering.inside(context, template, read(connection, context.clock.now()))

        return HTMLResponse(await shared.get(f"{request.url.path}?{request.url.query}", make), 200, rendering.HEADERS)

    @pages.get("/")
    async def what_runs_where(request: Request, person: Person) -> Response:
        return await live(request, person, "home.html", home.read)

    @pages.get("/runs")
    async def all_runs(
        request: Request, person: Person, repository: str = "", state: str = "", before_id: int | None = None
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            wanted: dict[str, Any] = {"before_id": before_id}
            if repository:
                wanted["repository_id"] = repositories.by_name(connection, repository).id
            if state in list(states.Run):
                wanted["state"] = states.Run(state)
            rows = home.latest_runs(connection, limit=RUNS_AT_ONCE, **wanted)
            return {
                "runs": rows,
                "repository": repository,
                "state": state,
                "repositories": [known.name for known in repositories.all_connected(connection)],
                "older": rows[-1].id if len(rows) == RUNS_AT_ONCE else None,
                "live": before_id is None,
            }

        return await live(request, person, "runs.html", read)

    @pages.get("/runs/{run_id}")
    async def one_run(
        request: Request, person: Person, run_id: int, job: str = "", attempt: int | None = None
    ) -> Response:
        chosen = (job, attempt) if job and attempt is not None else None
        return await live(request, person, "run.html", lambda c, now: run.read(context, c, run_id, now, chosen))

    @pages.get("/runs/{run_id}/artifacts")
    async def artifacts_of_run(
        request: Request, person: Person, run_id: int, job: str = "", under: str = ""
    ) -> Response:
        return await live(
            request, person, "artifacts.html", lambda c, now: artifacts.read(context, c, run_id, job, under)
        )

    @pages.get("/runs/{run_id}/jobs/{job_id}/log")
    def log_of_job(
        person: Person, run_id: int, job_id: int, attempt: int, lines: int = 1000, upto: int | None = None
    ) -> Response:
        with context.store.reading() as connection:
            of = jobs.by_id(connection, job_id)
            if of.run_id != run_id:
                raise NotFound(f"run {run_id} has no job {job_id}")
            row = attempts.by_number(connection, jobs.told_by(of), attempt)
            steps = attempts.steps_of(connection, [row.id])
        part, marks = log_part.read(context, row, lines, upto)
        told = {
            "lines": part.lines,
            "next_line": part.next_line,
            "end": part.end,
            "rest": part.rest,
            "rest_offset": part.rest_offset,
            "at_end": part.at_end,
            "times": [[mark.offset, milliseconds(mark.at)] for mark in marks],
            "complete": row.state is not states.Attempt.RUNNING,
            "steps": [
                {
                    "number": step.number,
                    "name": step.name,
                    "state": step.state,
                    "exit_code": step.exit_code,
                    "started_at": step.started_at.isoformat() if step.started_at else None,
                    "finished_at": step.finished_at.isoformat() if step.finished_at else None,
                    "log_offset": step.log_offset,
                }
                for step in steps
            ],
        }
        return JSONResponse(told, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})

    @pages.get("/commits/{repository}/{sha}")
    def commit(person: Person, repository: str, sha: str) -> Response:
        """To the newest run of the commit."""
        with context.store.reading() as connection:
            known = repositories.by_name(connection, repository)
            found = runs.of_commit(connection, known.id, repositories.by_prefix(connection, known.id, sha).sha)
        if not found:
            raise NotFound(f"commit {sha} of {repository} was recorded without a run")
        return RedirectResponse(f"/runs/{found[0].id}", 303)

    @pages.get("/lanes/{application}/{environment}")
    async def one_lane(request: Request, person: Person, application: str, environment: str) -> Response:
        return await live(request, person, "lane.html", lambda c, now: lane.read(c, application, environment, now))

    @pages.get("/groups/{name}")
    async def one_group(request: Request, person: Person, name: str) -> Response:
        return await live(request, person, "group.html", lambda c, now: group.read(c, name, now))

    @pages.get("/nodes")
    async def all_nodes(request: Request, person: Person) -> Response:
        return await live(request, person, "nodes.html", nodes.read)

    @pages.get("/static/{version}/{name:path}")
    def static_file(version: str, name: str) -> Response:
        return rendering.static_answer(version, name)

    results.add(pages, context, live)
    audit.add(pages, show)
    vulnerabilities.add(pages, show)
    vulnerability_forms.add(pages, context, show)
    where.add(pages, show)
    ledger.add(pages, context, show)
    secrets.add(pages, context, show)
    identity.add(pages, context, show)
    confirm.add(pages, context, show)
    confirm_hotfix.add(pages, show)
    reverts.add(pages, context, show)
    actions.add(pages, context)
    signin.add(pages, context)

    @pages.get("/{path:path}")
    def nowhere(request: Request, path: str) -> Response:
        if path.startswith(NO_PAGE) or "text/html" not in request.headers.get("accept", ""):
            told = {"error": "Not Found", "where": request.url.path, "remedy": "Check the address."}
            return JSONResponse(told, 404)
        return error_page(request, 404, "There is no such page.", "Check the address, or begin with what runs where.")

    return pages
