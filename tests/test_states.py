"""The page of states keeps its own rules, and its picture is up to date."""

from __future__ import annotations

import itertools
from enum import StrEnum

import pytest

from farmgate import states
from farmgate.states import Intake, Job, Run, counted, is_final, may_move, open_states, roll_up
from farmgate.states_page import PAGE, page

KINDS = [kind for kind in vars(states).values() if isinstance(kind, type) and issubclass(kind, StrEnum)]
KINDS.remove(StrEnum)
FINAL_JOBS = [job for job in Job if is_final(job)]
NOT_STARTED = (Job.WAITING, Job.ASKING, Job.READY, Job.QUEUED)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_its_moves_within_itself(kind: type[StrEnum]) -> None:
    for before, after in states.MOVES[kind].items():
        assert type(before) is kind
        assert after
        assert {type(state) for state in after} == {kind}
        assert before not in after, "a move to the same state hides that nothing happened"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_from_every_state_a_final_one_can_be_reached(kind: type[StrEnum]) -> None:
    """I11 begins here: nothing is open for ever by construction."""
    for start in kind:
        reached, frontier = {start}, [start]
        while frontier:
            for after in states.MOVES[kind].get(frontier.pop(), frozenset()) - reached:
                reached.add(kind(after))
                frontier.append(kind(after))
        assert any(is_final(state) for state in reached)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_state_can_be_reached_from_the_first(kind: type[StrEnum]) -> None:
    first = next(iter(kind))
    reached, frontier = {first}, [first]
    while frontier:
        for after in states.MOVES[kind].get(frontier.pop(), frozenset()) - reached:
            reached.add(kind(after))
            frontier.append(kind(after))
    # A step is reported skipped without having run.
    assert set(kind) - reached == ({states.Step.SKIPPED} if kind is states.Step else set())


def test_final_states_stay_final() -> None:
    for kind in KINDS:
        for before, after in itertools.product(kind, kind):
            if is_final(before):
                assert not may_move(before, after)


def test_open_states_come_in_the_order_of_the_page() -> None:
    assert open_states(Job) == (Job.WAITING, Job.ASKING, Job.READY, Job.QUEUED, Job.RUNNING)
    assert open_states(Intake) == (Intake.PENDING,)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (Job.QUEUED, Job.RUNNING, True),
        (Job.READY, Job.RUNNING, False),  # only what was rung is claimed
        (Job.RUNNING, Job.READY, True),  # lost: the next attempt
        (Job.RUNNING, Job.QUEUED, False),
        (Job.PASSED, Job.FAILED, False),
        (states.Rollout.STUCK, states.Rollout.RESTORING, False),  # never loops
        (states.Rollout.RUNNING, states.Rollout.GOOD, False),  # the old release is drained first
    ],
)
def test_moves_that_matter(before: StrEnum, after: StrEnum, allowed: bool) -> None:
    assert may_move(before, after) is allowed


# --- a run from its jobs ---------------------------------------------------------------------------------------------

VERDICTS = [
    # the jobs: the run
    ((Job.PASSED,), Run.PASSED),
    ((Job.PASSED, Job.PASSED), Run.PASSED),
    ((Job.FAILED,), Run.FAILED),
    ((Job.PASSED, Job.FAILED), Run.FAILED),
    ((Job.FAILED, Job.SKIPPED), Run.FAILED),
    ((Job.FAILED, Job.LOST), Run.FAILED),
    ((Job.FAILED, Job.ERROR), Run.FAILED),
    ((Job.FAILED, Job.CANCELLED), Run.FAILED),
    ((Job.ERROR, Job.SKIPPED), Run.ERROR),
    ((Job.ERROR, Job.LOST), Run.ERROR),
    ((Job.LOST, Job.SKIPPED), Run.LOST),
    ((Job.LOST, Job.CANCELLED), Run.LOST),
    ((Job.LOST, Job.PASSED), Run.LOST),
    ((Job.CANCELLED, Job.SKIPPED), Run.CANCELLED),
    ((Job.CANCELLED, Job.PASSED), Run.CANCELLED),
    ((Job.SKIPPED, Job.PASSED), Run.FAILED),  # nothing but a bug of ours does this: not green
]


@pytest.mark.parametrize(("jobs", "verdict"), VERDICTS)
def test_a_run_is_as_bad_as_the_worst_of_its_jobs(jobs: tuple[Job, ...], verdict: Run) -> None:
    for order in itertools.permutations(jobs):
        assert roll_up(order) is verdict


def test_a_run_without_jobs_is_not_green() -> None:
    with pytest.raises(ValueError, match="without jobs"):
        roll_up(())


@pytest.mark.parametrize("jobs", list(itertools.combinations_with_replacement(Job, 3)))
def test_of_all_graphs_of_three(jobs: tuple[Job, ...]) -> None:
    run = roll_up(jobs)
    if all(job in NOT_STARTED for job in jobs):
        assert run is Run.PENDING
    elif any(not is_final(job) for job in jobs):
        assert run is Run.RUNNING, "a verdict while a job is under way would not be final"
    else:
        assert is_final(run)
        assert (run is Run.PASSED) == (set(jobs) == {Job.PASSED}), "green is when every job passed"


def test_what_is_forgiven_counts_as_passed_and_nothing_else_does() -> None:
    for job in Job:
        assert counted(job, forgiven=False) is job
        assert counted(job, forgiven=True) is (Job.PASSED if job in (Job.FAILED, Job.SKIPPED) else job)


def test_every_final_job_decides_a_run() -> None:
    for job in FINAL_JOBS:
        assert is_final(roll_up([job]))


def test_lost_infrastructure_is_never_a_failed_test() -> None:
    for others in itertools.combinations_with_replacement((Job.PASSED, Job.CANCELLED, Job.LOST), 2):
        assert roll_up((Job.LOST, *others)) is Run.LOST


# --- the picture -----------------------------------------------------------------------------------------------------


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m farmgate.states_page"


def test_the_page_explains_every_state_that_waits_for_somebody() -> None:
    for kind in KINDS:
        for state in open_states(kind):
            (line,) = [
                line for line in page().split(f"## {kind.__name__}\n")[1].splitlines() if f"| `{state}` |" in line
            ][:1]
            assert len(line.split("|")[3].strip()) > 10, f"{kind.__name__}.{state} does not say who moves it next"
