"""Every way that the smallest worlds can go. `python -m tests.simulation --small-worlds` goes those of larger ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farmgate import lanes as rules
from farmgate.lanes import cutting
from tests.simulation.memory import quick
from tests.simulation.small_worlds import World, search, worlds
from tests.simulation.stories import shorten

QUIET = {"crash": False, "twice": False}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


def test_whichever_way_a_world_of_one_commit_goes_all_that_must_hold_holds() -> None:
    for world in (World(1, 0, **QUIET), World(1, 1, **QUIET)):
        found = search(world)
        assert found.broken is None, f"{world.words}: {found.broken}"
        assert found.whole
        assert found.ends > 1
        assert found.steps > found.states > 10


def test_a_death_is_tried_at_every_write_of_a_moment() -> None:
    found = search(World(1, twice=False, rollback=False), most_steps=60)
    assert found.broken is None
    assert found.crashes > 10


def test_a_rule_that_is_broken_is_found_and_told_as_a_short_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "gate", lambda view: rules.eligible.Gate())
    found = search(World(1, 1, rollback=False, **QUIET))
    assert found.broken is not None
    short = shorten(found.broken)
    assert "holds a commit of the ban of" in (short.broken or "")
    assert sum("push" in line for line in short.story.lines) == 1


def test_worlds_have_up_to_so_many_commits_one_of_which_may_be_ill() -> None:
    assert [(each.ill, each.asks) for each in worlds(1)] == [(0, False), (1, False), (0, True), (1, True)]
    assert len({each.words for each in worlds(4)}) == 2 * (2 + 3 + 4 + 5)
