"""The nodes: state, slots used, what each holds, when it was last heard, and its problem."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import Node
from farmgate.store import jobs, nodes, repositories, runs
from scheduler.pages import alarms, words


def read(connection: Connection, now: datetime) -> dict[str, Any]:
    """The values of nodes.html."""
    machines = nodes.everyone(connection)
    ready = [node for node in machines if node.state is states.Node.READY]
    return {
        "nodes": [_node(connection, node) for node in machines],
        "used": sum(len(node.holding) for node in ready),
        "slots": sum(node.slots for node in ready),
        "alarm_list": [alarm for alarm in alarms.of_nodes(machines, now) if machines],
    }


def _node(connection: Connection, node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "pool": node.pool,
        "engine": node.engine,
        "version": node.version,
        "state": node.state,
        "look": "node ready" if node.state is states.Node.READY else node.state,
        "problem": node.problem,
        "slots": node.slots,
        "used": len(node.holding),
        "holds": [held for told in node.holding if (held := _held(connection, told)) is not None],
        "seen_at": node.seen_at,
    }


def _held(connection: Connection, told: str) -> dict[str, str] | None:
    """`job/attempt` as a link; None for what is no job of ours."""
    job_id, _, attempt = told.partition("/")
    if not job_id.isdigit():
        return None
    try:
        job = jobs.by_id(connection, int(job_id))
        run = runs.by_id(connection, job.run_id)
        repository = repositories.by_id(connection, run.repository_id)
    except NotFound:
        return None
    again = f", attempt {attempt}" if attempt not in ("", "1") else ""
    return {
        "href": f"/runs/{run.id}#job-{job.name}",
        "words": f"{repository.name} {words.short(run.sha)} · {job.name}{again}",
    }
