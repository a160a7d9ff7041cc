"""From a made commit that is not delivered yet to what the scheduler does about it. Pure.

Rules:
1. It stands on what is live. Where that moved, it is made anew on it; where what is live contains it by now, it is
   needless.
2. Asked: it is made, in the background. Tested: a green run whose commit is a candidate makes it ready, any other end
   of its run ends it, in words.
3. Its time is over at its deadline.
4. A commit without a culprit stands on the branch, whatever is live: it is over when its lane needs it no more. One
   that is ready when its time is over was only kept waiting: a newer one is asked for when the lane opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from farmgate import states
from scheduler.decisions import EndMade, MakeAnew, MakeCommit, MakeReadyMade


@dataclass(frozen=True, slots=True)
class MadeView:
    """A made commit before its delivery. `live`: what its lane has live, and where the branch has that; `contained`:
    that has all of its picks; `run`: its run's number, state and reason; `candidate`: its commit is one; `is_revert`:
    it is without a culprit; `over`: why such a one is not needed any more."""

    id: int
    repository_id: int
    state: states.Made
    onto: str
    deadline: datetime
    live: tuple[str, int] | None
    contained: bool
    run: tuple[int, states.Run, str | None] | None
    candidate: bool
    is_revert: bool = False
    over: str | None = None

    @property
    def name(self) -> str:
        return f"made commit {self.id}"


def of_made(made: MadeView, now: datetime) -> MakeCommit | MakeReadyMade | MakeAnew | EndMade | None:
    """The next decision; None: it waits."""
    if made.is_revert:
        return _of_revert(made, now)
    if made.deadline <= now:
        return EndMade(made.id, states.Made.CANCELLED, f"its time was over: it was still {made.state}")
    if made.live is None:
        return EndMade(made.id, states.Made.FAILED, "nothing is live any more that it could stand on")
    sha, position = made.live
    if sha != made.onto:
        if made.contained:
            return EndMade(made.id, states.Made.NEEDLESS, f"what is live now ({sha[:12]}) contains it")
        return MakeAnew(made.id, sha, position)
    return _made_and_tested(made)


def _of_revert(made: MadeView, now: datetime) -> MakeCommit | MakeReadyMade | EndMade | None:
    """Rule 4."""
    if made.over is not None:
        return EndMade(made.id, states.Made.NEEDLESS, made.over)
    if made.deadline <= now:
        after = states.Made.NEEDLESS if made.state is states.Made.READY else states.Made.FAILED
        return EndMade(made.id, after, f"its time was over: it was still {made.state}")
    return _made_and_tested(made)


def _made_and_tested(made: MadeView) -> MakeCommit | MakeReadyMade | EndMade | None:
    """Rule 2."""
    if made.state is states.Made.ASKED:
        return MakeCommit(made.id, made.repository_id)
    if made.state is not states.Made.TESTING:
        return None
    if made.run is None:
        return EndMade(made.id, states.Made.FAILED, "its run is gone")
    number, state, reason = made.run
    if not states.is_final(state):
        return None
    if state is states.Run.PASSED and made.candidate:
        return MakeReadyMade(made.id)
    more = f": {reason}" if reason else ""
    return EndMade(made.id, states.Made.FAILED, f"its checks were not green: run {number} {state}{more}")
