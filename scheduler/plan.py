"""From what is and the time, what to do. Pure; `apply` acts.

Rules, in their order:
1. Lost infrastructure is never a red mark: an attempt whose lease ran out gives its job a new one while the retries
   last, then the job is LOST. If the job was to be cancelled, or its run's time is over, it ends instead.
2. What is asked to be cancelled and is held by no worker ends at once. What a worker holds ends when it hears of it.
3. Every open row past its deadline is ended, with the reason (I10).
4. A waiting job is ready (or asks its person) when all it needs has passed, and skipped as soon as one of them did
   not. One that runs `when` something failed, or always, waits until all it needs is over; where nothing failed, or
   nothing ever began, it is left out. What is forgiven counts as passed. Nothing of a run that is held is ready.
5. A run is over when all its jobs are; it is as bad as the worst of them. One all of whose jobs were left out by
   their own conditions has passed: there was nothing to be said against the commit.
6. Ready jobs get the places that there are (see `dispatch`); a bell that went unanswered while a slot was free is rung
   again, at growing intervals.
7. A node without a heartbeat is silent. Changes are read and repositories polled one at a time per repository; logs
   of ended attempts are packed. Candidates from outside are settled (see `outside`), commits of our own are made
   (see `making_plan`); what the deploy loop asks of a batch is looked up (see `looking`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from farmgate import states
from farmgate.models import JobKind
from farmgate.states import is_final
from scheduler import dispatch, making_plan, outside, supersede
from scheduler.decisions import (
    Ask,
    Begin,
    CancelRun,
    Decision,
    End,
    Finish,
    GiveUp,
    LookAtBatch,
    MakeCommit,
    MakeReady,
    MarkSilent,
    PackLog,
    Poll,
    ReadIntakes,
    RejectIntake,
    Retry,
    Skip,
    log_key,
    look_key,
    repository_key,
)
from scheduler.view import AttemptView, JobView, RunView, Snapshot


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of one tick, in the order in which they are applied."""

    decisions: tuple[Decision, ...]


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """All that is to be done now."""
    decided: list[Decision] = []
    attempts = {attempt.job_id: attempt for attempt in snapshot.attempts}
    made_ready: set[int] = set()
    ended: set[int] = set()
    for run in snapshot.runs:
        for decision in of_run(run, attempts, snapshot, now):
            decided.append(decision)
            match decision:
                case MakeReady():
                    made_ready.add(decision.job_id)
                case End() | Skip() | GiveUp():
                    ended.add(decision.job_id)
                case _:
                    pass
    decided += supersede.older_runs(snapshot, frozenset(ended))
    decided += supersede.in_groups(snapshot, frozenset(ended))
    decided += dispatch.rings(snapshot, now, frozenset(made_ready), frozenset(ended))
    decided += dispatch.ring_again(snapshot, now, frozenset(ended))
    decided += of_nodes(snapshot, now)
    decided += of_repositories(snapshot, now)
    decided += [
        PackLog(attempt, "the attempt is over")
        for attempt in snapshot.unpacked_logs
        if log_key(attempt) not in snapshot.busy
    ]
    decided += [
        LookAtBatch(rollout, "the deploy loop asks")
        for rollout in snapshot.looks
        if look_key(rollout) not in snapshot.busy
    ]
    decided += [found for each in snapshot.submissions if (found := outside.settled(each, now)) is not None]
    decided += of_made(snapshot, now)
    return Plan(tuple(decided))


def of_run(run: RunView, attempts: dict[int, AttemptView], snapshot: Snapshot, now: datetime) -> Iterator[Decision]:
    """Rules 1 to 5 for one run."""
    late = run.deadline <= now
    now_states = {job.name: job.counts_as for job in run.jobs}
    for job in run.jobs:
        decision = of_held(job, attempts.get(job.id), late, snapshot, now) or of_waiting(job, late, now)
        if decision is not None:
            yield decision
        if isinstance(decision, End):
            now_states[job.name] = decision.after
        elif isinstance(decision, GiveUp):
            now_states[job.name] = decision.state
    yield from graph(run, now_states)
    if all(is_final(state) for state in now_states.values()):
        # What this plan ends is seen as ended by the next one; a verdict is given on rows only.
        if all(is_final(job.state) for job in run.jobs):
            verdict = states.roll_up(job.counts_as for job in run.jobs)
            yield Finish(run.id, verdict, verdict_reason(run, verdict))
    elif run.state is states.Run.PENDING and states.roll_up(now_states.values()) is states.Run.RUNNING:
        yield Begin(run.id, "its first job has begun")
    if late and any(not is_final(job.state) and job.cancel_asked is None for job in run.jobs):
        yield CancelRun(run.id, "the run was not over by its deadline")


