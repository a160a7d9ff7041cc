"""From rows and rules to what is told of groups: one reading for the API and the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate import states
from farmgate.lanes import LaneView
from farmgate.models import Joint, JointSearchRow, Lane, LaneGroup, Rollout
from farmgate.store import holds, joints, lane_ahead, lane_groups, lanes, releases, repositories, rollouts
from scheduler import lane_reading
from scheduler.group_bodies import (
    GroupBody,
    GroupDetail,
    GroupVersionBody,
    JointBody,
    JointSearchBody,
    MemberBody,
    NextPartBody,
    PartBody,
    PointBody,
)

HISTORY = 20


def summary(connection: Connection, group: LaneGroup) -> GroupBody:
    """A group in a line."""
    members = lane_groups.lanes_of(connection, group.id)
    last = next(iter(joints.latest(connection, group.id, 1)), None)
    newest = joint_body(connection, last) if last is not None else None
    return GroupBody(
        name=group.name,
        version=group.version,
        lanes=[name_of(lane) for lane in members],
        active=newest if newest is not None and newest.finished_at is None else None,
    )


def detail(connection: Connection, group: LaneGroup, now: datetime) -> GroupDetail:
    """A group's whole page."""
    members = lane_groups.lanes_of(connection, group.id)
    view = lane_ahead.view(connection, members[0], now) if members else None
    search = next(iter(joints.searches_of(connection, group.id, 1)), None)
    return GroupDetail(
        **summary(connection, group).model_dump(),
        members=[_member(connection, lane, now) for lane in members],
        next=_next(connection, members, view),
        after=_after(view),
        reasons=_reasons(view, now),
        search=_search(connection, search) if search is not None else None,
        history=[joint_body(connection, joint) for joint in joints.latest(connection, group.id, HISTORY)],
        versions=[
            GroupVersionBody.model_validate(each, from_attributes=True)
            for each in lane_groups.versions(connection, group.id)
        ],
    )


def joint_body(connection: Connection, joint: Joint) -> JointBody:
    """A joint rollout with its parts side by side."""
    found = [rollout for _, rollout in joints.rollouts_of(connection, joint.id)]
    ends = [each.finished_at for each in found]
    return JointBody(
        number=joint.number,
        kind=joint.kind,
        state=_state(found),
        parts=[_part(connection, each) for each in found],
        created_at=joint.created_at,
        finished_at=max((end for end in ends if end is not None), default=None) if None not in ends else None,
    )


_WORST_FIRST = (
    states.Rollout.STUCK,
    states.Rollout.RESTORING,
    states.Rollout.SICK,
    states.Rollout.CANCELLED,
    states.Rollout.ASKING,
    states.Rollout.RUNNING,
    states.Rollout.PENDING,
    states.Rollout.FINISHING,
    states.Rollout.GOOD,
)


def _state(found: Sequence[Rollout]) -> str:
    """The whole is as bad as the worst of its parts."""
    return str(min((each.state for each in found), key=_WORST_FIRST.index))


def _part(connection: Connection, rollout: Rollout) -> PartBody:
    lane = lanes.by_id(connection, rollout.lane_id)
    commit = repositories.commit(connection, lane.repository_id, rollout.until_sha)
    journal = {each.key: each for each in rollouts.entries(connection, rollout.id)}
    arrived = "arrived" in journal and rollout.state is states.Rollout.RUNNING
    waits = None
    if arrived:
        waits = "every wave is good: it waits for the others"
    elif rollout.state is states.Rollout.RUNNING and "wave-0/shift" not in journal and "prepare" in journal:
        waits = "prepared: it waits for its turn" if journal["prepare"].outcome == "done" else None
    elif rollout.state is states.Rollout.RESTORING and "restore" not in journal:
        waits = "it is taken back when those that need it are"
    return PartBody(
        lane=name_of(lane),
        rollout_id=rollout.id,
        number=rollout.number,
        state=rollout.state,
        since_sha=rollout.since_sha,
        until_sha=rollout.until_sha,
        title=commit.title if commit is not None else "",
        commit_count=rollouts.sizes(connection, [rollout.id]).get(rollout.id, 0),
        wave=rollout.wave,
        waves=[wave["share"] for wave in rollout.policy.get("waves", [])],
        arrived=arrived,
        waits=waits,
        reason=rollout.reason,
        started_at=rollout.started_at,
        finished_at=rollout.finished_at,
    )


def _member(connection: Connection, lane: Lane, now: datetime) -> MemberBody:
    policy = lanes.policy_of(lane)
    live = releases.live_of(connection, lane.id)
    commit = repositories.commit(connection, lane.repository_id, live.sha) if live is not None else None
    active = rollouts.active_of(connection, lane.id)
    return MemberBody(
        lane=name_of(lane),
        repository=policy.repository,
        branch=policy.branch,
        live_sha=live.sha if live is not None else None,
        live_title=commit.title if commit is not None else None,
        problem=lane_reading.problem(connection, lane, active, holds.standing(connection, lane.id, now)),
    )


def _next(connection: Connection, members: Sequence[Lane], view: LaneView | None) -> list[NextPartBody]:
    if view is None or view.together is None or view.together.search is not None:
        return []
    known = {lane.id: lane for lane in members}
    told = []
    for share in rules.shares(view):
        commit = repositories.commit(connection, known[share.view.lane_id].repository_id, share.commit.sha)
        title = commit.title if commit is not None else ""
        told.append(NextPartBody(lane=share.view.policy.name, sha=share.commit.sha, title=title))
    return told


def _after(view: LaneView | None) -> str | None:
    """From what the next joint rollout is counted."""
    each_of = [
        f"rollout {member.counts_from.number} of {member.policy.name}"
        for member in (view.members if view is not None else ())
        if member.counts_from is not None
    ]
    return f"after {', '.join(each_of)}, if {'they are' if len(each_of) > 1 else 'it is'} good" if each_of else None


def _reasons(view: LaneView | None, now: datetime) -> list[str]:
    if view is None:
        return ["it has no lanes: it was dissolved"]
    decided = rules.cut(view, now)
    return [reason.words for reason in decided.reasons] if isinstance(decided, rules.Wait) else []


def _search(connection: Connection, search: JointSearchRow) -> JointSearchBody:
    told = []
    is_open = search.state is states.Search.OPEN
    for at, point in enumerate(search.points):
        repository = repositories.by_name(connection, point["repository"])
        commit = repositories.commit(connection, repository.id, point["sha"])
        if point["sha"] == search.culprit:
            word = "the culprit"
        elif at < search.good:
            word = "good"
        else:
            word = "may be to blame" if is_open and at < search.sick else "not blamed"
        title = commit.title if commit is not None else ""
        told.append(PointBody(repository=point["repository"], sha=point["sha"], title=title, word=word))
    return JointSearchBody(
        id=search.id,
        state=search.state,
        points=told,
        rollouts=search.rollouts,
        most_rollouts=rules.most_rollouts(len(search.points)),
        culprit=search.culprit,
        opened_at=search.opened_at,
        closed_at=search.closed_at,
    )


def name_of(lane: Lane) -> str:
    return f"{lane.application}/{lane.environment}"
