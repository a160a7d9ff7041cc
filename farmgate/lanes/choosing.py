"""Which commit a lane's next batch ends with, whatever the time is.

Rules:
1. The newest eligible commit within the oldest `max_commits`; if none is eligible there, the nearest beyond. Without
   `max_commits` the newest of all, so that a commit's delay does not grow with the commit rate.
2. A batch size that adapts grows by one after a good rollout and halves after a bad one; searches and rollbacks do not
   count.
3. Of lanes that go together and take the same commit, the smallest limit counts for all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from farmgate.lanes.eligible import Gate, is_eligible
from farmgate.lanes.view import LaneView, QueuedCommit


def choose(view: LaneView, stands: Gate) -> QueuedCommit | None:
    """The commit of the next cut, by rule 1."""
    limit = most_commits(view)
    commits = _approved(view, stands)
    if limit is None:
        return next((commit for commit in reversed(commits) if is_eligible(view, commit, stands)), None)
    within = None
    for commit in commits:
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
    limits = [
        start(each) + own - start(view) for each in view.in_line if (own := _own(each)) is not None and each.commits
    ]
    return max(0, min(limits)) if limits else _own(view)


def _own(view: LaneView) -> int | None:
    rules = view.policy.adaptive
    if rules is None:
        return view.policy.max_commits
    size = rules.start
    for good in view.outcomes:
        size = min(rules.most, size + 1) if good else max(rules.least, size // 2)
    return size


def choose_among(eligible: Sequence[QueuedCommit], base: int, limit: int | None) -> QueuedCommit | None:
    """Rule 1 over what is eligible, oldest first."""
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
    return next((commit for commit in _approved(view, stands) if is_eligible(view, commit, stands)), None)


def _approved(view: LaneView, stands: Gate) -> Sequence[QueuedCommit]:
    """Where people are asked, the few commits that they agreed to; else all. Nothing else can be eligible."""
    if stands.agreed is None:
        return view.commits
    places = (
        bisect_left(view.commits, position, key=lambda commit: commit.position)
        for position in sorted(stands.agreed.candidates)
    )
    return [view.commits[at] for at in places if at < len(view.commits)]
