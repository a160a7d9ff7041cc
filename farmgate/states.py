"""Every state and every move, on one page, as data.

Rules:
1. A row moves only along `MOVES`, and only by a guarded update (`WHERE id AND state`): see `farmgate.store.moves`.
2. A state that no move leaves is final; final states stay final.
3. Each state says who moves it next. Every state that is not final has a deadline (a column of its row).
4. Attempts fence: what a stale attempt sends is refused where it lands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar


class Intake(StrEnum):
    """One ref change or pull request that a webhook or a poll reported."""

    PENDING = "pending"  # the scheduler's loop fetches and reads the commits
    DONE = "done"  # it became runs
    REJECTED = "rejected"  # recorded with its reason


class Run(StrEnum):
    """One commit's pipeline."""

    PENDING = "pending"  # nothing of it has started; the loop dispatches its jobs
    RUNNING = "running"  # jobs are under way; the loop rolls them up
    PASSED = "passed"
    FAILED = "failed"  # a job's own step failed
    ERROR = "error"  # could not be run as written: the pipeline file, an image's name
    LOST = "lost"  # infrastructure was lost more often than the retries bear: no verdict on the commit
    CANCELLED = "cancelled"


class Job(StrEnum):
    """A node of a run's graph."""

    WAITING = "waiting"  # for the jobs it needs; the loop moves it
    ASKING = "asking"  # a person is asked; the answer moves it, or its deadline
    READY = "ready"  # may be dispatched; the loop picks it when a slot is free
    QUEUED = "queued"  # the bell was rung for its current attempt; a worker claims it
    RUNNING = "running"  # a worker holds a lease on it; the worker reports, or the lease runs out
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a job it needs did not pass, or its own condition does not hold


class Attempt(StrEnum):
    """One try of a job, from a worker's claim on."""

    RUNNING = "running"  # the worker reports, or the loop declares it lost when the lease runs out
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    LOST = "lost"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """A command in an attempt, as its worker reports it."""

    RUNNING = "running"  # the worker reports its end; when its attempt ends first, it ends with it
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # an earlier step failed


class Node(StrEnum):
    """A machine that runs jobs."""

    READY = "ready"  # heartbeats and takes work
    DRAINING = "draining"  # finishes what it holds, takes nothing new
    SILENT = "silent"  # no heartbeat; its leases run out by themselves
    REMOVED = "removed"  # its credential is revoked


class Rollout(StrEnum):
    """Taking a batch to its lane."""

    PENDING = "pending"  # cut, not begun; the deploy loop begins it
    RUNNING = "running"  # preparing, shifting or verifying a wave; the deploy loop
    ASKING = "asking"  # before the start, of a verdict, or of the way back: a person decides
    FINISHING = "finishing"  # verified good; the old release is being drained; the deploy loop
    RESTORING = "restoring"  # going back to the last good release; the deploy loop
    GOOD = "good"  # live and verified
    SICK = "sick"  # taken back
    STUCK = "stuck"  # could not be taken back; pages, never loops; a person takes the lane on
    CANCELLED = "cancelled"  # ended before anything was shifted


class Search(StrEnum):
    """The search for the culprit in a batch that went sick. Sealed: no new commit joins."""

    OPEN = "open"  # the deploy loop cuts the next half
    FOUND = "found"  # one culprit is banned
    ABANDONED = "abandoned"  # a person stopped it, or took the lane elsewhere


class Submission(StrEnum):
    """A candidate from outside: what another system says of a commit."""

    WAITING = "waiting"  # for its commit to be seen on a branch, or for our own run of it; the scheduler's loop looks
    ACCEPTED = "accepted"  # it is a candidate
    REFUSED = "refused"  # a check was not green, or our own run of the commit was not
    EXPIRED = "expired"  # the commit was not seen by its deadline


class Bom(StrEnum):
    """A document that tells what a candidate is made of."""

    WAITING = "waiting"  # the scheduler reads it in the background
    READ = "read"
    REFUSED = "refused"  # it is no such document, or was not to be had by its deadline


class OsvDump(StrEnum):
    """What is known of vulnerabilities, as it was imported at one time."""

    WAITING = "waiting"  # the scheduler reads it in the background
    READING = "reading"  # the scheduler goes on, and begins again where it was interrupted
    MATCHING = "matching"  # the farm's packages are compared with it; the dump before still counts
    DONE = "done"  # the newest one counts
    FAILED = "failed"  # the dump before still counts


class Handover(StrEnum):
    """A step of a rollout that was handed over to another tool."""

    SENDING = "sending"  # the answer is not known; the deploy loop sends the same again
    TAKEN = "taken"  # the other tool has it: its callback moves it, or a look of the deploy loop
    DONE = "done"
    FAILED = "failed"  # the other tool says that the change is to blame
    UNTOLD = "untold"  # the other tool cannot tell: a person decides
    OVER = "over"  # its time, or its rollout, ended before it did


class Made(StrEnum):
    """A commit that Farmgate makes itself: a hotfix, or a branch without a culprit."""

    ASKED = "asked"  # the scheduler's loop makes it
    TESTING = "testing"  # made, and its own run is under way; the scheduler's loop looks
    READY = "ready"  # tested; the deploy loop delivers it. What is live moved: the scheduler's loop makes it anew
    DELIVERING = "delivering"  # its rollout is under way; the deploy loop
    LIVE = "live"
    NEEDLESS = "needless"  # what is live came to contain it before it was delivered
    FAILED = "failed"  # it conflicts, or its run was not green
    SICK = "sick"  # it was taken back
    CANCELLED = "cancelled"  # by a person, or its time was over


