"""Who runs next, and where: shares, classes, ageing, labels, groups, families, and what is said of it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random  # noqa: TID251 - seeded: the same seed gives the same farm

import pytest

from farmgate.models import Trigger, Trust
from farmgate.pipeline.models import ConcurrencySpec
from farmgate.states import Job, Node
from scheduler.decisions import EndOlder, Ring, RingAgain, Supersede
from scheduler.dispatch import ring_again, rings
from scheduler.estimates import Durations, about, durations, forecast
from scheduler.groups import exclusion_of, name_of
from scheduler.plan import plan
from scheduler.supersede import ends_older
from scheduler.view import AttemptView, JobView, NodeView, Rules, RunView, Snapshot
from scheduler.waiting import why
from tests.scheduler.test_plan import NOW, SECOND, job, run

MINUTE = timedelta(minutes=1)
A100 = (("gpu", "a100"),)
NONE: frozenset[int] = frozenset()


def node(number: int = 1, slots: int = 2, state: Node = Node.READY, **more: object) -> NodeView:
    return replace(NodeView(number, f"n{number}", "default", slots, state, NOW), **more)  # type: ignore[arg-type]


def rung(*runs: RunView, nodes: tuple[NodeView, ...] = (), slots: int = 20, **more: object) -> list[int]:
    seen = Snapshot(runs=runs, nodes=nodes or (node(slots=slots),), **more)  # type: ignore[arg-type]
    return [one.job_id for one in rings(seen, NOW, NONE, NONE)]


def of(repository: int, *numbers: int, weight: int = 1, **more: object) -> RunView:
    jobs = tuple(job(number, Job.READY, run_id=repository) for number in numbers)
    return run(*jobs, number=repository, repository_id=repository, weight=weight, **more)


# --- shares and classes ----------------------------------------------------------------------------------------------


def test_a_repository_of_weight_three_gets_three_places_for_one() -> None:
    heavy, light = of(1, *range(10, 30), weight=3), of(2, *range(50, 70))
    first = rung(heavy, light, slots=8)
    assert Counter(number < 50 for number in first) == {True: 9, False: 3}


def test_the_delivered_branch_then_branches_and_tags_then_pull_requests_then_bulk() -> None:
    bulk = run(job(1, Job.READY, priority=-1), number=1)
    pull = run(job(2, Job.READY), number=2, delivered=False, trigger=Trigger.PULL)
    tag = run(job(3, Job.READY), number=3, delivered=False, trigger=Trigger.TAG)
    main = run(job(4, Job.READY), number=4)
    assert rung(bulk, pull, tag, main) == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"again_of": 7, "newest": False}, 2),
        ({"ordinal": 2, "newest": False}, 2),
        ({"again_of": 7, "newest": True}, 1),
        ({"newest": False}, 1),
    ],
)
def test_a_re_run_of_an_old_commit_is_bulk_and_one_of_the_newest_is_not(more: dict[str, object], first: int) -> None:
    again = run(job(1, Job.READY), number=1, **more)
    other = run(job(2, Job.READY), number=2, created_at=NOW + SECOND)
    assert rung(again, other)[0] == first


def test_priority_orders_within_a_class_and_never_lifts_a_class() -> None:
    first = run(job(1, Job.READY), job(2, Job.READY, priority=5), number=1)
    branch = run(job(3, Job.READY, priority=100), number=2, delivered=False)
    assert rung(first, branch) == [2, 1, 3]


def test_what_a_fork_says_of_its_priority_is_not_heard() -> None:
    loud = run(job(1, Job.READY, priority=100), number=2, delivered=False, trust=Trust.UNTRUSTED)
    early = run(job(2, Job.READY), number=1, delivered=False, trust=Trust.UNTRUSTED)
    assert rung(early, loud) == [2, 1]


# --- ageing ----------------------------------------------------------------------------------------------------------


class Busy:
    """A farm in which every job takes its time and more always comes: only the order decides who waits."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.now = NOW
        self.rules = Rules(ageing=10 * MINUTE, look_ahead=0)
        self.slots = self.dice.randint(1, 3)
        self.runs: dict[int, RunView] = {}
        self.ends: dict[int, datetime] = {}
        self.began: dict[int, datetime] = {}
        self.weights = {repository: self.dice.choice((1, 3, 100)) for repository in range(1, 4)}
        self.number = 0

    def comes(self, **more: object) -> int:
        self.number += 1
        repository = self.dice.randint(1, 3)
        wanted: dict[str, object] = {
            "repository_id": repository,
            "delivered": self.dice.random() < 0.7,
            "trigger": self.dice.choice((Trigger.PUSH, Trigger.PULL)),
            "created_at": self.now,
        }
        wanted |= more
        wanted["weight"] = self.weights[int(str(wanted["repository_id"]))]
        priority = self.dice.choice((0, 0, 50, 100)) if not more else -5
        one = job(self.number, Job.READY, run_id=self.number, ready_at=self.now, priority=priority)
        self.runs[self.number] = run(one, number=self.number, **wanted)
        return self.number

    def minute(self) -> None:
        for number in [number for number, end in self.ends.items() if end <= self.now]:
            del self.ends[number], self.runs[number]
        seen = Snapshot(rules=self.rules, runs=tuple(self.runs.values()), nodes=(node(slots=self.slots),))
        for ring in rings(seen, self.now, NONE, NONE):
            one = self.runs[ring.job_id]
            begun = replace(one.jobs[0], state=Job.RUNNING, rung_at=self.now)
            self.runs[ring.job_id] = replace(one, jobs=(begun,))
            self.began[ring.job_id] = self.now
            self.ends[ring.job_id] = self.now + self.dice.randint(1, 3) * MINUTE
        self.now += MINUTE


