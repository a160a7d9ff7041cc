"""Rows: lanes that go together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.models.kinds import RolloutKind


@dataclass(frozen=True, slots=True)
class LaneGroup:
    """Lanes that go together."""

    id: int
    name: str
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A lane's place in its group: a later one needs the earlier ones."""

    lane_id: int
    group_id: int
    place: int


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """The lanes of a group, in their order, from a change on; none: it was dissolved."""

    group_id: int
    version: int
    lanes: list[str]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Joint:
    """Rollouts of several lanes that are cut as one; but for a rollback they also finish and go back as one."""

    id: int
    group_id: int
    number: int  # per group, from 1
    kind: RolloutKind
    search_id: int | None  # of the group's search
    upto: int | None  # how many of the search's points are in it
    created_at: datetime


@dataclass(frozen=True, slots=True)
class JointRollout:
    """A rollout's place in a joint one: that of its lane in the group, as it was at the cut."""

    rollout_id: int
    joint_id: int
    place: int


@dataclass(frozen=True, slots=True)
class JointSearchRow:
    """A sealed joint batch that went sick: its first `good` points are good, and it is sick with the first `sick`."""

    id: int
    group_id: int
    joint_id: int  # the one that went sick first
    points: list[dict[str, Any]]  # repository, branch, sha; line after line, oldest first
    good: int
    sick: int
    state: states.Search
    rollouts: int  # further joint rollouts so far
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None
    deadline: datetime