def of_held(
    job: JobView, attempt: AttemptView | None, late: bool, snapshot: Snapshot, now: datetime
) -> Retry | GiveUp | None:
    """Rule 1, and the deadline of a job that a worker holds."""
    if job.state is not states.Job.RUNNING or attempt is None or attempt.number != job.attempt:
        return None
    if job.deadline <= now:
        reason = "the worker did not end it by its deadline"
        return GiveUp(job.id, job.attempt, attempt.id, states.Job.LOST, reason)
    if now < attempt.lease_until:
        return None
    node = next((node.name for node in snapshot.nodes if node.id == attempt.node_id), "a removed node")
    reason = f"attempt {attempt.number} was lost: {node} did not renew its lease in time"
    if job.cancel_asked is not None:
        return GiveUp(job.id, job.attempt, attempt.id, states.Job.CANCELLED, job.cancel_asked, attempt.lease_until)
    if late or job.losses >= snapshot.rules.infrastructure_retries:
        reason += f"; lost {job.losses + 1} times, no retry is left"
        return GiveUp(job.id, job.attempt, attempt.id, states.Job.LOST, reason, attempt.lease_until)
    return Retry(job.id, job.attempt, attempt.id, reason, attempt.lease_until)


def of_waiting(job: JobView, late: bool, now: datetime) -> End | None:
    """Rules 2 and 3 for a job that no worker holds."""
    if job.state is states.Job.RUNNING and job.deadline <= now:
        return End(job.id, job.state, states.Job.LOST, "no worker ended it by its deadline")
    if job.state not in (states.Job.WAITING, states.Job.ASKING, states.Job.READY, states.Job.QUEUED):
        return None
    if job.cancel_asked is not None:
        return End(job.id, job.state, states.Job.CANCELLED, job.cancel_asked)
    if job.state is states.Job.ASKING and job.deadline <= now and not late:
        return End(job.id, job.state, states.Job.FAILED, "declined: nobody answered until its deadline")
    if job.deadline <= now or late:
        return End(job.id, job.state, states.Job.CANCELLED, f"it waited until its deadline, {job.state}")
    return None


@dataclass(slots=True)
class Needed:
    """What a waiting job needs, as it stands. `bad`: what is over and did not pass, in words."""

    open: int = 0
    bad: list[str] = field(default_factory=list)
    failed: bool = False
    cancelled: int = 0

    def see(self, name: str, state: states.Job) -> None:
        """Another of them, by what it counts as."""
        if state not in _OVER:
            self.open += 1
        elif state is not states.Job.PASSED:
            self.bad.append(f"{name} {state}")
            self.failed = self.failed or state is not states.Job.CANCELLED
            self.cancelled += state is states.Job.CANCELLED


_OVER = frozenset(state for state in states.Job if is_final(state))