@pytest.mark.parametrize("seed", range(25))
def test_nothing_starves_a_job_goes_within_the_ageing_and_what_was_ready_before_it(seed: int) -> None:
    farm = Busy(seed)
    for _ in range(farm.dice.randint(0, 12)):
        farm.comes()
    before = sum(each.jobs[0].state is Job.READY for each in farm.runs.values())
    last = farm.comes(delivered=False, trigger=Trigger.PULL)  # of the least class, and of negative priority
    longest = 3 * MINUTE
    bound = NOW + farm.rules.ageing + 2 * (before + 1) * longest + MINUTE
    while last not in farm.began:
        assert farm.now <= bound, f"{before} were before it, {farm.slots} slots, weights {farm.weights}"
        for _ in range(2 * farm.slots):
            farm.comes()
        farm.minute()


def test_without_ageing_the_same_job_would_wait_for_ever() -> None:
    farm = Busy(3)
    farm.rules = replace(farm.rules, ageing=timedelta(days=400))
    last = farm.comes(delivered=False, trigger=Trigger.PULL)
    for _ in range(300):
        for _ in range(3 * farm.slots):
            farm.comes(repository_id=farm.runs[last].repository_id, delivered=True)
            farm.runs[farm.number] = replace(
                farm.runs[farm.number], jobs=(replace(farm.runs[farm.number].jobs[0], priority=0),)
            )
        farm.minute()
    assert last not in farm.began


# --- labels ----------------------------------------------------------------------------------------------------------


def test_a_job_with_labels_is_rung_at_a_node_that_has_them() -> None:
    nodes = (node(1), node(2, labels=A100))
    seen = Snapshot(runs=(run(job(1, Job.READY, labels=A100), job(2, Job.READY)),), nodes=nodes)
    assert [(one.job_id, one.node_id) for one in rings(seen, NOW, NONE, NONE)] == [(1, 2), (2, None)]


def test_where_every_node_has_its_labels_any_may_take_it() -> None:
    seen = Snapshot(runs=(run(job(1, Job.READY, labels=A100)),), nodes=(node(1, labels=A100), node(2, labels=A100)))
    assert [one.node_id for one in rings(seen, NOW, NONE, NONE)] == [None]


