"""The farm as a whole: status, changes, tokens, sign-in, the doctor."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Connection, func, select
from sse_starlette import EventSourceResponse, ServerSentEvent

from farmgate import invariants, states
from farmgate.audit import BEGINNING, Anchor, verify
from farmgate.models import TokenKind
from farmgate.store import audit, events, intakes, jobs, lanes, nodes, repositories, runs, tokens
from farmgate.store.schema import events as events_table
from farmgate.store.schema import leaders as leaders_table
from scheduler.auth import APART, COOKIE, RIGHTS, Admin, Person
from scheduler.context import LOOP, Context

SIGNIN_FOR = timedelta(minutes=10)
SESSION_FOR = timedelta(days=14)
LOOK_AGAIN = timedelta(seconds=1)
AT_MOST_EVERY = timedelta(milliseconds=250)
AUDIT_TAIL = 1000
LEAST_FREE_BYTES = 64 * 2**20
_FOR_ONE = re.compile(r"candidates:[a-z0-9._-]{1,100}")


class StatusBody(BaseModel):
    """Counts, and who is there."""

    runs: dict[str, int]
    jobs: dict[str, int]
    waiting: int
    running: int
    oldest_waiting: datetime | None
    intakes: int
    slots: int
    nodes: list[dict[str, Any]]
    lanes: list[dict[str, Any]]


class TokenBody(BaseModel):
    """A token, without what opens doors."""

    id: int
    kind: TokenKind
    name: str
    rights: list[str]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


class NewToken(BaseModel):
    """`rights`: read, write, admin; each includes the one before. Apart from them: audit, candidates[:REPOSITORY]."""

    name: str = Field(min_length=1, max_length=100)
    rights: list[str] = ["write"]

    @field_validator("rights")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        there = (*RIGHTS, *APART)
        unknown = [each for each in value if each not in there and not _FOR_ONE.fullmatch(each)]
        if unknown:
            raise ValueError(
                f"no such right: {', '.join(unknown)}; there are {', '.join(there)} and candidates:REPOSITORY"
            )
        return value or ["write"]


class MadeToken(TokenBody):
    """With its plain text, told this once."""

    token: str


class SigninLink(BaseModel):
    """Opens a session once."""

    url: str
    expires_at: datetime


class DoctorBody(BaseModel):
    """Checks, and what must always hold and does not."""

    checks: list[dict[str, Any]]
    violations: list[dict[str, str]]


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["farm"])

    @routes.get("/api/status")
    def status(person: Person) -> StatusBody:
        """How the farm does."""
        with context.store.reading() as connection:
            open_jobs = jobs.counts(connection)
            known = nodes.everyone(connection)
            return StatusBody(
                runs={str(state): count for state, count in runs.counts(connection).items()},
                jobs={str(state): count for state, count in open_jobs.items()},
                waiting=sum(count for state, count in open_jobs.items() if state is not states.Job.RUNNING),
                running=open_jobs.get(states.Job.RUNNING, 0),
                oldest_waiting=jobs.oldest_waiting(connection),
                intakes=intakes.count_pending(connection),
                slots=sum(node.slots for node in known if node.state is states.Node.READY),
                nodes=[
                    {"name": node.name, "state": node.state, "slots": node.slots, "holding": len(node.holding)}
                    for node in known
                ],
                lanes=[
                    {"application": lane.application, "environment": lane.environment}
                    for lane in lanes.every(connection)
                ],
            )

    @routes.get("/api/doctor")
    def doctor(person: Person) -> DoctorBody:
        """Check the farm."""
        return examine(context)

    @routes.get("/api/changes", response_class=EventSourceResponse)
    async def changes(person: Person) -> EventSourceResponse:
        """A tick whenever something changed, for pages to refresh."""
        return EventSourceResponse(ticks(context), headers={"Cache-Control": "no-store"})

    @routes.get("/api/tokens")
    def every_token(person: Admin) -> list[TokenBody]:
        """People's tokens and sessions, newest first."""
        with context.store.reading() as connection:
            return [token_body(token) for token in tokens.all(connection, (TokenKind.API, TokenKind.SESSION))]

    @routes.post("/api/tokens", status_code=201)
    def make_token(person: Admin, body: NewToken) -> MadeToken:
        """A token for a person or a tool."""
        now = context.clock.now()
        with context.store.writing() as connection:
            plain = tokens.create(connection, context.vault, TokenKind.API, body.name, now, rights=body.rights)
            token = tokens.check(connection, context.vault, plain, (TokenKind.API,), now)
            told = f"{token.name}: {', '.join(token.rights)}"
            events.record(connection, now, "token.made", f"token/{token.id}", person.name, told)
            return MadeToken(**token_body(token).model_dump(), token=plain)

    @routes.delete("/api/tokens/{number}", status_code=204)
    def revoke(person: Admin, number: int) -> Response:
        """Close a token for ever."""
        now = context.clock.now()
        with context.store.writing() as connection:
            if tokens.revoke(connection, number, now):
                events.record(connection, now, "token.revoked", f"token/{number}", person.name, "it opens nothing now")
        return Response(status_code=204)

    @routes.post("/api/signin-links", status_code=201)
    def link(person: Person) -> SigninLink:
        """A link that opens a session with the asker's own rights, once."""
        now = context.clock.now()
        until = now + SIGNIN_FOR
        with context.store.writing() as connection:
            code = tokens.create(
                connection, context.vault, TokenKind.SIGNIN, person.name, now, rights=person.rights, expires_at=until
            )
            events.record(connection, now, "signin.linked", "farm", person.name, "a link that signs in once")
        return SigninLink(url=f"{context.public_url}/signin?code={code}", expires_at=until)

    return routes


