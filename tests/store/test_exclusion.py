"""Groups, families and superseded runs where they must hold: in the transaction, on both databases, under a race."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select, update

from farmgate import states
from farmgate.errors import LostRace
from farmgate.models import Trigger, Trust
from farmgate.store import jobs, runs, superseding
from farmgate.store import schema as t
from farmgate.store.database import Store
from farmgate.store.runs import NewJob, NewRun
from tests.store.rows import a_candidate, a_job, a_repository, a_run

GROUP: dict[str, Any] = {"exclusion": "1:all:deploy"}


def some_jobs(store: Store, now: datetime, count: int, *, one_run: bool = False, **more: Any) -> list[int]:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        made = [a_run(connection, repository, f"{number:040x}", now) for number in range(1 if one_run else count)]
        return [a_job(connection, made[number % len(made)], now, name=f"j{number}", **more) for number in range(count)]


def queues(store: Store, job: int, now: datetime) -> bool:
    try:
        with store.writing() as connection:
            jobs.queue(connection, job, 1, now)
    except LostRace:
        return False
    return True


@pytest.mark.parametrize(
    ("more", "one_run", "limit"),
    [
        (GROUP, False, 1),
        ({**GROUP, "exclusion_limit": 3}, False, 3),
        ({"family": "test", "family_limit": 2}, True, 2),
    ],
    ids=["one of a group", "three of a group", "two of a family"],
)
def test_however_many_ask_at_once_no_more_are_sent_than_may_be(
    store: Store, now: datetime, more: dict[str, Any], one_run: bool, limit: int
) -> None:
    made = some_jobs(store, now, 8, one_run=one_run, **more)
    at_once = Barrier(len(made))

    def ask(job: int) -> bool:
        at_once.wait()
        return queues(store, job, now)

    with ThreadPoolExecutor(len(made)) as pool:
        assert sum(pool.map(ask, made)) == limit
    assert sum(queues(store, job, now) for job in made) == 0


def test_what_ends_gives_its_place_back_and_nothing_is_left_locked(store: Store, now: datetime) -> None:
    first, second = some_jobs(store, now, 2, **GROUP)
    assert queues(store, first, now)
    assert not queues(store, second, now)
    with store.writing() as connection:
        jobs.start(connection, first, 1, now, timedelta(minutes=1))
    assert not queues(store, second, now)
    with store.writing() as connection:
        jobs.retry(connection, first, 1, now, "its worker died")  # whoever died: the place is free
    assert queues(store, second, now)


def test_a_claim_is_refused_while_another_of_the_group_runs(store: Store, now: datetime) -> None:
    running, queued = some_jobs(store, now, 2, **GROUP)
    with store.writing() as connection:  # as if a hand had changed the rows
        connection.execute(update(t.jobs).where(t.jobs.c.id == running).values(state=states.Job.RUNNING))
        connection.execute(update(t.jobs).where(t.jobs.c.id == queued).values(state=states.Job.QUEUED))
    with store.writing() as connection, pytest.raises(LostRace, match="full"):
        jobs.start(connection, queued, 1, now, timedelta(minutes=1))


def test_the_smallest_limit_of_a_group_holds(store: Store, now: datetime) -> None:
    strict, *loose = some_jobs(store, now, 3, exclusion="1:all:deploy", exclusion_limit=5)
    with store.writing() as connection:
        connection.execute(update(t.jobs).where(t.jobs.c.id == strict).values(exclusion_limit=1))
    assert queues(store, loose[0], now)
    assert not queues(store, strict, now)
    assert queues(store, loose[1], now)


# --- superseded runs -------------------------------------------------------------------------------------------------


def a_new_run(
    store: Store, now: datetime, repository: int, number: int, ref: str = "refs/heads/fix", **more: Any
) -> int:
    jobs_of_it = (NewJob("a", (), {}, "default"),)
    new = NewRun(repository, f"{number:040x}", ref, Trigger.PUSH, Trust.TRUSTED, "me", now, jobs_of_it)
    with store.writing() as connection:
        made = runs.create(connection, replace(new, ends_older=True, **more), now)
    assert made is not None
    return made


def marks(store: Store) -> dict[int, int | None]:
    with store.reading() as connection:
        return {row.id: row.superseded_by for row in connection.execute(select(t.runs.c.id, t.runs.c.superseded_by))}


def test_a_new_run_marks_the_open_ones_of_its_ref_and_a_mark_stays(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    first = a_new_run(store, now, repository, 1)
    other = a_new_run(store, now, repository, 2, "refs/heads/else")
    second = a_new_run(store, now, repository, 3)
    third = a_new_run(store, now, repository, 4)
    assert marks(store) == {first: second, other: None, second: third, third: None}


def test_a_run_that_ended_at_once_supersedes_as_well(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    first = a_new_run(store, now, repository, 1)
    broken = a_new_run(store, now, repository, 2, problems=".farmgate.yml:1:1: no", jobs=())
    assert marks(store) == {first: broken, broken: None}


@pytest.mark.parametrize("why", ["a re-run", "a candidate", "on the delivered branch", "over"])
def test_what_a_new_run_leaves_alone(store: Store, now: datetime, why: str) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    first = a_new_run(store, now, repository, 1, ordinal=2 if why == "a re-run" else 1)
    with store.writing() as connection:
        if why == "a candidate":
            a_candidate(connection, repository, f"{1:040x}", now)
        if why == "on the delivered branch":
            place = {"branch": "main", "position": 5, "sha": f"{1:040x}", "gone_at": None}
            connection.execute(t.branch_commits.insert().values(repository_id=repository, **place))
        if why == "over":
            runs.finish(connection, first, states.Run.PASSED, now, None)
    second = a_new_run(store, now, repository, 2)
    assert marks(store) == {first: None, second: None}


def test_the_reason_names_the_run_and_how_much_newer_it_is(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    old, new = a_new_run(store, now, repository, 1), a_new_run(store, now, repository, 4)
    with store.writing() as connection:
        assert superseding.reason(connection, old, new) == f"superseded by run {new}: a newer one"
        for number in (1, 4):
            place = {"branch": "fix", "position": 10 + number, "sha": f"{number:040x}", "gone_at": None}
            connection.execute(t.branch_commits.insert().values(repository_id=repository, **place))
        assert superseding.reason(connection, old, new) == f"superseded by run {new}: 3 commits newer"


def test_what_deploys_right_now_is_not_asked_to_end(store: Store, now: datetime) -> None:
    plain, deploys, waits = some_jobs(store, now, 3, spec={"deploys_to": None})
    with store.writing() as connection:
        connection.execute(update(t.jobs).where(t.jobs.c.id != plain).values(spec={"deploys_to": "production"}))
        connection.execute(update(t.jobs).where(t.jobs.c.id != waits).values(state=states.Job.RUNNING))
        assert jobs.ask_to_end(connection, [plain, deploys, waits], "superseded by run 9") == 2
        asked = connection.execute(select(t.jobs.c.id).where(t.jobs.c.cancel_asked.is_not(None))).scalars()
        assert sorted(asked) == [plain, waits]
