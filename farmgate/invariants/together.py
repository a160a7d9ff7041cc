"""I18: lanes that go together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from farmgate import states
from farmgate.invariants.delivery import FORWARD
from farmgate.invariants.registry import Finding, invariant, rows
from farmgate.store import schema as t

_KEPT: Final = (states.Rollout.FINISHING, states.Rollout.GOOD)
_TAKEN_BACK: Final = (
    states.Rollout.RESTORING,
    states.Rollout.SICK,
    states.Rollout.STUCK,
    states.Rollout.CANCELLED,
)


@invariant
def i18(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Of lanes that go together none is finished while another was taken back; those of one branch get one commit; and
    a group has one joint rollout under way at most."""
    found = (
        select(
            t.joints.c.id,
            t.joints.c.group_id,
            t.joints.c.number,
            t.rollouts.c.id.label("rollout_id"),
            t.rollouts.c.state,
            t.rollouts.c.until_sha,
            t.rollouts.c.policy,
        )
        .join(t.joint_rollouts, t.joint_rollouts.c.joint_id == t.joints.c.id)
        .join(t.rollouts, t.rollouts.c.id == t.joint_rollouts.c.rollout_id)
        .where(t.rollouts.c.kind.in_(FORWARD))
    )
    joint: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows(connection, found):
        joint[row.id].append(row)
    under_way: dict[int, list[int]] = defaultdict(list)
    for parts in joint.values():
        subject = f"joint/{parts[0].id}"
        kept = [part.rollout_id for part in parts if part.state in _KEPT]
        lost = [part.rollout_id for part in parts if part.state in _TAKEN_BACK]
        if kept and lost:
            yield subject, f"rollouts {kept} were finished, and {lost} taken back"
        lines = {(part.policy.get("repository"), part.policy.get("branch")): part.until_sha for part in parts}
        for part in parts:
            wanted = lines[part.policy.get("repository"), part.policy.get("branch")]
            if part.until_sha != wanted:
                yield subject, f"rollout {part.rollout_id} has {part.until_sha[:9]}, another of its branch {wanted[:9]}"
        if any(not states.is_final(part.state) for part in parts):
            under_way[parts[0].group_id].append(parts[0].number)
    for group_id, numbers in under_way.items():
        if len(numbers) > 1:
            yield f"group/{group_id}", f"joint rollouts {numbers} are under way"
