"""When the next batch is cut, and where.

Rules:
1. Nothing is cut while a rollout is under way, a rollback is asked for, the lane is closed (`calendar`), or the live
   commit was dropped from its branch and no person has agreed.
2. While a search is open, its halves are cut at once: neither settle time nor interval nor budget delays them, and no
   new commit joins.
3. What is cut is chosen by `choosing`.
4. After a rollout the minimum interval passes first, and the budget must have a rollout left.
5. A hotfix that is open goes first, as `hotfix` says; until it is over nothing else is cut.
6. Commits that become eligible together ride together: the cut waits until the newest eligible one is `settle` old, but
   never longer than SETTLE_BOUND times `settle` after the first one was eligible, however many follow.
7. Lanes that go together are cut at once (`together`): what stops one stops all, and what paces one that takes part
   paces all. A lane that searches a culprit of its own ends that first, while the others wait.
8. A commit without a culprit (`reverts`) goes as soon as it may. While it is made and tested other batches may go;
   where none can be cut, the lane asks for one if it needs one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from farmgate import states
from farmgate.lanes import hotfix, reverts
from farmgate.lanes.calendar import closed_by, held_by, spent
from farmgate.lanes.choosing import choose, oldest_eligible
from farmgate.lanes.eligible import ready_at
from farmgate.lanes.joint_search import JointCulprit, JointLost, next_prefix
from farmgate.lanes.made_view import OpenHotfix
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.reverts import RevertWanted
from farmgate.lanes.search import Culprit, Lost, half
from farmgate.lanes.together import JointCut, Share, gate, shares
from farmgate.lanes.view import LaneView, QueuedCommit
from farmgate.models import RolloutKind

SETTLE_BOUND: Final = 4
"""How many settle times a stream of commits may defer a cut."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Deliver the commits after `since` up to `commit`."""

    commit: QueuedCommit
    since: int
    kind: RolloutKind = RolloutKind.FORWARD
    search_id: int | None = None
    made_id: int | None = None  # the made commit that it delivers


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is cut, for these reasons; `until`: when to look again at the latest, where that is known."""

    reasons: tuple[Reason, ...]
    until: datetime | None = None


Wanted = Cut | JointCut | RevertWanted | Wait | Culprit | Lost | JointCulprit | JointLost


def cut(view: LaneView, now: datetime) -> Wanted:
    """What the lane does next, or with its group. `Culprit` and `Lost`, of the lane or joint, end an open search."""
    if view.hotfix is not None:
        stops = (*stopped_by(view, now, for_hotfix=True), *hotfix.waits_for(view, view.hotfix))
        return Wait(stops, _latest(stops)) if stops else _hotfix(view, view.hotfix)
    stops = stopped_by(view, now)
    searched = view.together.search if view.together is not None and view.search is None else None
    if stops:
        idle = view.search is None and searched is None and choose(view, gate(view)) is None
        return Wait((*stops, nothing(view))) if idle else Wait(stops, _latest(stops))
    if view.search is not None:
        found = half(view, view.search)
        if isinstance(found, QueuedCommit):
            return Cut(found, view.base, RolloutKind.SEARCH, view.search.id)
        return found
    if searched is not None:
        return next_prefix(view, searched)
    if view.together is not None:
        taking_part = shares(view)
        joint_pace = tuple(reason for share in taking_part for reason in _pace_of(view, share, now))
        if joint_pace:
            return Wait(joint_pace, _latest(joint_pace))
        return JointCut(taking_part) if taking_part else Wait((nothing(view),))
    stands = gate(view)
    chosen = choose(view, stands)
    if view.revert is not None and reverts.over(view, view.revert, stands) is None:
        waits = reverts.waits_for(view, view.revert)
        if not waits:
            commit = reverts.commit_of(view.revert)
            slow = paced_by(view, commit, commit, now)
            if slow:
                return Wait(slow, _latest(slow))
            return Cut(commit, view.base, RolloutKind.REVERT, made_id=view.revert.id)
        if chosen is None:
            return Wait(waits, _latest(waits))
    if chosen is None:
        return reverts.wanted(view, stands) or Wait((nothing(view),))
    pace = paced_by(view, chosen, oldest_eligible(view, stands) or chosen, now)
    return Wait(pace, _latest(pace)) if pace else Cut(chosen, view.base)


def _hotfix(view: LaneView, ready: OpenHotfix) -> Cut:
    assert ready.sha is not None
    commit = QueuedCommit(view.base, ready.sha, candidate_id=ready.candidate_id)
    return Cut(commit, view.base, RolloutKind.HOTFIX, made_id=ready.id)


def stopped_by(view: LaneView, now: datetime, *, for_hotfix: bool = False) -> tuple[Reason, ...]:
    """Rule 1: what stops the whole lane; and, by rule 7, what stops a lane that it goes together with. `for_hotfix`:
    what of that stops a hotfix, which goes alone."""
    found = list(_stops(view, now, for_hotfix=for_hotfix))
    for mate in view.mates if not for_hotfix else ():
        theirs = [*_stops(mate, now)]
        if mate.search is not None and view.search is None:
            theirs.append(Reason(Why.SEARCH, "the culprit of a sick batch is searched"))
        if mate.hotfix is not None:
            theirs.append(Reason(Why.HOTFIX, "a hotfix goes first"))
        found.extend(_named(mate, theirs))
    return tuple(found)


def _stops(view: LaneView, now: datetime, *, for_hotfix: bool = False) -> tuple[Reason, ...]:
    found: list[Reason] = []
    if view.active is not None:
        active = view.active
        doing = "is being taken back" if active.state is states.Rollout.RESTORING else "is under way"
        words = f"rollout {active.number} ({active.kind}, up to {active.until_sha[:9]}) {doing}"
        found.append(Reason(Why.ROLLOUT, words))
    if view.rollback_asked is not None:
        found.append(Reason(Why.ROLLBACK, f"{view.rollback_asked} asked for a rollback"))
    found.extend(held_by(view, now) if for_hotfix else closed_by(view, now))
    if view.unacknowledged_loss and view.live is not None:
        words = f"the live commit {view.live.sha[:9]} is no longer on {view.policy.branch}: a forced push dropped it"
        found.append(Reason(Why.LOSS, words))
    return tuple(found)


def paced_by(view: LaneView, newest: QueuedCommit, oldest: QueuedCommit, now: datetime) -> tuple[Reason, ...]:
    """Rules 4 and 5: what delays a cut that is possible; and, by rule 7, what delays others that take part in it."""
    others = (share for share in shares(view) if share.view.lane_id != view.lane_id) if view.mates else ()
    return (*_pace(view, newest, oldest, now), *(reason for share in others for reason in _pace_of(view, share, now)))


def _pace_of(view: LaneView, share: Share, now: datetime) -> tuple[Reason, ...]:
    """What delays a lane that takes part, as `view` tells it."""
    found = _pace(share.view, share.commit, share.oldest, now)
    return found if share.view.lane_id == view.lane_id else _named(share.view, found)


def _named(mate: LaneView, reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    told = f"{mate.policy.name} goes together with it: "
    return tuple(Reason(reason.kind, told + reason.words, reason.until) for reason in reasons)


def _pace(view: LaneView, newest: QueuedCommit, oldest: QueuedCommit, now: datetime) -> tuple[Reason, ...]:
    found: list[Reason] = []
    policy = view.policy
    if view.finished_at is not None:
        free = view.finished_at + policy.minimum_interval
        if now < free:
            found.append(Reason(Why.INTERVAL, "the lane's minimum interval between rollouts is running", free))
    newest_ready, oldest_ready = ready_at(view, newest), ready_at(view, oldest)
    if newest_ready is not None and oldest_ready is not None:
        settled = min(newest_ready + policy.settle, oldest_ready + SETTLE_BOUND * policy.settle)
        if now < settled:
            found.append(Reason(Why.SETTLE, "commits that turn green together ride together: settling", settled))
    found.extend(spent(view, newest.position, now))
    return tuple(found)


def nothing(view: LaneView) -> Reason:
    """Why nothing can be cut although nothing stops the lane."""
    if not view.commits:
        return Reason(Why.NOTHING, "everything is live")
    return Reason(Why.NOTHING, "no waiting commit is eligible yet")


def _latest(reasons: tuple[Reason, ...]) -> datetime | None:
    """When all of them are over; None if that of one is not known."""
    times = [reason.until for reason in reasons]
    return max((time for time in times if time is not None), default=None) if None not in times else None
