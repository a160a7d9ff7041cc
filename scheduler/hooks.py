"""The webhook door: `POST /hooks/{repository}`.

Rules:
1. The signature is checked over the raw bytes before anything is stored; a wrong one stores nothing (401).
2. A delivery and its changes are one transaction, and the forge is answered (202) after its commit. From then on each
   change ends in runs or in a recorded rejection (I1).
3. The same delivery sent again is taken once, and answered alike.
4. No git here: the answer takes milliseconds. Reading is the loop's work.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from farmgate import webhooks
from farmgate.errors import BadPayload, TooLarge
from farmgate.store import intakes, repositories
from farmgate.store.intakes import NewIntake
from farmgate.webhooks import Change, Deleted, Ignored, Ping, Pull, PullAction, Pushed
from scheduler.context import Context

LONGEST_REF = 500


class Answer(BaseModel):
    """What became of a webhook. `accepted` is False where it was taken before or starts no work."""

    accepted: bool
    delivery: str
    changes: int
    text: str


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["webhooks"])

    @routes.post("/hooks/{repository}", status_code=202, response_model=Answer)
    async def take(repository: str, request: Request) -> JSONResponse:
        """Take a webhook of any known forge."""
        body = await whole_body(request, context.settings.webhook_limit_bytes)
        status, answer = await run_in_threadpool(accept, context, repository, dict(request.headers), body)
        return JSONResponse(answer.model_dump(), status)

    return routes


async def whole_body(request: Request, limit_bytes: int) -> bytes:
    """The raw bytes. Raises TooLarge as soon as that is known."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit_bytes:
        raise TooLarge(f"the webhook's body has {told} bytes, more than the {limit_bytes} that are taken")
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge(f"the webhook's body has more than the {limit_bytes} bytes that are taken")
        pieces.append(piece)
    return b"".join(pieces)


def accept(context: Context, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Answer]:
    """Verify, understand and store. Raises NotFound, BadSignature, BadPayload."""
    now = context.clock.now()
    with context.store.reading() as connection:
        repository = repositories.by_name(connection, name)
    forge = webhooks.recognise(headers)
    webhooks.verify(forge, context.vault.decrypt(repository.secret), headers, body, now=now)
    delivery = webhooks.parse(forge, headers, body)
    if all(isinstance(change, Ping) for change in delivery.changes):
        return 200, Answer(accepted=False, delivery=delivery.delivery_id, changes=0, text="pong")
    new = [intake for change in delivery.changes if (intake := intake_of(change)) is not None]
    ignored = [change.why for change in delivery.changes if isinstance(change, Ignored)]
    told = [f"{intake.kind} {intake.ref}" for intake in new[:10]] + [f"ignored: {why}" for why in ignored[:3]]
    text = intakes.storable("; ".join(told) or "nothing to do")
    with context.store.writing() as connection:
        fresh = intakes.accept(
            connection, repository.id, delivery.delivery_id, intakes.storable(delivery.event)[:100], text, new, now
        )
    if not fresh:
        return 202, Answer(
            accepted=False, delivery=delivery.delivery_id, changes=0, text="this delivery was taken before"
        )
    if new:
        context.wake()
    return 202, Answer(accepted=True, delivery=delivery.delivery_id, changes=len(new), text=text)


def intake_of(change: Change) -> NewIntake | None:
    """A change as it is written down; None for what starts no work. Raises BadPayload."""
    match change:
        case Pushed():
            return NewIntake("push", _fitting(change.ref), change.before, change.after)
        case Deleted():
            return NewIntake("delete", _fitting(change.ref), change.before, None)
        case Pull():
            kind = "pull_closed" if change.action is PullAction.CLOSED else "pull"
            branch_of_fork = change.from_fork and change.fetch_ref.startswith("refs/heads/")
            details = {
                "number": change.number,
                "base": change.base_ref,
                "head": change.head_ref,
                "from_fork": change.from_fork,
                "fetch_ref": change.fetch_ref,
                "fetch_url": change.head_clone_url if branch_of_fork else None,
                "title": change.title[:1000],
                "author": change.author[:200],
            }
            return NewIntake(kind, f"refs/pull/{change.number}/head", None, change.head_sha, details)
        case Ping() | Ignored():
            return None


def _fitting(ref: str) -> str:
    if len(ref) > LONGEST_REF:
        raise BadPayload(f"ref: {ref[:40]!r}... is longer than the {LONGEST_REF} characters that are stored")
    return ref