def test_no_more_is_sent_to_a_node_than_it_has_room_for_and_the_others_get_work() -> None:
    jobs = [job(number, Job.READY, labels=A100) for number in range(1, 9)] + [job(9, Job.READY), job(10, Job.READY)]
    seen = Snapshot(runs=(run(*jobs),), nodes=(node(1, 4), node(2, 2, labels=A100)))
    sent = [(one.job_id, one.node_id) for one in rings(seen, NOW, NONE, NONE)]
    assert sent == [(1, 2), (2, 2), (3, 2), (9, None), (10, None)]


def test_what_was_sent_to_a_node_that_is_gone_is_sent_to_another_at_once() -> None:
    waits = job(1, Job.QUEUED, labels=A100, rung_to=2, rings=1, rung_at=NOW)
    nodes = (node(1), node(2, state=Node.SILENT, labels=A100), node(3, labels=A100))
    decided = list(ring_again(Snapshot(runs=(run(waits),), nodes=nodes), NOW, NONE))
    assert [(one.node_id, one.rings) for one in decided] == [(3, 2)]


@pytest.mark.parametrize(("seconds", "again"), [(4, []), (5, [2])])
def test_a_nodes_own_bell_is_rung_again_like_any_other(seconds: int, again: list[int]) -> None:
    waits = job(1, Job.QUEUED, labels=A100, rung_to=2, rings=1, rung_at=NOW - seconds * SECOND)
    seen = Snapshot(runs=(run(waits),), nodes=(node(1), node(2, labels=A100)))
    assert [one.node_id for one in plan(seen, NOW).decisions if isinstance(one, RingAgain)] == again


def test_a_job_that_no_node_fits_says_what_is_missing_and_what_is_near() -> None:
    wanted = (("arch", "arm64"), ("gpu", "a100"))
    nodes = (node(1), node(2, labels=(("arch", "arm64"), ("gpu", "t4"))))
    told = why(Snapshot(runs=(run(job(1, Job.READY, labels=wanted)),), nodes=nodes), NOW)
    assert told[1] == (
        "no node of pool default has arch=arm64, gpu=a100; the nearest, n2, lacks gpu=a100 (it has gpu=t4)"
    )
    told = why(
        Snapshot(runs=(run(job(1, Job.READY, labels=A100)),), nodes=(node(1), node(2, 2, Node.SILENT, labels=A100))),
        NOW,
    )
    assert told[1] == "no node of pool default with gpu=a100 takes work: n2 is silent"


# --- groups and families ---------------------------------------------------------------------------------------------


def deploying(number: int, state: Job = Job.READY, **more: object) -> JobView:
    return job(number, state, run_id=number, name="deploy", **{"exclusion": "1:all:deploy", **more})


def alone(number: int, state: Job = Job.READY, **more: object) -> RunView:
    return run(deploying(number, state, **more), number=number)


def test_one_of_a_group_at_a_time_the_oldest_first_whatever_its_priority() -> None:
    assert rung(alone(1), alone(2, priority=50), alone(3)) == [1]
    assert rung(alone(1, Job.RUNNING), alone(2)) == []
    assert rung(alone(1, Job.QUEUED), alone(2)) == []
    assert rung(*(alone(number, exclusion_limit=2) for number in (1, 2, 3))) == [1, 2]


def test_of_several_limits_of_a_group_the_smallest_holds() -> None:
    assert rung(alone(1, Job.RUNNING, exclusion_limit=1), alone(2, exclusion_limit=5)) == []
    assert rung(alone(1, exclusion_limit=3), alone(2, exclusion_limit=1), alone(3, exclusion_limit=3)) == [1]


def test_a_job_that_no_node_fits_does_not_block_its_group() -> None:
    assert rung(alone(1, labels=A100), alone(2)) == [2]


def test_a_full_group_says_who_holds_it() -> None:
    told = why(Snapshot(runs=(alone(1, Job.RUNNING), alone(2), alone(3)), nodes=(node(),)), NOW)
    assert told[2] == "its group deploy is held by deploy of run 1 (running)"
    assert told[3] == "its group deploy is held by deploy of run 1 (running); 1 before it"


