"""The endpoints of nodes' agents, and of people about nodes."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel

from farmgate import states
from farmgate.errors import Conflict
from farmgate.messages import Heard, Heartbeat, Join, Joined
from farmgate.models import TokenKind
from farmgate.store import events, nodes, tokens
from scheduler import joining, views
from scheduler.auth import Admin, AskingNode, Person
from scheduler.bodies import NodeBody
from scheduler.context import Context

JOIN_WITHIN = timedelta(hours=1)


class Enrolment(BaseModel):
    """A one-time token and the command that uses it."""

    token: str
    expires_at: datetime
    command: str


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["nodes"])

    @routes.post("/api/nodes/join")
    def join(body: Join) -> Joined:
        """Take a node in for a one-time token."""
        broker = context.settings.broker_url
        if broker is None:
            raise Conflict("this server has no broker: set FARMGATE_BROKER_URL")
        return joining.join(context, body, broker.get_secret_value())

    @routes.post("/api/nodes/heartbeat")
    def heartbeat(node: AskingNode, body: Heartbeat) -> Heard:
        """Say what the node holds; hear what is wanted."""
        return joining.heartbeat(context, node, body)

    @routes.get("/api/nodes")
    def every(person: Person) -> list[NodeBody]:
        """All nodes that are part of the farm, by name."""
        with context.store.reading() as connection:
            return [views.node_body(node) for node in nodes.everyone(connection)]

    @routes.post("/api/nodes/enrol", status_code=201)
    def enrol_node(person: Admin) -> Enrolment:
        """A one-time token that lets a node join."""
        return enrol(context, person.name)

    @routes.post("/api/nodes/{name}/drain")
    def drain(person: Admin, name: str) -> NodeBody:
        """Finish what it holds, take nothing new."""
        return change(context, name, states.Node.DRAINING, person.name)

    @routes.post("/api/nodes/{name}/resume")
    def resume(person: Admin, name: str) -> NodeBody:
        """Take work again."""
        return change(context, name, states.Node.READY, person.name)

    @routes.post("/api/nodes/{name}/remove")
    def remove(person: Admin, name: str) -> NodeBody:
        """Revoke its credential; its jobs get new attempts elsewhere when their leases run out."""
        return change(context, name, states.Node.REMOVED, person.name)

    return routes


def enrol(context: Context, who: str) -> Enrolment:
    """A one-time token that lets a node join."""
    now = context.clock.now()
    until = now + JOIN_WITHIN
    with context.store.writing() as connection:
        plain = tokens.create(connection, context.vault, TokenKind.JOIN, f"by {who}"[:100], now, expires_at=until)
        events.record(connection, now, "node.enrolled", "nodes", who, "a join token was made")
    command = f"FARMGATE_SERVER={context.public_url} FARMGATE_JOIN_TOKEN={plain} ./farm agent"
    return Enrolment(token=plain, expires_at=until, command=command)


def change(context: Context, name: str, after: states.Node, who: str) -> NodeBody:
    """A person drains, resumes or removes a node. Raises NotFound, Conflict."""
    now = context.clock.now()
    with context.store.writing() as connection:
        node = nodes.by_name(connection, name)
        if node.state is states.Node.SILENT and after is states.Node.READY:
            raise Conflict(f"node {name} is silent: start its agent, and it is back by itself")
        if node.state is states.Node.REMOVED and after is not states.Node.REMOVED:
            raise Conflict(f"node {name} was removed: enrol it again with a new join token")
        nodes.set_state(connection, node, after)
        if after is states.Node.REMOVED:
            tokens.revoke_of_node(connection, node.id, now)
        events.record(connection, now, f"node.{after}", f"node/{node.id}", who, f"{name}: {node.state} -> {after}")
        changed = nodes.by_name(connection, name)
    context.changes.touch()
    context.wake()
    return views.node_body(changed)
