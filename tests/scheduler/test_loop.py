"""The loop under faults: dead half way, bells lost and doubled, rows that fail, two leaders."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate import invariants
from farmgate.store import events
from scheduler import apply as applying
from scheduler.background import Inline, Threads
from scheduler.context import Context
from scheduler.decisions import Decision, MakeReady, Ring
from scheduler.loop import Loop
from tests.scheduler.farm import TWO_JOBS, Farm


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("survives", range(12))
def test_a_loop_killed_between_any_two_decisions_is_followed_by_one_that_ends_it_all(
    shop: Farm, survives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows stay, the memory is gone: the successor ends every run, each job once."""
    worker = shop.join()
    act = applying.act
    left = [survives]

    def dying(context: Context, background: Any, decision: Decision) -> None:
        if left[0] == 0:
            left[0] = -1
            raise Killed
        left[0] -= 1
        act(context, background, decision)

    monkeypatch.setattr(applying, "act", dying)
    start = shop.tip()
    shop.repository.add("a", {".farmgate.yml": TWO_JOBS})
    last = shop.repository.add("b")
    shop.hook("refs/heads/main", start, last)
    for _ in range(12):
        try:
            shop.settle()
            worker.work()
        except Killed:
            shop.loop = Loop(shop.context, Inline(), "the successor")
        shop.clock.advance(timedelta(seconds=6))
        worker.beat() if left[0] != 0 else None
    assert [run["state"] for run in shop.runs()] == ["passed"] * 3
    assert {job["losses"] for run in shop.runs() for job in shop.run(run["id"])["jobs"]} == {0}
    assert invariants.check(shop.store, shop.clock.now()) == []


def test_a_bell_that_cannot_be_rung_is_rung_again(shop: Farm) -> None:
    shop.bell.broken = True
    worker = shop.join()
    assert shop.job(1, "test")["state"] == "queued"
    shop.bell.broken = False
    shop.advance(5)
    worker.work()
    assert shop.run(1)["state"] == "passed"


def test_lost_bells_cost_latency_and_nothing_else(shop: Farm) -> None:
    worker = shop.join()
    shop.push("a", "b", "c")
    shop.bell.heard()
    for _ in range(5):
        shop.advance(6)
        worker.beat()
    worker.work()
    assert {run["state"] for run in shop.runs()} == {"passed"}


def test_doubled_bells_run_nothing_twice(shop: Farm) -> None:
    worker = shop.join()
    shop.push("a", "b")
    shop.bell.rung *= 3
    assert worker.work() == 3
    assert all(len(shop.job(number, "test")["attempts"]) == 1 for number in (1, 2, 3))


def test_an_unexpected_failure_is_recorded_does_not_stop_the_others_and_ends_in_quarantine(
    shop: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.push("a")
    act = applying.act
    tried: list[Decision] = []

    def failing(context: Context, background: Any, decision: Decision) -> None:
        if isinstance(decision, Ring) and decision.job_id == 1:
            tried.append(decision)
            raise ZeroDivisionError("a bug")
        act(context, background, decision)

    monkeypatch.setattr(applying, "act", failing)
    worker = shop.join()
    worker.work()
    assert shop.run(2)["state"] == "passed"
    for _ in range(60):
        shop.advance(5)
        worker.beat()
    assert len(tried) == 5
    with shop.store.reading() as connection:
        kinds = [event.kind for event in events.latest(connection) if event.kind.startswith("decision")]
    assert sorted(kinds) == ["decision.failed"] * 4 + ["decision.quarantined"]


def test_background_work_that_fails_waits_at_a_growing_pause(shop: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    from scheduler import intake

    tried: list[int] = []

    def failing(context: Context, repository: int) -> None:
        tried.append(repository)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(intake, "read", failing)
    shop.hook("refs/heads/main", shop.tip(), shop.repository.add("a"))
    for _ in range(100):
        shop.loop.tick()
    assert len(tried) == 1
    monkeypatch.undo()
    shop.advance(10)
    assert shop.runs()[-1]["title"] == "a"


def test_only_the_leader_acts_and_a_successor_takes_over(shop: Farm) -> None:
    second = Loop(shop.context, Inline(), "another loop")
    assert shop.loop.lead()
    assert not second.lead()
    shop.clock.advance(timedelta(seconds=11))
    assert second.lead()
    assert not shop.loop.lead()
    second.resign()
    assert shop.loop.lead()


def test_two_loops_that_both_believe_they_lead_do_nothing_twice(shop: Farm) -> None:
    shop.join()
    second = Loop(shop.context, Inline(), "another loop")
    shop.push("a", files={".farmgate.yml": TWO_JOBS})
    shop.bell.heard()
    with shop.store.reading() as connection:
        from scheduler.plan import plan
        from scheduler.snapshot import rules_of, snapshot

        seen = snapshot(connection, rules_of(shop.context.settings))
    decided = plan(seen, shop.clock.now()).decisions
    for decision in (*decided, *decided):
        second.act(decision)
    assert len(shop.bell.heard()) == len([one for one in decided if isinstance(one, Ring)])
    assert not any(isinstance(one, MakeReady) for one in decided)


def test_a_quiet_farm_is_asked_one_question(shop: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import event

    worker = shop.join()
    worker.work()
    shop.settle()
    asked: list[str] = []
    event.listen(shop.store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert shop.loop.tick() == 0
    assert len([one for one in asked if not one.startswith("BEGIN")]) == 1


def test_fifty_commits_at_once_end_once_each_and_in_order(shop: Farm) -> None:
    worker = shop.join(slots=8)
    shop.push(*(f"commit {number}" for number in range(50)), files={".farmgate.yml": TWO_JOBS})
    worker.work()
    runs = shop.runs()
    assert [run["state"] for run in runs] == ["passed"] * 51
    assert [run["title"] for run in runs[1:]] == [f"commit {number}" for number in range(50)]
    assert all(len(job["attempts"]) == 1 for run in runs for job in shop.run(run["id"])["jobs"])
    assert invariants.check(shop.store, shop.clock.now()) == []


def test_background_threads_do_one_thing_at_a_time_per_key(tmp_path: Path) -> None:
    import threading

    gate, done = threading.Event(), threading.Event()

    def waiting() -> None:
        gate.wait(10)

    threads = Threads(2, done=lambda _key: done.set())
    assert threads.start("repository/1", waiting)
    assert not threads.start("repository/1", lambda: None)
    assert threads.busy() == {"repository/1"}
    gate.set()
    assert done.wait(10)
    threads.close()
    assert threads.busy() == frozenset()