def sign_in(context: Context, code: str) -> str:
    """Spend a sign-in code; the plain text of the session's token. Raises Unauthorised."""
    now = context.clock.now()
    with context.store.writing() as connection:
        spent = tokens.spend(connection, context.vault, code, TokenKind.SIGNIN, now)
        events.record(connection, now, "person.signed_in", "farm", spent.name, "by a link")
        return tokens.create(
            connection,
            context.vault,
            TokenKind.SESSION,
            spent.name,
            now,
            rights=spent.rights,
            expires_at=now + SESSION_FOR,
        )


def welcome(request: Request, session: str, where: str = "/") -> RedirectResponse:
    """Set the session's cookie and go on to a page."""
    answer = RedirectResponse(where, 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_FOR.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )
    return answer


def token_body(token: Any) -> TokenBody:
    """A token as it is listed."""
    return TokenBody(
        id=token.id,
        kind=token.kind,
        name=token.name,
        rights=token.rights,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
        revoked_at=token.revoked_at,
    )


async def ticks(context: Context) -> AsyncIterator[ServerSentEvent]:
    """Told at once what this process did, and within a second what others did; at most four a second."""
    seen = await run_in_threadpool(last_event, context)
    yield ServerSentEvent(json.dumps({"version": seen}), event="change", id=str(seen))
    with context.changes.listening() as ear:
        while True:
            heard = await ear.wait(LOOK_AGAIN)
            latest = await run_in_threadpool(last_event, context)
            if not heard and latest == seen:
                continue
            seen = latest
            yield ServerSentEvent(json.dumps({"version": seen}), event="change", id=str(seen))
            await _pause(AT_MOST_EVERY)


async def _pause(span: timedelta) -> None:
    """A pause inside the event loop."""
    try:
        await asyncio.wait_for(asyncio.Event().wait(), span.total_seconds())
    except TimeoutError:
        return


def last_event(context: Context) -> int:
    """The newest line of the farm's own record."""
    with context.store.reading() as connection:
        return int(connection.execute(select(func.max(events_table.c.id))).scalar_one() or 0)


def examine(context: Context) -> DoctorBody:
    """What a person should know when something seems wrong."""
    now = context.clock.now()
    checks: list[dict[str, Any]] = []

    def check(name: str, ok: bool, text: str) -> None:
        checks.append({"name": name, "ok": ok, "text": text})

    with context.store.reading() as connection:
        until = connection.execute(select(leaders_table.c.until).where(leaders_table.c.name == LOOP)).scalar()
        led = until is not None and until > now
        check("loop", led, "the scheduler's loop runs" if led else "no scheduler leads: is its process alive?")
        known = nodes.everyone(connection)
        ready = [node for node in known if node.state is states.Node.READY]
        check("nodes", bool(ready), f"{len(ready)} of {len(known)} nodes take work" if known else "no node has joined")
        for node in known:
            if node.problem:
                check(f"node {node.name}", False, node.problem)
        for repository in repositories.all_connected(connection):
            text = repository.poll_error or "answers"
            check(f"repository {repository.name}", repository.poll_error is None, text)
        oldest = jobs.oldest_waiting(connection)
        waited = (now - oldest) if oldest is not None else timedelta(0)
        check("queue", waited < timedelta(hours=1), f"the oldest waiting job waits {waited.total_seconds():.0f} s")
        check("audit log", *_audit(connection))
    check("disk", *_disk(context.settings.data))
    found = invariants.check(context.store, now)
    checks.append({"name": "invariants", "ok": not found, "text": f"{len(found)} violations"})
    violations = [{"invariant": one.invariant, "subject": one.subject, "text": one.text} for one in found]
    return DoctorBody(checks=checks, violations=violations)


def _audit(connection: Connection) -> tuple[bool, str]:
    """Whether the end of the audit log holds; `farmgate audit verify` walks all of it."""
    head = audit.head(connection)
    before = audit.one(connection, head.number - AUDIT_TAIL)
    since = Anchor(before.number, before.hash) if before is not None else BEGINNING
    found = verify(audit.after(connection, since.number, AUDIT_TAIL + 1), head=head, since=since)
    if found.problem is not None:
        return False, f"entry {found.bad}: {found.problem}: see `farmgate audit verify`"
    return True, f"{found.entries} entries; the last {min(found.entries, AUDIT_TAIL)} were walked"


def _disk(folder: Path) -> tuple[bool, str]:
    """Whether the data folder has room: without it nothing is stored, fetched or logged."""
    free = shutil.disk_usage(folder).free
    told = f"{free // 2**20} MiB are free in {folder}"
    return free >= LEAST_FREE_BYTES, told if free >= LEAST_FREE_BYTES else f"{told}: make room"
