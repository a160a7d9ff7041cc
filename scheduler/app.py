"""The web application: routers mounted, errors answered, nothing else.

Every router is `def router(context: Context) -> APIRouter`.
"""

from __future__ import annotations

from fastapi import FastAPI

from farmgate import __version__
from scheduler import (
    approvals_api,
    artifacts_api,
    audit_api,
    caches_api,
    candidates_api,
    farm_api,
    git_api,
    groups_api,
    handovers_api,
    health,
    holds_api,
    hooks,
    hotfix_api,
    identity_api,
    lanes_api,
    ledger_api,
    logs_api,
    node_api,
    pages,
    problems,
    provenance_api,
    replay_api,
    repositories_api,
    reverts_api,
    runs_api,
    secrets_api,
    templates_api,
    tests_api,
    vulnerabilities_api,
    worker_api,
)
from scheduler.context import Context
from scheduler.limits import BoundedBodies

# The pages come last: they answer for every address that nobody else has.
PARTS = (
    health,
    hooks,
    worker_api,
    caches_api,
    node_api,
    git_api,
    handovers_api,
    repositories_api,
    secrets_api,
    identity_api,
    runs_api,
    artifacts_api,
    tests_api,
    logs_api,
    farm_api,
    approvals_api,
    holds_api,
    hotfix_api,
    reverts_api,
    lanes_api,
    groups_api,
    replay_api,
    templates_api,
    audit_api,
    candidates_api,
    provenance_api,
    ledger_api,
    vulnerabilities_api,
    pages,
)


def create_app(context: Context) -> FastAPI:
    """The application over a context; its routers find the context at `app.state.context` too."""
    app = FastAPI(
        title="Farmgate",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        description="A self-hosted build and delivery farm.",
    )
    app.state.context = context
    problems.install(app)
    app.add_middleware(BoundedBodies)
    for part in PARTS:
        app.include_router(part.router(context))
    return app
