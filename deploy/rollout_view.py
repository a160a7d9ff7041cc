"""A rollout as the plan sees it, and those that go together with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farmgate.lanes import LaneView
from farmgate.models import BatchLook, Joint, JournalEntry, Rollout
from farmgate.policy import LanePolicy


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout at one moment. `policy`: as it stood at the cut. `order`: a rollback that a person asked for.

    `tellings`: how often another tool that has it told something by itself; a step notes what it had heard.
    `unfit`: why what was cut may not go any more; read while nothing is touched.
    `look`: what its batch carries, if that was asked. `crossed`: what a rollback crosses that cannot be taken back.
    """

    rollout: Rollout
    policy: LanePolicy
    journal: Mapping[str, JournalEntry]
    order: Mapping[str, Any] | None
    lane: LaneView
    tellings: int = 0
    look: BatchLook | None = None
    crossed: tuple[str, ...] = ()
    unfit: str | None = None
    joint: JointView | None = None


@dataclass(frozen=True, slots=True)
class JointView:
    """The joint rollout that a rollout is in: its own place there, and the others with theirs. `witnesses`: the lanes
    of the group that take no part and have something live, by id, with their names."""

    row: Joint
    place: int
    others: tuple[tuple[int, RolloutView], ...]
    witnesses: tuple[tuple[int, str], ...] = ()

    @property
    def before(self) -> tuple[RolloutView, ...]:
        """What it needs."""
        return tuple(view for place, view in self.others if place < self.place)

    @property
    def after(self) -> tuple[RolloutView, ...]:
        """What needs it."""
        return tuple(view for place, view in self.others if place > self.place)
