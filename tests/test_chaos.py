"""Anything in any order: pushes, breakages, people and faults as dice say; when faults stop, everything drains (I11).

`--seeds 200` tries half of that, more than usual; a seed that fails is a story to be told in tests/scenarios.
"""

from __future__ import annotations

import pytest

from farmgate.store import lanes, releases
from tests.world import World

ACTIONS = 24
FAULTS: tuple[str, ...] = (
    "kill_worker",
    "sleep_worker",
    "wake_worker",
    "deafen_worker",
    "kill_scheduler",
    "fuse_scheduler",
)
FAULTS += ("kill_deploy", "fuse_deploy", "fuse_target", "stall_deploy", "lose_bells", "duplicate_bells", "flush_redis")
FAULTS += ("cut_redis", "cut_git", "lose_signals", "stop_faults", "stop_faults")
PEOPLE: tuple[str, ...] = (
    "push",
    "push",
    "push",
    "push",
    "push",
    "push",
    "revert",
    "force",
    "rollback",
    "hold",
    "lift_hold",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # Half as many as of delivery alone: the whole farm's story costs ten times as much.
        metafunc.parametrize("seed", range(metafunc.config.getoption("seeds") // 2))


@pytest.mark.slow
def test_whatever_happens_the_farm_drains_and_nothing_is_lost_or_doubled(seed: int) -> None:
    lanes_there = [("production",), ("staging", "production")][seed % 2]
    world = World(seed=seed, nodes=1 + seed % 3, slots=2, build_minutes=1, rollout_minutes=2, lanes=lanes_there)
    for number in range(ACTIONS):
        happens(world, number, world.dice.choice(PEOPLE if world.dice.random() < 0.5 else FAULTS))
        world.advance(world.dice.randint(0, 12) / 6)
    world.stop_faults()
    world.settle()
    for lane in world.lanes:
        world.lift_hold(lane)  # what the farm held by itself, and what people held
    world.settle()
    on_branch = {commit.sha for commit in world.history.first_parent(world.history.resolve("main"), limit=10_000)}
    names = {world.names[sha] for sha in on_branch}
    assert {name: count for name, count in world.runs_per_commit.items() if name in names and count != 1} == {}
    assert {world.answer(name) for name in names} <= {"passed", "failed", "lost"}
    assert len(world.attempts) == len(set(world.attempts)), "a step ran twice"
    for lane in world.lanes:
        assert serving(world, lane) == world.live_in(lane), "the place serves something else than the store says"


def serving(world: World, lane: str) -> str | None:
    place = world.places.of_lane[lane].serving
    assert len(place) <= 1
    return next((world.names[sha] for sha, share in place.items() if share == 100), None)


def happens(world: World, number: int, what: str) -> None:
    dice = world.dice
    lane = dice.choice(world.lanes)
    worker = dice.randint(1, len(world.workers))
    match what:
        case "push":
            names = [f"c{number}-{at}" for at in range(dice.randint(1, 5))]
            world.push(
                *names,
                breaks_tests=[name for name in names if dice.random() < 0.15],
                breaks_production=[name for name in names if dice.random() < 0.1],
                breaks_staging=[name for name in names if dice.random() < 0.1],
                webhook=dice.choice(("once", "once", "twice", "lost")),
            )
        case "revert":
            standing = sorted({name for each in world.lanes for name in world.banned_in(each)})
            if standing and f"revert-{standing[0]}" not in world.shas:
                world.revert(standing[0])
        case "force":
            line = world.history.first_parent(world.history.resolve("main"), limit=4)
            world.force(world.names[line[0].sha], f"f{number}")
        case "rollback":
            with world.store.reading() as connection:
                found = lanes.by_name(connection, "shop", lane)
                live = releases.live_of(connection, found.id)
                possible = live is not None and releases.before(connection, live) is not None
            if possible:
                world.rollback(lane)
        case "hold":
            world.hold(lane, minutes=dice.randint(1, 20))
        case "lift_hold":
            world.lift_hold(lane)
        case "kill_worker" | "sleep_worker" | "wake_worker" | "deafen_worker":
            getattr(world, what)(worker)
        case "kill_scheduler" | "kill_deploy":
            getattr(world, what)(minutes=dice.randint(0, 3))
        case "fuse_scheduler":
            world.kill_scheduler(after_writes=dice.randint(1, 12), before_commit=dice.random() < 0.5)
        case "fuse_deploy":
            world.kill_deploy(after_writes=dice.randint(1, 12), before_commit=dice.random() < 0.5)
        case "fuse_target":
            world.kill_deploy(after_calls=dice.randint(1, 4))
        case "stall_deploy":
            world.stall_deploy(dice.choice(("prepare", "shift", "finish", "restore")))
        case "lose_bells" | "duplicate_bells":
            getattr(world, what)(dice.random())
        case "lose_signals":
            world.signals.lost = True
        case _:
            getattr(world, what)()
