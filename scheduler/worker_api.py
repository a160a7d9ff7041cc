"""The endpoints of workers: thin over `claims`."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from farmgate.messages import (
    ArtifactTaken,
    Claim,
    Claimed,
    LogTaken,
    Needed,
    Renew,
    Renewed,
    ReportEnd,
    ReportPage,
    Result,
    StepReport,
    Times,
)
from farmgate.models import (
    ArtifactKind,
)
from scheduler import (
    claims,
    needed,
    reporting,
)
from scheduler.auth import AskingAttempt, AskingNode
from scheduler.context import Context
from scheduler.hooks import whole_body
from scheduler.streams import pieces

UPLOADS_AT_ONCE = 16
LOG_PIECE_LIMIT = 8 * 2**20


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["workers"])
    # Threads of their own: however slowly artifacts come, leases are renewed.
    uploads = anyio.CapacityLimiter(UPLOADS_AT_ONCE)

    @routes.post("/api/worker/claim")
    def claim(node: AskingNode, body: Claim, request: Request) -> Claimed:
        """Claim a job's attempt; 409 for all but one."""
        return claims.claim(context, node, body, str(request.base_url))

    @routes.post("/api/worker/renew")
    def renew(node: AskingNode, body: Renew) -> Renewed:
        """Renew all leases of a node in one call."""
        return claims.renew(context, node, body)

    @routes.post("/api/attempts/{job}/{attempt}/log")
    async def log(asking: AskingAttempt, offset: int, request: Request) -> LogTaken:
        """Append raw bytes at an offset. The answer is the length so far."""
        data = await whole_body(request, LOG_PIECE_LIMIT)
        return await run_in_threadpool(claims.take_log, context, asking.attempt, max(0, offset), data)

    @routes.post("/api/attempts/{job}/{attempt}/steps", status_code=204)
    def step(asking: AskingAttempt, body: StepReport) -> Response:
        """Report a step's beginning or end."""
        claims.take_step(context, asking.attempt, body)
        return Response(status_code=204)

    @routes.put("/api/attempts/{job}/{attempt}/artifacts")
    async def artifact(
        asking: AskingAttempt,
        path: str,
        request: Request,
        executable: bool = False,
        kind: ArtifactKind = ArtifactKind.FILE,
        image_id: str | None = None,
    ) -> ArtifactTaken:
        """Upload an artifact as raw bytes."""
        chunks = pieces(request)
        take = partial(
            claims.take_artifact,
            context,
            asking.attempt,
            path,
            chunks,
            executable=executable,
            kind=kind,
            image_id=image_id,
        )
        return await anyio.to_thread.run_sync(take, limiter=uploads)

    @routes.get("/api/attempts/{job}/{attempt}/needed")
    def needs(asking: AskingAttempt) -> Needed:
        """The artifacts of the jobs that this one needs and wants to have."""
        return needed.listed(context, asking.job)

    @routes.get("/api/attempts/{job}/{attempt}/needed/{sha256}", response_class=StreamingResponse)
    def needed_bytes(asking: AskingAttempt, sha256: str) -> StreamingResponse:
        """The bytes of one of them."""
        size, pieces_of_it = needed.opened(context, asking.job, sha256)
        headers = {"Content-Length": str(size)}
        return StreamingResponse(pieces_of_it, media_type="application/octet-stream", headers=headers)

    @routes.post("/api/attempts/{job}/{attempt}/reports", status_code=204)
    def report_page(asking: AskingAttempt, body: ReportPage) -> Response:
        """Send a page of what the job reports."""
        reporting.take_page(context, asking.attempt, body)
        return Response(status_code=204)

    @routes.put("/api/attempts/{job}/{attempt}/reports/file")
    async def report_file(asking: AskingAttempt, request: Request) -> ArtifactTaken:
        """Upload the bytes of a file that was read."""
        take = partial(reporting.take_file, context, asking.attempt, pieces(request))
        return await anyio.to_thread.run_sync(take, limiter=uploads)

    @routes.post("/api/attempts/{job}/{attempt}/reports/end", status_code=204)
    def report_end(asking: AskingAttempt, body: ReportEnd) -> Response:
        """All of a kind was sent."""
        reporting.take_end(context, asking.attempt, body)
        return Response(status_code=204)

    @routes.get("/api/attempts/{job}/{attempt}/times")
    def times(asking: AskingAttempt) -> Times:
        """What the job's tests took lately, for its shards."""
        return reporting.times(context, asking.attempt)

    @routes.post("/api/attempts/{job}/{attempt}/result", status_code=204)
    def result(asking: AskingAttempt, body: Result) -> Response:
        """Report how the attempt ended."""
        claims.take_result(context, asking.attempt, body)
        return Response(status_code=204)

    return routes
