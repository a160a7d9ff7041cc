"""The web application for one farm after another in a process: to make its 130 routes costs more than most tests.

Rules:
1. An application serves one farm at a time. The next farm fills every field of the context that its routes were made
   over, so that context, `app.state.context`, is the farm's own from then on.
2. It is made as the server makes it. What it keeps between requests is no farm's fact: who waits for the same reading,
   how many upload at once.
"""

from __future__ import annotations

from dataclasses import fields

from fastapi import FastAPI

from scheduler.app import create_app
from scheduler.context import Context

_idle: list[FastAPI] = []


def application(context: Context) -> FastAPI:
    """One that serves what `context` says; hand it back by `leave`."""
    if not _idle:
        return create_app(context)
    app = _idle.pop()
    for field in fields(Context):
        object.__setattr__(app.state.context, field.name, getattr(context, field.name))
    return app


def leave(app: FastAPI) -> None:
    """Nobody asks it any more."""
    _idle.append(app)
