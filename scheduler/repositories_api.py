"""Repositories: connect, look at, ask anew, disconnect."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from farmgate.clock import random_token
from farmgate.errors import RemoteUnreachable
from farmgate.git.command import checked_url, without_password
from farmgate.models import ForkPolicy
from farmgate.refs import HEADS, is_ref
from farmgate.states import Intake
from farmgate.store import events, intakes, repositories, secrets
from farmgate.store.intakes import NewIntake
from farmgate.webhooks import Forge, post_receive_line
from scheduler import views
from scheduler.auth import Admin, Person, Writer
from scheduler.bodies import RepositoryBody, RepositoryDetail
from scheduler.context import Context

LOOK_AGAIN = timedelta(milliseconds=100)
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


class NewRepository(BaseModel):
    """What is needed to connect a repository. `secret`: to bring one's own; else it is drawn. `secrets`: values that
    its jobs may name from their first run on."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    url: str
    forge: Forge = Forge.PLAIN
    default_branch: str = "main"
    secret: str | None = Field(None, min_length=8, max_length=500)
    secrets: dict[Variable, SecretStr] = Field({}, max_length=100)

    @field_validator("forge", mode="before")
    @classmethod
    def _git_is_plain(cls, value: object) -> object:
        return Forge.PLAIN if value == "git" else value

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            return checked_url(value)
        except RemoteUnreachable as error:
            raise ValueError(str(error)) from None

    @field_validator("default_branch")
    @classmethod
    def _is_a_branch(cls, value: str) -> str:
        short = value.removeprefix(HEADS)
        if not is_ref(HEADS + short):
            raise ValueError(f"{value!r} is not a branch's name")
        return short


class RepositoryChange(BaseModel):
    """What is given is changed. `weight`: the repository's share of the slots, against the others'. `forks`: run, ask
    (a maintainer allows each exact commit first), refuse."""

    model_config = ConfigDict(extra="forbid")

    weight: int | None = Field(None, ge=1, le=100)
    forks: ForkPolicy | None = None


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/repositories", tags=["repositories"])

    @routes.get("")
    def every(person: Person) -> list[RepositoryBody]:
        """All connected repositories, by name."""
        with context.store.reading() as connection:
            found = repositories.all_connected(connection)
            return [views.repository(connection, row, context.public_url) for row in found]

    @routes.post("", status_code=201)
    def connect(person: Admin, body: NewRepository, wait: Annotated[float, Query(ge=0, le=20)] = 5) -> RepositoryBody:
        """Connect a repository, and look at it for the first time: for at most `wait` seconds before answering."""
        secret = body.secret or random_token()
        now = context.clock.now()
        with context.store.writing() as connection:
            sealed = context.vault.encrypt(secret)
            row = repositories.add(connection, body.name, body.url, str(body.forge), sealed, body.default_branch, now)
            if repositories.seal_login(connection, context.vault.keyring, row):
                row = repositories.by_name(connection, body.name)
            for variable, value in body.secrets.items():
                secrets.put(
                    connection, context.vault.keyring, row.id, variable, value.get_secret_value(), person.name, now
                )
                events.record(connection, now, "secret.set", f"repository/{row.name}", person.name, f"{variable}: new")
            intakes.put(connection, row.id, [NewIntake("first", HEADS + row.default_branch)], now)
            text = f"{row.name} at {without_password(row.url)}"
            events.record(connection, now, "repository.connected", f"repository/{row.name}", person.name, text)
        context.wake()
        until = now + timedelta(seconds=wait)
        while True:
            with context.store.reading() as connection:
                answer = views.repository(connection, repositories.by_id(connection, row.id), context.public_url)
            first = answer.first_read
            looked = first is None or first.state is not Intake.PENDING or first.reason is not None
            if looked or context.clock.now() >= until:
                break
            context.clock.sleep(LOOK_AGAIN)
        answer.secret = secret
        answer.post_receive = post_receive_line(answer.webhook_url, secret)
        return answer

    @routes.get("/{name}")
    def one(person: Person, name: str) -> RepositoryDetail:
        """A repository with its refs and what was reported lately."""
        with context.store.reading() as connection:
            return views.repository_detail(connection, repositories.by_name(connection, name), context.public_url)

    @routes.post("/{name}/poll", status_code=202)
    def poll(person: Writer, name: str) -> RepositoryBody:
        """Ask the remote now for what webhooks missed."""
        with context.store.writing() as connection:
            row = repositories.by_name(connection, name)
            repositories.poll_now(connection, row.id)
            answer = views.repository(connection, row, context.public_url)
        context.wake()
        return answer

    @routes.patch("/{name}")
    def change(person: Admin, name: str, body: RepositoryChange) -> RepositoryBody:
        """Change how a repository is treated."""
        now = context.clock.now()
        with context.store.writing() as connection:
            row = repositories.by_name(connection, name)
            if body.weight is not None and body.weight != row.weight:
                repositories.set_weight(connection, row.id, body.weight)
                text = f"weight {row.weight} -> {body.weight}"
                events.record(connection, now, "repository.changed", f"repository/{name}", person.name, text)
            if body.forks is not None and body.forks is not row.fork_policy:
                repositories.set_fork_policy(connection, row.id, body.forks)
                text = f"forks: {row.fork_policy} -> {body.forks}"
                events.record(connection, now, "repository.changed", f"repository/{name}", person.name, text)
            answer = views.repository(connection, repositories.by_id(connection, row.id), context.public_url)
        context.wake()
        return answer

    @routes.delete("/{name}", status_code=204)
    def remove(person: Admin, name: str) -> Response:
        """Disconnect: webhooks are refused from now on; the record stays."""
        now = context.clock.now()
        with context.store.writing() as connection:
            row = repositories.by_name(connection, name)
            repositories.remove(connection, row, now)
            events.record(
                connection, now, "repository.removed", f"repository/{name}", person.name, without_password(row.url)
            )
        return Response(status_code=204)

    return routes
