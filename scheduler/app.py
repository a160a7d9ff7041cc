"""The web application: routers mounted, errors answered, nothing else.

Every router is `def router(context: Context) -> APIRouter`.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from fastapi import FastAPI

from scheduler import problems
from scheduler.context import Context

ROUTERS = (
    "scheduler.health",
    "scheduler.hooks",
    "scheduler.worker_api",
    "scheduler.node_api",
    "scheduler.git_api",
    "scheduler.repositories_api",
    "scheduler.runs_api",
    "scheduler.logs_api",
    "scheduler.farm_api",
    "scheduler.lanes_api",
    "scheduler.pages",
)


def create_app(context: Context) -> FastAPI:
    """The application over a context; its routers find the context at `app.state.context` too."""
    app = FastAPI(
        title="Farmgate", version="0.1.0", docs_url=None, redoc_url=None, description="Build and delivery farm."
    )
    app.state.context = context
    problems.install(app)
    for name in ROUTERS:
        if find_spec(name) is not None and hasattr(module := importlib.import_module(name), "router"):
            app.include_router(module.router(context))
    return app
