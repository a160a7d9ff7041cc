"""Each file in tests/scenarios is a story: what happens to the farm, and what must be true at the end.

A story `says` its rule, may set up its `farm`, then does one thing after the other and ends with what is true `then`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from farmgate import states
from farmgate.store import runs
from farmgate.store import schema as t
from tests.simulation.memory import quick
from tests.world import World

STORIES = sorted((Path(__file__).parent / "scenarios").glob("*.yml"))


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_a_story_ends_as_it_says(story: Path) -> None:
    told = yaml.safe_load(story.read_text())
    assert set(told) <= {"says", "farm", "do", "then"}
    world = World(**told.get("farm", {}))
    for line in told["do"]:
        act(world, line)
    expect(world, told["then"], told["says"])


def act(world: World, line: str | dict[str, Any]) -> None:
    """One line of a story: a verb, what it is done to, and how."""
    if isinstance(line, str):
        line = {line: None}
    (verb, what), *rest = line.items()
    more: dict[str, Any] = dict(rest)
    match verb:
        case "expect":
            expect(world, what, "on the way")
        case "push":
            names = [f"c{number}" for number in range(what["count"])] if isinstance(what, dict) else what
            silent = more.pop("silent_in_production", ())
            world.push(*names, **more)
            world.places.of_lane["production"].silent |= {world.shas[name] for name in silent}
        case "hotfix":
            world.hotfix(*what, **more)
        case "force":
            world.force(what["back_to"], *what["commits"])
        case "stream":
            for number in range(what["count"]):
                world.push(f"s{number}")
                world.advance(what["every_minutes"])
        case "everything_is_sick":
            world.places.of_lane["production"].sick_whatever = what
        case "speaks_again":
            world.places.of_lane["production"].silent.discard(world.shas[what])
        case "lose_signals":
            world.signals.lost = True
        case "scheduler_dies_at_every_write":
            world.keep_killing("scheduler")
        case "deploy_dies_at_every_write":
            world.keep_killing("deploy")
        case "deploy_dies_after_every_call":
            world.keep_killing("deploy", calls=True)
        case _:
            done: Callable[..., None] = getattr(world, verb)
            if what is None:
                done()
            elif more:
                done(what, **more)
            elif isinstance(what, dict):
                done(**what)
            else:
                done(what)


def expect(world: World, facts: Mapping[str, Any], says: str) -> None:
    """All the facts, each against what the world says."""
    for fact, wanted in facts.items():
        check(world, fact, wanted, f"{says}\n{fact}: wanted {wanted!r}")


def check(world: World, fact: str, wanted: Any, says: str) -> None:
    match fact:
        case "made":
            assert world.made_in() == wanted, says
        case "live_or_not":
            assert {name: world.whereabouts(name) for name in wanted} == wanted, says
        case "live" | "batches" | "outcomes":
            assert getattr(world, fact) == wanted, says
        case "banned":
            assert world.banned == set(wanted), says
        case "live_in":
            assert {lane: world.live_in(lane) for lane in wanted} == wanted, says
        case "banned_in":
            assert {lane: sorted(world.banned_in(lane)) for lane in wanted} == wanted, says
        case "answers":
            assert {name: world.answer(name) for name in wanted} == wanted, says
        case "why":
            for name, part in wanted.items():
                assert part in world.why(name), f"{says}\nsaid: {world.why(name)}"
        case "active":
            assert [each.state for each in world.rollouts_in() if not states.is_final(each.state)] == [wanted], says
        case "held":
            assert any(wanted in reason for reason in world.held), f"{says}\nheld: {world.held}"
        case "stuck":
            assert len([each for each in world.rollouts_in() if each.state == "stuck"]) == wanted, says
        case "pages":
            assert len(world.told("page")) == wanted, f"{says}\n{world.told('page')}"
        case "active_in":
            found = {lane: [each.state for each in world.rollouts_in(lane)][-1] for lane in wanted}
            assert found == wanted, f"{says}\n{found}"
        case "asks":
            said = [each.reason or "" for each in world.rollouts_in() if each.state == "asking"]
            assert any(wanted in reason for reason in said), f"{says}\nasked: {said}"
        case "told_of_ends":
            assert len(world.told("hold.ended")) == wanted, f"{says}\n{world.told('hold.ended')}"
        case "delivered_once":
            for lane in world.lanes:
                delivered_once(world, lane, wanted)
        case "delivered_once_in":
            for lane, names in wanted.items():
                delivered_once(world, lane, names)
        case "not_delivered":
            assert not set(wanted) & set(carried(world, world.lanes[-1])), says
        case "not_banned_ever":
            with world.store.reading() as connection:
                covered = {sha for row in connection.execute(select(t.bans.c.covers)) for sha in row.covers}
            assert not {world.shas[name] for name in wanted} & covered, says
        case "nothing_ran_on":
            assert not any(world.ran_on[name] for name in wanted), f"{says}\n{world.ran_on}"
        case "run_reasons":
            for name, part in wanted.items():
                with world.store.reading() as connection:
                    said = [run.reason or "" for run in runs.find(connection, sha=world.shas[name])]
                assert any(part in reason for reason in said), f"{says}\n{said}"
        case "ran_once":
            assert set(world.runs_per_commit.values()) == {1}, f"{says}\n{world.runs_per_commit}"
        case "runs_in_order":
            assert world.run_order == list(world.shas), says
        case "lost_attempts":
            assert lost_attempts(world) >= int(wanted.removeprefix("at least ")), says
        case "no_step_twice":
            assert len(world.attempts) == len(set(world.attempts)), says
        case "slowest_minutes_to_live":
            assert world.slowest_minutes_to_live() <= float(wanted.removeprefix("at most ")), says
        case _:
            pytest.fail(f"nobody knows the fact {fact!r}")


def carried(world: World, lane: str) -> Counter[str]:
    return Counter(name for batch in world.batches_in(lane) for name in batch)


def delivered_once(world: World, lane: str, names: list[str] | str) -> None:
    wanted = list(world.shas) if names == "all" else names
    found = carried(world, lane)
    assert {name: found[name] for name in wanted} == dict.fromkeys(wanted, 1), f"in {lane}"


def lost_attempts(world: World) -> int:
    with world.store.reading() as connection:
        lost = select(t.attempts.c.id).where(t.attempts.c.state == states.Attempt.LOST)
        return len(connection.execute(lost).all())
