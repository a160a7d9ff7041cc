"""Every way that a small world can go: up to four commits, one crash, one thing twice, an approval, a rollback.

Rules:
1. A world is so many commits, at most one of which is ill, a lane that asks nobody or one person, and what may happen
   once: a crash, a repetition, a rollback, an approval for each commit. Each may happen at every moment, or not at all.
2. A moment is one look of the deploy loop, and the time until it wants to look again. A crash is tried at every write
   of a look, before and after it is kept, and after every call of a target.
3. Two worlds are one if their rows are the same, save for what nobody decides by: events, the hour, how long ago it was
   that something ended, and the number of an epoch that is the newest. What follows from a world that was seen is not
   followed again.
4. All that must hold is asked after each step; where nothing goes on by itself, what may be live is.
5. What breaks is told as a story, and cut down to its shortest form.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from farmgate import states
from farmgate.store import schema as t
from tests.simulation.acts import act
from tests.simulation.doors import Line
from tests.simulation.farm import LEASE, Farm
from tests.simulation.look import Broken, Watcher
from tests.simulation.memory import raw
from tests.simulation.stories import Story, Told, all_live, quiet

MOST_COMMITS: Final = 4
_FAR: Final = timedelta(hours=3)
_LANE: Final = "production"
_TABLES: Final = (
    t.lanes,
    t.branch_commits,
    t.candidates,
    t.approvals,
    t.holds,
    t.bans,
    t.searches,
    t.releases,
    t.rollouts,
    t.rollout_commits,
    t.batch_looks,
)
_SAME: Final = frozenset({"policy"})
"""Never changed in these worlds."""
_LOOP: Final = ("_lease", "_busy", "_tended", "_lanes", "_trouble")
"""What a deploy process has in memory."""


@dataclass(frozen=True, slots=True)
class World:
    """`ill`: which of the commits breaks production, from 1; 0: none."""

    commits: int
    ill: int = 0
    asks: bool = False
    crash: bool = True
    twice: bool = True
    rollback: bool = True

    @property
    def words(self) -> str:
        many = "1 commit" if self.commits == 1 else f"{self.commits} commits"
        ill = f"number {self.ill} ill" if self.ill else "none ill"
        return f"{many}, {ill}, {'a person is asked' if self.asks else 'nobody is asked'}"

    @property
    def farm(self) -> dict[str, Any]:
        policy: dict[str, Any] = {"waves": [100], "soak": 30, "settle": 0}
        return {"policy": policy | ({"approvals": {"count": 1}} if self.asks else {})}


def worlds(most: int = MOST_COMMITS) -> Iterator[World]:
    """Rule 1, the smallest first."""
    for commits in range(1, most + 1):
        for asks in (False, True):
            for ill in range(commits + 1):
                yield World(commits, ill, asks)


@dataclass(frozen=True, slots=True)
class Left:
    """What may still happen. `again`: the lines of which one may come twice."""

    commits: int
    approvals: int
    rollback: bool
    crash: bool
    twice: bool
    again: tuple[str, ...] = ()


@dataclass(slots=True)
class Searched:
    """How a search went. `states`: different worlds; `steps`: ways between them that were gone."""

    states: int = 0
    steps: int = 0
    crashes: int = 0
    ends: int = 0
    broken: Told | None = None
    whole: bool = True


@dataclass(slots=True)
class _Saved:
    rows: bytes
    farm: dict[str, Any]
    now: datetime
    lines: tuple[Line, ...]
    left: Left


Ways = Generator[tuple[tuple[Line, ...], Left], bool, None]
"""What may happen next; it is told of each whether it did happen."""


def search(world: World, most_steps: int | None = None) -> Searched:
    """Every way that a world can go; `most_steps`: give up after so many, which is told."""
    farm = Farm(**world.farm)
    farm.watch = Watcher()
    told, seen = Searched(), set[bytes]()
    farm.asks_again = LEASE + timedelta(seconds=1)
    approvals = world.commits + 1 if world.asks else 0  # the branch's first commit is agreed to as well
    begin = _save(farm, (), Left(world.commits, approvals, world.rollback, world.crash, world.twice))
    seen.add(fingerprint(farm, begin.left))
    ways: list[tuple[_Saved, Ways, list[bool]]] = [(begin, _next(world, begin.left), [])]
    while ways:
        at, following, happened = ways[-1]
        try:
            lines, left = following.send(happened.pop()) if happened else next(following)
        except StopIteration:
            ways.pop()
            continue
        if most_steps is not None and told.steps >= most_steps:
            told.whole = False
            break
        try:
            it_did = _go(farm, at, lines)
            told.steps += 1
            told.crashes += it_did and len(lines) > 1
            happened.append(it_did)
            if not it_did:
                continue
            mark = fingerprint(farm, left)
            if mark in seen:
                continue
            seen.add(mark)
            told.states = len(seen)
            told.ends += _ends_well(world, farm)
        except Exception as error:  # noqa: BLE001 - whatever breaks, breaks the world
            words = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            told.broken = Told(Story(world.farm, (*at.lines, *lines)), words)
            return told
        ways.append((_save(farm, (*at.lines, *lines), left), _next(world, left), []))
    return told


def _next(world: World, left: Left) -> Ways:
    """Everything that may happen now, each with what may happen after it."""
    yield ({"moment": 1},), left
    for line, after in _acts(world, left):
        twice = (*left.again, json.dumps(line)) if left.twice else ()
        yield (line,), replace(after, again=twice)
    for said in map(json.loads, left.again):
        yield ({"again": said["push"][0]} if "push" in said else said,), replace(left, twice=False, again=())
    if left.crash:
        yield from _crashes(replace(left, crash=False))


def _crashes(left: Left) -> Ways:
    """Rule 2: until one is too late to happen in this moment."""
    for kind, before in (("at_write", True), ("at_write", False), ("at_call", False)):
        trap: dict[str, Any] = {"before": True} if before else {}
        number, happened = 0, True
        while happened:
            number += 1
            happened = yield ({kind: number, "do": "die", **trap}, {"moment": 1}), left


def _acts(world: World, left: Left) -> Iterator[tuple[Line, Left]]:
    if left.commits:
        number = world.commits - left.commits + 1
        breaks = {"breaks": {f"c{number}": [_LANE]}} if number == world.ill else {}
        yield {"push": [f"c{number}"], **breaks}, replace(left, commits=left.commits - 1)
    if left.approvals:
        yield {"approve": _LANE, "by": "alice"}, replace(left, approvals=left.approvals - 1)
    if left.rollback:
        yield {"rollback": _LANE}, replace(left, rollback=False)


def _go(farm: Farm, at: _Saved, lines: tuple[Line, ...]) -> bool:
    """False: it could not happen, and the world is as it was."""
    _load(farm, at)
    refused = [line for line in lines if not act(farm, line)]
    farm.look()
    return not refused and not farm.traps


def _ends_well(world: World, farm: Farm) -> bool:
    """True where nothing goes on by itself. Raises Broken if something that may be live is not (rule 4)."""
    if not quiet(farm):
        return False
    missing = [] if world.asks and farm.live_in(_LANE) != farm.head else all_live(farm, _LANE)
    if missing:
        raise Broken("\n".join(missing))
    return True


# --- a world kept ----------------------------------------------------------------------------------------------------


def _save(farm: Farm, lines: tuple[Line, ...], left: Left) -> _Saved:
    (loop,) = farm.loops
    kept = {
        "known": dict(farm.known),
        "by_sha": dict(farm.by_sha),
        "head": farm.head,
        "doubtful": set(farm.doubtful),
        "woken": set(farm.signals.woken),
        "place": _place(farm),
        "loop": {name: copy.copy(getattr(loop.deployer, name)) for name in _LOOP},
        "watch": copy.deepcopy(farm.watch),
    }
    with farm.store.engine.connect() as connection:
        return _Saved(raw(connection).serialize(), kept, farm.clock.now(), lines, left)


def _place(farm: Farm) -> dict[str, Any]:
    place = farm.places[_LANE]
    return {"epoch": place.epoch, "up": dict(place.up), "shares": dict(place.shares), "finished": place.finished}


def _load(farm: Farm, saved: _Saved) -> None:
    kept = saved.farm
    farm.load(saved.rows, saved.now)
    farm.known, farm.by_sha, farm.head = dict(kept["known"]), dict(kept["by_sha"]), kept["head"]
    farm.doubtful, farm.traps = set(kept["doubtful"]), []
    farm.signals.woken = set(kept["woken"])
    for name, value in kept["place"].items():
        setattr(farm.places[_LANE], name, copy.copy(value))
    farm.watch = copy.deepcopy(kept["watch"])
    (loop,) = farm.loops
    loop.deployer = farm.begin()
    for name, value in kept["loop"].items():
        setattr(loop.deployer, name, copy.copy(value))


# --- when two are one ------------------------------------------------------------------------------------------------


def fingerprint(farm: Farm, left: Left) -> bytes:
    """Rule 3."""
    now = farm.clock.now()
    (loop,) = farm.loops
    lease = loop.deployer._lease
    newest = max(farm.places[_LANE].epoch, lease.epoch if lease is not None else 0)
    with farm.store.reading() as connection:
        found: list[Any] = [_row(row, now, newest) for table in _TABLES for row in connection.execute(select(table))]
        under_way = select(t.journal).join(t.rollouts, t.rollouts.c.id == t.journal.c.rollout_id)
        open_now = t.rollouts.c.state.in_(states.open_states(states.Rollout))
        found += [_row(row, now, newest) for row in connection.execute(under_way.where(open_now))]
        held = connection.execute(select(t.leaders.c.until)).scalar()
    place = _place(farm)
    memory = (
        lease is not None and now < lease.until,
        None if held is None else held > now,
        sorted(loop.deployer._trouble),
        sorted(farm.signals.woken),
    )
    at = (place["up"], place["shares"], place["finished"], sorted(farm.doubtful), farm.head)
    told = repr((found, memory, at, left)).encode()
    return hashlib.blake2b(told, digest_size=16).digest()


def _row(row: Any, now: datetime, newest: int) -> list[Any]:
    values = row._mapping
    state = values.get("state")
    goes_on = "key" in values or (state is not None and not states.is_final(state))
    return [_value(name, value, now, newest, goes_on) for name, value in values.items() if name not in _SAME]


def _value(name: str, value: Any, now: datetime, newest: int, goes_on: bool) -> Any:
    """`goes_on`: how long ago something was matters."""
    if isinstance(value, datetime):
        ahead = value - now
        if not goes_on and ahead <= timedelta(0):
            return "over"
        return round(ahead.total_seconds()) if ahead < _FAR else "far ahead"
    if name == "epoch":
        return value == newest if goes_on else ""
    if isinstance(value, Mapping):
        parts = sorted(value.items())
        return {key: _value(key, each, now, newest, goes_on) for key, each in parts if key not in _SAME}
    return value
