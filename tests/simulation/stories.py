"""Random stories of delivery: a seed is a story, a story that fails is cut down to its shortest form.

Rules:
1. The same seed tells the same story.
2. A story ends well: faults stop, holds are lifted, questions are answered, and within a day all that may be live is.
3. A line that cannot happen does nothing, so that any part of a story is one: that is how it is cut down.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from farmgate import lanes as rules
from farmgate.store import bans, lane_views, rollouts, searches
from tests.simulated import Dice
from tests.simulation.acts import Line, act, asking
from tests.simulation.farm import Farm
from tests.simulation.look import Broken, Watcher, late

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Story:
    """How the farm is set up, and what happens."""

    farm: dict[str, Any]
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Told:
    """How a story went: what broke, if anything did."""

    story: Story
    broken: str | None = None
    looks: int = 0
    rollouts: int = 0


def tell(seed: int) -> Told:
    """The story of a seed."""
    dice = Dice(seed)
    setting = _setting(dice)
    teller = _Teller(dice)
    return _play(setting, lambda farm, lines: _tell_on(teller, farm, lines))


def retell(story: Story) -> Told:
    """The same lines again."""
    return _play(story.farm, lambda farm, lines: _follow(story.lines, farm, lines))


def shorten(told: Told, tries: int = 400) -> Told:
    """The shortest part of a story that still breaks."""
    best, part = told, max(1, len(told.story.lines) // 2)
    while part >= 1 and tries > 0:
        at = 0
        while at < len(best.story.lines) and tries > 0:
            lines = best.story.lines
            tries -= 1
            again = retell(Story(best.story.farm, (*lines[:at], *lines[at + part :])))
            if again.broken is not None:
                best = again
            else:
                at += part
        part //= 2
    return best


def _follow(story: Sequence[Line], farm: Farm, lines: list[Line]) -> None:
    for line in story:
        lines.append(line)
        act(farm, line)
        farm.look()


def _tell_on(teller: _Teller, farm: Farm, lines: list[Line]) -> None:
    for _ in range(teller.length):
        line = teller.next(farm)
        lines.append(line)
        act(farm, line)
        farm.look()


def _play(setting: dict[str, Any], happen: Callable[[Farm, list[Line]], None]) -> Told:
    lines: list[Line] = []
    watcher = Watcher()
    farm = Farm(**setting)
    farm.watch = watcher
    broken = None
    try:
        happen(farm, lines)
        end(farm)
    except Broken as error:
        broken = str(error)
    except Exception as error:  # noqa: BLE001 - whatever breaks, breaks the story
        broken = f"{type(error).__name__}: {error}"
    many = sum(len(farm.rollouts_in(lane)) for lane in farm.lanes)
    return Told(Story(setting, tuple(lines)), broken, watcher.looks, many)


# --- the end ---------------------------------------------------------------------------------------------------------


def end(farm: Farm) -> None:
    """Rule 2."""
    farm.traps.clear()
    for place in farm.places.values():
        place.sick_whatever = place.restore_fails = False
        place.silent.clear()
        place.faults.clear()
    for loop in farm.loops:
        loop.away = loop.dead = None
    until = farm.clock.now() + DAY
    for _ in range(8):
        for lane in farm.lanes:
            act(farm, {"lift_hold": lane})
        while not _quiet(farm):
            for lane in farm.lanes:
                if asking(farm, lane):
                    act(farm, {"decide": "sick", "lane": lane})
            if farm.clock.now() > until:
                raise Broken(f"it does not come to rest: {[farm.outcomes_in(lane)[-5:] for lane in farm.lanes]}")
            farm.advance(60)
        if not any(_held(farm, lane) for lane in farm.lanes):
            break
    found = [*late(farm), *itertools.chain.from_iterable(_all_live(farm, lane) for lane in farm.lanes)]
    if found:
        raise Broken("\n".join(found))


def _quiet(farm: Farm) -> bool:
    """Nothing is under way, and nothing goes on by itself."""
    if farm.green:
        return False
    with farm.store.reading() as connection:
        for name in farm.lanes:
            lane = farm.lane(connection, name)
            if lane.rollback is not None or rollouts.active_of(connection, lane.id) is not None:
                return False
            if searches.open_of(connection, lane.id) is not None and not _stopped(farm, name):
                return False
            now = farm.clock.now()
            decided = rules.cut(lane_views.view(connection, lane, now), now)
            if not isinstance(decided, rules.Wait) or (decided.until is not None and decided.until < now + DAY):
                return False
    return True


def _stopped(farm: Farm, name: str) -> bool:
    return _held(farm, name)


def _held(farm: Farm, name: str) -> bool:
    with farm.store.reading() as connection:
        view = lane_views.view(connection, farm.lane(connection, name), farm.clock.now())
    return bool(view.holds)


def _all_live(farm: Farm, name: str) -> list[str]:
    """The newest commit that may be live is, by the story's own knowledge; where bans stand, they stand for a cause."""
    if _held(farm, name):
        return []
    live = farm.live_in(name)
    with farm.store.reading() as connection:
        followed = [lane for lane in farm.lanes if lane != name and name == "production"]
        banned = any(bans.standing(connection, farm.ids[lane]) for lane in (name, *followed))
    if banned:
        return []
    newest = next((each.name for each in reversed(farm.line()) if not each.red), None)
    follows = farm.policies[name].follows
    if follows and any(farm.live_in(lane) != newest for lane in follows):
        return []
    return [] if live == newest else [f"{name}: {newest} may be live, and live is {live}"]


