"""Lanes that go together, in memory: the real store and the real deploy loop; a scripted place per lane.

Rules:
1. A commit may break any lane, wherever it serves: `breaks={"a2": ["web"]}` makes the checks of `web` fail as long as a
   lane of the commit's repository serves it, or a later commit that does not mend it.
2. After each step what must hold of delivery is asked, and what must hold of a group at its places.
3. The deploy process may die at any write, before or after it is kept, and at any call of a target.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from deploy.checks import Answer, Question, Verdict
from deploy.context import LOOP, AtOnce, Context
from deploy.loop import Deployer
from deploy.targets.scripted import Place, ScriptedTarget
from farmgate import invariants, states
from farmgate import lanes as rules
from farmgate.clock import VirtualClock
from farmgate.models import Joint, JournalEntry, Lane, Rollout
from farmgate.policy import Check, CommandCheck, CommandTarget, LanePolicy, Wave
from farmgate.store import (
    bans,
    candidates,
    events,
    holds,
    joints,
    lane_groups,
    lane_views,
    lanes,
    releases,
    repositories,
    rollouts,
)
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from scheduler import back
from tests.simulated import Crash, FragileStore, Fuse, SimulatedSignals
from tests.simulated_lanes import MortalTarget
from tests.simulation.memory import Reads, raw

STEP = timedelta(seconds=30)
ASKED = [
    name for name in invariants.INVARIANTS if name in {"I5", "I6", "I7", "I8", "I9", "I14", "I15", "I16", "I17", "I18"}
]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A commit. `ill`: the lanes that it breaks by itself, or by what it stands on, with who is to blame."""

    name: str
    repository: str
    position: int
    ill: Mapping[str, str]


@functools.cache
def _empty() -> tuple[Store, bytes]:
    """One store for all farms, and what an empty one holds."""
    store = Store.at("sqlite://")
    migrate(store)
    with store.engine.connect() as connection:
        return store, raw(connection).serialize()


_QUICKER: list[Reads] = []


@contextmanager
def quick() -> Iterator[None]:
    """Within it, this process reads the store by memory."""
    if not _QUICKER:
        _QUICKER.append(Reads(_empty()[0].engine))
    undo = _QUICKER[0].install()
    try:
        yield
    finally:
        undo()


