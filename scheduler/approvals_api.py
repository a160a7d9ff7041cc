"""A person's word for a batch: what there is to approve, giving it, and taking it back.

Rules:
1. What a person is shown is what they approve: the commits after one up to another, and the digests there. If any of
   that is not so any more, nothing is written and they are told to look again.
2. Who approved before is shown the difference alone.
3. While a hotfix is open it is what there is to approve: exactly its commit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate import states
from farmgate.errors import Conflict, Forbidden
from farmgate.lanes import LaneView, OpenRevert, QueuedCommit
from farmgate.models import Lane
from farmgate.policy import Approvals
from farmgate.store import approvals, candidates, events, lane_views, lanes, made, repositories
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.lane_bodies import ApprovalBody, CarriedBody, LiftedBody

TOLD_COMMITS = 500


class ToApproveBody(BaseModel):
    """What there is to approve for who asks. Without `until_sha`: nothing, for the reason in `words`."""

    since_sha: str | None
    until_sha: str | None
    until_title: str
    artifacts: dict[str, str]
    commit_count: int
    commits: list[CarriedBody]  # the newest TOLD_COMMITS
    own: int  # how many of them who asks wrote: for those others must agree
    count: int
    by: list[str]
    given: list[ApprovalBody]
    words: str


class ApproveAsked(BaseModel):
    """`since_sha` and `until_sha` as they were shown."""

    since_sha: str | None = Field(None, max_length=64)
    until_sha: str = Field(max_length=64)
    reason: str = Field("", max_length=1000)


def router(context: Context) -> APIRouter:
    """GET what there is to approve; POST and DELETE one's approval."""
    routes = APIRouter(tags=["lanes"])
    path = "/api/lanes/{application}/{environment}/approval"

    @routes.get(path)
    def get_approval(
        application: str, environment: str, who: Person, until: Annotated[str | None, Query(max_length=64)] = None
    ) -> ToApproveBody:
        now = context.clock.now()
        with context.store.reading() as connection:
            return to_approve(connection, lanes.by_name(connection, application, environment), who.name, now, until)

    @routes.post(path, status_code=201)
    def post_approval(application: str, environment: str, asked: ApproveAsked, who: Writer) -> ApprovalBody:
        return approve(context, application, environment, asked, who.name)

    @routes.delete(path)
    def delete_approval(application: str, environment: str, who: Writer) -> LiftedBody:
        return LiftedBody(lifted=withdraw(context, application, environment, who.name))

    return routes


def to_approve(connection: Connection, lane: Lane, who: str, now: datetime, until: str | None = None) -> ToApproveBody:
    """The next batch, or the one up to a commit, less what this person approved already. Raises Conflict."""
    view = lane_views.view(connection, lane, now, full=True)
    asked = _asked(view)
    if view.hotfix is not None and until is None:
        return _hotfix_to_approve(connection, lane, view, who)
    if view.revert is not None and until is None and rules.revert_over(view) is None:
        return _revert_to_approve(connection, lane, view, view.revert, who)
    standing = approvals.standing(connection, lane, view.policy, view.base, now)
    chosen = _chosen(view, until)
    body = ToApproveBody(
        since_sha=None,
        until_sha=None,
        until_title="",
        artifacts={},
        commit_count=0,
        commits=[],
        own=0,
        count=asked.count,
        by=list(asked.by),
        given=[ApprovalBody.model_validate(row, from_attributes=True) for row in standing],
        words="",
    )
    if chosen is None or chosen.candidate_id is None:
        return body.model_copy(update={"words": "no batch is in sight: no waiting commit could go"})
    if any(row.approved_by == who and row.until_sha == chosen.sha for row in standing):
        return body.model_copy(update={"words": f"{who} approved {chosen.sha[:12]} already"})
    since = rules.approved_upto(view, who)
    batch = [commit for commit in view.commits if since < commit.position <= chosen.position]
    wrote = approvals.authored(connection, lane, view.policy, since, [who]).get(who, frozenset())
    candidate = candidates.by_id(connection, chosen.candidate_id)
    return body.model_copy(
        update={
            "since_sha": _sha_at(view, since),
            "until_sha": chosen.sha,
            "until_title": chosen.title,
            "artifacts": dict(candidate.artifacts) if candidate is not None else {},
            "commit_count": len(batch),
            "commits": [
                CarriedBody(sha=each.sha, position=each.position, title=each.title, author=each.author)
                for each in batch[-TOLD_COMMITS:]
            ],
            "own": sum(commit.position in wrote for commit in batch),
        }
    )


