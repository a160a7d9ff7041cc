"""Secrets of repositories: put, list, remove, seal again. A value goes in and never comes out.

Rules:
1. Only administrators see and change them; who did what is an event, without the value.
2. Sealing again goes on where it was left: it draws a new key only when everything is sealed with the newest one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from farmgate.errors import LostRace
from farmgate.models import Secret
from farmgate.store import events, repositories, sealed, secrets
from scheduler.auth import Admin
from scheduler.context import Context

_AT_ONCE = 100
Name = Annotated[str, Path(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
Environment = Annotated[str, Query(max_length=100)]
Branch = Annotated[str, Query(max_length=255)]


class SecretBody(BaseModel):
    """A secret, without its value. `environment`, `branch`: empty means any. `key`: that seals it."""

    name: str
    environment: str
    branch: str
    key: str
    changed_by: str
    changed_at: datetime


class NewSecret(BaseModel):
    """A value and whom it is for: jobs that deploy to an environment, runs of a branch (or a pattern of branches)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: SecretStr
    environment: str = Field("", max_length=100)
    branch: str = Field("", max_length=255)

    @field_validator("branch")
    @classmethod
    def _one_pattern(cls, text: str) -> str:
        if text.startswith(("!", "refs/")):
            raise ValueError("is a branch's name or a pattern, such as main or release/*")
        return text


class Rotated(BaseModel):
    """`key`: the one that seals now. `secrets`: how many values were sealed with it by this call, signing keys too."""

    key: str
    secrets: int


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["secrets"])

    @routes.get("/api/repositories/{repository}/secrets")
    def every(person: Admin, repository: str) -> list[SecretBody]:
        """The secrets of a repository, without their values."""
        with context.store.reading() as connection:
            row = repositories.by_name(connection, repository)
            return [_body(secret) for secret in secrets.of_repository(connection, row.id)]

    @routes.put("/api/repositories/{repository}/secrets/{name}", status_code=204)
    def put(person: Admin, repository: str, name: Name, body: NewSecret) -> Response:
        """Keep a value; an older one of the same place is replaced."""
        keep(context, repository, name, body, person.name)
        return Response(status_code=204)

    @routes.delete("/api/repositories/{repository}/secrets/{name}", status_code=204)
    def remove(
        person: Admin, repository: str, name: Name, environment: Environment = "", branch: Branch = ""
    ) -> Response:
        """Take a secret away: jobs that name it end in error from now on."""
        take_away(context, repository, name, environment, branch, person.name)
        return Response(status_code=204)

    @routes.post("/api/secrets/rotate")
    def rotate(person: Admin) -> Rotated:
        """Seal every secret with a new key, and forget the keys that nothing is sealed with any more."""
        found = seal_again(context)
        now = context.clock.now()
        with context.store.writing() as connection:
            text = f"{found.secrets} secrets are sealed with key {found.key} now"
            events.record(connection, now, "secrets.rotated", "farm", person.name, text)
        return found

    return routes


def keep(context: Context, repository: str, name: str, body: NewSecret, who: str) -> None:
    """Seal a value at its place, and record who did. Raises NotFound, BadPayload."""
    now = context.clock.now()
    with context.store.writing() as connection:
        row = repositories.by_name(connection, repository)
        new = secrets.put(
            connection,
            context.vault.keyring,
            row.id,
            name,
            body.value.get_secret_value(),
            who,
            now,
            environment=body.environment,
            branch=body.branch,
        )
        text = f"{secrets.described(name, body.environment, body.branch)}: {'new' if new else 'replaced'}"
        events.record(connection, now, "secret.set", f"repository/{repository}", who, text)


def take_away(context: Context, repository: str, name: str, environment: str, branch: str, who: str) -> None:
    """Remove a secret, and record who did. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        row = repositories.by_name(connection, repository)
        secrets.remove(connection, row.id, name, environment=environment, branch=branch)
        text = secrets.described(name, environment, branch)
        events.record(connection, now, "secret.removed", f"repository/{repository}", who, text)


def seal_again(context: Context) -> Rotated:
    """Rule 2."""
    keyring = context.vault.keyring
    with context.store.reading() as connection:
        left = sealed.sealed_otherwise(connection, keyring.newest, 1)
    if not left:
        keyring.draw()
    done = 0
    while True:
        with context.store.reading() as connection:  # the newest of this moment: another call may have drawn one
            rows = sealed.sealed_otherwise(connection, keyring.newest, _AT_ONCE)
        if not rows:
            break
        for row in rows:
            try:
                with context.store.writing() as connection:
                    sealed.seal_again(connection, keyring, row)
                done += 1
            except LostRace:
                continue  # it has another value now: the next look finds it if it needs anything
    with context.store.writing() as connection:
        keyring.forget(sealed.keys_in_use(connection))
    return Rotated(key=keyring.newest, secrets=done)


def _body(secret: Secret) -> SecretBody:
    return SecretBody(
        name=secret.name,
        environment=secret.environment,
        branch=secret.branch,
        key=secret.key_id,
        changed_by=secret.changed_by,
        changed_at=secret.changed_at,
    )
