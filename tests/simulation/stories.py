"""Random stories of delivery: a seed is a story, a story that fails is cut down to its shortest form.

Rules:
1. The same seed tells the same story.
2. A story ends well: faults stop, holds are lifted, questions are answered, whoever is asked agrees, and within some
   days all that may be live is.
3. A line that cannot happen does nothing, so that any part of a story is one: that is how it is cut down.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from farmgate import lanes as rules
from farmgate.store import bans, lane_views, lanes, made, rollouts, searches
from tests.simulated import Dice
from tests.simulation.acts import act, asking
from tests.simulation.doors import Line
from tests.simulation.farm import PEOPLE, Farm
from tests.simulation.hotfixes import make
from tests.simulation.look import Broken, Watcher, late
from tests.simulation.teller import Teller, setting_of

SOON: Final = timedelta(hours=30)
"""What goes on by itself within this: a window that opens once a day may miss the day on which clocks change."""
REST: Final = timedelta(days=4)
"""How long after the last fault all must be live: windows open once a day, and hold several rollouts apart."""


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
    setting = setting_of(dice)
    teller = Teller(dice)
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


def _tell_on(teller: Teller, farm: Farm, lines: list[Line]) -> None:
    for _ in range(teller.length):
        line = teller.next(farm)
        lines.append(line)
        act(farm, line)
        farm.look()


def _play(setting: dict[str, Any], happen: Callable[[Farm, list[Line]], None]) -> Told:
    lines: list[Line] = []
    watcher = Watcher()
    farm = Farm(**setting)
    farm.watch, farm.make = watcher, functools.partial(make, farm)
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
        place.gone.clear()
    farm.historian_away = False
    for name in sorted(farm.late_red):
        act(farm, {"green_again": name})
    del farm.loops[1:]
    farm.loops[0].away = farm.loops[0].dead = None
    for person in PEOPLE:
        act(farm, {"gets_right": person})
    act(farm, {"go_on": "all"})
    until = farm.clock.now() + REST
    for _ in range(8):
        for lane in farm.lanes:
            act(farm, {"lift_hold": lane})
        farm.advance(1)  # whoever has not looked since what happened last
        while _agree(farm) or not quiet(farm):
            for lane in farm.lanes:
                if asking(farm, lane):
                    act(farm, {"decide": "good" if _before_its_start(farm, lane) else "sick", "lane": lane})
            if farm.clock.now() > until:
                raise Broken(f"it does not come to rest: {[farm.outcomes_in(lane)[-5:] for lane in farm.lanes]}")
            farm.advance(60 if _busy(farm) else 1100)  # whoever is asked has twenty minutes
        if not any(_held(farm, lane) for lane in farm.lanes):
            break
    found = [*late(farm), *itertools.chain.from_iterable(all_live(farm, lane) for lane in farm.lanes)]
    if found:
        raise Broken("\n".join(found))


def _agree(farm: Farm) -> bool:
    """Everyone who may agrees to what is next, and what live hotfixes brought is said to be in the head of the branch;
    True if that says anything new."""
    farm.looked.clear()
    given = False
    for name in farm.lanes:
        with farm.store.reading() as connection:
            brought = lane_views.view(connection, farm.lane(connection, name), farm.clock.now()).brought
            asks = lanes.policy_of(farm.lane(connection, name)).approvals
        if any(each.at is None for each in brought):
            given = act(farm, {"contained": name, "by": farm.head}) or given
        for person in PEOPLE if asks is not None else ():
            given = act(farm, {"approve": name, "by": person}) or given
    return given


def _before_its_start(farm: Farm, lane: str) -> bool:
    """It asks whether it may start at all."""
    return not any(entry.key.startswith("prepare") for entry in farm.journal_in(lane))


def _busy(farm: Farm) -> bool:
    """Something is under way, or soon will be."""
    with farm.store.reading() as connection:
        return bool(farm.green) or any(rollouts.active_of(connection, lane) for lane in farm.ids.values())


def quiet(farm: Farm) -> bool:
    """Nothing is under way, and nothing goes on by itself."""
    if farm.green:
        return False
    with farm.store.reading() as connection:
        for name in farm.lanes:
            lane = farm.lane(connection, name)
            if lane.rollback is not None or rollouts.active_of(connection, lane.id) is not None:
                return False
            if made.open_of(connection, lane.id) is not None:
                return False
            if searches.open_of(connection, lane.id) is not None and not _stopped(farm, name):
                return False
            now = farm.clock.now()
            decided = rules.cut(lane_views.view(connection, lane, now), now)
            if not isinstance(decided, rules.Wait) or (decided.until is not None and decided.until < now + SOON):
                return False
    return True


def _stopped(farm: Farm, name: str) -> bool:
    return _held(farm, name)


def _held(farm: Farm, name: str) -> bool:
    with farm.store.reading() as connection:
        view = lane_views.view(connection, farm.lane(connection, name), farm.clock.now())
    return bool(view.holds)


def all_live(farm: Farm, name: str) -> list[str]:
    """The newest commit that may be live is, by the story's own knowledge; where bans stand, they stand for a cause."""
    if _held(farm, name):
        return []
    live = farm.live_in(name)
    with farm.store.reading() as connection:
        followed = [lane for lane in farm.lanes if lane != name and (name == "production" or farm.together)]
        banned = any(bans.standing(connection, farm.ids[lane]) for lane in (name, *followed))
    if banned:
        return []
    newest = next((each.name for each in reversed(farm.line()) if not each.red), None)
    follows = farm.policies[name].follows
    if follows and any(farm.live_in(lane) != newest for lane in follows):
        return []
    if live is not None and live not in {each.name for each in farm.line()} and newest is not None:
        past = farm.past(farm.known[live].sha)  # a forced push dropped it: what is left may be all in it
        if farm.known[newest].sha in past:
            return []
    return [] if live == newest else [f"{name}: {newest} may be live, and live is {live}"]
