"""What is asked before a hotfix is begun, cancelled, or said to be contained."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate.errors import Conflict
from farmgate.models import MadeKind
from farmgate.store import lane_views, lanes, made
from scheduler.auth import Writer
from scheduler.pages import words
from scheduler.pages.confirm import KEPT, Show, asked, danger


def add(pages: APIRouter, show: Show) -> None:
    """The questions' addresses."""

    @pages.get("/lanes/{application}/{environment}/hotfix")
    def hotfix(request: Request, person: Writer, application: str, environment: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            where, title = f"/lanes/{application}/{environment}", f"Hotfix for {application} / {environment}?"
            live = lane_views.live_of(connection, row, lanes.policy_of(row))
            opened = made.open_of(connection, row.id)
            if opened is not None and opened.kind is MadeKind.REVERT:
                opened = None  # it gives way, or is on its way
            if live is None or opened is not None:
                told = "Nothing is live here that it could stand on." if live is None else f"{_name(opened)} is open."
                return asked(title, "", where, "", told, submits=[])
            lines = [
                f"The commits are picked onto {words.short(live.sha)}, which is live, built and tested.",
                "Then it goes ahead of the queue: a hold and missing approvals keep it, windows and freezes do not.",
                "Nothing else begins here meanwhile.",
                "Later batches wait until the branch contains it, so that it is never lost.",
            ]
            said = "their hashes or the first digits, oldest first"
            return asked(title, f"{where}/hotfix", where, "Make the hotfix", *lines, reason=KEPT, commits=said)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/hotfixes/{number}/cancel")
    def cancel(request: Request, person: Writer, application: str, environment: str, number: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = made.by_id(connection, number)
            if row.state not in made.BEFORE_DELIVERY:
                raise Conflict(f"{_name(row)} is {row.state}")
            where = f"/lanes/{application}/{environment}"
            told = "Its run ends, nothing of it is delivered, and the queue goes on."
            action = f"{where}/hotfixes/{number}/cancel"
            return asked(f"Cancel {_name(row)}?", action, where, "", told, reason=KEPT, submits=danger("Cancel it"))

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/hotfixes/{number}/contained")
    def contained(request: Request, person: Writer, application: str, environment: str, number: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = made.by_id(connection, number)
            where = f"/lanes/{application}/{environment}"
            told = f"Batches of {row.branch} that end with that commit, or later, no longer wait for it."
            title, said = f"What contains {_name(row)}?", "its hash, or the first digits"
            action = f"{where}/hotfixes/{number}/contained"
            return asked(title, action, where, "That contains it", told, reason=KEPT, commit=said)

        return show(request, person, "confirm.html", read)


def _name(row: Any) -> str:
    return f"{row.kind} {row.id}"
