"""Candidates from outside: what another system says of a commit, and when that makes it a candidate.

Rules:
1. Every check must be green, and there must be one: a red check makes no candidate, and is kept as a record.
2. The commit must stand on a branch that Farmgate has seen itself. One that is not known yet waits while the repository
   is asked, until its deadline.
3. Where Farmgate runs jobs for the commit as well, they must be green too: nobody goes round a gate that stands here.
4. A commit is a candidate once. Who submits what it is already, with the same artifacts, is told so.
5. Bytes that an artifact names must be here, or the artifact is an image by digest, which a registry keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farmgate import states
from scheduler.decisions import Settle

PATIENCE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A submission that waits, and what is known of its commit."""

    id: int
    deadline: datetime
    artifacts: Mapping[str, str]
    on_a_branch: bool
    own_run: tuple[int, states.Run] | None  # the newest run of ours that has jobs
    candidate: tuple[int, str, Mapping[str, str]] | None  # id, source, artifacts


def settled(seen: Standing, now: datetime) -> Settle | None:
    """Rules 2 to 4; None: it waits on."""
    if seen.candidate is not None:
        _, source, artifacts = seen.candidate
        if dict(artifacts) == dict(seen.artifacts):
            return Settle(seen.id, states.Submission.ACCEPTED, f"it was a candidate of {source} already, just so")
        return Settle(
            seen.id, states.Submission.REFUSED, f"it is a candidate of {source} already, with other artifacts"
        )
    if seen.own_run is not None and states.is_final(seen.own_run[1]) and seen.own_run[1] is not states.Run.PASSED:
        return Settle(
            seen.id, states.Submission.REFUSED, f"run {seen.own_run[0]} of the commit here is {seen.own_run[1]}"
        )
    if seen.on_a_branch and (seen.own_run is None or seen.own_run[1] is states.Run.PASSED):
        return Settle(seen.id, states.Submission.ACCEPTED, None)
    if seen.deadline <= now:
        return Settle(
            seen.id, states.Submission.EXPIRED, f"{waits_for(seen)}: it did not happen in time; submit it again"
        )
    return None


def waits_for(seen: Standing) -> str:
    """What keeps it, in words."""
    if not seen.on_a_branch:
        return "the commit must be seen on a branch of the repository"
    assert seen.own_run is not None
    return f"run {seen.own_run[0]} of the commit here must pass"
