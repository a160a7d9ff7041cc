"""What every act writes: the row of a rollout from its cut, and lines of the record."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from deploy.plan_parts import PATIENCE
from farmgate.errors import LostRace
from farmgate.lanes import LaneView, QueuedCommit
from farmgate.models import Lane, RolloutKind
from farmgate.store import events, rollouts

ACTOR: Final = "farmgate"


def new_rollout(
    lane: Lane, view: LaneView, commit: QueuedCommit, kind: RolloutKind, search_id: int | None
) -> rollouts.NewRollout:
    """Deliver everything after what is live up to a commit. Raises LostRace."""
    live = view.live
    if commit.candidate_id is None:
        raise LostRace("the candidate of the cut is gone")
    return rollouts.NewRollout(
        lane=lane,
        kind=kind,
        candidate_id=commit.candidate_id,
        since_position=view.base,
        since_sha=live.sha if live is not None else None,
        until_position=commit.position,
        until_sha=commit.sha,
        from_release_id=live.release_id if live is not None else None,
        search_id=search_id,
        policy=lane.policy,
        branch=view.policy.branch,
        asked_by=ACTOR,
        reason=None,
        patience=PATIENCE,
    )


def tell(connection: Connection, now: datetime, kind: str, subject: str, number: int, text: str) -> None:
    """A line about a rollout."""
    events.record(connection, now, kind, subject, ACTOR, f"rollout {number}: {text}")


def subject_of(lane: Lane) -> str:
    return f"lane/{lane.application}/{lane.environment}"
