"""Signing in and out of the pages.

Rules:
1. A one-time link, or an API token pasted once, opens a session of its own, which ends alone.
2. The cookie is out of reach of scripts and is not sent along by other sites' forms.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from farmgate.errors import Forbidden, Unauthorised
from farmgate.models import TokenKind
from farmgate.store import events, tokens
from scheduler import farm_api
from scheduler.auth import COOKIE, MaybePerson, same_origin
from scheduler.context import Context
from scheduler.pages import rendering
from scheduler.pages.actions import Fields
from scheduler.pages.guard import local


def add(pages: APIRouter, context: Context) -> None:
    """The sign-in's addresses."""

    def shown(request: Request, onward: str, status: int = 200, problem: str = "") -> Response:
        remedy = "Ask for a new link or token; `farmgate signin` on the server prints a link."
        values: dict[str, Any] = {"problem": problem, "remedy": remedy, "next": onward, "live": False}
        return rendering.page(request, context, "signin.html", values, viewer=None, status=status)

    @pages.get("/signin")
    def signin(request: Request, next: str = "/", code: str = "") -> Response:  # noqa: A002
        onward = local(next)
        if not code:
            return shown(request, onward)
        try:
            session = farm_api.sign_in(context, code)
        except Unauthorised as error:
            return shown(request, onward, 401, str(error))
        return farm_api.welcome(request, session, onward)

    @pages.post("/signin")
    def with_token(request: Request, fields: Fields) -> Response:
        if not same_origin(request):
            raise Forbidden("this request did not come from a page of this server")
        onward = local(fields.get("next"))
        now = context.clock.now()
        try:
            with context.store.writing() as connection:
                known = tokens.check(connection, context.vault, fields.get("token", ""), (TokenKind.API,), now)
                session = tokens.create(
                    connection,
                    context.vault,
                    TokenKind.SESSION,
                    known.name,
                    now,
                    known.rights,
                    expires_at=now + farm_api.SESSION_FOR,
                )
                events.record(connection, now, "person.signed_in", "farm", known.name, f"with token {known.id}")
        except Unauthorised as error:
            return shown(request, onward, 401, str(error))
        return farm_api.welcome(request, session, onward)

    @pages.post("/signout")
    def signout(person: MaybePerson) -> Response:
        if person is not None and person.session:
            with context.store.writing() as connection:
                tokens.revoke(connection, person.token_id, context.clock.now())
        answer = RedirectResponse("/signin", 303)
        answer.delete_cookie(COOKIE)
        return answer
