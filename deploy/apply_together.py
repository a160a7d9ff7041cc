"""Acting on decisions about lanes that go together: each in one transaction over all of them.

Rules:
1. Whoever acts on several lanes takes all of them first, in the order of their ids: from then on no older controller
   can, and a newer one makes this one stop (LostRace), with nothing done.
2. What is decided for the whole is decided again, or guarded by each rollout's state, under these locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from deploy import people, together
from deploy.blame import ban_together
from deploy.decisions import (
    AbandonJointSearch,
    BanTogether,
    CutTogether,
    JointConsequence,
    JointDecision,
    NarrowJointSearch,
    OpenJointSearch,
    ProlongJointSearch,
)
from deploy.rollout_view import RolloutView
from deploy.writing import ACTOR, new_rollout, subject_of, tell
from farmgate import lanes as rules
from farmgate import states
from farmgate.errors import LostRace
from farmgate.lanes import JointCulprit
from farmgate.models import Lane, Rollout, Unblamed
from farmgate.store import events, joints, lane_groups, lane_views, lanes, looks, rollouts


def to_group(
    connection: Connection,
    lane: Lane,
    epoch: int,
    decision: JointDecision,
    now: datetime,
    *,
    asks: bool,
) -> None:
    """Act on a decision about the group of a lane. `asks`: the scheduler is asked what batches carry. Raises
    LostRace."""
    group = lane_groups.of_lane(connection, lane.id)
    if group is None:
        raise LostRace(f"{lane.application}/{lane.environment} is in no group any more")
    lane_groups.lock(connection, group.id)
    take(connection, [each.id for each in lane_groups.lanes_of(connection, group.id)], epoch)
    match decision:
        case CutTogether():
            _cut(connection, lane, epoch, group.id, now, asks=asks)
        case BanTogether(culprit, reason):
            _ban(connection, group.name, culprit, reason, now)
        case AbandonJointSearch(search_id, reason, suspects):
            joints.close(connection, search_id, states.Search.ABANDONED, now, None)
            events.record(connection, now, "search.abandoned", f"group/{group.name}", ACTOR, reason)
            for each in suspects:
                _ban(connection, group.name, replace(each, search_id=None), reason, now)
        case ProlongJointSearch(search_id, deadline):
            joints.prolong(connection, search_id, deadline)
        case _:
            assert_never(decision)


def follow(connection: Connection, view: RolloutView, consequence: JointConsequence, now: datetime) -> None:
    """What follows from a joint rollout that went sick."""
    assert view.joint is not None
    group = lane_groups.by_id(connection, view.joint.row.group_id)
    match consequence:
        case OpenJointSearch(_, points):
            joints.open_up(connection, view.joint.row, points, now)
            text = f"searching the culprit among {len(points)} candidates of joint rollout {view.joint.row.number}"
            events.record(connection, now, "search.opened", f"group/{group.name}", ACTOR, text)
        case NarrowJointSearch(search_id, sick):
            joints.narrow(connection, search_id, sick=sick)
        case BanTogether(culprit, reason):
            _ban(connection, group.name, culprit, reason, now)
        case _:
            assert_never(consequence)


def finish(connection: Connection, view: RolloutView, deadline: datetime, now: datetime) -> None:
    """All of the whole are good, at once; from here no way leads back. Raises LostRace."""
    assert view.joint is not None
    for each in _ours(connection, view):
        if together.ARRIVED not in each.journal:
            raise LostRace(f"rollout {each.rollout.number} of {each.policy.name} has not arrived")
        people.settle_checks(connection, each, now)
        rollouts.moved(connection, each.rollout, states.Rollout.FINISHING, deadline=deadline)
    row = view.joint.row
    if row.search_id is not None and row.upto is not None:
        joints.narrow(connection, row.search_id, good=row.upto)
    group = lane_groups.by_id(connection, row.group_id)
    events.record(
        connection, now, "joint.good", f"group/{group.name}", ACTOR, f"joint rollout {row.number}: all lanes are good"
    )


def take_back_others(connection: Connection, view: RolloutView, words: str, deadline: datetime, now: datetime) -> None:
    """One of the whole goes back, so all do. Raises LostRace."""
    said = together.went_back(view, words)
    for each in _ours(connection, view):
        if each.rollout.id == view.rollout.id or states.is_final(each.rollout.state):
            continue
        subject = f"lane/{each.policy.name}"
        if each.rollout.state is states.Rollout.PENDING:
            rollouts.moved(connection, each.rollout, states.Rollout.CANCELLED, finished_at=now, reason=said)
            tell(connection, now, "rollout.cancelled", subject, each.rollout.number, said)
        elif each.rollout.state is not states.Rollout.RESTORING:
            rollouts.note(connection, each.rollout, "verdict", now, Unblamed.TOGETHER, {"words": said})
            rollouts.moved(connection, each.rollout, states.Rollout.RESTORING, deadline=deadline, reason=said)
            tell(connection, now, "rollout.restoring", subject, each.rollout.number, said)


def take(connection: Connection, lane_ids: Iterable[int], epoch: int) -> None:
    """Rule 1. Raises LostRace."""
    for lane_id in sorted(lane_ids):
        lanes.take(connection, lane_id, epoch)


def _ours(connection: Connection, view: RolloutView) -> Sequence[RolloutView]:
    """All of the whole, as they were seen, taken by the epoch of this one. Raises LostRace if one has moved on."""
    assert view.joint is not None
    epoch, everyone = view.rollout.epoch, [view, *(other for _, other in view.joint.others)]
    take(connection, [each.rollout.lane_id for each in everyone], epoch)
    ours = []
    for each in everyone:
        if not states.is_final(each.rollout.state):
            rollouts.take_over(connection, each.rollout, epoch)
        ours.append(replace(each, rollout=replace(each.rollout, epoch=epoch)))
    return ours


def _cut(connection: Connection, lane: Lane, epoch: int, group_id: int, now: datetime, *, asks: bool) -> None:
    view = lane_views.view(connection, lanes.by_id(connection, lane.id), now)
    cut = rules.cut(view, now)
    if not isinstance(cut, rules.JointCut):
        raise LostRace("the group does not want this cut any more")
    places = {each.id: place for place, each in enumerate(lane_groups.lanes_of(connection, group_id))}
    made: dict[int, Rollout] = {}
    for share in cut.shares:
        its_lane = lanes.by_id(connection, share.view.lane_id)
        new = new_rollout(its_lane, share.view, share.commit, cut.kind, None)
        rollout = made[places[its_lane.id]] = rollouts.cut(connection, new, epoch, now)
        if asks:
            looks.ask(connection, rollout, its_lane.repository_id, share.view.policy.irreversible, now)
    joint = joints.tie(connection, group_id, cut.kind, made, now, search_id=cut.search_id, upto=cut.upto)
    group = lane_groups.by_id(connection, group_id)
    sizes = rollouts.sizes(connection, [each.id for each in made.values()])
    told = []
    for share, rollout in zip(cut.shares, made.values(), strict=True):
        name, many = share.view.policy.name, sizes.get(rollout.id, 0)
        told.append(f"{name} {rollout.number} up to {rollout.until_sha[:12]}")
        text = (
            f"{cut.kind}, joint rollout {joint.number} of {group.name}: {many} commits up to {rollout.until_sha[:12]}"
        )
        tell(connection, now, "rollout.cut", f"lane/{name}", rollout.number, text)
    text = f"joint rollout {joint.number} ({cut.kind}): {', '.join(told)}"
    events.record(connection, now, "joint.cut", f"group/{group.name}", ACTOR, text)


def _ban(connection: Connection, group: str, found: JointCulprit, reason: str, now: datetime) -> None:
    if found.search_id is not None:
        joints.close(connection, found.search_id, states.Search.FOUND, now, found.sha)
    for lane_id, culprit in found.lanes:
        lane = lanes.by_id(connection, lane_id)
        ban_together(connection, lane, lane_views.of_lane(connection, lane, now), culprit, reason, now)
    names = [subject_of(lanes.by_id(connection, lane_id)).removeprefix("lane/") for lane_id, _ in found.lanes]
    text = f"{found.sha[:12]} is the culprit, banned in {', '.join(names) or 'no lane: it is on no branch any more'}"
    events.record(connection, now, "search.found", f"group/{group}", ACTOR, text)
