"""How pages meet strangers and errors: a stranger is led to the sign-in, an error is shown as a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from farmgate.errors import FarmgateError, Unauthorised
from scheduler.auth import context_of, maybe_person
from scheduler.pages import rendering
from scheduler.problems import status_of

log = structlog.get_logger("farmgate.pages")

TITLES = {
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    409: "Things have moved on",
    422: "Not understood",
}


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Unauthorised as error:
                return to_signin(request, error)
            except FarmgateError as error:
                status, remedy = status_of(error)
                if status >= 500:
                    log.error("page failed", path=request.url.path, error=str(error), kind=type(error).__name__)
                return error_page(request, status, str(error), remedy)
            except RequestValidationError as error:
                told = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
                return error_page(request, 422, told, "Check the address.")
            except HTTPException as error:
                return error_page(request, error.status_code, str(error.detail), "Check the address.")

        return answer


def to_signin(request: Request, error: Unauthorised) -> Response:
    """To the sign-in and back again; a refresh of a page that is open is told so by its status."""
    if request.headers.get("hx-request"):
        return Response(str(error), 401, media_type="text/plain")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = quote(wanted if request.method == "GET" else "/", safe="")
    return RedirectResponse(f"/signin?next={back}", 303, {"Cache-Control": "no-store"})


def error_page(request: Request, status: int, problem: str, remedy: str) -> HTMLResponse:
    """What is wrong, what to do, and a way back."""
    values: dict[str, Any] = {
        "title": TITLES.get(status, "Something went wrong" if status >= 500 else "Not possible"),
        "status": status,
        "problem": problem,
        "remedy": remedy,
        "where": request.url.path,
        "back": came_from(request),
        "live": False,
    }
    try:
        person = maybe_person(request)
    except FarmgateError:
        person = None
    return rendering.page(
        request, context_of(request), "error.html", values, viewer=person.name if person else None, status=status
    )


def came_from(request: Request) -> str:
    """The page of ours that led here; else the first one."""
    referer = request.headers.get("referer", "")
    ours = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return referer.removeprefix(ours) if referer.startswith(f"{ours}/") and referer != str(request.url) else "/"


def local(path: str | None) -> str:
    """A path of this server to go on to; anything else leads to the first page."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(c) < 32 for c in path):
        return "/"
    return path
