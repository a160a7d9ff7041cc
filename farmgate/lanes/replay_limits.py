"""What a replay does not reckon with, in words. Pure.

Rules:
1. Whatever keeps or moves a lane and is not replayed is named, if it was there or the policy asks for it.
2. What is reckoned as it is known today, because what was known then is not kept, is named as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farmgate.policy import LanePolicy


@dataclass(frozen=True, slots=True)
class Beside:
    """What happened to a lane in that time besides its queue. `dropped`: commits, by forced pushes."""

    group: str | None = None
    mates: tuple[str, ...] = ()
    hotfixes: int = 0
    rollbacks: int = 0
    holds: int = 0
    dropped: int = 0


def leaves_out(policies: Sequence[LanePolicy], beside: Beside) -> Iterator[str]:
    """Of a replay under these policies."""
    if beside.group is not None and beside.mates:
        yield (
            f"the lane goes together with {', '.join(beside.mates)} (group {beside.group}) and is replayed by itself: "
            "what closes those lanes, what they do not verify, what Depends-On says and how long they take would make "
            "rollouts fewer and delays longer"
        )
    if any(each.vulnerabilities is not None for each in policies):
        yield (
            "vulnerabilities are those that the imported documents tell today, each from the day it was published and "
            "its grace on: which were imported at each moment, and decisions that were withdrawn since, are not kept"
        )
    if any(each.provenance is not None for each in policies):
        yield "provenance counts as it is signed and trusted today, not as it was at each moment"
    if any(each.approvals is not None for each in policies):
        yield "approvals are given at once"
    if any(each.irreversible for each in policies):
        yield "what is asked before a start (irreversible changes, no way back) is answered at once"
    for count, one, several in (
        (beside.hotfixes, "1 hotfix", "hotfixes"),
        (beside.rollbacks, "1 rollback", "rollbacks"),
        (beside.holds, "1 hold or freeze", "holds and freezes"),
        (beside.dropped, "1 commit that a forced push dropped", "commits that forced pushes dropped"),
    ):
        if count:
            yield f"{one if count == 1 else f'{count} {several}'} of that time: not repeated"
