"""The search for the culprit in a batch that went sick.

Rules:
1. The batch is sealed when the search opens: its points are the eligible candidates in (since, until], the last of
   which is the one that went sick. No commit joins later.
2. The older half goes first. A good half stays live, a sick one narrows: the culprit is after `since` and at or before
   `until`.
3. When one point is left it is the culprit, by elimination, without a rollout. So a batch of n points takes at most
   ceil(log2 n) further rollouts, and one of a single point none.
4. A half that would lose a hotfix (which came live meanwhile) is not tried.
5. The ban covers every commit after the last good point up to the culprit: red ones rode along and may be to blame.
"""

from __future__ import annotations

from dataclasses import dataclass

from farmgate.lanes.eligible import Gate, blocked, is_eligible
from farmgate.lanes.hotfix import contains_all
from farmgate.lanes.view import LaneView, OpenSearch, QueuedCommit


@dataclass(frozen=True, slots=True)
class Culprit:
    """Ban the point at `position`; whatever is after `since` is covered."""

    search_id: int | None
    sha: str
    since: int
    position: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The sealed batch is not there any more: the search is abandoned."""

    search_id: int
    reason: str


def points(view: LaneView, since: int, until: int, sick: str) -> tuple[str, ...]:
    """The points of a batch that went sick, oldest first; `sick` is its last commit, which is always one."""
    stands = Gate(blocked(view), brought=view.brought)  # the batch was approved as a whole
    return (
        *(
            commit.sha
            for commit in view.commits
            if since < commit.position < until and commit.sha != sick and is_eligible(view, commit, stands)
        ),
        sick,
    )


def half(view: LaneView, search: OpenSearch) -> QueuedCommit | Culprit | Lost:
    """The point to try next; or the culprit; or nothing, when a forced push took the batch away."""
    places = {commit.sha: commit for commit in view.commits}
    left = remaining(search, places)
    if not left:
        return Lost(search.id, "the commits of the batch are not on the branch any more")
    may = [commit for commit in left if contains_all(view, commit.position)] or left[-1:]
    if len(may) == 1:
        return Culprit(search.id, may[0].sha, search.since, may[0].position)
    return may[len(may) // 2 - 1]


def remaining(search: OpenSearch, places: dict[str, QueuedCommit]) -> list[QueuedCommit]:
    """The points that may still be the culprit, oldest first. None at all if the sick one is gone."""
    known = [places[sha] for sha in search.points if sha in places]
    left = [commit for commit in known if search.since < commit.position <= search.until]
    return left if left and left[-1].position == search.until else []


def most_rollouts(n: int) -> int:
    """How many further rollouts a search over n points takes at most: ceil(log2 n)."""
    return (n - 1).bit_length()
