"""Whether people agreed to a batch, where the lane asks for that.

Rules:
1. An approval is of the commits after `since` up to `until`, and of the candidate there: of exactly its digests.
2. A batch is approved when enough people approved each of its commits, and its candidate. So when it grows, only the
   difference needs approving, and when it shrinks to a batch that was approved before, nothing does.
3. Nobody's approval counts for a commit that they wrote, where the lane asks for others; nor once they lost the right.
4. The halves of a search need none of their own: each of their commits was agreed to.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from farmgate.lanes.view import Approval, LaneView


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a lane's approvals allow: batches that end at one of `candidates` and not after `upto`. `count`, `by`: what
    the policy asks for."""

    upto: int
    candidates: frozenset[int]
    count: int
    by: tuple[str, ...]

    def blocks(self, position: int) -> bool:
        return position > self.upto or position not in self.candidates

    @property
    def words(self) -> str:
        """What is missing."""
        return f"the batch up to it needs {people_asked(self.count, self.by)}"


def people_asked(count: int, by: Sequence[str]) -> str:
    """2 approvals of ada, bob"""
    people = "1 approval" if count == 1 else f"{count} approvals"
    return people + (f" of {', '.join(by)}" if by else "")


def agreed(view: LaneView) -> Agreed | None:
    """None where the lane asks nobody."""
    rules = view.policy.approvals
    if rules is None:
        return None
    ends: dict[int, set[str]] = {}
    for approval in view.approvals:
        if _is_candidate(view, approval.until) and not _wrote(view, approval.by, approval.until):
            ends.setdefault(approval.until, set()).add(approval.by)
    enough = frozenset(position for position, people in ends.items() if len(people) >= rules.count)
    return Agreed(_covered(view, rules.count), enough, rules.count, rules.by)


def _is_candidate(view: LaneView, position: int) -> bool:
    """True if the queue has a candidate there. A long queue is not gone through for it."""
    at = bisect_left(view.commits, position, key=lambda commit: commit.position)
    return (
        at < len(view.commits) and (found := view.commits[at]).position == position and found.candidate_id is not None
    )


def _covered(view: LaneView, count: int) -> int:
    """Up to where each commit after what is live was approved by enough people who did not write it."""
    own = {position for positions in view.authored.values() for position in positions}
    marks = {edge for approval in view.approvals for edge in (approval.since, approval.until)}
    marks |= own | {position - 1 for position in own}
    upto = view.base
    for mark in sorted(mark for mark in marks if mark > view.base):
        # Between two marks every commit has the same approvals.
        people = {each.by for each in view.approvals if _covers(view, each, upto + 1, mark)}
        if len(people) < count:
            break
        upto = mark
    return upto


def approved_upto(view: LaneView, person: str) -> int:
    """Up to where a person approved everything after what is live: what they need not look at again."""
    upto = view.base
    for approval in sorted(view.approvals, key=lambda each: each.since):
        if approval.by == person and approval.since <= upto:
            upto = max(upto, approval.until)
    return upto


def _covers(view: LaneView, approval: Approval, first: int, last: int) -> bool:
    return approval.since < first and last <= approval.until and not (first == last and _wrote(view, approval.by, last))


def _wrote(view: LaneView, person: str, position: int) -> bool:
    rules = view.policy.approvals
    return rules is not None and rules.not_author and position in view.authored.get(person, ())


def is_author(person: str, name: str, email: str) -> bool:
    """True if a person of the farm wrote a commit, as far as names tell: by name, by address or its first part."""
    told = person.strip().casefold()
    return told in (name.strip().casefold(), email.strip().casefold(), email.partition("@")[0].strip().casefold())
