"""The page of a rollout: what changed, which commits, whose, and taking it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.errors import NotFound
from farmgate.models import Rollout
from farmgate.store import attestations, candidates, lanes, releases, repositories
from scheduler import ledger_reading, vulnerability_reading
from scheduler.auth import Person, Principal
from scheduler.context import Context

Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]


def add(pages: APIRouter, context: Context, show: Show) -> None:
    """The page's address."""

    @pages.get("/lanes/{application}/{environment}/rollouts/{number}")
    def of_rollout(request: Request, person: Person, application: str, environment: str, number: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            lane = lanes.by_name(connection, application, environment)
            live = releases.live_of(connection, lane.id)
            told = ledger_reading.rollout(context, connection, lane, number)
            row = ledger_reading.by_number(connection, lane, number)
            made, vulnerabilities = vulnerability_reading.of_candidate(connection, row.candidate_id, now)
            left = releases.of_rollout(connection, told.id)
            return {
                "here": "/",
                "live": False,
                "r": told,
                "lane": {"application": application, "environment": environment},
                "path": f"/lanes/{application}/{environment}",
                "repository": repositories.by_id(connection, lane.repository_id).name,
                "provenance": _provenance(context, connection, row),
                "made_of": made,
                "vulnerabilities": vulnerabilities,
                "is_live": live is not None and live.rollout_id == told.id,
                "may_go_back": left is not None and live is not None and left.position < live.position,
            }

        return show(request, person, "rollout.html", read)


def _provenance(context: Context, connection: Connection, row: Rollout) -> dict[str, Any]:
    """What was signed of its candidate, whether that is what it is, and whether it has a record."""
    candidate = candidates.by_id(connection, row.candidate_id)
    if candidate is None:
        return {"made": None, "problem": None, "record": False}
    said = attestations.of_commit(connection, candidate.repository_id, candidate.sha)
    problem = None
    try:
        attestations.genuine(connection, context.vault.keyring, candidate)
    except attestations.Tampered as error:
        problem = str(error)
    try:
        record = bool(attestations.of_rollout(connection, row.id).id)
    except NotFound:
        record = False
    return {"made": said[0] if said else None, "problem": problem, "record": record}
