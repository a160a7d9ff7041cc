"""The audit log: listed, exported, verified.

Rules:
1. Who may read it has the right `audit`: an auditor needs no other, and an administrator has it.
2. Nothing here writes: entries come with the acts themselves.
3. An export is streamed, oldest first, one entry a line: canonical JSON that anyone can verify without this farm.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from farmgate import audit as rules
from farmgate.audit import Anchor
from farmgate.errors import BadPayload
from farmgate.models import AuditEntry
from farmgate.store import audit
from scheduler.auth import Auditor
from scheduler.context import Context

Beginning = Annotated[str, Query(max_length=200)]


class AuditBody(BaseModel):
    """An act. `before`, `after`: digests of the state, where there is one."""

    number: int
    at: datetime
    kind: str
    subject: str
    actor: str
    text: str
    before: str | None
    after: str | None
    previous: str
    hash: str


class HeadBody(BaseModel):
    """The last entry: keep it elsewhere, and a chain that was written anew is found."""

    number: int
    hash: str


class VerifiedBody(BaseModel):
    """How many entries hold. `bad`: the first one that does not, and what is wrong with it."""

    entries: int
    head: HeadBody
    bad: int | None
    problem: str | None


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/audit", tags=["audit"])

    @routes.get("")
    def latest(
        person: Auditor,
        subject: Beginning = "",
        actor: Beginning = "",
        kind: Beginning = "",
        before: int | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[AuditBody]:
        """The newest acts first. `subject`, `kind`: or what begins with them. `before`: older than this number."""
        with context.store.reading() as connection:
            found = audit.latest(connection, subject=subject, actor=actor, kind=kind, before=before, limit=limit)
        return [AuditBody.model_validate(each, from_attributes=True) for each in found]

    @routes.get("/head")
    def head(person: Auditor) -> HeadBody:
        """The number and the hash of the last entry."""
        with context.store.reading() as connection:
            return HeadBody.model_validate(audit.head(connection), from_attributes=True)

    @routes.get("/verify")
    def verify(person: Auditor, number: int | None = None, hash: str | None = None) -> VerifiedBody:  # noqa: A002
        """Walk the whole chain. `number`, `hash`: a head that was kept before."""
        if (number is None) != (hash is None):
            raise BadPayload("number, hash: give both or neither")
        anchors = [Anchor(number, hash.lower())] if number is not None and hash is not None else []
        with context.store.reading() as connection:
            return VerifiedBody.model_validate(verified(connection, anchors), from_attributes=True)

    @routes.get("/export", response_class=StreamingResponse)
    def export(person: Auditor, after: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
        """Every entry after a number, oldest first: lines of JSON."""
        return StreamingResponse(_lines(context, after), media_type="application/jsonl")

    return routes


def verified(connection: Connection, anchors: list[Anchor]) -> rules.Verified:
    """The chain as it stands in the database, walked from its beginning."""
    return rules.verify(audit.walk(connection), anchors=anchors, head=audit.head(connection))


def _lines(context: Context, after: int) -> Iterator[bytes]:
    """Page by page, so that a slow reader holds no transaction open."""
    seen = after
    while some := _page(context, seen):
        yield b"".join(rules.as_line(each) for each in some)
        seen = some[-1].number


def _page(context: Context, after: int) -> list[AuditEntry]:
    with context.store.reading() as connection:
        return audit.after(connection, after)
