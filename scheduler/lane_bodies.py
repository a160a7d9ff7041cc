"""The API's answers about lanes and rollouts, as models: what `/openapi.json` promises."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field, field_validator

from farmgate import states
from farmgate.models import HoldKind, RolloutKind
from farmgate.quantities import duration
from scheduler.made_bodies import BroughtBody, MadeBody


class LateRedBody(BaseModel):
    """A check that says no of a commit that was a candidate already. `over_at`: it says yes since, or a person does."""

    sha: str
    source: str
    check: str
    run_id: int | None
    reason: str
    told_by: str
    since: datetime
    over_at: datetime | None
    over_by: str | None
    over_reason: str | None


class LiveBody(BaseModel):
    """What is live: the commit, and the rollout that took it there."""

    sha: str
    title: str
    author: str
    position: int
    since: datetime
    rollout: int
    artifacts: dict[str, str]
    red: list[LateRedBody] = []  # checks that say no of it since it went live


class HoldBody(BaseModel):
    """A hold or freeze of a lane, or (without a lane) the stop of all; a freeze may begin later."""

    id: int
    kind: HoldKind
    reason: str
    created_by: str
    created_at: datetime
    begins: datetime
    until: datetime


class ApprovalBody(BaseModel):
    """A person's word for the commits after `since_sha` up to `until_sha`."""

    approved_by: str
    reason: str
    created_at: datetime
    since_sha: str | None
    until_sha: str
    withdrawn_at: datetime | None


class CarriedBody(BaseModel):
    """A commit of a batch."""

    sha: str
    position: int
    title: str
    author: str


class CheckBody(BaseModel):
    """A check of a wave, with its figures."""

    wave: int
    check: str
    outcome: str | None
    asked: int
    healthy: int
    last: str
    words: str
    figures: dict[str, Any]
    last_at: datetime | None


class WaveBody(BaseModel):
    """A wave: waiting, soaking, good, or sick; and its checks so far."""

    number: int
    share: int
    soak_seconds: float
    state: str
    shifted_at: datetime | None
    checks: list[CheckBody]


class HandoverBody(BaseModel):
    """A step in the hands of another tool, and what that says of it. `delivery`: the webhook-id of its request."""

    step: str
    delivery: str
    state: states.Handover
    share: int | None
    text: str
    link: str
    created_at: datetime
    told_at: datetime | None
    deadline: datetime


class JournalBody(BaseModel):
    """A step, check, verdict or decision as the journal has it."""

    key: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    epoch: int
    detail: dict[str, Any]


class RolloutBody(BaseModel):
    """A rollout and the commits it carries: how many, and the newest of them."""

    id: int
    lane: str
    number: int
    kind: RolloutKind
    state: states.Rollout
    since_sha: str | None
    since_position: int
    until_sha: str
    until_position: int
    wave: int
    asked_by: str
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    search_id: int | None
    commit_count: int
    commits: list[CarriedBody]


class QuestionBody(BaseModel):
    """What a rollout asked a person: before its `start`, whether to take it `back`, of a `wave`. `answer`: good, sick,
    or nobody; None: it still asks."""

    kind: str
    words: str
    asked_at: datetime | None
    answer: str | None
    by: str | None
    reason: str | None
    at: datetime | None


class RolloutDetail(RolloutBody):
    """The ledger's page of a rollout."""

    waves: list[WaveBody]
    journal: list[JournalBody]
    handovers: list[HandoverBody]
    policy_version: int
    policy: dict[str, Any]
    artifacts: dict[str, str]
    from_sha: str | None
    from_rollout: int | None
    approvals: list[ApprovalBody]
    questions: list[QuestionBody]
    carries: list[str]  # what was found of its batch that a person should know
    release_live_from: datetime | None
    release_live_until: datetime | None


class WaitingBody(BaseModel):
    """A commit that is not live yet, every reason for it, and when it should be."""

    sha: str
    position: int
    title: str
    author: str
    checks: str
    run_id: int | None
    seen_at: datetime | None
    green_at: datetime | None
    reasons: list[str]
    kinds: list[str]
    batch: int | None
    estimate: datetime | None


class PreviewBody(BaseModel):
    """The batch that would be cut next. `after`: in words, from what it is counted while a rollout is under way: what
    will be live if that ends good."""

    sha: str | None
    title: str | None
    commits: list[CarriedBody]
    at: datetime | None
    reasons: list[str]
    commit_count: int = 0
    after: str | None = None
    after_rollout: int | None = None


