"""The page of secrets: which there are, for whom, who set them when; a form that sets one, a question before one goes.

Rules:
1. Administrators alone see it. No value is ever part of a page, an address or an error: it goes in by a form's body.
2. Who replaces a value is told so first. A name that is taken where nobody asked to replace it is refused.
3. A value is kept as it was typed, with the line breaks of a file: browsers send those of a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.errors import BadPayload, Conflict
from farmgate.models import Repository, Secret
from farmgate.store import repositories, secrets
from scheduler import secrets_api
from scheduler.auth import Admin, Principal
from scheduler.context import Context
from scheduler.pages.actions import back_to, fields_of
from scheduler.pages.confirm import asked, danger

FORM_LIMIT_BYTES: Final = 3 * secrets.MOST_BYTES + 4096  # every byte may come as three
NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]


def add(pages: APIRouter, context: Context, show: Show) -> None:
    """The page's addresses."""

    @pages.get("/secrets")
    def listed(request: Request, person: Admin, repository: str = "") -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            connected = repositories.all_connected(connection)
            shown = [repositories.by_name(connection, repository)] if repository else connected
            return {
                "groups": [group for one in shown if (group := _group(connection, one)) or repository],
                "repository": repository,
                "repositories": [one.name for one in connected],
                "live": False,
            }

        return show(request, person, "secrets.html", read)

    @pages.get("/secrets/set")
    def set_form(
        request: Request, person: Admin, repository: str = "", name: str = "", environment: str = "", branch: str = ""
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            there = _there(connection, repository, name, environment, branch) if repository and name else None
            return {
                "repositories": [one.name for one in repositories.all_connected(connection)],
                "repository": repository,
                "name": name,
                "environment": environment,
                "branch": branch,
                "there": there,
                "pattern": NAME,
                "least": secrets.LEAST_BYTES,
                "live": False,
            }

        return show(request, person, "secret.html", read)

    @pages.post("/secrets/set")
    async def set_one(request: Request, person: Admin) -> Response:
        fields = await fields_of(request, FORM_LIMIT_BYTES, strip=False)
        repository, name, environment, branch = (
            fields.get(one, "").strip() for one in ("repository", "name", "environment", "branch")
        )
        if not re.fullmatch(NAME, name):
            raise BadPayload("name: letters, digits and '_', no digit first, at most 100")
        try:
            new = secrets_api.NewSecret(
                value=fields.get("value", "").replace("\r\n", "\n"), environment=environment, branch=branch
            )
        except ValueError:
            raise BadPayload("branch: a branch's name or a pattern, such as main or release/*") from None
        with context.store.reading() as connection:
            there = _there(connection, repository, name, environment, branch)
        if there is not None and fields.get("replace") != "yes":
            told = secrets.described(name, environment, branch)
            raise Conflict(f"there is a secret {told} already: choose “Replace” beside it to give it another value")
        secrets_api.keep(context, repository, name, new, person.name)
        return back_to(f"/secrets?{urlencode({'repository': repository})}")

    @pages.get("/secrets/remove")
    def remove_asked(
        request: Request, person: Admin, repository: str, name: str, environment: str = "", branch: str = ""
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            there = _there(connection, repository, name, environment, branch)
            if there is None:
                raise Conflict(f"there is no secret {secrets.described(name, environment, branch)} (any more)")
            lines = [
                f"It is given to {_scope(there)} of {repository}.",
                "Jobs that name it end in error from now on, before any step, unless a wider one of that name fits.",
                "Its value cannot be had back. To stop a leak, change it where it opens something, too.",
            ]
            place = [("repository", repository), ("name", name), ("environment", environment), ("branch", branch)]
            back = f"/secrets?{urlencode({'repository': repository})}"
            title = f"Remove {name} of {repository}?"
            return asked(title, "/secrets/remove", back, "", *lines, hidden=place, submits=danger("Remove the secret"))

        return show(request, person, "confirm.html", read)

    @pages.post("/secrets/remove")
    async def remove(request: Request, person: Admin) -> Response:
        fields = await fields_of(request, FORM_LIMIT_BYTES)
        repository = fields.get("repository", "")
        secrets_api.take_away(
            context,
            repository,
            fields.get("name", ""),
            fields.get("environment", ""),
            fields.get("branch", ""),
            person.name,
        )
        return back_to(f"/secrets?{urlencode({'repository': repository})}")


def _group(connection: Connection, repository: Repository) -> dict[str, Any] | None:
    """A repository's secrets by scope, the widest first; None where it has none."""
    found = secrets.of_repository(connection, repository.id)
    scopes: dict[tuple[str, str], list[Secret]] = {}
    for secret in found:
        scopes.setdefault((secret.environment, secret.branch), []).append(secret)
    ordered = sorted(scopes.items(), key=lambda item: (bool(item[0][0]), bool(item[0][1]), item[0]))
    if not ordered:
        return None
    return {
        "repository": repository.name,
        "scopes": [
            {"words": _scope(rows[0]), "secrets": [_row(repository, one) for one in rows]} for _, rows in ordered
        ],
    }


def _row(repository: Repository, secret: Secret) -> dict[str, Any]:
    place = {
        "repository": repository.name,
        "name": secret.name,
        "environment": secret.environment,
        "branch": secret.branch,
    }
    return {
        "name": secret.name,
        "changed_by": secret.changed_by,
        "changed_at": secret.changed_at,
        "key": secret.key_id,
        "place": {key: value for key, value in place.items() if value},
    }


def _scope(secret: Secret) -> str:
    whom = f"jobs that deploy to {secret.environment}" if secret.environment else "any job"
    return f"{whom} on {secret.branch}" if secret.branch else whom


def _there(connection: Connection, repository: str, name: str, environment: str, branch: str) -> Secret | None:
    row = repositories.by_name(connection, repository)
    for one in secrets.of_repository(connection, row.id):
        if (one.name, one.environment, one.branch) == (name, environment, branch):
            return one
    return None
