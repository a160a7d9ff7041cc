"""The API's answers about groups, as models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from farmgate import states
from farmgate.models import RolloutKind


class MemberBody(BaseModel):
    """A lane of a group: what is live there, and what its part of the joint rollout under way is doing."""

    lane: str
    repository: str
    branch: str
    live_sha: str | None
    live_title: str | None
    problem: str | None


class PartBody(BaseModel):
    """A lane's rollout in a joint one. `arrived`: every wave was good, and it waits for the others."""

    lane: str
    rollout_id: int
    number: int
    state: states.Rollout
    since_sha: str | None
    until_sha: str
    title: str
    commit_count: int
    wave: int
    waves: list[int]  # their shares in percent
    arrived: bool
    waits: str | None
    reason: str | None
    started_at: datetime | None
    finished_at: datetime | None


class JointBody(BaseModel):
    """Rollouts of several lanes that were cut as one. `state`: of the whole."""

    number: int
    kind: RolloutKind
    state: str
    parts: list[PartBody]
    created_at: datetime
    finished_at: datetime | None


class PointBody(BaseModel):
    """A commit that a group's search may try: good, suspected, not blamed, or the culprit."""

    repository: str
    sha: str
    title: str
    word: str


class JointSearchBody(BaseModel):
    """A sealed joint batch that went sick."""

    id: int
    state: states.Search
    points: list[PointBody]
    rollouts: int
    most_rollouts: int
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None


class GroupVersionBody(BaseModel):
    version: int
    lanes: list[str]
    changed_by: str
    changed_at: datetime


class GroupBody(BaseModel):
    """Lanes that go together, in their order."""

    name: str
    version: int
    lanes: list[str]
    active: JointBody | None


class NextPartBody(BaseModel):
    """What a lane would take in the next joint rollout."""

    lane: str
    sha: str
    title: str


class GroupDetail(GroupBody):
    """A group's whole page. `reasons`: why nothing is cut now."""

    members: list[MemberBody]
    next: list[NextPartBody]
    after: str | None  # from what it is counted while rollouts are under way
    reasons: list[str]
    search: JointSearchBody | None
    history: list[JointBody]
    versions: list[GroupVersionBody]


class AppliedGroupBody(BaseModel):
    name: str
    version: int
    change: str