def test_a_newer_job_of_a_group_may_end_the_older_ones_and_says_so() -> None:
    waits = run(job(9, Job.RUNNING, run_id=2), deploying(2, Job.WAITING, needs=("j9",)), number=2)
    older = run(deploying(1, Job.RUNNING), number=1), waits
    decided = plan(Snapshot(runs=(*older, alone(3, exclusion_cancels=True))), NOW).decisions
    ends = [one for one in decided if isinstance(one, EndOlder)]
    assert [one.job_id for one in ends] == [2, 1]
    assert {one.reason for one in ends} == {"superseded in group deploy by run 3"}


@pytest.mark.parametrize(
    "more",
    [{"again_of": 9}, {"ordinal": 2}, {"hold": "a maintainer must allow it"}],
    ids=["a re-run", "a second run", "a held run"],
)
def test_who_ends_nobody_in_its_group(more: dict[str, object]) -> None:
    newer = run(deploying(2, exclusion_cancels=True), number=2, **more)
    decided = plan(Snapshot(runs=(alone(1, Job.RUNNING), newer)), NOW).decisions
    assert not any(isinstance(one, EndOlder) for one in decided)


def test_what_deploys_is_not_ended_in_the_middle_by_its_group() -> None:
    running = alone(1, Job.RUNNING, deploys_to="production")
    decided = plan(Snapshot(runs=(running, alone(2, exclusion_cancels=True)), nodes=(node(),)), NOW).decisions
    assert not any(isinstance(one, EndOlder | Ring) for one in decided)


def test_so_many_of_a_family_at_a_time() -> None:
    cells = [job(number, Job.READY, family="test", family_limit=2) for number in range(1, 5)]
    assert rung(run(*cells, job(5, Job.READY))) == [1, 2, 5]
    told = why(
        Snapshot(
            runs=(run(replace(cells[0], state=Job.RUNNING), replace(cells[1], state=Job.QUEUED), cells[2]),),
            nodes=(node(),),
        ),
        NOW,
    )
    assert told[3] == "2 of test run at a time, and so many do"


def test_groups_belong_to_a_repository_or_a_ref_and_forks_have_their_own() -> None:
    deploy, per_ref = ConcurrencySpec(group="deploy"), ConcurrencySpec(group="deploy", scope="ref")
    main = exclusion_of(deploy, 1, "refs/heads/main", Trust.TRUSTED)
    assert main == exclusion_of(deploy, 1, "refs/heads/x", Trust.TRUSTED)
    others = {
        exclusion_of(deploy, 2, "refs/heads/main", Trust.TRUSTED),
        exclusion_of(per_ref, 1, "refs/heads/main", Trust.TRUSTED),
        exclusion_of(per_ref, 1, "refs/heads/x", Trust.TRUSTED),
        exclusion_of(deploy, 1, "refs/pull/7/head", Trust.UNTRUSTED),
        exclusion_of(deploy, 1, "refs/pull/8/head", Trust.UNTRUSTED),
        exclusion_of(ConcurrencySpec(group="x" * 5000), 1, "refs/heads/main", Trust.TRUSTED),
    }
    assert len(others | {main}) == 7
    assert all(len(each) <= 300 for each in others)
    assert name_of(exclusion_of(ConcurrencySpec(group="a:b"), 1, "r", Trust.TRUSTED)) == "a:b"


# --- superseded work -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "trigger", "said", "again", "ends"),
    [
        ("refs/heads/fix", Trigger.PUSH, None, False, True),
        ("refs/heads/fix", Trigger.PUSH, False, False, False),
        ("refs/heads/fix", Trigger.PUSH, None, True, False),
        ("refs/pull/7/head", Trigger.PULL, None, False, True),
        ("refs/heads/main", Trigger.PUSH, None, False, False),
        ("refs/heads/main", Trigger.PUSH, True, False, True),
        ("refs/tags/v1", Trigger.TAG, True, False, False),
    ],
)
def test_which_runs_end_older_ones(ref: str, trigger: Trigger, said: bool | None, again: bool, ends: bool) -> None:
    assert ends_older(ref, "main", trigger, said, again=again) is ends


