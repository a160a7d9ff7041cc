"""What a batch carries: asked by the deploy loop, answered by whoever has the history. The one hand-off between them.

Rules:
1. The question is written with the cut, in one transaction: the two commits, and the patterns of the policy.
2. It is answered once. An answer is about two commits, which never change; so it is never asked again.
3. Questions of rollouts that are over need no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from farmgate import states
from farmgate.models import BatchLook, Rollout, RolloutKind
from farmgate.store import made
from farmgate.store.database import many, one
from farmgate.store.schema import batch_looks, rollouts


def ask(connection: Connection, rollout: Rollout, repository_id: int, patterns: Sequence[str], now: datetime) -> None:
    """Ask of a rollout that was just cut. Where nothing was live there is nothing to compare with. Of a made commit
    that is live (a hotfix) what it stands on is compared: what it brought is guarded by rules of its own."""
    if rollout.since_sha is None:
        return
    values = {"rollout_id": rollout.id, "repository_id": repository_id, "patterns": list(patterns)}
    of = {"since_sha": made.root(connection, repository_id, rollout.since_sha), "until_sha": rollout.until_sha}
    connection.execute(insert(batch_looks).values(**values, **of, asked_at=now, answered_at=None, found={}))


def of_rollout(connection: Connection, rollout_id: int) -> BatchLook | None:
    """If it was asked."""
    return one(connection, BatchLook, select(batch_looks).where(batch_looks.c.rollout_id == rollout_id))


def unanswered(connection: Connection) -> list[int]:
    """The rollouts under way whose batch was not looked at yet, oldest first."""
    return list(connection.execute(_open().order_by(batch_looks.c.rollout_id)).scalars())


def _open() -> Select[Any]:
    return (
        select(batch_looks.c.rollout_id)
        .join(rollouts, rollouts.c.id == batch_looks.c.rollout_id)
        .where(batch_looks.c.answered_at.is_(None), rollouts.c.state.in_(states.open_states(states.Rollout)))
    )


def any_unanswered() -> Select[Any]:
    """Finds a row if there is one to answer."""
    return _open().limit(1)


def answer(connection: Connection, rollout_id: int, found: dict[str, Any], now: datetime) -> bool:
    """Once; False if it was answered before."""
    answered = connection.execute(
        update(batch_looks)
        .where(batch_looks.c.rollout_id == rollout_id, batch_looks.c.answered_at.is_(None))
        .values(answered_at=now, found=found)
    )
    return answered.rowcount == 1


def beyond(connection: Connection, lane_id: int, position: int) -> list[BatchLook]:
    """Of the good rollouts of a lane that delivered beyond a position, oldest first: what a way back there crosses."""
    statement = (
        select(batch_looks)
        .join(rollouts, rollouts.c.id == batch_looks.c.rollout_id)
        .where(
            rollouts.c.lane_id == lane_id,
            rollouts.c.kind != RolloutKind.ROLLBACK,
            rollouts.c.state == states.Rollout.GOOD,
            rollouts.c.until_position > position,
        )
    )
    return many(connection, BatchLook, statement.order_by(rollouts.c.number))
