"""What the loop decides, row by row of the truth table. No database, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

import pytest

from farmgate import states
from farmgate.models import Trigger, Trust
from farmgate.states import Job, Node
from scheduler.decisions import (
    Begin,
    CancelRun,
    Decision,
    End,
    Finish,
    GiveUp,
    MakeReady,
    MarkSilent,
    PackLog,
    Poll,
    ReadIntakes,
    RejectIntake,
    Retry,
    Ring,
    RingAgain,
    Skip,
)
from scheduler.plan import plan
from scheduler.view import AttemptView, IntakeView, JobView, NodeView, RepositoryView, RunView, Snapshot
from scheduler.waiting import why

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
SECOND = timedelta(seconds=1)


def job(number: int, state: Job, *needs: str, **more: object) -> JobView:
    base = JobView(
        id=number,
        run_id=1,
        name=f"j{number}",
        needs=needs,
        pool="default",
        state=state,
        attempt=1,
        losses=0,
        rings=0,
        ready_at=NOW,
        rung_at=None,
        deadline=LATER,
        cancel_asked=None,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def run(*jobs: JobView, number: int = 1, **more: object) -> RunView:
    base = RunView(
        id=number,
        repository_id=1,
        sha="a" * 40,
        ref="refs/heads/main",
        trigger=Trigger.PUSH,
        trust=Trust.TRUSTED,
        state=states.Run.RUNNING,
        created_at=NOW,
        deadline=LATER,
        delivered=True,
        jobs=jobs,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def node(slots: int = 2, state: Node = Node.READY, **more: object) -> NodeView:
    return replace(NodeView(1, "n1", "default", slots, state, NOW), **more)  # type: ignore[arg-type]


def attempt(lease: timedelta, number: int = 1) -> AttemptView:
    return AttemptView(id=11, job_id=1, number=number, node_id=1, lease_until=NOW + lease)


def decide(**seen: object) -> tuple[Decision, ...]:
    return plan(Snapshot(**seen), NOW).decisions  # type: ignore[arg-type]


# --- graph and verdicts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        (Job.PASSED, MakeReady),
        (Job.FAILED, Skip),
        (Job.ERROR, Skip),
        (Job.LOST, Skip),
        (Job.CANCELLED, Skip),
        (Job.SKIPPED, Skip),
        (Job.RUNNING, None),
        (Job.READY, None),
    ],
)
def test_a_waiting_job_follows_from_what_it_needs(needed: Job, expected: type | None) -> None:
    decided = [
        one for one in decide(runs=(run(job(1, needed), job(2, Job.WAITING, "j1")),)) if not isinstance(one, Begin)
    ]
    kinds = [type(one) for one in decided if isinstance(one, (MakeReady, Skip)) and one.job_id == 2]
    assert kinds == ([expected] if expected else [])


def test_a_skip_carries_through_the_graph_at_once() -> None:
    jobs = (job(1, Job.FAILED), job(2, Job.WAITING, "j1"), job(3, Job.WAITING, "j2"), job(4, Job.WAITING, "j3", "j1"))
    assert [one.job_id for one in decide(runs=(run(*jobs),)) if isinstance(one, Skip)] == [2, 3, 4]


def test_a_job_waits_for_all_that_it_needs() -> None:
    jobs = (job(1, Job.PASSED), job(2, Job.RUNNING), job(3, Job.WAITING, "j1", "j2"))
    assert decide(runs=(run(*jobs),)) == ()


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        ((Job.PASSED, Job.PASSED), states.Run.PASSED),
        ((Job.PASSED, Job.FAILED), states.Run.FAILED),
        ((Job.FAILED, Job.LOST), states.Run.FAILED),
        ((Job.ERROR, Job.LOST), states.Run.ERROR),
        ((Job.LOST, Job.SKIPPED), states.Run.LOST),
        ((Job.CANCELLED, Job.PASSED), states.Run.CANCELLED),
    ],
)
def test_a_run_is_as_bad_as_the_worst_of_its_jobs(ended: tuple[Job, ...], verdict: states.Run) -> None:
    jobs = tuple(job(number, state) for number, state in enumerate(ended, 1))
    finish = [one for one in decide(runs=(run(*jobs),)) if isinstance(one, Finish)]
    assert [one.state for one in finish] == [verdict]
    assert (finish[0].reason is None) == (verdict is states.Run.PASSED)


def test_a_run_with_an_open_job_is_not_over() -> None:
    decided = decide(runs=(run(job(1, Job.PASSED), job(2, Job.RUNNING)),))
    assert not any(isinstance(one, Finish) for one in decided)


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_job_whose_lease_still_runs_is_left_alone() -> None:
    assert decide(runs=(run(job(1, Job.RUNNING)),), attempts=(attempt(SECOND),)) == ()


def test_a_silent_worker_costs_the_job_one_attempt_never_a_red_mark() -> None:
    decided = decide(runs=(run(job(1, Job.RUNNING)),), attempts=(attempt(-SECOND),), nodes=(node(),))
    assert [(type(one), one.attempt) for one in decided if isinstance(one, Retry)] == [(Retry, 1)]


@pytest.mark.parametrize(
    ("losses", "seconds", "sent"),
    [(0, 0, True), (1, 0, True), (2, 4.9, False), (2, 5, True), (3, 19.9, False), (3, 20, True), (50, 120, True)],
)
def test_a_job_that_lost_its_infrastructure_again_rests_before_it_is_sent(
    losses: int, seconds: float, sent: bool
) -> None:
    waiting = job(1, Job.READY, losses=losses, attempt=losses + 1, reason="the disk of n1 is full")
    seen, now = Snapshot(runs=(run(waiting),), nodes=(node(2),)), NOW + timedelta(seconds=seconds)
    assert [one.job_id for one in plan(seen, now).decisions if isinstance(one, Ring)] == ([1] if sent else [])
    if not sent:
        told = why(seen, now)[1]
        assert "tries again in 1 s" in told
        assert "the disk of n1 is full" in told


def test_a_job_lost_more_often_than_the_retries_bear_is_lost() -> None:
    decided = decide(runs=(run(job(1, Job.RUNNING, losses=3)),), attempts=(attempt(-SECOND),))
    assert [one.state for one in decided if isinstance(one, GiveUp)] == [Job.LOST]


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled() -> None:
    jobs = run(job(1, Job.RUNNING, cancel_asked="by ada"))
    decided = decide(runs=(jobs,), attempts=(attempt(-SECOND),))
    assert [(one.state, one.reason) for one in decided if isinstance(one, GiveUp)] == [(Job.CANCELLED, "by ada")]


def test_the_lease_of_an_older_attempt_decides_nothing() -> None:
    decided = decide(runs=(run(job(1, Job.RUNNING, attempt=2)),), attempts=(attempt(-SECOND, number=1),))
    assert decided == ()


# --- cancelling and deadlines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Job.WAITING, Job.READY, Job.QUEUED])
def test_what_no_worker_holds_is_cancelled_at_once(state: Job) -> None:
    decided = decide(runs=(run(job(1, state, cancel_asked="by ada: wrong branch")),), nodes=(node(),))
    assert decided[0] == End(1, state, Job.CANCELLED, "by ada: wrong branch")
    assert not any(isinstance(one, (Ring, RingAgain)) for one in decided)


def test_what_a_worker_holds_is_left_to_it() -> None:
    jobs = run(job(1, Job.RUNNING, cancel_asked="by ada"))
    assert decide(runs=(jobs,), attempts=(attempt(SECOND),)) == ()


@pytest.mark.parametrize("state", states.open_states(Job))
def test_every_open_job_past_its_deadline_is_ended_with_a_reason(state: Job) -> None:
    held = (attempt(SECOND),) if state is Job.RUNNING else ()
    decided = decide(runs=(run(job(1, state, deadline=NOW)),), attempts=held)
    ends = [one for one in decided if isinstance(one, (End, GiveUp))]
    assert len(ends) == 1
    assert "deadline" in ends[0].reason


def test_a_running_job_without_an_attempt_is_ended_by_its_deadline() -> None:
    decided = decide(runs=(run(job(1, Job.RUNNING, deadline=NOW)),))
    assert [one.after for one in decided if isinstance(one, End)] == [Job.LOST]


def test_a_run_past_its_deadline_ends_its_jobs() -> None:
    late = run(job(1, Job.READY), job(2, Job.RUNNING), deadline=NOW)
    kinds = {type(one) for one in decide(runs=(late,), attempts=(replace(attempt(SECOND), job_id=2),))}
    assert kinds == {End, CancelRun}


def test_a_change_past_its_deadline_is_rejected_and_others_are_read() -> None:
    intakes = (IntakeView(1, 7, NOW, NOW), IntakeView(2, 7, NOW, LATER), IntakeView(3, 8, LATER, LATER))
    decided = decide(intakes=intakes)
    assert [type(one) for one in decided] == [RejectIntake, ReadIntakes]


# --- bells -----------------------------------------------------------------------------------------------------------


def test_as_many_are_rung_as_there_are_slots_and_a_little_more() -> None:
    jobs = run(*(job(number, Job.READY) for number in range(1, 11)))
    rung = [one.job_id for one in decide(runs=(jobs,), nodes=(node(4),)) if isinstance(one, Ring)]
    assert rung == [1, 2, 3, 4, 5, 6]


def test_what_is_queued_or_running_takes_a_place() -> None:
    jobs = run(job(1, Job.RUNNING), job(2, Job.QUEUED, rung_at=NOW), job(3, Job.READY), job(4, Job.READY))
    decided = decide(runs=(jobs,), nodes=(node(2),), attempts=(attempt(SECOND),))
    rung = [one.job_id for one in decided if isinstance(one, Ring)]
    assert rung == [3]


@pytest.mark.parametrize("state", [Node.DRAINING, Node.SILENT])
def test_a_node_that_takes_no_work_gives_no_place(state: Node) -> None:
    assert decide(runs=(run(job(1, Job.READY)),), nodes=(node(2, state),)) == ()


def test_another_pools_node_gives_no_place() -> None:
    assert decide(runs=(run(job(1, Job.READY, pool="gpu")),), nodes=(node(2),)) == ()


def test_a_job_made_ready_is_rung_in_the_same_plan() -> None:
    decided = decide(runs=(run(job(1, Job.PASSED), job(2, Job.WAITING, "j1")),), nodes=(node(),))
    assert [type(one) for one in decided] == [MakeReady, Ring]


@pytest.mark.parametrize(
    ("rings", "seconds", "again"),
    [(1, 4, False), (1, 5, True), (2, 9, False), (2, 10, True), (3, 20, True), (9, 59, False), (9, 60, True)],
)
def test_an_unanswered_bell_is_rung_again_at_growing_intervals(rings: int, seconds: int, again: bool) -> None:
    jobs = run(job(1, Job.QUEUED, rings=rings, rung_at=NOW - seconds * SECOND))
    decided = decide(runs=(jobs,), nodes=(node(),))
    assert [one.rings for one in decided if isinstance(one, RingAgain)] == ([rings + 1] if again else [])


def test_no_bell_is_rung_again_while_every_slot_is_busy() -> None:
    jobs = run(job(1, Job.RUNNING), job(2, Job.QUEUED, rings=1, rung_at=NOW - 100 * SECOND))
    assert decide(runs=(jobs,), nodes=(node(1),), attempts=(attempt(SECOND),)) == ()


# --- order -----------------------------------------------------------------------------------------------------------


def rung_in_order(*runs: RunView, slots: int = 20) -> list[int]:
    return [one.job_id for one in decide(runs=runs, nodes=(node(slots),)) if isinstance(one, Ring)]


def test_the_delivered_branch_goes_first_then_pushes_then_pull_requests() -> None:
    pull = run(job(1, Job.READY), number=1, delivered=False, trigger=Trigger.PULL)
    push = run(job(2, Job.READY), number=2, delivered=False)
    main = run(job(3, Job.READY), number=3)
    assert rung_in_order(pull, push, main) == [3, 2, 1]


def test_the_oldest_run_goes_first() -> None:
    young = run(job(1, Job.READY), number=1)
    old = run(job(2, Job.READY), number=2, created_at=NOW - SECOND)
    assert rung_in_order(young, old) == [2, 1]


def test_what_has_waited_long_is_not_overtaken_by_the_delivered_branch() -> None:
    long_ago = NOW - timedelta(minutes=11)
    pull = run(
        job(1, Job.READY, ready_at=long_ago), number=1, delivered=False, trigger=Trigger.PULL, created_at=long_ago
    )
    main = run(job(2, Job.READY), number=2)
    assert rung_in_order(main, pull) == [1, 2]


def test_repositories_share_the_slots() -> None:
    many = run(*(job(number, Job.READY) for number in range(1, 6)), number=1, repository_id=1)
    few = run(job(8, Job.READY), job(9, Job.READY), number=2, repository_id=2, created_at=NOW + SECOND)
    assert rung_in_order(many, few) == [1, 8, 2, 9, 3, 4, 5]


def test_a_repository_with_much_under_way_waits_for_the_others() -> None:
    busy = run(job(1, Job.RUNNING), job(2, Job.RUNNING), job(3, Job.READY), number=1, repository_id=1)
    other = run(job(8, Job.READY), job(9, Job.READY), number=2, repository_id=2, created_at=NOW + SECOND)
    assert rung_in_order(busy, other) == [8, 9, 3]


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "state", "silent"),
    [(29, Node.READY, False), (30, Node.READY, True), (30, Node.DRAINING, True), (99, Node.SILENT, False)],
)
def test_a_node_without_a_heartbeat_is_silent(age: int, state: Node, silent: bool) -> None:
    decided = decide(nodes=(node(2, state, seen_at=NOW - age * SECOND),))
    assert [type(one) for one in decided] == ([MarkSilent] if silent else [])


def test_repositories_are_polled_when_it_is_time_after_a_start_and_never_while_busy() -> None:
    known = (RepositoryView(1, NOW - 59 * SECOND), RepositoryView(2, NOW - 60 * SECOND), RepositoryView(3, None))
    assert [one.repository_id for one in decide(repositories=known) if isinstance(one, Poll)] == [2, 3]
    assert len(decide(repositories=known, fresh=True)) == 3
    assert [
        one.repository_id
        for one in decide(repositories=known, busy=frozenset({"repository/2"}))
        if isinstance(one, Poll)
    ] == [3]


def test_logs_of_ended_attempts_are_packed_once_at_a_time() -> None:
    decided = decide(unpacked_logs=(1, 2), busy=frozenset({"log/1"}))
    assert decided == (PackLog(2, "the attempt is over"),)


def test_an_empty_farm_has_nothing_to_do() -> None:
    assert decide() == ()


def test_every_waiting_job_says_why() -> None:
    jobs = (
        job(1, Job.RUNNING),
        job(2, Job.WAITING, "j1"),
        job(3, Job.QUEUED, rung_at=NOW - 3 * SECOND, rings=1),
        job(4, Job.READY),
        job(5, Job.READY),
        job(6, Job.READY, pool="gpu"),
    )
    told = why(Snapshot(runs=(run(*jobs),), nodes=(node(2),)), NOW)
    assert told == {
        2: "waits for j1 (running)",
        3: "sent to pool default 3 s ago, waits for a worker to claim it",
        4: "next for one of the 2 slots of pool default",
        5: "1 jobs are before it for the 2 slots of pool default",
        6: "no node of pool gpu takes work; enrol one",
    }


def test_a_plan_grows_no_faster_than_the_jobs_that_it_is_over() -> None:
    def cost(number_of_runs: int) -> float:
        runs = tuple(
            run(*(job(number * 10 + at, Job.READY) for at in range(10)), number=number, repository_id=number % 7)
            for number in range(number_of_runs)
        )
        begun = process_time()  # whatever else the machine does
        assert len(decide(runs=runs, nodes=(node(8),))) == 12
        return process_time() - begun

    small = min(cost(100) for _ in range(3))
    assert min(cost(1000) for _ in range(3)) < 40 * small  # ten times the jobs; a square would be a hundred times
