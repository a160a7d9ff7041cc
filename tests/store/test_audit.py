"""The audit log on both databases: with the act or not at all, and one chain whoever writes."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Select, delete, select, update

from farmgate import audit as rules
from farmgate.audit import Anchor
from farmgate.models import AuditEntry
from farmgate.store import audit, events, schema
from farmgate.store.database import Store, many


class Changed(Exception):
    """Somebody changed their mind."""


def act(store: Store, now: datetime, text: str = "lunch") -> None:
    with store.writing() as connection:
        events.record(connection, now, "lane.held", "lane/shop/production", "ada", text)


def entries(store: Store) -> list[AuditEntry]:
    with store.reading() as connection:
        return list(audit.walk(connection))


def verified(store: Store) -> rules.Verified:
    with store.reading() as connection:
        return rules.verify(audit.walk(connection), head=audit.head(connection))


def test_an_act_and_its_entry_are_there_together(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        events.record(connection, now, "lane.policy", "lane/shop/production", "ada", "v2", before={"a": 1}, after=[2])
        assert audit.head(connection).number == 0, "the chain is continued at the end"
    (entry,) = entries(store)
    assert (entry.number, entry.kind, entry.actor, entry.text) == (1, "lane.policy", "ada", "v2")
    assert (entry.before, entry.after) == (rules.digest({"a": 1}), rules.digest([2]))
    assert entry.at == now


def test_an_act_that_is_rolled_back_has_no_entry(store: Store, now: datetime) -> None:
    def never() -> None:
        with store.writing() as connection:
            events.record(connection, now, "lane.held", "lane/shop/production", "ada", "never")
            raise Changed

    with pytest.raises(Changed):
        never()
    act(store, now, "after")
    assert [entry.text for entry in entries(store)] == ["after"]
    assert verified(store).bad is None


def test_an_act_of_a_savepoint_that_is_rolled_back_has_no_entry(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        events.record(connection, now, "lane.held", "lane/shop/production", "ada", "one")
        savepoint = connection.begin_nested()
        events.record(connection, now, "lane.held", "lane/shop/production", "ada", "never")
        savepoint.rollback()
        events.record(connection, now, "lane.held", "lane/shop/production", "ada", "two")
    assert [(entry.number, entry.text) for entry in entries(store)] == [(1, "one"), (2, "two")]
    assert verified(store).bad is None


def test_what_is_only_noticed_is_no_entry(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        events.record(connection, now, "job.lost", "job/1", "scheduler", "its worker is silent")
    assert entries(store) == []
    with store.reading() as connection:
        assert len(events.latest(connection)) == 1


def test_those_who_write_at_once_make_one_chain_and_never_wait_in_a_circle(store: Store, now: datetime) -> None:
    """Each takes two rows in an order of its own, with an act before and after: only the end of a commit is shared."""
    with store.writing() as connection:
        for name in ("a", "b"):
            connection.execute(schema.leaders.insert().values(name=name, holder="x", epoch=0, until=now))
    failed: list[Exception] = []

    def write(number: int) -> None:
        row = "ab"[number % 2]
        try:
            for _ in range(8):
                with store.writing() as connection:
                    events.record(connection, now, "lane.held", "lane/shop/production", f"w{number}", "before")
                    held = update(schema.leaders).where(schema.leaders.c.name == row)
                    connection.execute(held.values(epoch=schema.leaders.c.epoch + 1))
                    events.record(connection, now, "lane.held", "lane/shop/production", f"w{number}", "after")
        except Exception as error:  # noqa: BLE001  # told below
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    found = entries(store)
    assert [entry.number for entry in found] == list(range(1, 97))
    assert verified(store).bad is None
    pairs = {(one.text, two.text) for one, two in zip(found[::2], found[1::2], strict=True)}
    assert pairs == {("before", "after")}, "the acts of one transaction stand together"


def test_an_edit_and_a_gap_in_the_database_are_found(store: Store, now: datetime) -> None:
    for number in range(1, 6):
        act(store, now, f"lunch {number}")
    with store.writing() as connection:
        connection.execute(update(schema.audit).where(schema.audit.c.number == 4).values(actor="nobody"))
    assert verified(store).bad == 4
    with store.writing() as connection:
        connection.execute(delete(schema.audit).where(schema.audit.c.number == 2))
    assert verified(store).bad == 2
    with store.writing() as connection:
        connection.execute(delete(schema.audit).where(schema.audit.c.number > 1))
    found = verified(store)
    assert (found.bad, "the head tells of entry 5" in str(found.problem)) == (2, True)


def test_times_and_texts_verify_as_the_database_gives_them_back(store: Store, now: datetime) -> None:
    odd = now.replace(microsecond=1)
    with store.writing() as connection:
        events.record(connection, odd, "lane.held", "lane/ü/prod", "ada\u2028", "tab\t, \\ and 'quotes' \U0001f98a")
    assert verified(store).bad is None


def test_the_newest_come_first_and_are_filtered(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        events.record(connection, now, "lane.held", "lane/shop/production", "ada", "one")
        events.record(connection, now, "token.made", "token/7", "ada", "two")
        events.record(connection, now, "lane.released", "lane/shop_x/production", "bob", "three")
    with store.reading() as connection:
        assert [each.text for each in audit.latest(connection)] == ["three", "two", "one"]
        assert [each.text for each in audit.latest(connection, subject="lane/shop/")] == ["one"]
        assert [each.text for each in audit.latest(connection, kind="lane.")] == ["three", "one"]
        assert [each.text for each in audit.latest(connection, actor="ada", before=2)] == ["one"]
        assert audit.head(connection) == Anchor(3, many(connection, AuditEntry, _last())[0].hash)


def _last() -> Select[Any]:
    return select(schema.audit).where(schema.audit.c.number == 3)