# --- dice ------------------------------------------------------------------------------------------------------------


def _setting(dice: Dice) -> dict[str, Any]:
    lanes = ["production"] if dice.random() < 0.6 else ["staging", "production"]
    policy: dict[str, Any] = {"waves": dice.choice(([100], [20, 100])), "soak": dice.choice((0, 30, 60))}
    policy["settle"] = dice.choice((0, 10, 60))
    if dice.random() < 0.3:
        policy["max_commits"] = dice.randint(1, 4)
    if dice.random() < 0.3:
        policy["minimum_interval"] = dice.choice((30, 120))
    return {"lanes_there": lanes, "loops": dice.randint(1, 2), "policy": policy}


@dataclass
class _Teller:
    """Draws the next line from what could happen; each story has its own rates."""

    dice: Dice
    made: int = 0
    _weights: list[tuple[Callable[[Farm], Line | None], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        dice = self.dice
        self.length = dice.randint(6, 22)
        self.breakage, self.red = dice.choice((0.05, 0.2, 0.5)), dice.choice((0, 0.2))
        wild = dice.choice((0.0, 0.5, 2.0))
        self._weights = [
            (self._push, 4),
            (self._advance, 5),
            (self._mend, 1),
            (self._force, 0.5),
            (self._person, 2),
            (self._policy, 0.5),
            (self._process, 2 * wild),
            (self._place, 1 * wild),
            (self._again, 0.2),
        ]

    def next(self, farm: Farm) -> Line:
        makers, weights = zip(*self._weights, strict=True)
        while True:
            line: Line | None = self.dice.choices(makers, weights)[0](farm)
            if line is not None:
                return line

    def _names(self, many: int) -> list[str]:
        self.made += many
        return [f"c{self.made - many + at + 1}" for at in range(many)]

    def _push(self, farm: Farm) -> Line:
        dice = self.dice
        names = self._names(dice.choice((1, 1, 2, 3, 5)))
        line: dict[str, Any] = {"push": names}
        ill = {name: [dice.choice(farm.lanes)] for name in names if dice.random() < self.breakage}
        if ill:
            line["stillborn" if dice.random() < 0.2 else "breaks"] = ill
        red = [name for name in names if name not in ill and dice.random() < self.red]
        if red:
            line["red"] = red
        later = {name: dice.randint(1, 200) for name in names if dice.random() < 0.4}
        if later:
            line["green"] = later
        return line

    def _advance(self, farm: Farm) -> Line:
        return {"advance": self.dice.choice((1, 20, 60, 60, 150, 300))}

    def _mend(self, farm: Farm) -> Line | None:
        on_branch = {each.name for each in farm.line()}
        with farm.store.reading() as connection:
            standing = [ban for lane in farm.lanes for ban in bans.standing(connection, farm.ids[lane])]
        names = sorted({farm.by_sha[ban.sha].name for ban in standing} & on_branch)
        mends = [name for name in sorted(on_branch) if name.startswith("mends-") and f"mends-{name}" not in farm.known]
        if mends and self.dice.random() < 0.2:
            return {"revert": self.dice.choice(mends)}
        verb: str = self.dice.choice(("revert", "fix"))
        return {verb: self.dice.choice(names)} if names else None

    def _force(self, farm: Farm) -> Line:
        return {"force": self.dice.randint(1, 4), "commits": self._names(self.dice.randint(0, 2))}

    def _person(self, farm: Farm) -> Line | None:
        dice = self.dice
        lane = dice.choice(farm.lanes)
        if asking(farm, lane) and dice.random() < 0.7:
            return {"decide": dice.choice(("good", "sick")), "lane": lane}
        match dice.choice(("hold", "lift_hold", "rollback", "rollback", "lift_ban")):
            case "hold":
                held: dict[str, Any] = {"hold": lane}
                return held | ({"minutes": dice.choice((1, 5))} if dice.random() < 0.7 else {})
            case "rollback":
                numbers = [each.number for each in farm.rollouts_in(lane) if each.state == "good"]
                to = {"to": dice.choice(numbers)} if numbers and dice.random() < 0.6 else {}
                return {"rollback": lane, **to}
            case verb:
                return {verb: lane}

    def _policy(self, farm: Farm) -> Line:
        dice = self.dice
        changes: dict[str, Any] = dice.choice(
            (
                {"max_commits": dice.choice((None, 1, 2, 3))},
                {"settle": dice.choice((0, 30))},
                {"minimum_interval": dice.choice((0, 60))},
                {"waves": dice.choice(([100], [50, 100], [10, 30, 100])), "soak": dice.choice((0, 30))},
            )
        )
        return {"policy": dice.choice(farm.lanes), **changes}

    def _process(self, farm: Farm) -> Line | None:
        dice = self.dice
        match dice.choice(("kill", "away", "write", "write", "write", "call", "call")):
            case "kill":
                return {"kill": dice.randint(0, 2), "minutes": dice.choice((0, 0, 1))}
            case "away":
                return {"away": dice.randint(0, 2), "minutes": dice.choice((0.2, 0.5, 2))}
            case "write":
                line: dict[str, Any] = {"at_write": dice.randint(1, 12), "before": dice.random() < 0.5}
                return line | {"do": self._meanwhile(farm)}
            case _:
                return {"at_call": dice.randint(1, 4), "do": self._meanwhile(farm)}

    def _meanwhile(self, farm: Farm) -> Line | str:
        what = self.dice.random()
        if what < 0.4:
            return "die"
        if what < 0.6:
            return "overtaken"
        maker = self.dice.choice((self._push, self._force, self._person, self._person, self._policy))
        return maker(farm) or "die"

    def _place(self, farm: Farm) -> Line | None:
        dice = self.dice
        lane = dice.choice(farm.lanes)
        place = farm.places[lane]
        if place.sick_whatever:
            return {"ends": lane}
        if place.restore_fails:
            return {"way_back": lane}
        match dice.choice(("outage", "silent", "speaks", "faults", "faults", "no_way_back")):
            case "outage":
                return {"outage": lane}
            case "silent":
                return {"silent": farm.head}
            case "speaks":
                silent = sorted(farm.by_sha[sha].name for sha in place.silent)
                return {"speaks": silent[0]} if silent else None
            case "faults":
                calls = ("prepare", "shift", "finish", "restore")
                return {"faults": dice.choice((1, 1, 2, 6)), "call": dice.choice(calls)}
            case _:
                return {"no_way_back": lane}

    def _again(self, farm: Farm) -> Line:
        return {"again": self.dice.choice(sorted(farm.known))}
