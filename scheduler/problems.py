"""How errors look over HTTP: one body for all, `{error, where, remedy}`, and a status that fits the fact."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from farmgate import errors

log = structlog.get_logger("farmgate.web")


class ProblemBody(BaseModel):
    """What is wrong, where, and what to do."""

    error: str
    where: str
    remedy: str


STATUS: dict[type[errors.FarmgateError], tuple[int, str]] = {
    errors.BadSignature: (401, "Compare the webhook's secret with the one that this server showed for the repository."),
    errors.Unauthorised: (401, "Send `Authorization: Bearer <token>`, or sign in by `farmgate signin`."),
    errors.Forbidden: (403, "Ask an administrator for the right, or act from a page of this server."),
    errors.NotFound: (404, "Check the name: `farmgate repo list`, `runs`, `lanes` and `nodes` list what there is."),
    errors.NotInRepository: (404, "Push the commit, or wait until the repository was polled."),
    errors.Conflict: (409, "The text says what is in the way: change that first."),
    errors.StaleAttempt: (409, "Stop this attempt and send nothing more: the job has another or is over."),
    errors.LostRace: (409, "Someone else was faster; look again."),
    errors.TooLarge: (413, "Send less, or raise the limit in the server's settings."),
    errors.BadPayload: (
        400,
        "Correct what the text names; a webhook comes as application/json in its forge's own format.",
    ),
    errors.BadDocument: (422, "Correct the document at the places named."),
    errors.BrokerUnreachable: (503, "Try again in a moment; see `farmgate doctor`."),
    errors.DatabaseUnreachable: (503, "Try again in a moment; see the server's log for what the database said."),
    errors.BlobsUnreachable: (503, "Try again in a moment; check the store of artifacts and logs."),
    errors.RemoteUnreachable: (502, "Check the repository's address and this server's access to it."),
    errors.NoSpace: (507, "Make room on the server's disk."),
}


def body(status: int, error: str, where: str, remedy: str) -> JSONResponse:
    """The one body."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": error, "where": where, "remedy": remedy}, status, headers)


def status_of(error: errors.FarmgateError) -> tuple[int, str]:
    """The status and the remedy of an error, by the nearest class in `STATUS`."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500, "See the server's log."


def install(app: FastAPI) -> None:
    """Teach the application to answer with `ProblemBody`."""

    @app.exception_handler(errors.FarmgateError)
    def on_farmgate_error(request: Request, error: errors.FarmgateError) -> JSONResponse:
        status, remedy = status_of(error)
        if status >= 500:
            log.error("request failed", path=request.url.path, error=str(error), kind=type(error).__name__)
        return body(status, str(error), request.url.path, remedy)

    @app.exception_handler(RequestValidationError)
    def on_bad_request(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        return body(422, told, request.url.path, "Correct the fields named; /openapi.json says what is expected.")

    @app.exception_handler(Exception)
    def on_crash(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, OverflowError | DataError):  # a number or a text that no row can have
            return body(422, "a value is out of range", request.url.path, "Correct it; see /openapi.json.")
        log.error("a request crashed", method=request.method, path=request.url.path, exc_info=error)
        return body(500, "the server failed at this request", request.url.path, "See the server's log.")

    @app.exception_handler(OverflowError)
    def on_overflow(request: Request, error: OverflowError) -> JSONResponse:
        return on_crash(request, error)

    @app.exception_handler(DataError)
    def on_data(request: Request, error: DataError) -> JSONResponse:
        return on_crash(request, error)

    @app.exception_handler(HTTPException)
    def on_http(request: Request, error: HTTPException) -> JSONResponse:
        remedy = "Check the address." if error.status_code == 404 else "See /openapi.json."
        return body(error.status_code, str(error.detail), request.url.path, remedy)
