"""A person's word for a commit that Farmgate made: a hotfix, or a batch without its culprit.

Rules:
1. It is shown as soon as it is tested, and approved as exactly that commit, on what was live when it was shown.
2. Who wrote a hotfix does not approve it where the lane asks for others; of a batch nobody counts for their own
   commits, and who wrote all of it does not approve it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import Conflict, Forbidden
from farmgate.lanes import LaneView, OpenRevert
from farmgate.models import Lane
from farmgate.policy import Approvals
from farmgate.store import approvals, candidates, events, made, repositories
from scheduler.approval_bodies import ApproveAsked, ToApproveBody
from scheduler.lane_bodies import ApprovalBody, CarriedBody

TOLD_COMMITS = 500


def hotfix_to_approve(connection: Connection, lane: Lane, view: LaneView, who: str) -> ToApproveBody:
    """An open hotfix goes first, so it is what there is to approve."""
    asked, hotfix = asks(view), view.hotfix
    assert hotfix is not None
    row = made.by_id(connection, hotfix.id)
    known = repositories.commits_of(connection, lane.repository_id, row.shas)
    candidate = candidates.by_id(connection, hotfix.candidate_id) if hotfix.candidate_id is not None else None
    body = ToApproveBody(
        since_sha=row.onto,
        until_sha=None,
        until_title=f"hotfix {row.id}: {row.reason}",
        artifacts=dict(candidate.artifacts) if candidate is not None else {},
        commit_count=len(row.picks),
        commits=[
            CarriedBody(
                sha=sha,
                position=row.onto_position,
                title=known[sha].title if sha in known else "",
                author=known[sha].author_name if sha in known else "",
            )
            for sha in row.shas
        ],
        own=sum(approvals.wrote(connection, lane, who, [sha]) for sha in row.shas),
        count=asked.count,
        by=list(asked.by),
        given=[
            ApprovalBody.model_validate(each, from_attributes=True)
            for each in approvals.latest(connection, lane.id)
            if each.until_sha == row.sha and each.withdrawn_at is None
        ],
        words="",
    )
    if hotfix.state is not states.Made.READY or not hotfix.on_live or candidate is None:
        return body.model_copy(update={"words": f"hotfix {row.id} is not tested yet: it can be approved then"})
    if any(each.approved_by == who for each in body.given):
        return body.model_copy(update={"words": f"{who} approved hotfix {row.id} already"})
    return body.model_copy(update={"until_sha": row.sha})


def approve_hotfix(
    connection: Connection, lane: Lane, view: LaneView, asked: ApproveAsked, who: str, now: datetime
) -> ApprovalBody:
    hotfix, name = view.hotfix, f"{lane.application}/{lane.environment}"
    assert hotfix is not None
    row = made.by_id(connection, hotfix.id)
    if hotfix.state is not states.Made.READY or hotfix.candidate_id is None or asked.since_sha != row.onto:
        raise Conflict("the hotfix has changed since you looked: look again at what there is to approve")
    wrote_it = approvals.wrote(connection, lane, who, row.shas)
    if asks(view).not_author and wrote_it:
        raise Forbidden(f"{who} wrote some of it: this lane asks for somebody else")
    ends = (row.onto_position, row.onto), (row.onto_position, asked.until_sha)
    approvals.give(connection, lane.id, *ends, hotfix.candidate_id, who, asked.reason, now)
    told = f"hotfix {row.id} ({asked.until_sha[:12]}){f': {asked.reason}' if asked.reason else ''}"
    events.record(connection, now, "batch.approved", f"lane/{name}", who, told)
    return ApprovalBody.model_validate(approvals.latest(connection, lane.id, 1)[0], from_attributes=True)


def revert_to_approve(
    connection: Connection, lane: Lane, view: LaneView, revert: OpenRevert, who: str
) -> ToApproveBody:
    """A commit without a culprit is approved as that, with all that it brings."""
    asked, row = asks(view), made.by_id(connection, revert.id)
    batch = [commit for commit in view.commits if view.base < commit.position <= revert.position]
    wrote = approvals.authored(connection, lane, view.policy, view.base, [who]).get(who, frozenset())
    candidate = candidates.by_id(connection, revert.candidate_id) if revert.candidate_id is not None else None
    body = ToApproveBody(
        since_sha=view.live.sha if view.live is not None else None,
        until_sha=None,
        until_title=f"revert {row.id}: {row.reason}",
        artifacts=dict(candidate.artifacts) if candidate is not None else {},
        commit_count=len(batch),
        commits=[
            CarriedBody(sha=each.sha, position=each.position, title=each.title, author=each.author)
            for each in batch[-TOLD_COMMITS:]
        ],
        own=sum(commit.position in wrote for commit in batch),
        count=asked.count,
        by=list(asked.by),
        given=[
            ApprovalBody.model_validate(each, from_attributes=True)
            for each in approvals.latest(connection, lane.id)
            if each.until_sha == row.sha and each.withdrawn_at is None
        ],
        words="",
    )
    if revert.state is not states.Made.READY or candidate is None:
        return body.model_copy(update={"words": f"revert {row.id} is not tested yet: it can be approved then"})
    if any(each.approved_by == who for each in body.given):
        return body.model_copy(update={"words": f"{who} approved revert {row.id} already"})
    return body.model_copy(update={"until_sha": row.sha})


def approve_revert(
    connection: Connection,
    lane: Lane,
    view: LaneView,
    revert: OpenRevert,
    asked: ApproveAsked,
    who: str,
    now: datetime,
) -> ApprovalBody:
    live = view.live.sha if view.live is not None else None
    if revert.state is not states.Made.READY or revert.candidate_id is None or asked.since_sha != live:
        raise Conflict("the revert has changed since you looked: look again at what there is to approve")
    wrote = approvals.authored(connection, lane, view.policy, view.base, [who]).get(who, frozenset())
    batch = [commit for commit in view.commits if commit.position <= revert.position]
    if batch and all(commit.position in wrote for commit in batch):
        raise Forbidden(f"{who} wrote all of it: this lane asks for somebody else")
    ends = (view.base, live), (revert.position, asked.until_sha)
    approvals.give(connection, lane.id, *ends, revert.candidate_id, who, asked.reason, now)
    told = f"revert {revert.id} ({asked.until_sha[:12]}){f': {asked.reason}' if asked.reason else ''}"
    events.record(connection, now, "batch.approved", f"lane/{lane.application}/{lane.environment}", who, told)
    return ApprovalBody.model_validate(approvals.latest(connection, lane.id, 1)[0], from_attributes=True)


def asks(view: LaneView) -> Approvals:
    if view.policy.approvals is None:
        raise Conflict(f"{view.policy.name} asks nobody: its policy has no 'approvals'")
    return view.policy.approvals
