"""A repository's mirror over smart HTTP, read-only, for the live attempts that build it.

Rules:
1. The token of a live attempt opens the repository that it builds, and no other.
2. The answer is the same for a wrong token and for a repository that does not exist.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from farmgate.errors import NotFound, Unauthorised
from farmgate.git import ADVERTISEMENT_TYPE, RESULT_TYPE, advertise, upload_pack
from farmgate.store import attempts, repositories
from scheduler.auth import bearer
from scheduler.context import Context
from scheduler.streams import pieces

FRESH = {"Cache-Control": "no-cache"}


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["git"], include_in_schema=False)

    def mirror(name: str, request: Request) -> Path:
        plain = bearer(request)
        if plain is not None:
            with context.store.reading() as connection:
                allowed = attempts.repository_by_token(connection, context.vault.hash(plain))
                try:
                    repository = repositories.by_name(connection, name.removesuffix(".git"))
                except NotFound:
                    repository = None
            if repository is not None and allowed == repository.id:
                return context.mirrors.path(repository)
        raise Unauthorised("the token of a live attempt of this repository is needed")

    @routes.get("/git/{repository}/info/refs")
    def refs(repository: str, service: str, request: Request) -> Response:
        path = mirror(repository, request)
        if service != "git-upload-pack":
            raise NotFound("mirrors are read-only")
        answer = advertise(path, request.headers.get("git-protocol"))
        return Response(answer, media_type=ADVERTISEMENT_TYPE, headers=FRESH)

    @routes.post("/git/{repository}/git-upload-pack")
    def pack(repository: str, request: Request) -> StreamingResponse:
        path = mirror(repository, request)
        answer = upload_pack(path, pieces(request), request.headers.get("git-protocol"))
        return StreamingResponse(answer, media_type=RESULT_TYPE, headers=FRESH)

    return routes
