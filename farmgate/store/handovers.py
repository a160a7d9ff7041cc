"""Steps of rollouts that another tool carries out: sent, followed, ended.

Rules:
1. A row is there before anything is sent, so a callback finds it that comes before the answer.
2. Who sends writes its epoch; an older controller cannot (StaleEpoch), and what it gave out for callbacks is refused.
3. A state moves as `farmgate.states` says; what is final stays. With its rollout every hand-over ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from farmgate import handovers as rules
from farmgate import states
from farmgate.errors import LostRace, NotFound, StaleEpoch
from farmgate.handovers import Told
from farmgate.models import HandoverRow
from farmgate.store.database import insert_if_absent, many, move, one
from farmgate.store.schema import handovers
from farmgate.vault import Vault


def of(connection: Connection, rollout_id: int, step: str) -> HandoverRow | None:
    """The hand-over of a step, if it was ever sent."""
    statement = select(handovers).where(handovers.c.rollout_id == rollout_id, handovers.c.step == step)
    return one(connection, HandoverRow, statement)


def any_of(connection: Connection, rollout_id: int) -> bool:
    """Whether anything of a rollout was ever sent."""
    return connection.execute(select(handovers.c.id).where(handovers.c.rollout_id == rollout_id)).first() is not None


def of_rollout(connection: Connection, rollout_id: int) -> list[HandoverRow]:
    """All that was handed over, the newest last."""
    statement = select(handovers).where(handovers.c.rollout_id == rollout_id).order_by(handovers.c.id)
    return many(connection, HandoverRow, statement)


def by_id(connection: Connection, handover_id: int) -> HandoverRow:
    """Raises NotFound."""
    found = one(connection, HandoverRow, select(handovers).where(handovers.c.id == handover_id))
    if found is None:
        raise NotFound(f"no hand-over has the id {handover_id}")
    return found


def begin(
    connection: Connection, rollout_id: int, step: str, delivery: str, epoch: int, now: datetime, within: timedelta
) -> HandoverRow:
    """Write that it is about to be sent, for the first time or again. Raises StaleEpoch."""
    values = {
        "rollout_id": rollout_id,
        "step": step,
        "delivery": delivery,
        "epoch": epoch,
        "state": states.Handover.SENDING,
        "share": None,
        "text": "",
        "link": "",
        "answer": {},
        "tellings": 0,
        "stamp": None,
        "seen": [],
        "created_at": now,
        "told_at": None,
        "deadline": now + within,
    }
    if not insert_if_absent(connection, handovers, values, "rollout_id", "step"):
        mine = (handovers.c.rollout_id == rollout_id) & (handovers.c.step == step)
        sending = handovers.c.state == states.Handover.SENDING
        connection.execute(update(handovers).where(mine, sending, handovers.c.epoch <= epoch).values(epoch=epoch))
    found = of(connection, rollout_id, step)
    assert found is not None
    if found.epoch > epoch:
        raise StaleEpoch(f"epoch {found.epoch} has sent {found.delivery} since: epoch {epoch} may not")
    return found


def answered(
    connection: Connection, row: HandoverRow, said: Told, answer: Mapping[str, str], now: datetime
) -> HandoverRow:
    """The other tool took it, and perhaps said how it stands. A callback may have been faster: that one counts."""
    values = {**_said(said), "answer": dict(answer), "told_at": now}
    try:
        key = {"id": row.id, "epoch": row.epoch}
        move(connection, handovers, key, states.Handover.SENDING, said.state, **values)
    except LostRace:
        connection.execute(update(handovers).where(handovers.c.id == row.id).values(answer=dict(answer)))
    return by_id(connection, row.id)


def looked(connection: Connection, row: HandoverRow, said: Told, now: datetime) -> HandoverRow:
    """What its status says. A callback may have been faster: that one counts."""
    values = {**_said(said), "told_at": now}
    if said.state is states.Handover.TAKEN:
        open_ = handovers.c.state == states.Handover.TAKEN
        connection.execute(update(handovers).where(handovers.c.id == row.id, open_).values(**values))
    else:
        try:
            move(connection, handovers, {"id": row.id}, states.Handover.TAKEN, said.state, **values)
        except LostRace:
            pass
    return by_id(connection, row.id)


def heard(
    connection: Connection, handover_id: int, epoch: int, message: str, stamp: int, said: Told, now: datetime
) -> bool:
    """A callback whose signature was right; True if it says something new. Raises StaleEpoch, Conflict, NotFound."""
    locked = select(handovers).where(handovers.c.id == handover_id).with_for_update()
    row = one(connection, HandoverRow, locked)
    if row is None:
        raise NotFound(f"no hand-over has the id {handover_id}")
    if epoch < row.epoch:
        raise StaleEpoch(f"epoch {row.epoch} has sent {row.delivery} again: use the callback of that request")
    if not rules.is_new(row, message, stamp, said):
        return False
    values = {
        **_said(said),
        "tellings": row.tellings + 1,
        "stamp": stamp,
        "seen": [*(row.seen if stamp == row.stamp else []), message],
        "told_at": now,
    }
    if said.state is row.state:
        connection.execute(update(handovers).where(handovers.c.id == row.id).values(**values))
    else:
        move(connection, handovers, {"id": row.id}, row.state, said.state, **values)
    return True


def any_late(connection: Connection, now: datetime) -> bool:
    """Whether `end_late` has something to do."""
    return connection.execute(select(handovers.c.id).where(_late(now)).limit(1)).first() is not None


def end_late(connection: Connection, now: datetime) -> None:
    """The time of these is over."""
    for row in many(connection, HandoverRow, select(handovers).where(_late(now))):
        move(connection, handovers, {"id": row.id}, row.state, states.Handover.OVER)


def over(connection: Connection, rollout_id: int, but: str | None = None) -> None:
    """Nothing that is still under way counts any more: the rollout went another way, or ended."""
    open_ = handovers.c.state.in_(states.open_states(states.Handover))
    statement = select(handovers).where(handovers.c.rollout_id == rollout_id, open_)
    for row in many(connection, HandoverRow, statement):
        if row.step != but:
            move(connection, handovers, {"id": row.id}, states.open_states(states.Handover), states.Handover.OVER)


def tellings(connection: Connection, rollout_id: int) -> int:
    """How many callbacks were taken for a rollout: it grows when there is something to look at."""
    counted = select(func.sum(handovers.c.tellings)).where(handovers.c.rollout_id == rollout_id)
    return int(connection.execute(counted).scalar() or 0)


def token(vault: Vault, handover_id: int, epoch: int) -> str:
    """What a callback's address ends with: made from the farm's key for this hand-over and this epoch, kept nowhere."""
    return vault.hash(f"hand-over {handover_id} of epoch {epoch}")


def _late(now: datetime) -> ColumnElement[bool]:
    return handovers.c.state.in_(states.open_states(states.Handover)) & (handovers.c.deadline <= now)


def _said(said: Told) -> dict[str, Any]:
    return {"share": said.share, "text": said.text, "link": said.link}
