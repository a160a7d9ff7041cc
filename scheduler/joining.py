"""What agents ask, as functions without HTTP: to join the farm, and to be heard.

Rules:
1. A node that hears no bells although it has free slots, and work waits for it, is told to restart its worker; not
   one that names a problem, since its worker waits for that to end.
2. An agent that buried its worker says what it held: these attempts are lost at once, not when their leases run out.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.errors import StaleAttempt
from farmgate.messages import Heard, Heartbeat, Held, Join, Joined
from farmgate.models import TokenKind
from farmgate.store import attempts, events, jobs, nodes, tokens
from scheduler.claims import try_again
from scheduler.context import Context

HEARTBEAT = timedelta(seconds=5)
DEAF_AFTER = timedelta(seconds=10)


def join(context: Context, body: Join, broker_url: str) -> Joined:
    """Take the node in and give it its credential: for the farm's own token, which lets any number in, or for a
    one-time token, which is spent. Raises Unauthorised, Conflict."""
    now = context.clock.now()
    ours = context.settings.join_token
    with context.store.writing() as connection:
        if ours is None or not hmac.compare_digest(body.token.encode(), ours.get_secret_value().encode()):
            tokens.spend(connection, context.vault, body.token, TokenKind.JOIN, now)
        node = nodes.join(connection, body, now)
        credential = tokens.create(connection, context.vault, TokenKind.NODE, node.name, now, node_id=node.id)
        text = f"{node.name} joined pool {node.pool} with {node.slots} slots, engine {node.engine}"
        events.record(connection, now, "node.joined", f"node/{node.id}", node.name, text)
    context.wake()
    return Joined(
        node=node.id,
        name=node.name,
        credential=credential,
        broker_url=broker_url,
        heartbeat_seconds=HEARTBEAT.total_seconds(),
    )


def heartbeat(context: Context, node: models.Node, body: Heartbeat) -> Heard:
    """Note what a node says of itself; tell it what is wanted of it."""
    now = context.clock.now()
    with context.store.writing() as connection:
        nodes.heard(connection, node, body, now)
        live = {(found.job_id, found.number): found for found, _ in attempts.held_by(connection, node.id)}
        ended = [found for held in body.ended if (found := live.pop((held.job, held.attempt), None)) is not None]
        for attempt in ended:
            _bury(context, connection, node, attempt)
        if body.leaves:  # what it still held gets a new attempt when its lease runs out
            nodes.set_state(connection, nodes.by_id(connection, node.id), states.Node.REMOVED)
            tokens.revoke_of_node(connection, node.id, now)
            events.record(connection, now, "node.removed", f"node/{node.id}", node.name, f"{node.name} left the farm")
        unanswered = jobs.unanswered(connection, node.pool, node.id, now - DEAF_AFTER)
    if node.state is states.Node.SILENT or ended:
        context.wake()
    for attempt in ended:
        context.changes.touch(attempt.job_id)
    gone = tuple(
        Held(job=held.job, attempt=held.attempt) for held in body.holding if (held.job, held.attempt) not in live
    )
    claimed_lately = node.claimed_at is not None and node.claimed_at > now - DEAF_AFTER
    joined_lately = node.joined_at > now - DEAF_AFTER
    # What has ended by our rows may still be cleared away there, and holds its slot as long.
    busy = len(live.keys() | {(held.job, held.attempt) for held in body.holding})
    deaf = unanswered and not claimed_lately and not joined_lately and busy < body.slots
    takes_work = node.state in (states.Node.READY, states.Node.SILENT)
    return Heard(
        heartbeat_seconds=HEARTBEAT.total_seconds(),
        drain=node.state is states.Node.DRAINING,
        restart_worker=bool(deaf and takes_work and body.worker_alive and body.problem is None),
        remove=gone,
    )


def _bury(context: Context, connection: Connection, node: models.Node, attempt: models.Attempt) -> None:
    """Rule 2: as if its lease had run out at this moment. Fenced, as all that an attempt brings."""
    try:
        attempts.still_live(connection, attempt.id)
    except StaleAttempt:
        return
    now = context.clock.now()
    job = jobs.by_id(connection, attempt.job_id)
    reason = f"attempt {attempt.number} was lost: the worker of {node.name} died"
    cancelled = job.cancel_asked is not None
    state = states.Attempt.CANCELLED if cancelled else states.Attempt.LOST
    attempts.finish(connection, attempt.id, state, now, reason=job.cancel_asked or reason)
    if cancelled:
        jobs.finish(connection, job.id, attempt.number, states.Job.CANCELLED, now, job.cancel_asked)
    else:
        try_again(context, connection, job, reason, "agent")
