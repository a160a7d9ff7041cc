"""The page of the audit log: the newest acts, filtered, and whether the chain holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.store import audit
from scheduler.audit_api import verified
from scheduler.auth import Auditor, Principal

AT_ONCE = 100
Read = Callable[[Connection, datetime], dict[str, Any]]
Show = Callable[[Request, Principal, str, Read], Response]


def add(pages: APIRouter, show: Show) -> None:
    """The page's address."""

    @pages.get("/audit")
    def acts(
        request: Request,
        person: Auditor,
        subject: str = "",
        actor: str = "",
        kind: str = "",
        before: int | None = None,
        verify: bool = False,
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            rows = audit.latest(
                connection, subject=subject[:200], actor=actor[:200], kind=kind[:50], before=before, limit=AT_ONCE
            )
            return {
                "entries": rows,
                "head": audit.head(connection),
                "verified": verified(connection, []) if verify else None,
                "wanted": {"subject": subject, "actor": actor, "kind": kind},
                "older": rows[-1].number if len(rows) == AT_ONCE else None,
                "live": False,
            }

        return show(request, person, "audit.html", read)