def graph(run: RunView, now_states: dict[str, states.Job]) -> Iterator[MakeReady | Ask | Skip]:
    """Rule 4, as far as it carries: a skipped job skips what needs it. Changes `now_states`. Each need is looked at
    once, and once more if it is skipped here: a chain of a thousand costs a thousand looks."""
    if run.hold is not None:
        return
    waiting: list[tuple[JobView, Needed]] = []
    followers: dict[str, list[tuple[JobView, Needed]]] = defaultdict(list)
    for job in run.jobs:
        if now_states[job.name] is not states.Job.WAITING:
            continue
        entry = (job, Needed())
        waiting.append(entry)
        for name in job.needs:
            state = now_states.get(name, states.Job.ERROR)
            entry[1].see(name, state)
            if state is states.Job.WAITING:
                followers[name].append(entry)
    while waiting:
        again: list[tuple[JobView, Needed]] = []
        for job, needed in waiting:
            decision = of_needs(job, needed, run) if now_states[job.name] is states.Job.WAITING else None
            if decision is None:
                continue
            yield decision
            match decision:
                case Skip():
                    now_states[job.name] = states.Job.SKIPPED
                    counted = states.counted(states.Job.SKIPPED, decision.forgiven)
                    for follower in followers[job.name]:
                        follower[1].open -= 1
                        follower[1].see(job.name, counted)
                        again.append(follower)
                case Ask():
                    now_states[job.name] = states.Job.ASKING
                case MakeReady():
                    now_states[job.name] = states.Job.READY
        waiting = again


def of_needs(job: JobView, needed: Needed, run: RunView) -> MakeReady | Ask | Skip | None:
    """Rule 4 for one waiting job."""
    if job.runs_when == "passed":
        if needed.bad:
            return Skip(job.id, "needs " + ", ".join(needed.bad[:20]))
        if needed.open:
            return None
        why = "all that it needs has passed"
    elif needed.open:
        return None
    elif run.state is states.Run.PENDING and job.needs and needed.cancelled == len(job.needs):
        return Skip(job.id, "the run was cancelled before anything that it needs began", forgiven=True)
    elif job.runs_when == "failed" and not needed.failed:
        return Skip(job.id, "runs only when something that it needs failed, and nothing did", forgiven=True)
    else:
        why = "something that it needs failed" if job.runs_when == "failed" else "all that it needs is over"
    return Ask(job.id, why) if job.kind is JobKind.APPROVAL else MakeReady(job.id, why)


def verdict_reason(run: RunView, verdict: states.Run) -> str | None:
    """What a person is told first of a run that is not green."""
    if verdict is states.Run.PASSED:
        return None
    worst = [job for job in run.jobs if str(job.counts_as) == str(verdict)] or [
        job for job in run.jobs if job.counts_as is not states.Job.PASSED
    ]
    told = "; ".join(f"{job.name}: {job.reason or job.state}" for job in worst[:3])
    return told + (f"; and {len(worst) - 3} more" if len(worst) > 3 else "")


def of_nodes(snapshot: Snapshot, now: datetime) -> Iterator[MarkSilent]:
    """Rule 7."""
    for node in snapshot.nodes:
        if (
            node.state in (states.Node.READY, states.Node.DRAINING)
            and node.seen_at + snapshot.rules.silent_after <= now
        ):
            seconds = (now - node.seen_at).total_seconds()
            yield MarkSilent(node.id, node.state, node.seen_at, f"no heartbeat for {seconds:.0f} s")


def of_repositories(snapshot: Snapshot, now: datetime) -> Iterator[ReadIntakes | RejectIntake | Poll]:
    """Rule 7, and the deadlines of changes."""
    due: Counter[int] = Counter()
    for intake in snapshot.intakes:
        if repository_key(intake.repository_id) in snapshot.busy:
            continue
        if intake.deadline <= now:
            yield RejectIntake(intake.id, "it could not be read until its deadline")
        elif intake.not_before <= now:
            due[intake.repository_id] += 1
    for repository, count in due.items():
        yield ReadIntakes(repository, f"{count} changes to read")
    for known in snapshot.repositories:
        if repository_key(known.id) in snapshot.busy or due[known.id]:
            continue
        if snapshot.fresh or known.polled_at is None or known.polled_at + snapshot.rules.poll_every <= now:
            yield Poll(known.id, "after a start" if snapshot.fresh else "it is time")


def of_made(snapshot: Snapshot, now: datetime) -> Iterator[Decision]:
    """Rule 7: commits of our own, made one at a time per repository."""
    for each in snapshot.made:
        decision = making_plan.of_made(each, now)
        waits = isinstance(decision, MakeCommit) and repository_key(each.repository_id) in snapshot.busy
        if decision is not None and not waits:
            yield decision
