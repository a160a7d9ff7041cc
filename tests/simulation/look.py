"""What must hold after each step of simulated delivery: the farm's own invariants, and what no single look can see.

Rules:
1. The rows: the invariants of delivery (I4 to I9, I14 to I18), on each look after something was written.
2. The place: it serves what the store says is live; while a rollout is under way, nothing but its two releases. What
   the store calls good is not ill, and who is banned by automation holds a breakage, wherever checks tell the truth.
3. The words: no waiting commit is lost, each has a reason, no estimate lies in the past, and who explains agrees with
   who decides.
4. Epochs only rise.
5. The pace: nothing new is cut outside a lane's windows, in its freezes, or beyond its budget, by a reckoning of its
   own. Where the clock was set back, sentences about what came before what are not asked.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from farmgate import lanes as rules
from farmgate import states
from farmgate.invariants import INVARIANTS
from farmgate.invariants.bounds import i10
from farmgate.models import RolloutKind
from farmgate.store import bans, events, lane_views, rollouts
from farmgate.store import schema as t
from tests.simulation.farm import Farm, Known
from tests.simulation.memory import raw
from tests.simulation.reckoning import paced

_ROWS: Final = [
    name for name in INVARIANTS if name in {"I5", "I6", "I7", "I8", "I9", "I14", "I15", "I16", "I17", "I18"}
]
_BY_TIMES: Final = frozenset({"I7", "I9", "I14", "I16"})
_LATE: Final = timedelta(minutes=30)


class Broken(AssertionError):
    """Something that must always hold does not."""


class Watcher:
    """Asks after each step; remembers what it must to see a final state or an epoch that changed."""

    def __init__(self) -> None:
        self.looks = 0
        self._final: dict[int, states.Rollout] = {}
        self._changes = -1
        self._epochs: dict[str, int] = {}

    def __call__(self, farm: Farm) -> None:
        with farm.store.reading() as connection:
            changes = raw(connection).total_changes
            if changes == self._changes:
                return
            self._changes = changes
            self.looks += 1
            found = self._rows(connection, farm)
            for lane in farm.lanes:
                found += [f"{lane}: {words}" for words in self._lane(connection, farm, lane)]
            if found:
                raise Broken(
                    "\n".join([f"step {farm.steps}, {farm.clock.now():%H:%M:%S}:", *found, *story(connection)])
                )

    def _rows(self, connection: Connection, farm: Farm) -> list[str]:
        now = farm.clock.now()
        asked = _ROWS if farm.times_tell else [name for name in _ROWS if name not in _BY_TIMES]
        found = [f"{name} {who}: {what}" for name in asked for who, what in INVARIANTS[name](connection, now)]
        for lane in farm.lanes:
            found += self._finals(connection, farm.ids[lane])
        mishaps = [each.text for each in events.latest(connection) if each.kind == "lane.trouble"]
        return found + [f"the loop failed: {text}" for text in mishaps]

    def _finals(self, connection: Connection, lane_id: int) -> list[str]:
        """I4, over time."""
        found = []
        for each in rollouts.latest(connection, lane_id, 10_000):
            if self._final.get(each.id, each.state) is not each.state:
                found.append(f"I4 rollout/{each.id}: it was {self._final[each.id]} for good, and is {each.state}")
            if states.is_final(each.state):
                self._final[each.id] = each.state
        return found

    def _lane(self, connection: Connection, farm: Farm, name: str) -> list[str]:
        lane = farm.lane(connection, name)
        now = farm.clock.now()
        quick = lane_views.view(connection, lane, now)
        full = lane_views.view(connection, lane, now, full=True)
        found = [*place(connection, farm, name, quick), *truth(connection, farm, name), *words(farm, full, quick)]
        if farm.times_tell:
            past = rollouts.latest(connection, lane.id, 10_000)[::-1]
            asked = any(each.policy["budget"] for each in past)
            found += paced(past, _secures(connection, farm, lane.id) if asked else frozenset())
        for what, epoch in (("lane", lane.epoch), ("place", farm.places[name].epoch)):
            if epoch < self._epochs.get(f"{name} {what}", 0):
                found.append(f"the epoch of the {what} fell to {epoch}")
            self._epochs[f"{name} {what}"] = epoch
        return found


def place(connection: Connection, farm: Farm, name: str, view: rules.LaneView) -> list[str]:
    """Rule 2, what serves."""
    serving = farm.places[name].serving
    live = view.live.sha if view.live is not None else None
    active = rollouts.active_of(connection, lane_id=view.lane_id)
    last = next(iter(rollouts.latest(connection, view.lane_id, 10_000)), None)
    if active is not None:
        strange = set(serving) - {live, active.until_sha}
        return [f"{farm.by_sha[sha].name} serves; it is neither live nor on its way" for sha in strange]
    if last is not None and last.state == "stuck":
        return []  # nobody knows: a person is called
    wanted = {live: 100} if live is not None else {}
    return [] if serving == wanted else [f"it serves {serving}, and live is {live}"]


def truth(connection: Connection, farm: Farm, name: str) -> list[str]:
    """Rule 2, what is said of commits."""
    where = farm.lanes if farm.together else (name,)  # lanes that go together are taken back together
    if farm.doubtful & {*where}:
        return []
    found = []
    live = farm.live(connection, name)
    if live is not None and farm.by_sha[live.sha].is_ill(name):
        found.append(f"{farm.by_sha[live.sha].name} was verified good, and holds a breakage")
    for ban in bans.standing(connection, farm.ids[name]):
        covered = [farm.by_sha[sha] for sha in {ban.sha, *ban.covers}]
        guilty = any(each.name in farm.late_red or _breaks(farm, each, lane) for each in covered for lane in where)
        if ban.created_by == "farmgate" and not guilty:
            found.append(f"{', '.join(each.name for each in covered)} is banned, and breaks nothing: {ban.reason}")
    return found


def _breaks(farm: Farm, commit: Known, lane: str) -> bool:
    return lane in commit.breaks or lane in commit.uncovers or commit.sha in farm.places[lane].stillborn


def words(farm: Farm, full: rules.LaneView, quick: rules.LaneView) -> list[str]:
    """Rule 3."""
    now = farm.clock.now()
    found = []
    expected = [each.sha for each in farm.line() if each.position > full.base]
    told = rules.explain(full, now)
    if expected != [each.sha for each in full.commits]:
        found.append(f"the queue is {[farm.by_sha[each.sha].name for each in full.commits]}, not what the branch holds")
    if {each.commit.sha for each in told} != {each.sha for each in (*full.commits, *full.gone)}:
        found.append("not every waiting commit is explained")
    for each in told:
        if not each.reasons:
            found.append(f"{each.commit.title} waits, and nobody says why")
        if each.live_at is not None and each.live_at > now + timedelta(days=365):
            found.append(f"{each.commit.title} is said to be live at {each.live_at}")
        if each.live_at is not None and each.live_at < now:
            found.append(f"{each.commit.title} should have been live at {each.live_at}")
    decided, seen = rules.cut(quick, now), rules.cut(full, now)
    if name_of(decided) != name_of(seen):
        found.append(f"who reads all decides {name_of(seen)}, who reads little {name_of(decided)}")
    if isinstance(decided, rules.Cut) and decided.made_id is None:  # the preview is of the queue
        shown = rules.preview(full, now)
        if shown.candidate is None or shown.candidate.sha != decided.commit.sha:
            found.append(f"the preview shows another batch than the one that is cut: {decided}")
        elif shown.at is None or shown.at > now:
            found.append(f"a batch is cut now, and the preview says {shown.at}")
    if isinstance(decided, rules.Wait) and quick.search is None:
        shown = rules.preview(full, now)
        if not shown.reasons:
            found.append(f"nothing is cut ({decided.reasons[0].words}), and the preview gives no reason")
        if shown.at is not None and (
            shown.at < now or (shown.at == now and not any(each.active for each in quick.members))
        ):
            found.append(f"nothing is cut ({decided.reasons[0].words}), and the preview says now")
    return found


def _secures(connection: Connection, farm: Farm, lane_id: int) -> Set[int]:
    """The rollouts that carry a fix of a weakness."""
    carried = (
        select(t.rollout_commits.c.rollout_id)
        .join(t.commits, t.commits.c.sha == t.rollout_commits.c.sha)
        .where(t.rollout_commits.c.lane_id == lane_id, t.commits.c.message.contains("Security-fix:"))
    )
    return set(connection.execute(carried.distinct()).scalars())


def name_of(decided: object) -> str:
    return f"{type(decided).__name__} {getattr(getattr(decided, 'commit', None), 'sha', '')}"


def late(farm: Farm) -> list[str]:
    """I10, once faults have stopped."""
    with farm.store.reading() as connection:
        return [f"I10 {who}: {what}" for who, what in i10(connection, farm.clock.now() - _LATE)]


def story(connection: Connection) -> list[str]:
    found = [f"{each.at:%H:%M:%S} {each.subject} {each.kind}: {each.text}" for each in events.latest(connection)]
    return ["", *reversed(found[:40])]


def kinds(farm: Farm, name: str) -> list[RolloutKind]:
    return [each.kind for each in farm.rollouts_in(name)]
