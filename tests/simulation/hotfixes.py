"""Hotfixes in a story: the orders of people by the scheduler's own functions, and what the scheduler does about one.

{hotfix: [a, b], lane: production, green: 60}          its checks take a minute; `red`: and fail
{cancel_hotfix: production} {contained: production, by: c}
{side: x, breaks: {x: [production]}}                   a commit on a branch of its own

Git is the story's own knowledge: a pick holds what its commit breaks or mends, on what it is picked to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import update

from deploy.context import LOOP as DEPLOY
from farmgate import states
from farmgate.git import Clash
from farmgate.git.history import GitCommit
from farmgate.git.making import clash
from farmgate.models import Made, MadeKind, Trigger, Trust
from farmgate.refs import HEADS
from farmgate.store import candidates, made, runs
from farmgate.store import schema as t
from scheduler import hotfix_api, making
from scheduler.context import Context
from scheduler.decisions import EndMade, MakeAnew, MakeCommit, MakeReadyMade
from scheduler.making_plan import of_made
from tests.simulation.doors import WHO, Line, Refused, door, sha_of
from tests.simulation.farm import Farm, Known


@dataclass(frozen=True, slots=True)
class Bench:
    """The repository as the story knows it, in which commits are made; and whoever asks for a repository gets it."""

    farm: Farm

    def of(self, _repository: object) -> Bench:
        return self

    def grow(self, onto: str, commits: Sequence[str], *, at: datetime, back: bool = False) -> tuple[str, ...] | Clash:
        tip, grown = self.farm.by_sha[onto], list[str]()
        for sha in commits:
            pick = self.farm.by_sha[sha]
            if not back and sha in self.farm.past(tip.sha):
                return clash(sha, pick.name, ())
            tip = self._taken_back(tip, pick) if back else self._picked(tip, pick)
            grown.append(tip.sha)
        return tuple(grown)

    def _picked(self, onto: Known, pick: Known) -> Known:
        sha = hashlib.sha1(f"{pick.sha} on {onto.sha}".encode(), usedforsecurity=False).hexdigest()
        ill = {(lane, whose) for lane, whose in onto.ill if whose != pick.mends}
        ill |= {(lane, pick.name) for lane in pick.breaks}
        found = replace(
            pick,
            name=f"{pick.name} on {onto.name}",
            sha=sha,
            parent=onto.name,
            position=onto.position,
            ill=frozenset(ill),
        )
        self.farm.known[found.name] = self.farm.by_sha[sha] = found
        for place in self.farm.places.values():
            if pick.sha in place.stillborn:
                place.stillborn.add(sha)
        return found

    def _taken_back(self, onto: Known, pick: Known) -> Known:
        sha = hashlib.sha1(f"without {pick.sha} on {onto.sha}".encode(), usedforsecurity=False).hexdigest()
        ill = {(lane, whose) for lane, whose in onto.ill if whose != pick.name}
        if pick.mends in self.farm.known:
            ill |= {(lane, pick.mends) for lane in self.farm.known[pick.mends].breaks}
        found = replace(
            onto,
            name=f"without {pick.name} on {onto.name}",
            sha=sha,
            parent=onto.name,
            ill=frozenset(ill),
            breaks=frozenset(),
        )
        self.farm.known[found.name] = self.farm.by_sha[sha] = found
        return found

    def commit(self, sha: str) -> GitCommit:
        return cast(GitCommit, self.farm.by_sha[sha])

    def refs(self) -> Mapping[str, str]:
        return {HEADS + name: self.farm.known[name].sha for name in (self.farm.head, *self.farm.sides)}

    def is_ancestor(self, a: str, b: str) -> bool:
        return a in self.farm.past(b)


def _door(farm: Farm) -> Context:
    return replace(door(farm), mirrors=cast(Any, Bench(farm)))


def ask(farm: Farm, line: Line) -> None:
    farm.takes = timedelta(seconds=line.get("green", 0)), not line.get("red")
    hotfix_api.ask(_door(farm), "shop", line["lane"], [sha_of(farm, name) for name in line["hotfix"]], "it burns", WHO)


def cancel(farm: Farm, line: Line) -> None:
    lane = line["cancel_hotfix"]
    with farm.store.reading() as connection:
        found = made.open_of(connection, farm.ids[lane])
    if found is None:
        raise Refused
    hotfix_api.cancel(door(farm), "shop", lane, found.id, "not needed", WHO)


def contained(farm: Farm, line: Line) -> None:
    """A person says that a commit of the branch contains all that live hotfixes brought."""
    lane, by = line["contained"], sha_of(farm, line["by"])
    live = farm.live_in(lane)
    if live is None:
        raise Refused
    with farm.store.reading() as connection:
        below = made.chain(connection, 1, farm.known[live].sha)
    for each in below:
        hotfix_api.say_contained(door(farm), "shop", lane, each.id, by, "I looked", WHO)


def side(farm: Farm, line: Line) -> None:
    if line["side"] in farm.known:
        raise Refused
    farm.push([line["side"]], breaks=line.get("breaks"), on_a_side=True)


def make(farm: Farm) -> list[datetime]:
    """What the scheduler does about made commits; when more is to be done."""
    ends = [end for end, _ in farm.tested.values()]
    with farm.store.reading() as connection:
        views = making.views(connection)
    if not views and not ends:
        return []
    acted = _end_tests(farm)
    for view in views:
        now = farm.clock.now()
        decision = of_made(view, now)
        acted = acted or decision is not None
        with farm.store.writing() as connection:
            match decision:
                case MakeCommit(made_id):
                    _build(farm, connection, made.by_id(connection, made_id), now)
                case MakeReadyMade(made_id):
                    making.ready(connection, made_id, now)
                case MakeAnew():
                    making.anew(connection, decision, now)
                case EndMade():
                    making.end(connection, decision, now)
                case None:
                    pass
    if acted:
        farm.signals.wake(DEPLOY)
        return [farm.clock.now()]
    return ends


def _build(farm: Farm, connection: Any, row: Made, now: datetime) -> None:
    back = row.kind is MadeKind.REVERT
    grown = Bench(farm).grow(row.onto, row.picks, at=row.created_at, back=back)
    if isinstance(grown, Clash):
        making.end(connection, EndMade(row.id, states.Made.FAILED, grown.words), now)
        return
    for pick, sha in zip(row.picks, grown, strict=True):
        author, says = farm.told[pick]
        told = f"This reverts commit {pick}." if back else f"{says}\n(cherry picked from commit {pick})"
        farm.see(connection, farm.by_sha[sha], "farmgate" if back else author, told, now)
    same = [run for run in runs.find(connection, repository_id=1, ref=row.ref) if run.sha == grown[-1]]
    new = runs.NewRun(1, grown[-1], row.ref, Trigger.PUSH, Trust.TRUSTED, row.asked_by, now, ordinal=len(same) + 1)
    run_id = runs.create(connection, new, now)
    assert run_id is not None
    made.built(connection, row, grown, run_id)
    takes, green = farm.takes
    farm.tested[run_id] = now + takes, green


def _end_tests(farm: Farm) -> bool:
    """Runs whose time is over."""
    now = farm.clock.now()
    over = [(number, green) for number, (end, green) in farm.tested.items() if end <= now]
    for number, green in over:
        del farm.tested[number]
        with farm.store.writing() as connection:
            run = runs.by_id(connection, number)
            state = states.Run.PASSED if green else states.Run.FAILED
            connection.execute(update(t.runs).where(t.runs.c.id == number).values(state=state, finished_at=now))
            if green:
                candidates.put(connection, 1, run.sha, {"app": f"sha256:{run.sha}"}, now, run_id=None)
    return bool(over)