class SearchBody(BaseModel):
    """A search for a culprit."""

    id: int
    state: states.Search
    since_position: int
    until_position: int
    points: list[str]
    rollouts: int
    most_rollouts: int
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None


class BanBody(BaseModel):
    """A ban; `fixed`: a fix is in the queue, so that the next batch with it may go."""

    sha: str
    position: int
    covers: list[str]
    reason: str
    created_by: str
    created_at: datetime
    rollout_id: int | None
    lifted_at: datetime | None
    lifted_by: str | None


class LaneBody(BaseModel):
    """What runs where, in a line. `waiting` does not count what is `on_the_way` in the rollout under way."""

    application: str
    environment: str
    repository: str
    branch: str
    listen: str | None
    live: LiveBody | None
    active: RolloutBody | None
    waiting: int
    on_the_way: int
    held: HoldBody | None
    problem: str | None
    policy_version: int


class LaneDetail(BaseModel):
    """A lane's whole page. What the rollout under way carries is in `active`, and does not wait; what waits, and what
    is next, is as it will be if that rollout ends good (`next.after`)."""

    application: str
    environment: str
    repository: str
    branch: str
    listen: str | None
    live: LiveBody | None
    active: RolloutDetail | None
    waiting: list[WaitingBody]
    waiting_count: int
    on_the_way: int
    next: PreviewBody
    search: SearchBody | None
    approvals: list[ApprovalBody]
    holds: list[HoldBody]
    ended_holds: list[HoldBody]
    bans: list[BanBody]
    history: list[RolloutBody]
    hotfix: MadeBody | None
    brought: list[BroughtBody]
    rollback: dict[str, Any] | None
    problem: str | None
    advice: str | None
    group: str | None  # of the lanes that it goes together with
    policy: dict[str, Any]
    policy_version: int


class AppliedBody(BaseModel):
    """What a policy did to a lane."""

    application: str
    environment: str
    version: int
    change: str


class PolicyBody(BaseModel):
    lanes: list[AppliedBody]


class RollbackAsked(BaseModel):
    """Go back: to what rollout number `to` left live, or to the good release before the live one."""

    to: int | None = None
    reason: str = Field(min_length=1, max_length=1000)
    together: bool | None = None  # with its group, or alone: must be said where the lane is in one


class WithItBody(BaseModel):
    """A lane of the group that goes back too, and where to."""

    lane: str
    to_sha: str


class RollbackBody(BaseModel):
    """An order the deploy loop will follow. `takes_back`: the commits that leave what is live, and get banned."""

    lane: str
    to_sha: str
    to_rollout: int
    takes_back: list[CarriedBody]
    crosses: list[str]  # what cannot be taken back: the rollout asks once more before it begins
    together: list[WithItBody] = []


def _with_zone(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("say the time zone, as in 2026-01-31T12:00:00Z")
    return value


class HoldAsked(BaseModel):
    """Stop a lane, or all: `for` a while (30m, 2h), or `until` a time; neither: until it is lifted."""

    reason: str = Field(min_length=1, max_length=1000)
    until: datetime | None = None
    span: timedelta | None = Field(None, alias="for")

    @field_validator("span", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return duration(value) if isinstance(value, str) else value

    _aware = field_validator("until")(_with_zone)

    def ends(self, now: datetime) -> datetime | None:
        """When, where that is said."""
        return self.until if self.until is not None else now + self.span if self.span is not None else None


class FreezeAsked(BaseModel):
    """Plan a time without rollouts, `from` a time `until` another."""

    reason: str = Field(min_length=1, max_length=1000)
    begins: datetime = Field(alias="from")
    until: datetime

    _aware = field_validator("begins", "until")(_with_zone)


class LiftedBody(BaseModel):
    lifted: int


class DecisionAsked(BaseModel):
    """A person's verdict on a rollout that asks."""

    verdict: str = Field(pattern="^(good|sick)$")
    reason: str = Field(min_length=1, max_length=1000)


class FixedAsked(BaseModel):
    """`commit` (a beginning of its hash will do) fixes the banned one."""

    commit: str = Field(pattern="^[0-9a-fA-F]{4,64}$")
    reason: str = Field(min_length=1, max_length=1000)


class FixedBody(BaseModel):
    """A person's word that counts from now on: batches with the fix may go."""

    banned: str
    fix: str
    title: str


class LiftAsked(BaseModel):
    reason: str = Field(min_length=1, max_length=1000)
