"""A state moves along the page and only from where it is expected, on both databases."""

from __future__ import annotations

from datetime import datetime
from threading import Thread

import pytest
from sqlalchemy import select

from farmgate import models, states
from farmgate.errors import IllegalMove, LostRace
from farmgate.store.database import Store, insert_if_absent, move, one
from farmgate.store.schema import jobs, leaders
from tests.store.rows import a_job, a_repository, a_run


@pytest.fixture
def job(store: Store, now: datetime) -> int:
    with store.writing() as connection:
        run = a_run(connection, a_repository(connection, now), "a" * 40, now)
        return a_job(connection, run, now, states.Job.QUEUED)


def job_of(store: Store, job: int) -> models.Job:
    with store.reading() as connection:
        found = one(connection, models.Job, select(jobs).where(jobs.c.id == job))
    assert found is not None
    return found


def test_a_move_changes_the_state_and_writes_its_values(store: Store, job: int) -> None:
    with store.writing() as connection:
        move(connection, jobs, {"id": job, "attempt": 1}, states.Job.QUEUED, states.Job.RUNNING, reason="claimed")
    assert (job_of(store, job).state, job_of(store, job).reason) == (states.Job.RUNNING, "claimed")


def test_a_move_from_another_state_is_a_lost_race(store: Store, job: int) -> None:
    with store.writing() as connection, pytest.raises(LostRace, match=rf"jobs id={job} is not ready"):
        move(connection, jobs, {"id": job}, states.Job.READY, states.Job.QUEUED)
    assert job_of(store, job).state == states.Job.QUEUED


def test_a_move_of_another_attempt_is_a_lost_race(store: Store, job: int) -> None:
    with store.writing() as connection, pytest.raises(LostRace):
        move(connection, jobs, {"id": job, "attempt": 2}, states.Job.QUEUED, states.Job.RUNNING)
    assert job_of(store, job).state == states.Job.QUEUED


def test_a_move_of_a_row_that_is_not_there_is_a_lost_race(store: Store, job: int) -> None:
    with store.writing() as connection, pytest.raises(LostRace):
        move(connection, jobs, {"id": job + 1}, states.Job.QUEUED, states.Job.RUNNING)


def test_a_move_that_is_not_on_the_page_is_refused_before_the_database_is_asked(store: Store, job: int) -> None:
    with store.writing() as connection, pytest.raises(IllegalMove, match="passed -> running"):
        move(connection, jobs, {"id": job}, (states.Job.QUEUED, states.Job.PASSED), states.Job.RUNNING)
    assert job_of(store, job).state == states.Job.QUEUED


def test_a_move_may_start_from_any_of_several_states(store: Store, job: int) -> None:
    with store.writing() as connection:
        move(connection, jobs, {"id": job}, (states.Job.READY, states.Job.QUEUED), states.Job.CANCELLED)
    assert job_of(store, job).state == states.Job.CANCELLED


def test_a_move_in_a_block_that_fails_did_not_happen(store: Store, job: int) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as connection:  # noqa: PT012 - what is done before it fails
        move(connection, jobs, {"id": job}, states.Job.QUEUED, states.Job.RUNNING)
        raise ZeroDivisionError
    assert job_of(store, job).state == states.Job.QUEUED


def test_of_all_who_claim_one_wins(store: Store, job: int) -> None:
    outcomes: list[str] = []

    def claim() -> None:
        try:
            with store.writing() as connection:
                move(connection, jobs, {"id": job, "attempt": 1}, states.Job.QUEUED, states.Job.RUNNING)
        except LostRace:
            outcomes.append("lost")
        else:
            outcomes.append("won")

    threads = [Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_insert_if_absent_inserts_once(store: Store, now: datetime) -> None:
    mine = {"name": "scheduler", "holder": "a", "epoch": 1, "until": now}
    with store.writing() as connection:
        assert insert_if_absent(connection, leaders, mine, "name")
        assert not insert_if_absent(connection, leaders, {**mine, "holder": "b"}, "name")
        assert connection.execute(select(leaders.c.holder)).scalars().all() == ["a"]


def test_of_all_who_insert_one_inserts(store: Store, now: datetime) -> None:
    outcomes: list[bool] = []

    def insert(holder: str) -> None:
        values = {"name": "scheduler", "holder": holder, "epoch": 1, "until": now}
        with store.writing() as connection:
            outcomes.append(insert_if_absent(connection, leaders, values, "name"))

    threads = [Thread(target=insert, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]
