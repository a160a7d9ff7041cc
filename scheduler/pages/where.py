"""The page that finds things: where a commit, a digest or a package is live, was, or is on its way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.errors import NotFound
from scheduler import ledger_reading, package_places
from scheduler.auth import Person, Principal

Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]
LONGEST: Final = 800


def add(pages: APIRouter, show: Show) -> None:
    """The page's address."""

    @pages.get("/where")
    def where(request: Request, person: Person, what: str = "") -> Response:
        asked = what.strip()[:LONGEST]

        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            told, problem = None, ""
            if asked:
                try:
                    told = _found(connection, asked, now)
                except NotFound as error:
                    problem = str(error)
            return {"live": False, "asked": asked, "told": told, "problem": problem}

        return show(request, person, "where.html", read)


def _found(connection: Connection, asked: str, now: datetime) -> Any:
    """A commit or a digest, or else a package. Raises NotFound."""
    try:
        return ledger_reading.where(connection, asked)
    except NotFound as first:
        try:
            return package_places.where(connection, asked, None, now)
        except NotFound:
            if "sha256:" in asked:
                raise first from None
            raise NotFound(f"no commit, no digest and no package that lanes delivered is called {asked!r}") from None
