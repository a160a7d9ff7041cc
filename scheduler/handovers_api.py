"""What other tools say of the rollouts that they were handed: `POST /api/handovers/{handover}/{epoch}/{token}`.

Rules:
1. The address is made from the farm's key for one hand-over and one epoch; the body is signed, as Standard Webhooks
   says, with the secret that the lane's policy names. Both must be right before anything is read.
2. What was given out by an older epoch is refused (409); so is what comes after the end, or after the rollout went
   another way. The same again, and what is older than the newest, is answered alike and changes nothing.
3. A body is bounded before it is read.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy import Connection

from farmgate import handovers as rules
from farmgate.errors import BadPayload, BadSettings, BadSignature, Conflict, NotFound, StaleEpoch
from farmgate.models import HandoverRow
from farmgate.policy import LanePolicy
from farmgate.policy.targets.webhook import WebhookTarget
from farmgate.store import handovers, repositories, rollouts, secrets
from farmgate.webhooks.signatures import check_standard
from scheduler.context import Context
from scheduler.hooks import whole_body

LIMIT_BYTES = 64 * 2**10
_UNKNOWN = "no hand-over has this address"


class HeardBody(BaseModel):
    """`accepted`: it said something new."""

    accepted: bool
    state: str


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/handovers", tags=["handovers"])

    @routes.post("/{handover}/{epoch}/{token}")
    async def heard(
        handover: Annotated[int, Path(ge=1, le=2**62)],
        epoch: Annotated[int, Path(ge=0, le=2**31)],
        token: Annotated[str, Path(max_length=200)],
        request: Request,
    ) -> HeardBody:
        """How a hand-over stands, by the tool that has it: signed, see docs/handing-over.md."""
        body = await whole_body(request, LIMIT_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await run_in_threadpool(_heard, context, handover, epoch, token, headers, body)

    return routes


def _heard(
    context: Context, handover_id: int, epoch: int, token: str, headers: dict[str, str], body: bytes
) -> HeardBody:
    now = context.clock.now()
    wanted = handovers.token(context.vault, handover_id, epoch)
    if not hmac.compare_digest(wanted.encode(), token.encode()):
        raise NotFound(_UNKNOWN)
    with context.store.reading() as connection:
        row = handovers.by_id(connection, handover_id)
        secret = _secret(context, connection, row)
    check_standard(secret, headers, body, now)
    data = rules.parsed(body)
    said = rules.told(data)
    _about(row, data)
    message, stamp = headers.get("webhook-id", "")[:200], int(headers["webhook-timestamp"])
    if not message:
        raise BadPayload("the header webhook-id is missing: a message of its own has an id of its own")
    try:
        with context.store.writing() as connection:
            new = handovers.heard(connection, handover_id, epoch, message, stamp, said, now)
    except StaleEpoch as error:
        raise Conflict(str(error)) from None
    if new:
        context.acted_on_lanes()
    return HeardBody(accepted=new, state=str(said.state))


def _secret(context: Context, connection: Connection, row: HandoverRow) -> str:
    """The one that signs, of now. Raises BadSignature."""
    policy = LanePolicy.model_validate(rollouts.by_id(connection, row.rollout_id).policy)
    name = policy.target.secret if isinstance(policy.target, WebhookTarget) else None
    if name is None:
        raise BadSignature("this lane's policy names no secret that could sign a callback")
    repository = repositories.by_name(connection, policy.repository)
    found = secrets.chosen(connection, repository.id, {name}, policy.environment, policy.branch).get(name)
    if found is None:
        raise BadSignature(f"the secret {name} of this lane is gone")
    try:
        return secrets.value_of(context.vault.keyring, found).decode().strip()
    except (BadSettings, UnicodeDecodeError):
        raise BadSignature(f"the secret {name} of this lane cannot be opened here") from None


def _about(row: HandoverRow, data: Any) -> None:
    """Who names a delivery means this one. Raises BadPayload."""
    named = data.get("delivery", row.delivery)
    if named != row.delivery:
        raise BadPayload(f"delivery: {str(named)[:100]!r} is not what this address is for, {row.delivery}")
