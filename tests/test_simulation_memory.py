"""A store that is read by memory is the store: nothing that is remembered is stale."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from farmgate.store import holds, lanes
from farmgate.store.schema import holds as holds_table
from tests.simulation.farm import Farm
from tests.simulation.memory import quick
from tests.simulation.stories import tell

TOLD = (2, 3)


@pytest.mark.parametrize("seed", TOLD)
def test_stories_go_the_same_way_whether_reads_are_remembered_or_not(seed: int) -> None:
    plain = tell(seed)
    with quick():
        assert tell(seed) == plain


def test_what_was_read_is_read_again_after_a_write_and_when_its_time_is_over() -> None:
    with quick():
        farm = Farm()
        lane, now = farm.ids["production"], farm.clock.now()
        with farm.store.reading() as connection:
            assert holds.ahead(connection, lane, now) == []
        with farm.store.writing() as connection:
            holds.place(connection, lane, "not today", "alice", now, now + timedelta(minutes=5))
        with farm.store.reading() as connection:
            first = holds.ahead(connection, lane, now)
            assert [each.reason for each in first] == ["not today"]
            assert holds.ahead(connection, lane, now + timedelta(minutes=4)) is first, "nothing changed: not read again"
            assert holds.ahead(connection, lane, now + timedelta(minutes=5)) == []
        with farm.store.writing() as connection:
            connection.execute(update(holds_table).values(reason="not now"))
        with farm.store.reading() as connection:
            assert [each.reason for each in holds.ahead(connection, lane, now)] == ["not now"]


def test_a_write_that_is_taken_back_is_forgotten_as_well() -> None:
    with quick():
        farm = Farm()
        lane, now = farm.ids["production"], farm.clock.now()
        with pytest.raises(ZeroDivisionError):
            _hold_and_fail(farm, lane)
        with farm.store.reading() as connection:
            assert holds.ahead(connection, lane, now) == []


def _hold_and_fail(farm: Farm, lane: int) -> None:
    now = farm.clock.now()
    with farm.store.writing() as connection:
        holds.place(connection, lane, "not today", "alice", now)
        assert len(holds.ahead(connection, lane, now)) == 1
        raise ZeroDivisionError


def test_a_look_that_writes_is_refused() -> None:
    farm = Farm()
    with pytest.raises(AssertionError, match="a look wrote"), farm.store.reading() as connection:
        lanes.take(connection, farm.ids["production"], 7)
