"""What a connection promises: snapshots for readers, all or nothing for writers, one leader, a record that stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from farmgate.errors import DatabaseUnreachable, NoSpace
from farmgate.store.database import Store, path_of
from farmgate.store.events import latest, record
from farmgate.store.leaders import another_leads, lead, resign
from farmgate.store.migrate import migrate
from farmgate.store.schema import events, leaders

SPAN = timedelta(seconds=10)


def count(store: Store) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(events)).scalar_one()


def note(store: Store, now: datetime, text: str = "t") -> None:
    with store.writing() as connection:
        record(connection, now, "kind", "run/1", "alice", text)


def test_a_reader_sees_one_moment_while_others_write(store: Store, now: datetime) -> None:
    note(store, now)
    with store.reading() as connection:
        look = select(func.count()).select_from(events)
        assert connection.execute(look).scalar_one() == 1
        writer = Thread(target=note, args=(store, now))
        writer.start()
        writer.join(timeout=20)
        assert not writer.is_alive(), "a reader blocked a writer"
        assert connection.execute(look).scalar_one() == 1
    assert count(store) == 2


def test_a_reader_is_not_blocked_by_an_unfinished_writer(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        record(connection, now, "kind", "run/1", "alice", "unfinished")
        seen: list[int] = []
        reader = Thread(target=lambda: seen.append(count(store)))
        reader.start()
        reader.join(timeout=20)
        assert seen == [0]
    assert count(store) == 1


def test_what_a_reader_writes_is_not_kept(store: Store, now: datetime) -> None:
    try:
        with store.reading() as connection:
            record(connection, now, "kind", "run/1", "alice", "t")
    except DBAPIError:
        assert not store.is_sqlite  # PostgreSQL refuses at once
    assert count(store) == 0


def test_after_a_reader_the_connection_writes_again(store: Store, now: datetime) -> None:
    """Connections are pooled: a read-only one must not stay so."""
    for _ in range(15):
        count(store)
        note(store, now)
    assert count(store) == 15


def test_a_block_that_fails_keeps_nothing(store: Store, now: datetime) -> None:
    with pytest.raises(KeyboardInterrupt), store.writing() as connection:  # noqa: PT012 - what is done before it fails
        record(connection, now, "kind", "run/1", "alice", "t")
        raise KeyboardInterrupt
    assert count(store) == 0


def test_writers_at_once_all_commit(store: Store, now: datetime) -> None:
    """Read, then write, by eight threads: on SQLite an upgrade of a read lock would fail here."""
    with store.writing() as connection:
        lead(connection, "scheduler", "a", now, SPAN)
    failures: list[BaseException] = []

    def count_up() -> None:
        try:
            for _ in range(10):
                with store.writing() as connection:
                    row = select(leaders.c.epoch).where(leaders.c.name == "scheduler").with_for_update()
                    epoch = connection.execute(row).scalar_one()
                    connection.execute(update(leaders).values(epoch=epoch + 1))
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.reading() as connection:
        assert connection.execute(select(leaders.c.epoch)).scalar_one() == 81


def test_a_writer_waits_for_another_instead_of_failing(store: Store, now: datetime) -> None:
    inside, go_on = Event(), Event()

    def slow() -> None:
        with store.writing() as connection:
            lead(connection, "scheduler", "slow", now, SPAN)
            inside.set()
            go_on.wait(timeout=20)

    first = Thread(target=slow)
    first.start()
    assert inside.wait(timeout=20)
    second = Thread(target=note, args=(store, now))
    second.start()
    go_on.set()
    first.join(timeout=20)
    second.join(timeout=20)
    assert count(store) == 1


# --- leaders ---------------------------------------------------------------------------------------------------------


def ask(store: Store, holder: str, now: datetime) -> int | None:
    with store.writing() as connection:
        leader = lead(connection, "scheduler", holder, now, SPAN)
    return None if leader is None else leader.epoch


def test_one_leads_and_others_wait(store: Store, now: datetime) -> None:
    assert ask(store, "a", now) == 1
    assert ask(store, "b", now) is None
    assert ask(store, "a", now + SPAN / 2) == 1
    assert ask(store, "b", now + SPAN) is None, "the lease was renewed"


def test_who_stands_by_sees_by_reading_that_asking_is_in_vain(store: Store, now: datetime) -> None:
    with store.reading() as connection:
        assert not another_leads(connection, "scheduler", "b", now), "nobody has led yet"
    ask(store, "a", now)
    with store.reading() as connection:
        assert another_leads(connection, "scheduler", "b", now)
        assert not another_leads(connection, "scheduler", "a", now)
        assert not another_leads(connection, "deploy", "b", now)
        assert not another_leads(connection, "scheduler", "b", now + SPAN), "its lease ran out"


def test_a_lease_that_ran_out_is_taken_with_the_next_epoch(store: Store, now: datetime) -> None:
    ask(store, "a", now)
    assert ask(store, "b", now + SPAN) == 2
    assert ask(store, "a", now + SPAN) is None


def test_a_holder_that_was_late_gets_a_new_epoch_too(store: Store, now: datetime) -> None:
    """It may have lost the lead and come back without noticing: what it knew is stale."""
    ask(store, "a", now)
    assert ask(store, "a", now + SPAN) == 2


def test_who_resigns_is_followed_at_once(store: Store, now: datetime) -> None:
    ask(store, "a", now)
    with store.writing() as connection:
        resign(connection, "scheduler", "b", now)  # not the holder: nothing happens
    assert ask(store, "b", now) is None
    with store.writing() as connection:
        resign(connection, "scheduler", "a", now)
    assert ask(store, "b", now) == 2


def test_loops_are_led_apart(store: Store, now: datetime) -> None:
    ask(store, "a", now)
    with store.writing() as connection:
        other = lead(connection, "deploy", "b", now, SPAN)
    assert other is not None
    assert other.epoch == 1


@pytest.mark.parametrize("state", ["never led", "ended"])
def test_of_all_who_want_to_lead_one_does(store: Store, now: datetime, state: str) -> None:
    if state == "ended":
        ask(store, "before", now - 2 * SPAN)
    led: list[int | None] = []
    threads = [Thread(target=lambda n=n: led.append(ask(store, f"h{n}", now))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(led) == 8
    assert sorted(epoch for epoch in led if epoch is not None) == [2 if state == "ended" else 1]


# --- events ----------------------------------------------------------------------------------------------------------


def test_the_newest_events_come_first_of_one_subject_or_all(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        for number, subject in enumerate(("run/1", "run/2", "run/1")):
            record(connection, now + timedelta(seconds=number), "run.finished", subject, "alice", str(number))
    with store.reading() as connection:
        assert [event.text for event in latest(connection)] == ["2", "1", "0"]
        assert [event.text for event in latest(connection, subject="run/1")] == ["2", "0"]
        assert [event.text for event in latest(connection, limit=1)] == ["2"]


def test_an_event_shares_the_fate_of_what_it_tells(store: Store, now: datetime) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as connection:  # noqa: PT012 - what is done before it fails
        record(connection, now, "run.finished", "run/1", "alice", "t")
        raise ZeroDivisionError
    assert count(store) == 0


# --- where -----------------------------------------------------------------------------------------------------------


def test_the_file_of_a_database_is_known() -> None:
    assert path_of("sqlite:////srv/farm.db") == Path("/srv/farm.db")
    assert path_of("sqlite:///data/farm.db") == Path("data/farm.db")
    assert path_of("sqlite:///:memory:") is None
    assert path_of("sqlite://") is None
    assert path_of("postgresql://farm@/farm") is None


def test_a_store_in_memory_is_one_database_for_all_threads(now: datetime) -> None:
    store = Store.at("sqlite://")
    migrate(store)
    thread = Thread(target=note, args=(store, now))
    thread.start()
    thread.join()
    assert count(store) == 1
    store.close()


def test_a_plain_postgresql_address_is_understood(postgres_database: str, now: datetime) -> None:
    store = Store.at(postgres_database.replace("postgresql+psycopg://", "postgresql://"))
    migrate(store)
    with store.writing() as connection:
        connection.execute(insert(events).values(at=now, kind="k", subject="s", actor="a", text="ÿ✓"))
    assert count(store) == 1
    store.close()


def test_a_full_disk_is_told_in_words_and_what_was_there_stays(tmp_path: Path, now: datetime) -> None:
    store = Store.at(f"sqlite:///{tmp_path}/farm.db")
    migrate(store)
    note(store, now)
    store.close()
    full = Store.at(f"sqlite:///{tmp_path}/farm.db")

    @event.listens_for(full.engine, "connect")
    def no_more(raw: Any, _record: object) -> None:
        raw.execute("PRAGMA max_page_count=1")  # SQLite takes what there is: not one page more

    with pytest.raises(NoSpace, match=r"no space left for the database .*farm\.db: make room"):
        note(full, now, "x" * 200_000)
    assert count(full) >= 1
    full.close()


def test_a_database_that_does_not_answer_is_told_in_words(tmp_path: Path, now: datetime) -> None:
    store = Store.at(f"sqlite:///{tmp_path}/nowhere/farm.db")
    with pytest.raises(DatabaseUnreachable, match=r"the database .*farm\.db cannot be used now: unable to open"):
        note(store, now)