def approve(context: Context, application: str, environment: str, asked: ApproveAsked, who: str) -> ApprovalBody:
    """Raises Conflict when what was shown has changed, Forbidden, NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        view = lane_views.view(connection, lane, now, full=True)
        policy = _asked(view)
        if policy.by and who not in policy.by:
            raise Forbidden(f"{application}/{environment} asks {', '.join(policy.by)}, not {who}")
        if view.hotfix is not None and view.hotfix.sha == asked.until_sha:
            given = _approve_hotfix(connection, lane, view, asked, who, now)
            context.acted_on_lanes()
            return given
        if view.revert is not None and view.revert.sha == asked.until_sha:
            given = _approve_revert(connection, lane, view, view.revert, asked, who, now)
            context.acted_on_lanes()
            return given
        until = next((commit for commit in view.commits if commit.sha == asked.until_sha), None)
        if until is None or until.candidate_id is None:
            raise Conflict(
                f"{asked.until_sha[:12]} does not wait here any more: look again at what there is to approve"
            )
        places = {commit.sha: commit.position for commit in view.commits}
        if view.live is not None:
            places[view.live.sha] = view.live.base
        since = 0 if asked.since_sha is None else places.get(asked.since_sha)
        if since is None and asked.since_sha is not None:
            since = approvals.place(connection, lane, view.policy, asked.since_sha)
        if since is None or since >= until.position:
            raise Conflict("the batch has changed since you looked: look again at what there is to approve")
        wrote = approvals.authored(connection, lane, view.policy, since, [who]).get(who, frozenset())
        count = [commit for commit in view.commits if since < commit.position <= until.position]
        if count and all(commit.position in wrote for commit in count):
            raise Forbidden(f"{who} wrote all of it: this lane asks for somebody else")
        ends = (since, asked.since_sha), (until.position, until.sha)
        approvals.give(connection, lane.id, *ends, until.candidate_id, who, asked.reason, now)
        told = f"{len(count)} commits up to {until.sha[:12]}{f': {asked.reason}' if asked.reason else ''}"
        events.record(connection, now, "batch.approved", f"lane/{application}/{environment}", who, told)
        body = ApprovalBody.model_validate(approvals.latest(connection, lane.id, 1)[0], from_attributes=True)
    context.acted_on_lanes()
    return body


def _hotfix_to_approve(connection: Connection, lane: Lane, view: LaneView, who: str) -> ToApproveBody:
    """An open hotfix goes first, so it is what there is to approve."""
    asked, hotfix = _asked(view), view.hotfix
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


def _approve_hotfix(
    connection: Connection, lane: Lane, view: LaneView, asked: ApproveAsked, who: str, now: datetime
) -> ApprovalBody:
    hotfix, name = view.hotfix, f"{lane.application}/{lane.environment}"
    assert hotfix is not None
    row = made.by_id(connection, hotfix.id)
    if hotfix.state is not states.Made.READY or hotfix.candidate_id is None or asked.since_sha != row.onto:
        raise Conflict("the hotfix has changed since you looked: look again at what there is to approve")
    wrote_it = approvals.wrote(connection, lane, who, row.shas)
    if _asked(view).not_author and wrote_it:
        raise Forbidden(f"{who} wrote some of it: this lane asks for somebody else")
    ends = (row.onto_position, row.onto), (row.onto_position, asked.until_sha)
    approvals.give(connection, lane.id, *ends, hotfix.candidate_id, who, asked.reason, now)
    told = f"hotfix {row.id} ({asked.until_sha[:12]}){f': {asked.reason}' if asked.reason else ''}"
    events.record(connection, now, "batch.approved", f"lane/{name}", who, told)
    return ApprovalBody.model_validate(approvals.latest(connection, lane.id, 1)[0], from_attributes=True)


def _revert_to_approve(
    connection: Connection, lane: Lane, view: LaneView, revert: OpenRevert, who: str
) -> ToApproveBody:
    """A commit without a culprit is approved as that, with all that it brings."""
    asked, row = _asked(view), made.by_id(connection, revert.id)
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


def _approve_revert(
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


def withdraw(context: Context, application: str, environment: str, who: str) -> int:
    """Take back one's own standing approvals; how many there were. Raises NotFound."""
    now = context.clock.now()
    with context.store.writing() as connection:
        lane = lanes.by_name(connection, application, environment)
        taken = approvals.withdraw(connection, lane.id, who, who, now)
        if taken:
            subject = f"lane/{application}/{environment}"
            events.record(connection, now, "approval.withdrawn", subject, who, f"{taken} approvals taken back")
    context.acted_on_lanes()
    return taken


def _asked(view: LaneView) -> Approvals:
    if view.policy.approvals is None:
        raise Conflict(f"{view.policy.name} asks nobody: its policy has no 'approvals'")
    return view.policy.approvals


def _chosen(view: LaneView, until: str | None) -> QueuedCommit | None:
    if until is None:
        return rules.choose(view, rules.Gate(rules.blocked(view)))
    found = [commit for commit in view.commits if commit.sha.startswith(until.lower()) and commit.candidate_id]
    if len(found) != 1:
        raise Conflict(f"{until!r} is not one green commit that waits in {view.policy.name}")
    return found[0]


def _sha_at(view: LaneView, position: int) -> str | None:
    """The commit at a position: a waiting one, or what is live."""
    if view.live is not None and position == view.live.base:
        return None if view.live.gone else view.live.sha
    return next((commit.sha for commit in view.commits if commit.position == position), None)
