"""Whether this process lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import text

from scheduler.context import Context


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["health"])
    farm = context.vault.farm()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @routes.get("/readyz")
    def readyz() -> JSONResponse:
        """The database answers too. `farm` tells this farm from another one at the same address."""
        try:
            with context.store.reading() as connection:
                connection.execute(text("SELECT 1 FROM leaders LIMIT 1"))
        except Exception as error:  # noqa: BLE001  # whatever it is, the farm is not ready
            return JSONResponse({"status": "not ready", "why": type(error).__name__}, 503)
        return JSONResponse({"status": "ready", "farm": farm})

    return routes
