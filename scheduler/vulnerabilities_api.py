"""Vulnerabilities of what is live: told, imported, decided.

Rules:
1. An import is OSV documents, one a line, compressed by gzip; the command line makes that of what OSV publishes. Only
   administrators import and decide; both are acts of the audit log.
2. The bytes are kept first, then read in the background: who imports asks how far it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Connection

from farmgate.errors import BadPayload, NotFound
from farmgate.models import OsvDump
from farmgate.store import events, exposures, lanes, osv
from farmgate.store.intakes import storable
from farmgate.vulnerabilities.ratings import Severity
from scheduler import vulnerability_reading as reading
from scheduler.auth import Admin, Person
from scheduler.blob_streams import named
from scheduler.context import Context
from scheduler.streams import pieces
from scheduler.supply import PATIENCE
from scheduler.vulnerability_bodies import (
    DecisionBody,
    ImportBody,
    NewDecision,
    OverviewBody,
    UntoldBody,
    VulnerabilityDetail,
)

LIMIT_BYTES: Final = 8 * 2**30
LONGEST: Final = timedelta(days=366)
Id = Annotated[str, Path(max_length=100)]


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/vulnerabilities", tags=["vulnerabilities"])
    uploads = anyio.CapacityLimiter(1)

    @routes.get("")
    def listed(
        person: Person,
        lane: Annotated[str | None, Query(max_length=200)] = None,
        severity: Severity | None = None,
        package: Annotated[str | None, Query(max_length=400)] = None,
    ) -> OverviewBody:
        """What is known of what is live and of the batches that wait, the worst first."""
        with context.store.reading() as connection:
            if lane is not None:
                lanes.by_name(connection, *_split(lane))
            now = context.clock.now()
            return reading.overview(connection, now, lane=lane, severity=severity, package=package)

    @routes.get("/imports")
    def imports(person: Person, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[ImportBody]:
        """The newest imports; one that is under way says how far it came."""
        with context.store.reading() as connection:
            return [reading.import_body(each) for each in osv.latest(connection, limit)]

    @routes.put("/imports", status_code=202)
    async def import_(who: Admin, request: Request, without: bool = False) -> ImportBody:
        """Import OSV documents, one a line, compressed by gzip. `without`: some of the last import may be missing.

        409 while another import is under way.
        """
        chunks = pieces(request)
        return await anyio.to_thread.run_sync(
            lambda: _take(context, chunks, who.name, without=without), limiter=uploads
        )

    @routes.get("/untold")
    def untold(person: Person) -> UntoldBody:
        """Packages of which not everything could be told, and why."""
        with context.store.reading() as connection:
            return reading.untold(connection)

    @routes.delete("/decisions/{number}")
    def withdraw(who: Admin, number: int) -> DecisionBody:
        """Withdraw a decision."""
        return withdrawn(context, number, who.name)

    @routes.get("/{vulnerability}")
    def one(person: Person, vulnerability: Id) -> VulnerabilityDetail:
        """One vulnerability by any of its names, where it is live or waits."""
        with context.store.reading() as connection:
            return detail(connection, vulnerability, context.clock.now())

    @routes.post("/{vulnerability}/decisions", status_code=201)
    def decide(who: Admin, vulnerability: Id, asked: NewDecision) -> DecisionBody:
        """Say that something is not affected, or that this is accepted until a day."""
        return decided(context, vulnerability, asked, who.name)

    return routes


def detail(connection: Connection, vulnerability: str, now: datetime) -> VulnerabilityDetail:
    """Raises NotFound."""
    for each in reading.overview(connection, now).vulnerabilities:
        if vulnerability in each.ids:
            rows = exposures.decisions(connection, each.ids, 100)
            return VulnerabilityDetail(**each.model_dump(), decisions=[reading.decision_body(row) for row in rows])
    raise NotFound(f"nothing that is live or waits is known to have {vulnerability[:100]!r}")


def decided(context: Context, vulnerability: str, asked: NewDecision, who: str) -> DecisionBody:
    """Raises BadPayload, NotFound."""
    now = context.clock.now()
    if asked.until.tzinfo is None:
        raise BadPayload("until: say its time zone, such as 2026-03-01T00:00:00Z")
    if not now < asked.until <= now + LONGEST:
        raise BadPayload("until: must lie ahead, at most a year: a decision is looked at again")
    with context.store.reading() as connection:
        found = detail(connection, vulnerability, now)
        _known_scope(connection, asked.scope)
    with context.store.writing() as connection:
        reason = storable(asked.reason)
        number = exposures.decide(connection, found.id, asked.scope, asked.verdict, reason, asked.until, who, now)
        said = "does not affect" if asked.verdict == "not_affected" else "is accepted in"
        text = f"{found.id} {said} {asked.scope or 'any lane'} until {asked.until:%Y-%m-%d}: {reason}"
        events.record(connection, now, "vulnerability.decided", f"vulnerability/{found.id}", who, text)
        row = next(each for each in exposures.decisions(connection, [found.id], 10) if each.id == number)
    context.acted_on_lanes()
    return reading.decision_body(row)


def withdrawn(context: Context, number: int, who: str) -> DecisionBody:
    """Raises NotFound, Conflict."""
    now = context.clock.now()
    with context.store.writing() as connection:
        row = exposures.withdraw(connection, number, who, now)
        text = f"decision {number} no longer holds: {row.verdict} in {row.scope or 'any lane'}"
        events.record(connection, now, "vulnerability.undecided", f"vulnerability/{row.vulnerability}", who, text)
        row = next(each for each in exposures.decisions(connection, [row.vulnerability], 500) if each.id == number)
    context.acted_on_lanes()
    return reading.decision_body(row)


def _take(context: Context, chunks: Iterable[bytes], who: str, *, without: bool) -> ImportBody:
    stored = context.blobs.put(chunks, LIMIT_BYTES)
    now = context.clock.now()
    with context.store.writing() as connection:
        named(context, connection, stored.sha256)
        made: OsvDump = osv.add(connection, stored.sha256, stored.size_bytes, who, now, now + PATIENCE, without=without)
    context.wake()
    return reading.import_body(made)


def _split(lane: str) -> tuple[str, str]:
    application, _, environment = lane.partition("/")
    return application, environment


def _known_scope(connection: Connection, scope: str) -> None:
    """Raises NotFound."""
    every = lanes.every(connection)
    if scope and not any(scope in (each.application, f"{each.application}/{each.environment}") for each in every):
        raise NotFound(f"no application and no lane is called {scope[:100]!r}")