class JointFarm:
    """A group `all` of the lanes named, each an application of the repository given for it, in that order."""

    def __init__(self, group: Mapping[str, str], **policy: object) -> None:
        self.clock = VirtualClock()
        self.store, blank = _empty()
        with self.store.engine.connect() as connection:
            raw(connection).deserialize(blank)
        for reads in _QUICKER:
            reads.forget()
        self.signals = SimulatedSignals()
        self.fuse = Fuse()
        self.group = dict(group)
        self.places = {lane: Place() for lane in group}
        self.commits: dict[str, Pushed] = {}  # by hash
        self.shas: dict[str, str] = {}  # by name
        self.order: list[str] = []  # calls of targets, as they come
        self.lives = 0
        self.changes = -1
        self.check: Callable[[], None] = self.look
        with self.store.writing() as connection:
            for repository in dict.fromkeys(group.values()):
                repositories.add(connection, repository, f"file:///{repository}", "git", "", "main", self.clock.now())
            self.apply(connection, None, **policy)
            self.ids = {lane.application: lane.id for lane in lanes.every(connection)}
            lane_groups.apply(connection, "all", [f"{lane}/live" for lane in group], "ada", self.clock.now())
        self.deployer = self._begin()
        for repository in dict.fromkeys(group.values()):
            self.push(repository, [f"{repository}0"])
        self.settle()

    def apply(self, connection: Connection, of: str | None = None, **more: object) -> None:
        """Give the lanes (or one of them) a policy; what is not said has a short one."""
        said: dict[str, object] = {
            "settle": timedelta(0),
            "waves": (Wave(share=50, soak=timedelta(seconds=60)), Wave(share=100, soak=timedelta(seconds=60))),
            "target": CommandTarget(shift=("shift",), restore=("restore",)),
        }
        for lane, repository in self.group.items():
            if of in (None, lane):
                check = CommandCheck(command=(lane,), every=timedelta(seconds=30), failures=2)
                told = {"checks": (check,), **said, **more}
                policy = LanePolicy(
                    application=lane,
                    environment="live",
                    repository=repository,
                    branch="main",
                    **told,
                )
                lanes.apply_policy(connection, [policy], "ada", self.clock.now())

    def _begin(self) -> Deployer:
        self.lives += 1
        return Deployer(
            Context(
                store=FragileStore(self.store.engine, self.fuse),
                targets=self,
                prober=self,
                clock=self.clock,
                signals=self.signals,
                hands=AtOnce(),
                holder=f"deploy-{self.lives}",
                asks_scheduler=False,
            )
        )

    # --- what the loop is handed -------------------------------------------------------------------------------------

    def of(self, lane_id: int, policy: LanePolicy) -> MortalTarget:
        lane = policy.application

        def called(name: str) -> None:
            self.order.append(f"{name} {lane}")
            self.fuse.call()

        return MortalTarget(ScriptedTarget(self.places[lane]), called)

    def ask(self, check: Check, question: Question) -> Answer:
        assert isinstance(check, CommandCheck)
        (lane,) = check.command
        if self.places[lane].silent:
            return Answer(Verdict.UNTOLD, "no answer")
        if not question.about.instances:
            return Answer(Verdict.UNTOLD, "nobody to ask")
        served = {question.about.sha} | {sha for place in self.places.values() for sha in place.serving}
        own = self.commits[question.about.sha].repository == self.group[lane]
        for sha in served:
            commit = self.commits[sha]
            # Of its own line only what is asked about counts; of others whatever serves.
            if commit.repository == self.group[lane] and own and sha != question.about.sha:
                continue
            if lane in commit.ill:
                return Answer(Verdict.SICK, f"{commit.name} breaks {lane}")
        return Answer(Verdict.HEALTHY, "")

    # --- what happens ------------------------------------------------------------------------------------------------

    def push(
        self,
        repository: str,
        names: Sequence[str],
        *,
        breaks: Mapping[str, Sequence[str]] | None = None,
        mends: Mapping[str, str] | None = None,
        needs: Mapping[str, str] | None = None,
        red: Sequence[str] = (),
    ) -> None:
        """Commits on main, green at once. `needs`: by commit, the one of another repository that it says it needs (a
        name that was pushed, or repository@hash)."""
        now = self.clock.now()
        with self.store.writing() as connection:
            found = repositories.by_name(connection, repository)
            for name in names:
                before = [each for each in self.commits.values() if each.repository == repository]
                ill = dict(before[-1].ill) if before else {}
                message = name
                if mends and name in mends:
                    ill = {lane: culprit for lane, culprit in ill.items() if culprit != mends[name]}
                    message += f"\n\nFixes-commit: {self.shas[mends[name]]}"
                if needs and name in needs:
                    wanted = needs[name]
                    told = (
                        wanted if "@" in wanted else f"{self.commits[self.shas[wanted]].repository}@{self.shas[wanted]}"
                    )
                    message += f"\n\nDepends-On: {told}"
                ill |= dict.fromkeys((breaks or {}).get(name, ()), name)
                self._record(connection, found.id, Pushed(name, repository, len(before) + 1, ill), message)
                if name not in red:
                    sha = self.shas[name]
                    candidates.put(connection, found.id, sha, {"app": f"sha256:{sha}"}, now, run_id=None)
        self.signals.wake(LOOP)

    @staticmethod
    def sha(name: str) -> str:
        return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()

    def _record(self, connection: Connection, repository_id: int, commit: Pushed, message: str) -> None:
        sha, now = self.sha(commit.name), self.clock.now()
        self.commits[sha], self.shas[commit.name] = commit, sha
        row: dict[str, object] = {
            "repository_id": repository_id,
            "sha": sha,
            "parents": [],
            "tree": sha,
            "author_name": "Ada",
            "author_email": "ada@example.org",
            "title": commit.name,
            "message": message,
            "committed_at": now,
            "seen_at": now,
        }
        repositories.see(connection, [row])
        repositories.place(connection, repository_id, "main", commit.position, sha)

    def turn_green(self, name: str) -> None:
        with self.store.writing() as connection:
            found = repositories.by_name(connection, self.commits[self.shas[name]].repository)
            candidates.put(connection, found.id, self.shas[name], {"app": "sha256:1"}, self.clock.now(), run_id=None)

    def hold(self, lane: str) -> None:
        with self.store.writing() as connection:
            holds.place(connection, self.ids[lane], "not today", "bob", self.clock.now())

    def lift(self, lane: str) -> None:
        with self.store.writing() as connection:
            holds.lift(connection, self.ids[lane], "bob", self.clock.now())

    def roll_back(self, lane: str, *, together: bool | None) -> None:
        """A person goes back to the release before; as the API does it."""
        with self.store.writing() as connection:
            found = self.lane(connection, lane)
            live = releases.live_of(connection, found.id)
            assert live is not None
            before = releases.before(connection, live)
            assert before is not None
            goes = back.lanes_of(connection, found, before.id, together)
            names = [back.name_of(member) for member, _ in goes] if len(goes) > 1 else []
            for member, release_id in goes:
                lanes.order_rollback(connection, member.id, release_id, "bob", "worse", self.clock.now(), names)
        self.signals.wake(LOOP)

    def decide(self, lane: str, verdict: str) -> None:
        with self.store.writing() as connection:
            asking = rollouts.active_of(connection, self.ids[lane])
            assert asking is not None
            rollouts.decide(connection, asking, verdict, "bob", "I looked", self.clock.now())

    def step(self, span: timedelta = STEP) -> None:
        try:
            self.deployer.tick()
            while LOOP in self.signals.woken:
                self.signals.wait(LOOP, STEP)
                self.deployer.tick()
        except Crash:
            self.deployer = self._begin()
        self.check()
        self.clock.advance(span)

    def advance(self, minutes: float, every: timedelta = STEP) -> None:
        until = self.clock.now() + timedelta(minutes=minutes)
        while self.clock.now() < until:
            self.step(every)

    def settle(self, hours: float = 1.5) -> None:
        """Until nothing is under way and nothing more is cut."""
        until, quiet = self.clock.now() + timedelta(hours=hours), 0
        while quiet < 2:
            self.step()
            assert self.clock.now() < until, "\n".join(self.story())
            quiet = quiet + 1 if self.is_quiet() else 0

    def until(self, fact: Callable[[], bool]) -> None:
        for _ in range(100):
            if fact():
                return
            self.step()
        raise AssertionError("\n".join(self.story()))

    # --- facts -------------------------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        now = self.clock.now()
        with self.store.reading() as connection:
            for lane in lanes.every(connection):
                if rollouts.active_of(connection, lane.id) is not None or lane.rollback is not None:
                    return False
                decided = rules.cut(lane_views.view(connection, lane, now), now)
                if not isinstance(decided, rules.Wait) or (decided.until and decided.until.year < 2100):
                    return False
        return True

    @property
    def live(self) -> dict[str, str | None]:
        with self.store.reading() as connection:
            found = {lane: releases.live_of(connection, self.ids[lane]) for lane in self.group}
        return {lane: self.commits[each.sha].name if each is not None else None for lane, each in found.items()}

    @property
    def banned(self) -> dict[str, set[str]]:
        with self.store.reading() as connection:
            return {
                lane: {self.commits[ban.sha].name for ban in bans.standing(connection, self.ids[lane])}
                for lane in self.group
            }

    def active(self, lane: str) -> Rollout | None:
        with self.store.reading() as connection:
            return rollouts.active_of(connection, self.ids[lane])

    def last(self, lane: str) -> Rollout:
        with self.store.reading() as connection:
            return rollouts.latest(connection, self.ids[lane], 1)[0]

    def journal(self, lane: str) -> dict[str, JournalEntry]:
        """Of the lane's last rollout."""
        last = self.last(lane)
        with self.store.reading() as connection:
            return {each.key: each for each in rollouts.entries(connection, last.id)}

    def outcomes(self, lane: str) -> list[str]:
        with self.store.reading() as connection:
            found = rollouts.latest(connection, self.ids[lane], 1000)[::-1]
        return [f"{each.kind} {each.state} {self.commits[each.until_sha].name}" for each in found]

    def joints(self) -> list[tuple[Joint, dict[str, str]]]:
        """Oldest first: each with its lanes and what they took."""
        with self.store.reading() as connection:
            group = lane_groups.by_name(connection, "all")
            found = joints.latest(connection, group.id, 1000)[::-1]
            names = {lane.id: lane.application for lane in lanes.every(connection)}
            return [
                (
                    joint,
                    {
                        names[each.lane_id]: self.commits[each.until_sha].name
                        for _, each in joints.rollouts_of(connection, joint.id)
                    },
                )
                for joint in found
            ]

    def why(self, lane: str, name: str) -> str:
        now = self.clock.now()
        with self.store.reading() as connection:
            view = lane_views.view(connection, self.lane(connection, lane), now, full=True)
        told = [each for each in rules.explain(view, now) if each.commit.sha == self.shas[name]]
        return "; ".join(reason.words for each in told for reason in each.reasons)

    def lane(self, connection: Connection, name: str) -> Lane:
        return lanes.by_name(connection, name, "live")

    def story(self) -> list[str]:
        with self.store.reading() as connection:
            found = [
                f"{each.at:%H:%M:%S} {each.subject} {each.kind}: {each.text}" for each in events.latest(connection)
            ]
        return found[:60][::-1]

    # --- what must hold ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Rule 2."""
        now = self.clock.now()
        with self.store.reading() as connection:
            changes = raw(connection).total_changes
            if changes == self.changes:
                return
            self.changes = changes
            found = [
                f"{name} {who}: {what}" for name in ASKED for who, what in invariants.INVARIANTS[name](connection, now)
            ]
            found += [
                each.text for each in events.latest(connection) if each.kind in ("lane.trouble", "decision.failed")
            ]
            if not any(rollouts.active_of(connection, lane_id) for lane_id in self.ids.values()):
                found += self._at_rest(connection)
        assert not found, "\n".join([*found, *self.story()])

    def _at_rest(self, connection: Connection) -> list[str]:
        found = []
        for lane, place in self.places.items():
            live = releases.live_of(connection, self.ids[lane])
            last = next(iter(rollouts.latest(connection, self.ids[lane], 1)), None)
            if last is not None and last.state is states.Rollout.STUCK:
                continue
            if live is not None and place.serving != {live.sha: 100}:
                found.append(f"{lane} serves {place.serving}, and {live.sha} is live")
        return found
