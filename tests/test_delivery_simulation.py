"""Stories of delivery, drawn by dice and kept: after each step everything that must hold is asked.

`--seeds 200` tells more than the usual number; `python -m tests.simulation` tells thousands, and cuts down what breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from farmgate import lanes as rules
from farmgate.lanes import cutting
from tests.simulation.acts import ACTS
from tests.simulation.memory import quick
from tests.simulation.stories import Story, retell, shorten, tell

STORIES = sorted((Path(__file__).parent / "scenarios" / "delivery").glob("*.yml"))


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("seeds")))


def test_whatever_happens_to_delivery_all_that_must_hold_holds(seed: int) -> None:
    told = tell(seed)
    assert told.broken is None, f"seed {seed}: `python -m tests.simulation --first {seed} --seeds 1`\n{told.broken}"


def test_a_story_that_broke_once_does_not_break_again() -> None:
    assert STORIES
    for story in STORIES:
        kept = yaml.safe_load(story.read_text())
        assert set(kept) == {"says", "farm", "do"}
        assert all(set(line) & set(ACTS) for line in kept["do"])
        assert retell(Story(kept["farm"], tuple(kept["do"]))).broken is None, f"{story.name}: {kept['says']}"


BANNED = (
    {"push": ["a", "b", "c"], "breaks": {"b": ["production"]}},
    {"advance": 900},
    {"push": ["d"]},
    {"hold": "production"},
    {"advance": 300},
)


def test_a_rule_that_is_broken_is_seen_and_its_story_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "gate", lambda view: rules.eligible.Gate())
    told = retell(Story({"policy": {"waves": [100]}}, BANNED))
    assert told.broken is not None
    assert "holds a commit of the ban of" in told.broken
    short = shorten(told)
    assert short.broken is not None
    assert {"hold": "production"} not in short.story.lines
    assert len(short.story.lines) < len(BANNED)


def test_a_hold_that_does_not_hold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "stopped_by", _but_holds)
    told = retell(Story({}, ({"hold": "production"}, {"push": ["a"]}, {"advance": 300})))
    assert told.broken is not None
    assert "although alice held the lane" in told.broken


_stopped_by = cutting.stopped_by


def _but_holds(view: rules.LaneView, now: object) -> tuple[rules.Reason, ...]:
    return tuple(each for each in _stopped_by(view, now) if each.kind is not rules.Why.HOLD)  # type: ignore[arg-type]


def test_the_same_seed_tells_the_same_story() -> None:
    assert tell(3) == tell(3)
