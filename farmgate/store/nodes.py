"""Nodes: machines that run jobs.

Rules:
1. A node is known by its name; one that joins again under its name is the same node with a new credential.
2. A silent node is back with its next heartbeat; a removed one never.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from farmgate import states
from farmgate.errors import Conflict, NotFound, Unauthorised
from farmgate.messages import Heartbeat, Join
from farmgate.models import Node
from farmgate.store import tokens
from farmgate.store.database import insert_if_absent, many, move, one
from farmgate.store.schema import nodes


def join(connection: Connection, body: Join, now: datetime) -> Node:
    """The node's row, new or taken up again; former credentials of that name end. Raises Conflict for a live one."""
    values = {
        "name": body.name,
        "pool": body.pool,
        "labels": dict(body.labels),
        "engine": body.engine,
        "slots": body.slots,
        "state": states.Node.READY,
        "version": body.version,
        "joined_at": now,
        "seen_at": now,
        "claimed_at": None,
        "holding": [],
        "problem": None,
    }
    if not insert_if_absent(connection, nodes, values, "name"):
        known = by_name(connection, body.name)
        if known.state is states.Node.REMOVED:
            connection.execute(update(nodes).where(nodes.c.id == known.id).values(name=f"{known.name[:80]}~{known.id}"))
            insert_if_absent(connection, nodes, values, "name")
        elif known.state is not states.Node.SILENT:
            raise Conflict(
                f"a node called {body.name!r} is part of the farm and was heard of lately: "
                "choose another name, or remove that node first"
            )
        else:
            connection.execute(update(nodes).where(nodes.c.id == known.id).values(**values))
    node = by_name(connection, body.name)
    tokens.revoke_of_node(connection, node.id, now)
    return node


def by_id(connection: Connection, node_id: int) -> Node:
    """A node that is part of the farm. Raises Unauthorised for a removed one."""
    found = one(connection, Node, select(nodes).where(nodes.c.id == node_id))
    if found is None or found.state is states.Node.REMOVED:
        raise Unauthorised("this node was removed from the farm: enrol it again with a new join token")
    return found


def by_name(connection: Connection, name: str) -> Node:
    """Raises NotFound."""
    found = one(connection, Node, select(nodes).where(nodes.c.name == name))
    if found is None:
        raise NotFound(f"there is no node called {name!r}")
    return found


def everyone(connection: Connection, *, removed: bool = False) -> list[Node]:
    """By name."""
    statement = select(nodes).order_by(nodes.c.name)
    return many(connection, Node, statement if removed else statement.where(nodes.c.state != states.Node.REMOVED))


def names(connection: Connection) -> dict[int, str]:
    """Of all nodes that ever were, by id."""
    return {row.id: row.name for row in connection.execute(select(nodes.c.id, nodes.c.name))}


def heard(connection: Connection, node: Node, body: Heartbeat, now: datetime) -> None:
    """A heartbeat: a silent node is ready again. Its labels are what its settings say now."""
    labels = node.labels if body.labels is None else body.labels
    connection.execute(
        update(nodes)
        .where(nodes.c.id == node.id, nodes.c.state != states.Node.REMOVED)
        .values(
            seen_at=now,
            slots=body.slots,
            version=body.version,
            problem=body.problem,
            labels=dict(labels),
            holding=[f"{held.job}/{held.attempt}" for held in body.holding],
        )
    )
    connection.execute(
        update(nodes).where(nodes.c.id == node.id, nodes.c.state == states.Node.SILENT).values(state=states.Node.READY)
    )


def claimed(connection: Connection, node_id: int, now: datetime) -> None:
    """It asked for a job: its worker hears the bell."""
    connection.execute(update(nodes).where(nodes.c.id == node_id).values(claimed_at=now, seen_at=now))


def silence(connection: Connection, node_id: int, before: states.Node, seen_at: datetime) -> None:
    """No heartbeat since `seen_at`. Raises LostRace if one came meanwhile."""
    move(connection, nodes, {"id": node_id, "seen_at": seen_at}, before, states.Node.SILENT)


def set_state(connection: Connection, node: Node, after: states.Node) -> None:
    """A person drains, resumes or removes it. Raises IllegalMove, LostRace."""
    if node.state is not after:
        move(connection, nodes, {"id": node.id}, node.state, after)
