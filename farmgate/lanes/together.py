"""Lanes that go together: what each of them takes in the next joint rollout.

Rules:
1. Lanes of one line (repository and branch) take one commit: the newest that is eligible in all that do not have it
   yet, within the smallest batch size. A lane that has it already takes no part; neither does a line without one.
2. A commit goes only when what it needs of other lines is live in all their lanes of the group, or goes with it. Of all
   choices that keep this, the newest is taken: two commits that need each other go at once.
3. Bans, verification and approvals are each lane's own, and keep the commit from its whole line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from farmgate.lanes.choosing import choose, oldest_eligible
from farmgate.lanes.eligible import Gate, own_gate
from farmgate.lanes.view import LaneView, Need, QueuedCommit
from farmgate.models import RolloutKind

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """A lane's part of a joint rollout: everything after what is live up to `commit`. `oldest`: of what is eligible."""

    view: LaneView
    commit: QueuedCommit
    oldest: QueuedCommit


@dataclass(frozen=True, slots=True)
class JointCut:
    """Deliver these at once, in this order. `upto`: how many points of the group's search are in it."""

    shares: tuple[Share, ...]
    kind: RolloutKind = RolloutKind.FORWARD
    search_id: int | None = None
    upto: int | None = None


def gate(view: LaneView) -> Gate:
    """What decides over the next batch of a lane, alone or in its group."""
    return own_gate(view) if view.together is None else _gates(view.members)[view.lane_id]


def shares(view: LaneView) -> tuple[Share, ...]:
    """What each lane of the group would take now, in the group's order (rules 1 and 2)."""
    members = _in_group(view.members)
    stands = _gates(members)
    chosen = _chosen(members, stands)
    found = []
    for member in members:
        commit = chosen.get(member.line)
        if commit is not None and member.base < commit.position:
            oldest = oldest_eligible(member, stands[member.lane_id]) or commit
            found.append(Share(member, commit, oldest))
    return tuple(found)


def in_lines(members: Sequence[LaneView], own: Mapping[int, Gate]) -> dict[int, Gate]:
    """Each lane's gate, with those of the other lanes of its line."""
    return {
        member.lane_id: replace(
            own[member.lane_id],
            mates=tuple(
                (other, own[other.lane_id])
                for other in members
                if other.line == member.line and other.lane_id != member.lane_id
            ),
        )
        for member in members
    }


def _gates(views: Sequence[LaneView]) -> dict[int, Gate]:
    """By lane; what is lacking (rule 2) is found by choosing again until nothing more lacks."""
    members = _in_group(views)
    plain = in_lines(members, {member.lane_id: own_gate(member) for member in members})
    lacks: dict[Line, tuple[Need, ...]] = {}
    while True:
        stands = {
            member.lane_id: replace(plain[member.lane_id], lacks=lacks.get(member.line, ())) for member in members
        }
        if not any(member.needs for member in members):
            return stands
        chosen = _chosen(members, stands)
        found = {line: _lacking(line, members, chosen) for line in {member.line for member in members}}
        more = {line: (*lacks.get(line, ()), *new) for line, new in found.items() if new}
        if not more:
            return stands
        lacks |= more


def _lacking(line: Line, members: Sequence[LaneView], chosen: Mapping[Line, QueuedCommit]) -> tuple[Need, ...]:
    """What the commits that a line would deliver need, and would not have."""
    commit = chosen.get(line)
    if commit is None:
        return ()
    going = {
        need
        for member in members
        if member.line == line
        for need in member.needs
        if member.base < need.position <= commit.position
    }
    return tuple(
        sorted((need for need in going if not _met(need, members, chosen)), key=lambda need: (need.position, need.sha))
    )


def _met(need: Need, members: Sequence[LaneView], chosen: Mapping[Line, QueuedCommit]) -> bool:
    if need.at is None:
        return False
    with_it = chosen.get(need.line)
    if with_it is not None and with_it.position >= need.at:
        return True
    return all(member.base >= need.at for member in members if member.line == need.line)


def _chosen(members: Sequence[LaneView], stands: Mapping[int, Gate]) -> dict[Line, QueuedCommit]:
    """Rule 1: what each line would take."""
    found: dict[Line, QueuedCommit] = {}
    for member in members:
        commit = choose(member, stands[member.lane_id])
        if commit is not None and (member.line not in found or commit.position < found[member.line].position):
            found[member.line] = commit
    return found


def _in_group(members: Sequence[LaneView]) -> tuple[LaneView, ...]:
    """The lanes of a group, each of which knows it: a limit of one counts for its whole line."""
    group = next((member.together for member in members if member.together is not None), None)
    if group is None:
        return tuple(members)
    plain = [replace(member, together=None) for member in members]
    return tuple(
        replace(member, together=replace(group, before=tuple(plain[:at]), after=tuple(plain[at + 1 :])))
        for at, member in enumerate(plain)
    )