MOVES: dict[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    Intake: {
        Intake.PENDING: frozenset({Intake.DONE, Intake.REJECTED}),
    },
    Run: {
        Run.PENDING: frozenset({Run.RUNNING, Run.PASSED, Run.FAILED, Run.ERROR, Run.LOST, Run.CANCELLED}),
        Run.RUNNING: frozenset({Run.PASSED, Run.FAILED, Run.ERROR, Run.LOST, Run.CANCELLED}),
    },
    Job: {
        Job.WAITING: frozenset({Job.READY, Job.ASKING, Job.PASSED, Job.SKIPPED, Job.CANCELLED}),
        Job.ASKING: frozenset({Job.PASSED, Job.FAILED, Job.CANCELLED}),
        Job.READY: frozenset({Job.QUEUED, Job.PASSED, Job.CANCELLED, Job.ERROR}),
        Job.QUEUED: frozenset({Job.RUNNING, Job.READY, Job.CANCELLED}),
        Job.RUNNING: frozenset({Job.READY, Job.PASSED, Job.FAILED, Job.ERROR, Job.LOST, Job.CANCELLED}),
    },
    Attempt: {
        Attempt.RUNNING: frozenset({Attempt.PASSED, Attempt.FAILED, Attempt.ERROR, Attempt.LOST, Attempt.CANCELLED}),
    },
    Step: {
        Step.RUNNING: frozenset({Step.PASSED, Step.FAILED}),
    },
    Node: {
        Node.READY: frozenset({Node.DRAINING, Node.SILENT, Node.REMOVED}),
        Node.DRAINING: frozenset({Node.READY, Node.SILENT, Node.REMOVED}),
        Node.SILENT: frozenset({Node.READY, Node.DRAINING, Node.REMOVED}),
    },
    Rollout: {
        Rollout.PENDING: frozenset({Rollout.RUNNING, Rollout.ASKING, Rollout.CANCELLED}),
        Rollout.RUNNING: frozenset({Rollout.FINISHING, Rollout.ASKING, Rollout.RESTORING, Rollout.CANCELLED}),
        Rollout.ASKING: frozenset({Rollout.RUNNING, Rollout.FINISHING, Rollout.RESTORING, Rollout.CANCELLED}),
        Rollout.FINISHING: frozenset({Rollout.GOOD}),
        Rollout.RESTORING: frozenset({Rollout.SICK, Rollout.STUCK}),
    },
    Submission: {
        Submission.WAITING: frozenset({Submission.ACCEPTED, Submission.REFUSED, Submission.EXPIRED}),
    },
    Bom: {
        Bom.WAITING: frozenset({Bom.READ, Bom.REFUSED}),
    },
    OsvDump: {
        OsvDump.WAITING: frozenset({OsvDump.READING, OsvDump.FAILED}),
        OsvDump.READING: frozenset({OsvDump.MATCHING, OsvDump.FAILED}),
        OsvDump.MATCHING: frozenset({OsvDump.DONE, OsvDump.FAILED}),
    },
    Made: {
        Made.ASKED: frozenset({Made.TESTING, Made.NEEDLESS, Made.FAILED, Made.CANCELLED}),
        Made.TESTING: frozenset({Made.ASKED, Made.READY, Made.NEEDLESS, Made.FAILED, Made.CANCELLED}),
        Made.READY: frozenset({Made.ASKED, Made.DELIVERING, Made.NEEDLESS, Made.FAILED, Made.CANCELLED}),
        Made.DELIVERING: frozenset({Made.LIVE, Made.SICK, Made.NEEDLESS, Made.CANCELLED}),
    },
    Search: {
        Search.OPEN: frozenset({Search.FOUND, Search.ABANDONED}),
    },
    Handover: {
        Handover.SENDING: frozenset({Handover.TAKEN, Handover.DONE, Handover.FAILED, Handover.UNTOLD, Handover.OVER}),
        Handover.TAKEN: frozenset({Handover.DONE, Handover.FAILED, Handover.UNTOLD, Handover.OVER}),
    },
}

S = TypeVar("S", bound=StrEnum)


def may_move(before: StrEnum, after: StrEnum) -> bool:
    """True if the page allows the move."""
    return after in MOVES[type(before)].get(before, frozenset())


def is_final(state: StrEnum) -> bool:
    """True if no move leaves the state."""
    return not MOVES[type(state)].get(state)


def open_states(kind: type[S]) -> tuple[S, ...]:
    """The states of a kind that are not final, in the page's order."""
    return tuple(state for state in kind if not is_final(state))


# A run is as bad as the worst of its jobs; while any job is under way, the run is.
_WORST_FIRST = (
    Job.FAILED,
    Job.ERROR,
    Job.LOST,
    Job.CANCELLED,
    Job.SKIPPED,
    Job.PASSED,
)
_VERDICT = {
    Job.FAILED: Run.FAILED,
    Job.ERROR: Run.ERROR,
    Job.LOST: Run.LOST,
    Job.CANCELLED: Run.CANCELLED,
    Job.SKIPPED: Run.FAILED,
    Job.PASSED: Run.PASSED,
}


def counted(state: Job, forgiven: bool) -> Job:
    """As what a job counts for its run and for what needs it: an allowed failure, and a job that was left out because
    its own condition does not hold, count as passed."""
    return Job.PASSED if forgiven and state in (Job.FAILED, Job.SKIPPED) else state


def roll_up(jobs: Iterable[Job]) -> Run:
    """The state of a run from its jobs' states. No default: an empty graph is an error, not green."""
    states = tuple(jobs)
    if not states:
        raise ValueError("a run without jobs has no state of its own")
    if all(state in (Job.WAITING, Job.ASKING, Job.READY, Job.QUEUED) for state in states):
        return Run.PENDING
    if not all(is_final(state) for state in states):
        return Run.RUNNING
    return _VERDICT[min(states, key=_WORST_FIRST.index)]
