"""The search for the culprit in a joint batch that went sick.

Rules:
1. Its points are the eligible commits of the batch, line after line in the group's order, oldest first; sealed. That it
   was approved stands; what is needed of other lines is before it, if the group is in the order of its needs.
2. A step delivers a prefix of them: the earlier lines whole, one line in part, the later ones not at all. A good prefix
   stays live, a sick one narrows. So a batch of n points takes at most ceil(log2 n) further joint rollouts.
3. When one point is left it is the culprit, by elimination, in every lane of its line that does not have it. The ban
   covers what is after the live commit there up to the culprit: red commits rode along and may be to blame.
4. A prefix that would lose what a live hotfix brought is neither a point nor tried: what is left is found by
   elimination.
5. A point that stands on its branch no more, or that came live by itself, ends the search: nobody can tell then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farmgate.lanes.eligible import Gate, blocked, is_eligible
from farmgate.lanes.hotfix import contains_all
from farmgate.lanes.search import Culprit
from farmgate.lanes.together import JointCut, Line, Share, in_lines
from farmgate.lanes.view import JointSearch, LaneView, Point, QueuedCommit
from farmgate.models import RolloutKind


@dataclass(frozen=True, slots=True)
class Part:
    """What a joint rollout took to a lane: the commits after `since` up to `until`."""

    view: LaneView
    since: int
    until: int
    sha: str


@dataclass(frozen=True, slots=True)
class JointCulprit:
    """Ban this in these lanes. `search_id`: None: no search was needed."""

    search_id: int | None
    sha: str
    lanes: tuple[tuple[int, Culprit], ...]  # by lane


@dataclass(frozen=True, slots=True)
class JointLost:
    """The sealed batch is not there any more: the search is abandoned."""

    search_id: int
    reason: str


def joint_points(parts: Sequence[Part]) -> tuple[Point, ...]:
    """Rule 1. The last commit of each line's batch is a point in any case."""
    views = [part.view for part in parts]
    stands = in_lines(views, {view.lane_id: Gate(blocked(view), brought=view.brought) for view in views})
    found: list[Point] = []
    for line in dict.fromkeys(view.line for view in views):
        first = min((part for part in parts if part.view.line == line), key=lambda part: part.since)
        last = max((part for part in parts if part.view.line == line), key=lambda part: part.until)
        found.extend(
            Point(line, commit.sha)
            for commit in first.view.commits
            if first.since < commit.position < last.until
            and commit.sha != last.sha
            and is_eligible(first.view, commit, stands[first.view.lane_id])
        )
        found.append(Point(line, last.sha))
    return tuple(found)


def next_prefix(view: LaneView, search: JointSearch) -> JointCut | JointCulprit | JointLost:
    """Rules 2 to 5: what the search does next."""
    left = search.points[search.good : search.sick]
    waiting = _waiting(view, left)
    places = [waiting.get((point.line, point.sha)) for point in left]
    if not left or any(place is None for place in places):
        return JointLost(search.id, "the commits of the joint batch do not all wait on their branches any more")
    ends = [place for place in places if place is not None]
    goals = [{point.line: place for point, place in zip(left[:many], ends, strict=False)} for many in range(len(left))]
    may = [many for many in range(1, len(left)) if _keeps_all(view, goals[many])]
    if not may:
        return culprit(view, search.id, left[-1])
    many = may[(len(may) + 1) // 2 - 1]
    upto, goal = search.good + many, goals[many]
    taking_part = tuple(
        Share(member, goal[member.line], goal[member.line])
        for member in view.members
        if member.line in goal and member.base < goal[member.line].position
    )
    return JointCut(taking_part, RolloutKind.SEARCH, search.id, upto)


def _keeps_all(view: LaneView, goal: Mapping[Line, QueuedCommit]) -> bool:
    """Rule 4."""
    return all(
        contains_all(member, goal[member.line].position)
        for member in view.members
        if member.line in goal and member.base < goal[member.line].position
    )


def culprit(view: LaneView, search_id: int | None, point: Point) -> JointCulprit:
    """Rule 3."""
    place = _waiting(view, [point]).get((point.line, point.sha))
    to_blame = [
        (member.lane_id, Culprit(None, point.sha, member.base, place.position))
        for member in view.members
        if place is not None and member.line == point.line and member.base < place.position
    ]
    return JointCulprit(search_id, point.sha, tuple(to_blame))


def suspects(view: LaneView, search: JointSearch) -> tuple[JointCulprit, ...]:
    """What is still suspected when a search is given up: the last point of each line, which covers those before it."""
    last = {point.line: point for point in search.points[search.good : search.sick]}
    return tuple(culprit(view, search.id, point) for point in last.values())


def _waiting(view: LaneView, points: Sequence[Point]) -> dict[tuple[Line, str], QueuedCommit]:
    wanted = {(point.line, point.sha) for point in points}
    return {
        (member.line, commit.sha): commit
        for member in view.members
        for commit in member.commits
        if (member.line, commit.sha) in wanted
    }
