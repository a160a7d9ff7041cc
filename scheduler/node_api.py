"""The endpoints of nodes' agents, and of people about nodes."""

from __future__ import annotations

from fastapi import APIRouter

from farmgate.errors import Conflict
from farmgate.messages import Heard, Heartbeat, Join, Joined
from scheduler import claims
from scheduler.auth import AskingNode
from scheduler.context import Context


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["nodes"])

    @routes.post("/api/nodes/join")
    def join(body: Join) -> Joined:
        """Take a node in for a one-time token."""
        broker = context.settings.broker_url
        if broker is None:
            raise Conflict("this server has no broker: set FARMGATE_BROKER_URL")
        return claims.join(context, body, broker.get_secret_value())

    @routes.post("/api/nodes/heartbeat")
    def heartbeat(node: AskingNode, body: Heartbeat) -> Heard:
        """Say what the node holds; hear what is wanted."""
        return claims.heartbeat(context, node, body)

    return routes
