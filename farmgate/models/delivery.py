"""Rows: lanes, rollouts, what is live, what is held, banned and searched, and the commits that Farmgate makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.models.kinds import HoldKind, MadeKind, RolloutKind


@dataclass(frozen=True, slots=True)
class Lane:
    """One application in one environment."""

    id: int
    application: str
    environment: str
    repository_id: int
    policy: dict[str, Any]  # farmgate.policy.LanePolicy as JSON
    policy_version: int
    epoch: int  # the fencing token of the controller that last took the lane
    rollback: dict[str, Any] | None  # a person's order that is not cut yet: release_id, asked_by, reason, asked_at
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    lane_id: int
    version: int
    policy: dict[str, Any]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Rollout:
    """A batch on its way: the commits after `since` (exclusive) up to `until` (inclusive)."""

    id: int
    lane_id: int
    number: int  # per lane, from 1
    kind: RolloutKind
    candidate_id: int
    since_position: int  # 0: from the beginning
    since_sha: str | None
    until_position: int
    until_sha: str
    from_release_id: int | None  # what was live when it was cut: where a restore goes
    search_id: int | None
    policy: dict[str, Any]  # as it stood at the cut
    policy_version: int
    state: states.Rollout
    wave: int  # index of the wave under way, from 0
    epoch: int
    asked_by: str
    reason: str | None  # why it is where it is, in words
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class RolloutCommit:
    rollout_id: int
    lane_id: int
    sha: str
    position: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A step of a rollout: written before it begins, completed when it ended; its key makes it repeatable."""

    rollout_id: int
    key: str  # prepare, wave-0/shift, wave-0/check-3, finish, restore, ...
    epoch: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None  # done, failed; of a check: healthy, sick, cannot tell
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """What a good rollout left live."""

    id: int
    lane_id: int
    rollout_id: int
    candidate_id: int
    sha: str
    position: int
    artifacts: dict[str, str]
    config: dict[str, Any]  # the target's configuration as it was: a restore needs nothing else
    live_from: datetime
    live_until: datetime | None


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A sealed batch that went sick: the culprit is after `since` and at or before `until`."""

    id: int
    lane_id: int
    rollout_id: int  # the one that went sick first
    since_position: int  # good so far
    until_position: int  # sick
    points: list[str]  # the candidates it may try, oldest first, sealed when it was opened
    state: states.Search
    rollouts: int  # further rollouts so far
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Ban:
    """A commit that may not ship in this lane until its fix or revert is in the same batch."""

    id: int
    lane_id: int
    sha: str
    position: int
    covers: list[str]  # every commit that may be the culprit; a revert of any of them fixes
    rollout_id: int | None  # the evidence
    reason: str
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A person's word for the commits after `since` up to `until`, and for the candidate there."""

    id: int
    lane_id: int
    since_position: int
    since_sha: str | None  # None: from the beginning
    until_position: int
    until_sha: str
    candidate_id: int
    reason: str
    approved_by: str
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A lane stopped by someone, from a time on, with a reason and an end; without a lane: all of them."""

    id: int
    lane_id: int | None
    kind: HoldKind
    reason: str
    created_by: str
    created_at: datetime
    begins: datetime
    until: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    told_at: datetime | None  # when it was told that it ended by itself


@dataclass(frozen=True, slots=True)
class HandoverRow:
    """A step of a rollout that another tool carries out."""

    id: int
    rollout_id: int
    step: str  # shift-20, restore
    delivery: str  # the webhook-id of every repeat of the request
    epoch: int  # of who sent it last: callbacks that were given out by an older one are refused
    state: states.Handover
    share: int | None  # percent, as the other tool says
    text: str  # its last words
    link: str  # where it shows more; empty: nowhere
    answer: dict[str, str]  # what of its answer its status address needs
    tellings: int  # callbacks that were taken
    stamp: int | None  # webhook-timestamp of the newest callback
    seen: list[str]  # webhook-ids of the last callbacks
    created_at: datetime
    told_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """A commit that Farmgate makes, or several on top of each other, on a commit of the lane's branch or on a made one
    that is live."""

    id: int
    kind: MadeKind
    lane_id: int
    repository_id: int
    branch: str  # of the lane, when it was asked for
    ref: str  # refs/farmgate/hotfix-7/main: keeps it in the mirror
    picks: list[str]  # the commits that it brings (or takes back), in this order
    onto: str  # what it stands on
    onto_position: int  # where that stands, or the branch commit below it
    shas: list[str]  # one for each pick; empty: not made yet
    sha: str | None  # the last of them: what is tested and delivered
    run_id: int | None
    rollout_id: int | None
    state: states.Made
    problem: str | None  # why it ended, in words
    reason: str  # what it is for, in the words of who asked
    asked_by: str
    created_at: datetime
    finished_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Carrier:
    """From this commit of a branch on, a pick of a made commit is contained."""

    made_id: int
    pick: str
    sha: str
    said_by: str | None  # a person; None: git says so
    reason: str
    said_at: datetime


@dataclass(frozen=True, slots=True)
class BatchLook:
    """What the deploy loop asks of a rollout's batch, and what the scheduler found in the history. The same two commits
    are always answered alike."""

    rollout_id: int
    repository_id: int
    since_sha: str  # what is live
    until_sha: str  # the candidate
    patterns: list[str]  # of paths whose change cannot be taken back
    asked_at: datetime
    answered_at: datetime | None
    found: dict[str, Any]  # ancestor, irreversible, undone, trouble: scheduler.looking


@dataclass(frozen=True, slots=True)
class LateRed:
    """A check that says no of a commit that is a candidate already."""

    id: int
    repository_id: int
    sha: str
    source: str  # run: ours; else who says so
    check: str  # the job's name, or what the source calls it
    run_id: int | None
    reason: str
    told_by: str
    since: datetime
    over_at: datetime | None
    over_by: str | None
    over_reason: str | None