def test_all_of_a_superseded_run_is_asked_to_end_but_what_deploys_right_now() -> None:
    jobs = (
        job(1, Job.RUNNING),
        job(2, Job.RUNNING, deploys_to="staging"),
        job(3, Job.WAITING, "j2"),
        job(4, Job.PASSED),
        job(5, Job.READY, cancel_asked="by ada"),
    )
    decided = plan(Snapshot(runs=(run(*jobs, superseded_by=18),)), NOW).decisions
    assert [(one.by, one.job_ids) for one in decided if isinstance(one, Supersede)] == [(18, (1, 3))]


# --- rests and holds -------------------------------------------------------------------------------------------------


def test_a_pause_before_the_next_try_and_a_held_run_are_waited_for() -> None:
    paused = job(1, Job.READY, not_before=NOW + 30 * SECOND, failures=1, reason="exit 1")
    held = run(job(2, Job.READY), number=2, hold="a maintainer must allow the commit")
    assert rung(run(paused), held) == []
    told = why(Snapshot(runs=(run(paused), held), nodes=(node(),)), NOW)
    assert told[1] == "failed 1 times, tries again in 30 s; the last time: exit 1"
    assert told[2] == "a maintainer must allow the commit"


# --- estimates -------------------------------------------------------------------------------------------------------


def test_a_family_takes_the_median_of_its_last_twenty() -> None:
    took = [(1, "test", MINUTE * minutes) for minutes in [*range(1, 21), *([500] * 50)]]
    assert durations(took).of == {(1, "test"): timedelta(minutes=10.5)}


def test_the_future_is_played_over_the_slots() -> None:
    known = Durations({(1, "test"): 2 * MINUTE}, 2 * MINUTE)
    began = replace(job(1, Job.RUNNING, family="test"), started_at=NOW - MINUTE)
    jobs = (
        began,
        *(job(number, Job.READY, family="test") for number in (2, 3)),
        job(4, Job.WAITING, "j3", family="test"),
    )
    held = (AttemptView(11, 1, 1, 1, NOW + MINUTE),)
    seen = Snapshot(runs=(run(*jobs),), nodes=(node(slots=1),), attempts=held)
    told = forecast(seen, known, NOW, frozenset({2, 3, 4}))
    assert {number: one.starts_at - NOW for number, one in told.items()} == {2: MINUTE, 3: 3 * MINUTE, 4: 5 * MINUTE}
    assert told[2].words(NOW) == "in about 60 s"


def test_groups_and_families_are_played_too() -> None:
    known = Durations({}, MINUTE)
    seen = Snapshot(runs=tuple(alone(number) for number in (1, 2, 3)), nodes=(node(slots=9),))
    told = forecast(seen, known, NOW, frozenset({1, 2, 3}))
    assert sorted(one.starts_at - NOW for one in told.values())[1:] == [MINUTE, 2 * MINUTE]
    cells = [job(number, Job.READY, family="test", family_limit=2) for number in range(1, 5)]
    told = forecast(Snapshot(runs=(run(*cells),), nodes=(node(slots=9),)), known, NOW, frozenset({1, 2, 3, 4}))
    assert Counter(one.starts_at - NOW for one in told.values())[MINUTE] == 2
    assert told[4].words(NOW) == "in about 60 s, roughly: some of what is before it has no history"


def test_what_cannot_be_told_is_not_guessed() -> None:
    jobs = (job(1, Job.RUNNING), job(2, Job.READY), job(3, Job.ASKING), job(4, Job.WAITING, "j3"))
    seen = Snapshot(runs=(run(*jobs),), nodes=(node(slots=1),), attempts=(AttemptView(11, 1, 1, 1, NOW + MINUTE),))
    assert forecast(seen, Durations(), NOW, frozenset({2, 4})) == {}
    assert 4 not in forecast(seen, Durations({}, MINUTE), NOW, frozenset({2, 4}))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "at any moment"),
        (4, "at any moment"),
        (42, "in about 40 s"),
        (94, "in about 90 s"),
        (130, "in about 2 min"),
        (5600, "in about 93 min"),
        (7200, "in about 2 h"),
    ],
)
def test_spans_are_told_as_people_tell_them(seconds: int, said: str) -> None:
    assert about(seconds * SECOND) == said
