"""Signing in and out of the pages.

Rules:
1. A one-time link, or an API token pasted once, opens a session of its own, which ends alone.
2. The cookie is out of reach of scripts and is not sent along by other sites' forms.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from farmgate.errors import Forbidden, Unauthorised
from farmgate.models import Token, TokenKind
from farmgate.store import tokens
from scheduler.auth import COOKIE, MaybePerson, same_origin
from scheduler.context import Context
from scheduler.pages import rendering
from scheduler.pages.actions import Fields
from scheduler.pages.guard import local

SESSION = timedelta(days=30)


def add(pages: APIRouter, context: Context) -> None:
    """The sign-in's addresses."""

    def shown(request: Request, onward: str, status: int = 200, problem: str = "") -> Response:
        remedy = "Ask for a new link or token; `farmgate signin` on the server prints a link."
        values: dict[str, Any] = {"problem": problem, "remedy": remedy, "next": onward, "live": False}
        return rendering.page(request, context, "signin.html", values, viewer=None, status=status)

    def opened(request: Request, known: Token, onward: str) -> Response:
        now = context.clock.now()
        with context.store.writing() as connection:
            plain = tokens.create(
                connection, context.vault, TokenKind.SESSION, known.name, now, known.rights, expires_at=now + SESSION
            )
        answer = RedirectResponse(onward, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        answer.set_cookie(
            COOKIE,
            plain,
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https" or context.public_url.startswith("https:"),
        )
        return answer

    @pages.get("/signin")
    def signin(request: Request, next: str = "/", code: str = "") -> Response:  # noqa: A002
        onward = local(next)
        if not code:
            return shown(request, onward)
        try:
            with context.store.writing() as connection:
                known = tokens.spend(connection, context.vault, code, TokenKind.SIGNIN, context.clock.now())
        except Unauthorised as error:
            return shown(request, onward, 401, str(error))
        return opened(request, known, onward)

    @pages.post("/signin")
    def with_token(request: Request, fields: Fields) -> Response:
        if not same_origin(request):
            raise Forbidden("this request did not come from a page of this server")
        onward = local(fields.get("next"))
        try:
            with context.store.reading() as connection:
                kinds = (TokenKind.API,)
                known = tokens.check(connection, context.vault, fields.get("token", ""), kinds, context.clock.now())
        except Unauthorised as error:
            return shown(request, onward, 401, str(error))
        return opened(request, known, onward)

    @pages.post("/signout")
    def signout(person: MaybePerson) -> Response:
        if person is not None and person.session:
            with context.store.writing() as connection:
                tokens.revoke(connection, person.token_id, context.clock.now())
        answer = RedirectResponse("/signin", 303)
        answer.delete_cookie(COOKIE)
        return answer
