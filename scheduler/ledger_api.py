"""The ledger's questions: what did a rollout take along, what differs between two, where is this live?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from farmgate.errors import BadPayload
from farmgate.store import lanes
from scheduler import ledger_reading, package_places
from scheduler.auth import Person
from scheduler.context import Context
from scheduler.ledger_bodies import LaneDiff, LedgerRollout, WhereBody

Number = Annotated[int, Query(ge=1, le=2**31 - 1)]


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["ledger"])

    @routes.get("/api/lanes/{application}/{environment}/rollouts/{number}")
    def rollout(person: Person, application: str, environment: str, number: int) -> LedgerRollout:
        """Commits, artifacts, configuration and its difference to the last, checks, who and when."""
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            return ledger_reading.rollout(context, connection, lane, number)

    @routes.get("/api/lanes/{application}/{environment}/diff")
    def difference(person: Person, application: str, environment: str, since: Number, until: Number) -> LaneDiff:
        """From what one rollout left live to what another did."""
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            return ledger_reading.difference(context, connection, lane, since, until)

    @routes.get("/api/where")
    def where(
        person: Person,
        what: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
        package: Annotated[str | None, Query(min_length=1, max_length=800)] = None,
        ecosystem: Annotated[str | None, Query(max_length=100)] = None,
    ) -> WhereBody:
        """In which lanes it is, since when, by which rollout. `what`: a commit, or an artifact's or image's digest;
        `package`: NAME, NAME@VERSION or a package URL."""
        if (what is None) == (package is None):
            raise BadPayload("say what: a commit or a digest, or else a package")
        with context.store.reading() as connection:
            if package is not None:
                return package_places.where(connection, package, ecosystem, context.clock.now())
            return ledger_reading.where(connection, what or "")

    return routes
