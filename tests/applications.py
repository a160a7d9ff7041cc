"""The web application for one farm after another in a process: to make its 130 routes costs more than most tests.

Rules:
1. An application serves one farm at a time. The next farm fills every field of the context that its routes were made
   over, so that context, `app.state.context`, is the farm's own from then on.
2. It is made as the server makes it, and taken over only by a farm of the same settings and key: some routes look at
   these when they are made. What it keeps between requests is no farm's fact: who waits for the same reading, how many
   upload at once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields

from fastapi import FastAPI

from scheduler.app import create_app
from scheduler.context import Context

_idle: defaultdict[str, list[FastAPI]] = defaultdict(list)


def application(context: Context) -> FastAPI:
    """One that serves what `context` says; hand it back by `leave`."""
    made_for = f"{context.vault.farm()} {context.settings.model_dump_json(exclude={'data'})}"
    if not _idle[made_for]:
        app = create_app(context)
        app.state.made_for = made_for
        return app
    app = _idle[made_for].pop()
    for field in fields(Context):
        object.__setattr__(app.state.context, field.name, getattr(context, field.name))
    return app


def leave(app: FastAPI) -> None:
    """Nobody asks it any more."""
    _idle[app.state.made_for].append(app)
