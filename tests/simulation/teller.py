"""Random stories: how the farm is set up, and what happens next, drawn by dice from what could happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.store import bans
from tests.simulated import Dice
from tests.simulation.acts import asking
from tests.simulation.doors import Line
from tests.simulation.farm import PEOPLE, Farm

_STARTS: Final = (
    "2026-01-01T00:00:00+00:00",
    "2026-03-29T00:40:00+00:00",  # twenty minutes before Berlin's clocks go from 2 to 3
    "2026-10-25T00:40:00+00:00",  # and from 3 to 2
    "2026-11-01T05:40:00+00:00",  # New York's, from 2 to 1
)
_WINDOWS: Final = (
    ["00:00", "01:45", "Europe/Berlin"],
    ["02:30", "03:10", "Europe/Berlin"],  # on one day it never opens, on another twice
    ["02:00", "03:00", "Europe/Berlin"],
    ["23:50", "00:20", "Etc/UTC"],
    ["01:30", "02:15", "America/New_York"],
    ["11:00", "09:30", "Asia/Kathmandu"],
)


def setting_of(dice: Dice) -> dict[str, Any]:
    lanes = ["production"] if dice.random() < 0.6 else ["staging", "production"]
    policy: dict[str, Any] = {"waves": dice.choice(([100], [20, 100])), "soak": dice.choice((0, 30, 60))}
    policy["settle"] = dice.choice((0, 10, 60))
    size = dice.random()
    if size < 0.3:
        policy["max_commits"] = dice.randint(1, 4)
    elif size < 0.4:
        policy["adaptive"] = [dice.randint(1, 3), 1, dice.randint(3, 6)]
    if dice.random() < 0.3:
        policy["minimum_interval"] = dice.choice((30, 120))
    if len(lanes) > 1 and dice.random() < 0.4:
        lanes = ["east", "west"] if dice.random() < 0.7 else ["east", "west", "north"]
    told: dict[str, Any] = {"lanes_there": lanes, "loops": dice.randint(1, 2), "policy": policy}
    if lanes[0] == "east":
        told["together"] = True
    if dice.random() < 0.3:
        policy["approvals"] = _approvals(dice)
    if dice.random() < 0.15:
        policy["budget"] = [dice.randint(1, 3), dice.choice((120, 600))]
    if dice.random() < 0.2:
        policy["windows"] = dice.sample(_WINDOWS, dice.randint(1, 2))
        told["starts"] = dice.choice(_STARTS)
    goes_on = dice.random()
    if goes_on < 0.1:
        policy["on_culprit"] = "hold"
    elif goes_on < 0.3 and "together" not in told:  # in a group it is refused
        policy["on_culprit"] = "revert"
    if dice.random() < 0.4:
        policy["on_late_red"] = dice.choice(("hold", "restore"))
    return told


def _approvals(dice: Dice) -> dict[str, Any]:
    """Of two commits of a batch one may be of each of the three: always two others can agree."""
    return {"count": dice.choice((1, 1, 2)), **({"by": list(PEOPLE)} if dice.random() < 0.3 else {})}


@dataclass
class Teller:
    """Draws the next line from what could happen; each story has its own rates."""

    dice: Dice
    made: int = 0
    _weights: list[tuple[Callable[[Farm], Line | None], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        dice = self.dice
        self.length = dice.randint(6, 22)
        self.breakage, self.red = dice.choice((0.05, 0.2, 0.5)), dice.choice((0, 0.2))
        self.one_way = dice.choice((0, 0, 0.2))
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
            (self._approval, 3),
            (self._right, 0.3),
            (self._pause, 0.8),
            (self._outside, 0.5),
            (self._jump, 0.3 * wild),
            (self._late_red, dice.choice((0, 0.5, 2))),
            (self._ready, dice.choice((0, 0.5, 2))),
            (self._hotfix, dice.choice((0, 1, 5))),
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
        if any(policy.approvals for policy in farm.policies.values()) and dice.random() < 0.5:
            line["authors"] = {name: dice.choice(PEOPLE) for name in names}
        if dice.random() < 0.1:
            line["secures"] = names[-1:]
        closed = [name for name in names if dice.random() < self.one_way]
        if closed:
            line["one_way"] = closed
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
                return {"rollback": lane, **to, **({"together": dice.random() < 0.7} if farm.together else {})}
            case verb:
                return {verb: lane}

    def _policy(self, farm: Farm) -> Line:
        dice = self.dice
        changes: dict[str, Any] = dice.choice(
            (
                {"max_commits": dice.choice((None, 1, 2, 3))},
                {"settle": dice.choice((0, 30))},
                {"minimum_interval": dice.choice((0, 60))},
                {"adaptive": [dice.randint(1, 3), 1, dice.randint(3, 6)]},
                {"approvals": dice.choice((None, _approvals(dice)))},
                {"budget": dice.choice((None, [1, 300], [2, 600]))},
                {"freezes": dice.choice(([], [[30, 200]], [[-10, 120], [100, 400]]))},
                {"windows": dice.choice(([], dice.sample(_WINDOWS, 2)))},
                {"waves": dice.choice(([100], [50, 100], [10, 30, 100])), "soak": dice.choice((0, 30))},
                {"on_late_red": dice.choice(("tell", "hold", "restore"))},
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

    def _approval(self, farm: Farm) -> Line | None:
        dice = self.dice
        lane, who = dice.choice(farm.lanes), dice.choice(PEOPLE)
        if not any(policy.approvals for policy in farm.policies.values()):
            return None
        match dice.choice(("approve", "approve", "approve", "approve", "look", "withdraw")):
            case "approve":
                return {"approve": lane, "by": who}
            case verb:
                return {verb: lane, "by": who}

    def _right(self, farm: Farm) -> Line:
        return {self.dice.choice(("loses_right", "gets_right")): self.dice.choice(PEOPLE)}

    def _pause(self, farm: Farm) -> Line:
        dice = self.dice
        match dice.choice(("stop", "go_on", "go_on", "freeze")):
            case "stop":
                return {"stop": "all"} | ({"minutes": dice.choice((1, 5))} if dice.random() < 0.7 else {})
            case "freeze":
                lane = dice.choice(farm.lanes)
                return {"freeze": lane, "in": dice.choice((0, 20, 90)), "minutes": dice.choice((1, 5))}
            case _:
                return {"go_on": "all"}

    def _outside(self, farm: Farm) -> Line:
        line: dict[str, Any] = {"outside": self.dice.choice(sorted(farm.known))}
        return line | ({"red": True} if self.dice.random() < 0.2 else {})

    def _hotfix(self, farm: Farm) -> Line | None:
        dice = self.dice
        lane = dice.choice(farm.lanes)
        if farm.live_in(lane) is None:
            return None
        match dice.choice(("hotfix", "hotfix", "hotfix", "cancel_hotfix", "contained", "side")):
            case "cancel_hotfix":
                return {"cancel_hotfix": lane}
            case "contained":
                return {"contained": lane, "by": dice.choice(farm.line()[-4:]).name}
            case "side":
                (name,) = self._names(1)
                return {"side": name} | ({"breaks": {name: [lane]}} if dice.random() < self.breakage else {})
            case _:
                there = [each.name for each in farm.line()[1:][-6:]] + farm.sides[-2:] or [farm.head]
                picks = sorted(dice.sample(there, min(len(there), dice.choice((1, 1, 2)))), key=there.index)
                line: dict[str, Any] = {"hotfix": picks, "lane": lane, "green": dice.choice((0, 60, 200))}
                return line | ({"red": True} if dice.random() < 0.1 else {})

    def _late_red(self, farm: Farm) -> Line:
        if farm.late_red and self.dice.random() < 0.4:
            return {"green_again": self.dice.choice(sorted(farm.late_red))}
        return {"turns_red": self.dice.choice(farm.line()[-6:]).name}

    def _ready(self, farm: Farm) -> Line:
        """What a rollout asks of its surroundings before it starts."""
        dice = self.dice
        gone = sorted({farm.by_sha[sha].name for place in farm.places.values() for sha in place.gone})
        match dice.choice(("gone", "gone", "back_again", "historian")):
            case "historian":
                return {"historian": "there" if farm.historian_away else "away"}
            case "back_again" if gone:
                return {"back_again": dice.choice(gone)}
            case _:
                return {"gone": dice.choice(farm.line()[-6:]).name}

    def _jump(self, farm: Farm) -> Line:
        return {"jump": self.dice.choice((90, 600, 5000, -30, -300, -4000))}
