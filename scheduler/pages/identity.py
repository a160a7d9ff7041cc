"""The page of identity keys: who signs the tokens of jobs, since when each key is published and signs, when it retires;
and which tokens were given.

Rules:
1. Whoever may look sees it: keys are public, and of a token only that it was given.
2. Administrators rotate, and are told first what becomes void.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.store import identities
from scheduler import identity_api
from scheduler.auth import Admin, Person, Principal
from scheduler.context import Context
from scheduler.pages import words
from scheduler.pages.actions import Fields, back_to
from scheduler.pages.confirm import asked

AT_ONCE: Final = 50
Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]


def add(pages: APIRouter, context: Context, show: Show) -> None:
    """The page's addresses."""

    @pages.get("/identity")
    def keys(request: Request, person: Person) -> Response:
        told = identity_api.shown(context)

        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            kids = {key.id: key.kid for key in identities.keys(connection)}
            given = [
                {"token": token, "run": run, "job": job, "kid": kids.get(token.signing_key_id, "")}
                for token, run, job in identities.given(connection, run=None, limit=AT_ONCE)
            ]
            every = context.settings.identity_rotate
            return {"told": told, "given": given, "every": words.span(every), "live": False}

        return show(request, person, "identity.html", read)

    @pages.get("/identity/rotate")
    def rotate_asked(request: Request, person: Admin) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            ahead = words.span(context.settings.identity_ahead)
            calm = (
                f"A new key is published now and signs in {ahead}, when verifiers have fetched it. The older one stays "
                "published until the last token that it signed has ended."
            )
            leak = (
                "If a key leaked, the new one signs at once, the older ones are withdrawn, and every token that they "
                "signed is void: jobs that use one now fail."
            )
            submits = [
                {"label": "Rotate", "danger": False, "name": "leaked", "value": "no"},
                {"label": "A key leaked", "danger": True, "name": "leaked", "value": "yes"},
            ]
            title = "A new key for identity tokens?"
            return asked(title, "/identity/rotate", "/identity", "", calm, leak, submits=submits)

        return show(request, person, "confirm.html", read)

    @pages.post("/identity/rotate")
    def rotate(person: Admin, fields: Fields) -> Response:
        identity_api.rotate_now(context, person.name, leaked=fields.get("leaked") == "yes")
        return back_to("/identity")
