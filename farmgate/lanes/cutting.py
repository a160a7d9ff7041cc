"""When the next batch is cut, and where.

Rules:
1. Nothing is cut while a rollout is under way, a rollback is asked for, the lane is closed (`calendar`), or the live
   commit was dropped from its branch and no person has agreed.
2. While a search is open, its halves are cut at once: neither settle time nor interval nor budget delays them, and no
   new commit joins.
3. The cut is the newest eligible commit within the oldest `max_commits`; if none is eligible there, the nearest beyond.
   Without `max_commits` it is the newest of all, so that a commit's delay does not grow with the commit rate. One that
   adapts grows by one after a good rollout and halves after a bad one; searches and rollbacks do not count.
4. After a rollout the minimum interval passes first, and the budget must have a rollout left.
5. A hotfix that is open goes first, as `hotfix` says; until it is over nothing else is cut.
6. Commits that become eligible together ride together: the cut waits until the newest eligible one is `settle` old, but
   never longer than SETTLE_BOUND times `settle` after the first one was eligible, however many follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from farmgate.lanes import hotfix
from farmgate.lanes.calendar import closed_by, held_by, spent
from farmgate.lanes.eligible import Gate, gate, is_eligible, ready_at
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.search import Culprit, Lost, half
from farmgate.lanes.view import LaneView, OpenHotfix, QueuedCommit
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


def cut(view: LaneView, now: datetime) -> Cut | Wait | Culprit | Lost:
    """What the lane does next. `Culprit` and `Lost` end an open search."""
    if view.hotfix is not None:
        stops = (*stopped_by(view, now, for_hotfix=True), *hotfix.waits_for(view, view.hotfix))
        return Wait(stops, _latest(stops)) if stops else _hotfix(view, view.hotfix)
    stops = stopped_by(view, now)
    if stops:
        idle = view.search is None and choose(view, gate(view)) is None
        return Wait((*stops, nothing(view))) if idle else Wait(stops, _latest(stops))
    if view.search is not None:
        found = half(view, view.search)
        if isinstance(found, QueuedCommit):
            return Cut(found, view.base, RolloutKind.SEARCH, view.search.id)
        return found
    stands = gate(view)
    chosen = choose(view, stands)
    if chosen is None:
        return Wait((nothing(view),))
    pace = paced_by(view, chosen, oldest_eligible(view, stands) or chosen, now)
    return Wait(pace, _latest(pace)) if pace else Cut(chosen, view.base)


def _hotfix(view: LaneView, ready: OpenHotfix) -> Cut:
    assert ready.sha is not None
    commit = QueuedCommit(view.base, ready.sha, candidate_id=ready.candidate_id)
    return Cut(commit, view.base, RolloutKind.HOTFIX, made_id=ready.id)


def choose(view: LaneView, stands: Gate) -> QueuedCommit | None:
    """The commit of the next cut, by rule 3, whatever the time is."""
    limit = most_commits(view)
    if limit is None:
        return next((commit for commit in reversed(view.commits) if is_eligible(view, commit, stands)), None)
    within = None
    for commit in view.commits:
        beyond = commit.position > start(view) + limit
        if beyond and within is not None:
            break
        if is_eligible(view, commit, stands):
            within = commit
            if beyond:
                break
    return within


def most_commits(view: LaneView) -> int | None:
    """How many commits the next batch may have; None: any number."""
    rules = view.policy.adaptive
    if rules is None:
        return view.policy.max_commits
    size = rules.start
    for good in view.outcomes:
        size = min(rules.most, size + 1) if good else max(rules.least, size // 2)
    return size


def choose_among(eligible: Sequence[QueuedCommit], base: int, limit: int | None) -> QueuedCommit | None:
    """Rule 3 over what is eligible, oldest first."""
    if not eligible:
        return None
    if limit is None:
        return eligible[-1]
    within = [commit for commit in eligible if commit.position <= base + limit]
    return within[-1] if within else eligible[0]


def start(view: LaneView) -> int:
    """The position before the first waiting commit: `max_commits` counts from here."""
    if view.live is None and view.commits:
        return view.commits[0].position - 1
    return view.base


def oldest_eligible(view: LaneView, stands: Gate) -> QueuedCommit | None:
    return next((commit for commit in view.commits if is_eligible(view, commit, stands)), None)


def stopped_by(view: LaneView, now: datetime, *, for_hotfix: bool = False) -> tuple[Reason, ...]:
    """Rule 1: what stops the whole lane, or (`for_hotfix`) what of that stops a hotfix as well."""
    found: list[Reason] = []
    if view.active is not None:
        active = view.active
        words = f"rollout {active.number} ({active.kind}, up to {active.until_sha[:9]}) is under way"
        found.append(Reason(Why.ROLLOUT, words))
    if view.rollback_asked is not None:
        found.append(Reason(Why.ROLLBACK, f"{view.rollback_asked} asked for a rollback"))
    found.extend(held_by(view, now) if for_hotfix else closed_by(view, now))
    if view.unacknowledged_loss and view.live is not None:
        words = f"the live commit {view.live.sha[:9]} is no longer on {view.policy.branch}: a forced push dropped it"
        found.append(Reason(Why.LOSS, words))
    return tuple(found)


def paced_by(view: LaneView, newest: QueuedCommit, oldest: QueuedCommit, now: datetime) -> tuple[Reason, ...]:
    """Rules 4 and 5: what delays a cut that is possible."""
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
