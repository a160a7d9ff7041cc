"""A person's word for a batch: what there is to approve, giving it, and taking it back.

Rules:
1. What a person is shown is what they approve: the commits after one up to another, and the digests there. If any of
   that is not so any more, nothing is written and they are told to look again.
2. Who approved before is shown the difference alone.
3. While a hotfix, or a commit without a culprit, is open, it is what there is to approve (`approving_made`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate.errors import Conflict, Forbidden
from farmgate.lanes import LaneView, QueuedCommit
from farmgate.models import Lane
from farmgate.store import approvals, candidates, events, lane_views, lanes, made
from scheduler import approving_made
from scheduler.approval_bodies import ApproveAsked, ToApproveBody
from scheduler.approving_made import TOLD_COMMITS, asks
from scheduler.auth import Person, Writer
from scheduler.context import Context
from scheduler.lane_bodies import ApprovalBody, CarriedBody, LiftedBody


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
    asked = asks(view)
    if view.hotfix is not None and until is None:
        return approving_made.hotfix_to_approve(connection, lane, view, who)
    if view.revert is not None and until is None and rules.revert_over(view) is None:
        return approving_made.revert_to_approve(connection, lane, view, view.revert, who)
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
            "since_sha": _sha_at(connection, lane, view, since),
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
        policy = asks(view)
        if policy.by and who not in policy.by:
            raise Forbidden(f"{application}/{environment} asks {', '.join(policy.by)}, not {who}")
        if view.hotfix is not None and view.hotfix.sha == asked.until_sha:
            given = approving_made.approve_hotfix(connection, lane, view, asked, who, now)
            context.acted_on_lanes()
            return given
        if view.revert is not None and view.revert.sha == asked.until_sha:
            given = approving_made.approve_revert(connection, lane, view, view.revert, asked, who, now)
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
        began = asked.since_sha
        if began is not None and view.live is not None and began == view.live.sha:
            began = _sha_at(connection, lane, view, view.live.base)
        ends = (since, began), (until.position, until.sha)
        approvals.give(connection, lane.id, *ends, until.candidate_id, who, asked.reason, now)
        told = f"{len(count)} commits up to {until.sha[:12]}{f': {asked.reason}' if asked.reason else ''}"
        events.record(connection, now, "batch.approved", f"lane/{application}/{environment}", who, told)
        body = ApprovalBody.model_validate(approvals.latest(connection, lane.id, 1)[0], from_attributes=True)
    context.acted_on_lanes()
    return body


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


def _chosen(view: LaneView, until: str | None) -> QueuedCommit | None:
    if until is None:
        return rules.choose(view, rules.Gate(rules.blocked(view)))
    found = [commit for commit in view.commits if commit.sha.startswith(until.lower()) and commit.candidate_id]
    if len(found) != 1:
        raise Conflict(f"{until!r} is not one green commit that waits in {view.policy.name}")
    return found[0]


def _sha_at(connection: Connection, lane: Lane, view: LaneView, position: int) -> str | None:
    """The commit of the branch at a position: a waiting one, or what is live, or what a live hotfix stands on."""
    if view.live is not None and position == view.live.base:
        sha = made.root(connection, lane.repository_id, view.live.sha) if view.brought else view.live.sha
        return None if approvals.place(connection, lane, view.policy, sha) != position else sha
    return next((commit.sha for commit in view.commits if commit.position == position), None)
