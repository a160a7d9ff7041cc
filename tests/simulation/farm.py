"""Delivery in memory: the real store, the real deploy loop and the real orders of people; a scripted place per lane.

Rules:
1. Commits turn green by a word of the story, not by builds: what is simulated is all that comes after the hand-off.
2. Time goes from one thing to do to the next; each reading of the clock moves it a little, so that no two things happen
   at one moment and what came before what can be told.
3. A process dies or is overtaken at any write and at any call; whatever the story says may happen just then.
4. After each step, and after each death, everything that must hold is asked (`look`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert

from deploy.checks import Answer, Question, Verdict
from deploy.context import LOOP as DEPLOY
from deploy.context import AtOnce
from deploy.context import Context as DeployContext
from deploy.loop import Deployer
from deploy.targets.scripted import Place, ScriptedProber, ScriptedTarget
from farmgate.clock import VirtualClock
from farmgate.models import JournalEntry, Lane, Release, Rollout, TokenKind
from farmgate.policy import Check, CommandCheck, CommandTarget, LanePolicy
from farmgate.store import candidates, lane_groups, lanes, looks, releases, repositories, rollouts
from farmgate.store.database import Store
from farmgate.store.schema import tokens
from tests.simulated import Crash, SimulatedSignals
from tests.simulated_lanes import MortalTarget
from tests.simulation.memory import OneStore, begin_with, raw
from tests.simulation.policies import changes

LEASE: Final = timedelta(seconds=60)
IDLE: Final = timedelta(hours=1)
"""When a loop that waits for nothing looks again."""
LONG_AGO: Final = datetime(2025, 1, 1, tzinfo=UTC)
PEOPLE: Final = ("alice", "bob", "carol")
"""Who may act on lanes."""
_CREEP: Final = timedelta(milliseconds=1)
_REPOSITORY: Final = 1


class CreepingClock(VirtualClock):
    """Rule 2."""

    def now(self) -> datetime:
        self.advance(_CREEP)
        return super().now()

    def jump(self, span: timedelta) -> None:
        """Someone sets the clock."""
        self._now += span


@dataclass(frozen=True, slots=True)
class Known:
    """A commit as the story knows it, whatever the store says. `breaks`: the lanes it breaks by itself; `ill`: the
    commits whose breakage it holds, by lane; `red`: it never turns green; `one_way`: it cannot be taken back; `mends`:
    the commit whose breakage it takes away; `uncovers`: the lanes in which it shows a breakage again, since a
    forced push dropped what mended it."""

    name: str
    sha: str
    parent: str | None
    position: int
    breaks: frozenset[str] = frozenset()
    ill: frozenset[tuple[str, str]] = frozenset()
    red: bool = False
    one_way: bool = False
    mends: str | None = None
    uncovers: frozenset[str] = frozenset()

    def is_ill(self, lane: str) -> bool:
        return any(where == lane for where, _ in self.ill)


@dataclass(slots=True)
class Trap:
    """Springs once at the nth write (before or after it) or at the nth call of a target."""

    do: Callable[[], object]
    writes: int = 0
    before: bool = False
    calls: int = 0


class TrappedStore(OneStore):
    """The store as one process has it: something may happen at any of its writes."""

    def __init__(self, store: Store, at_write: Callable[[bool], None]) -> None:
        super().__init__(store.engine)
        self._at_write = at_write

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._at_write(True)
        with super().writing() as connection:
            yield connection
        self._at_write(False)


@dataclass
class Loop:
    """A deploy process. `away`: until when it does nothing, and believes on coming back that nothing happened. `dead`:
    until when nobody starts it again."""

    deployer: Deployer
    away: datetime | None = None
    dead: datetime | None = None


@functools.cache
def _empty_farm() -> bytes:
    """What a farm holds in which nothing has happened yet."""
    store = begin_with()
    with store.writing() as connection:
        repositories.add(connection, "shop", "file:///shop", "git", "", "main", LONG_AGO)
        for name in PEOPLE:
            row = {"kind": TokenKind.API, "name": name, "hash": name, "rights": ["write"], "created_at": LONG_AGO}
            connection.execute(insert(tokens).values(**row))
    with store.engine.connect() as connection:
        return raw(connection).serialize()


class Farm:
    """The lanes of one application, and their surroundings; `together`: they are a group, in this order. `root` is the
    branch's first commit, green at once."""

    def __init__(
        self,
        lanes_there: Sequence[str] = ("production",),
        *,
        loops: int = 1,
        together: bool = False,
        policy: Mapping[str, Any] | None = None,
        starts: str = "2026-01-01T00:00:00+00:00",
    ) -> None:
        self.clock = CreepingClock(datetime.fromisoformat(starts))
        self.store = begin_with(_empty_farm())
        self.signals = SimulatedSignals()
        self.lanes = tuple(lanes_there)
        self.together = together
        self.known: dict[str, Known] = {}  # by name
        self.by_sha: dict[str, Known] = {}
        self.head = ""
        self.green: list[tuple[datetime, str]] = []  # when which commit's checks end
        self.places = {lane: Place(breaks=functools.partial(self._breaks, lane)) for lane in self.lanes}
        self.traps: list[Trap] = []
        self.doubtful: set[str] = set()  # lanes where what a check said need not be true, or a person overruled it
        self.looked: dict[tuple[str, str], Any] = {}  # what was shown to whom of a lane, to be approved later
        self.times_tell = True  # False: the clock was set back, so times do not tell what came before what
        self.uncovered: set[str] = set()  # lanes of which a forced push dropped what mended a breakage
        self.sides: list[str] = []  # commits on branches of their own
        self.told: dict[str, tuple[str, str]] = {}  # by hash: who wrote it, and what its message says
        self.takes = timedelta(0), True  # how long the checks of a made commit take, and whether they are green
        self.tested: dict[int, tuple[datetime, bool]] = {}  # the runs of made commits
        self.make: Callable[[], list[datetime]] = list  # what the scheduler does about them
        self.historian_away = False  # nobody says what batches carry
        self.late_red: set[str] = set()  # of which a late check ever said no
        self.asks_again = LEASE / 3  # how soon a process asks again that does not lead
        self.steps = 0
        self.lives = 0
        self.watch: Callable[[Farm], None] = lambda farm: None
        self.policies = {lane: self._policy(lane, policy or {}) for lane in self.lanes}
        with self.store.writing() as connection:
            lanes.apply_policy(connection, list(self.policies.values()), "story", self.clock.now())
            self.ids = {lane.environment: lane.id for lane in lanes.every(connection)}
            if together:
                named = [f"shop/{lane}" for lane in self.lanes]
                lane_groups.apply(connection, "all", named, "story", self.clock.now())
        self.loops = [Loop(self.begin()) for _ in range(loops)]
        self.push(["root"])
        self.turn_green("root")

    # --- the world ---------------------------------------------------------------------------------------------------

    def _policy(self, lane: str, more: Mapping[str, Any]) -> LanePolicy:
        return LanePolicy(
            application="shop",
            environment=lane,
            repository="shop",
            branch="main",
            follows=("staging",) if lane == "production" and "staging" in self.lanes else (),
            checks=(
                CommandCheck(command=(lane,), every=timedelta(seconds=30), timeout=timedelta(seconds=5), failures=2),
            ),
            ask_for=timedelta(minutes=20),
            target=CommandTarget(shift=("shift",), restore=("restore",)),
        ).model_copy(update=changes({"settle": 10, "waves": (20, 100), **more}, self.clock.now()))

    def load(self, rows: bytes, now: datetime) -> None:
        """The rows as they were at another time."""
        begin_with(rows)
        self.clock.jump(now - self.clock.now())

    def begin(self) -> Deployer:
        """A deploy process that knows nothing yet."""
        self.lives += 1
        context = DeployContext(
            store=TrappedStore(self.store, self._at_write),
            targets=self,
            prober=self,
            clock=self.clock,
            signals=self.signals,
            hands=AtOnce(),
            holder=f"deploy-{self.lives}",
            tick=IDLE,
            lease=LEASE,
        )
        return Deployer(context)

    def of(self, lane_id: int, policy: LanePolicy) -> MortalTarget:
        return MortalTarget(ScriptedTarget(self.places[policy.environment]), self._at_call)

    def ask(self, check: Check, question: Question) -> Answer:
        assert isinstance(check, CommandCheck)
        if not question.about.instances:
            return Answer(Verdict.UNTOLD, "there is no instance to ask")
        return ScriptedProber(self.places[check.command[0]]).ask(check, question)

    def _breaks(self, lane: str, sha: str) -> bool:
        return self.by_sha[sha].is_ill(lane)

    def _at_write(self, before: bool) -> None:
        for trap in [trap for trap in self.traps if trap.writes and trap.before == before]:
            trap.writes -= 1
            if not trap.writes:
                self.traps.remove(trap)
                trap.do()

    def _at_call(self, name: str) -> None:
        for trap in [trap for trap in self.traps if trap.calls]:
            trap.calls -= 1
            if not trap.calls:
                self.traps.remove(trap)
                trap.do()

    # --- commits -----------------------------------------------------------------------------------------------------

    def push(
        self,
        names: Sequence[str],
        *,
        breaks: Mapping[str, Sequence[str]] | None = None,
        stillborn: Mapping[str, Sequence[str]] | None = None,
        red: Sequence[str] = (),
        mends: str | None = None,
        says: str = "",
        authors: Mapping[str, str] | None = None,
        secures: Sequence[str] = (),
        one_way: Sequence[str] = (),
        on_a_side: bool = False,
    ) -> None:
        """Commits on main, whose checks begin. `mends`: the commit whose breakage the first of them takes away;
        `on_a_side`: on a branch of their own instead."""
        now = self.clock.now()
        with self.store.writing() as connection:
            for name in names:
                parent = self.known[self.head] if self.head else None
                ill = set(parent.ill) if parent is not None else set[tuple[str, str]]()
                own = frozenset((breaks or {}).get(name, ()))
                ill |= {(lane, name) for lane in own}
                if mends and name == names[0]:
                    ill -= {(lane, mends) for lane in self.lanes}
                known = Known(name, "", parent.name if parent else None, 0, own, frozenset(ill), name in red)
                known = replace(known, one_way=name in one_way, mends=mends if name == names[0] else None)
                if not on_a_side:
                    known, self.uncovered = replace(known, uncovers=frozenset(self.uncovered)), set()
                told = f"{says}\nSecurity-fix: a weakness" if name in secures else says
                known = self._known(known, parent)
                self.see(connection, known, (authors or {}).get(name, "Ada"), told, now)
                if on_a_side:
                    self.sides.append(name)
                else:
                    repositories.place(connection, _REPOSITORY, "main", known.position, known.sha)
                    self.head = name
                for lane in (stillborn or {}).get(name, ()):
                    self.places[lane].stillborn.add(self.known[name].sha)

    def _known(self, new: Known, parent: Known | None) -> Known:
        sha = hashlib.sha1(f"{new.name} {len(self.known)}".encode(), usedforsecurity=False).hexdigest()
        position = parent.position + 1 if parent is not None else 1
        known = self.known[new.name] = self.by_sha[sha] = replace(new, sha=sha, position=position)
        return known

    def see(self, connection: Connection, known: Known, author: str, says: str, now: datetime) -> None:
        """The repository holds it from now on."""
        self.told[known.sha] = author, says
        row: dict[str, object] = {
            "repository_id": _REPOSITORY,
            "sha": known.sha,
            "parents": [self.known[known.parent].sha] if known.parent is not None else [],
            "tree": known.sha,
            "author_name": author,
            "author_email": f"{author.lower()}@example.org",
            "title": known.name,
            "message": f"{known.name}\n\n{says}",
            "committed_at": now,
            "seen_at": now,
        }
        repositories.see(connection, [row])

    def drop(self, many: int) -> None:
        """A forced push takes the newest commits from the branch; never the first one."""
        kept = self.line()[: max(1, len(self.known) and len(self.line()) - many)]
        before, self.head = self.known[self.head], kept[-1].name
        self.uncovered |= {lane for lane in self.lanes if kept[-1].is_ill(lane) and not before.is_ill(lane)}
        with self.store.writing() as connection:
            repositories.drop_after(connection, _REPOSITORY, "main", kept[-1].position, self.clock.now())
        self.signals.wake(DEPLOY)

    def line(self) -> list[Known]:
        """The branch, oldest first, by the story's own knowledge."""
        found: list[Known] = []
        at: str | None = self.head
        while at is not None:
            found.append(self.known[at])
            at = self.known[at].parent
        return found[::-1]

    def turn_green(self, name: str) -> None:
        """The commit's checks passed: it is handed over."""
        with self.store.writing() as connection:
            sha = self.known[name].sha
            candidates.put(connection, _REPOSITORY, sha, {"app": f"sha256:{sha}"}, self.clock.now(), run_id=None)
        self.signals.wake(DEPLOY)

    def green_later(self, name: str, seconds: float) -> None:
        if not self.known[name].red:
            self.green.append((self.clock.now() + timedelta(seconds=seconds), name))

    # --- time --------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Everyone does what there is to do, from one moment to the next."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while True:
            now = self.clock.now()
            due = [name for at, name in self.green if at <= now]
            self.green = [(at, name) for at, name in self.green if at > now]
            for name in due:
                self.turn_green(name)
            times = [until, *(at for at, _ in self.green), *self.tick()]
            if self.answer_looks():
                times.append(self.clock.now())
            times += self.make()
            self.look()
            now = self.clock.now()
            if now >= until:
                return
            self.clock.advance(max(timedelta(milliseconds=50), min(times) - now))

    def moment(self) -> None:
        """Every process looks once; then it is as late as the first of them wants to look again."""
        wake = min(self.tick())
        if self.answer_looks():
            wake = self.clock.now()
        self.look()
        now = self.clock.now()
        if wake < now + IDLE - timedelta(minutes=1):
            self.clock.advance(max(timedelta(milliseconds=50), wake - now))

    def tick(self) -> list[datetime]:
        """Every deploy process looks once; when each wants to look again."""
        wake = [self._turn(loop) for loop in list(self.loops)]
        del self.loops[:-3]  # those that were overtaken long ago
        return wake

    def _turn(self, loop: Loop) -> datetime:
        now = self.clock.now()
        if loop.dead is not None:
            if now < loop.dead:
                return loop.dead
            loop.deployer, loop.dead = self.begin(), None
        if loop.away is not None:
            if now < loop.away:
                return loop.away
            loop.away = None
        try:
            for _ in range(20):
                self.signals.wait(DEPLOY, timedelta(0))
                pause = loop.deployer.tick()
                if DEPLOY not in self.signals.woken:
                    break
        except Crash:
            loop.deployer = self.begin()
            self.look()
            return self.clock.now()
        if loop.deployer.epoch is None:
            pause = min(pause, self.asks_again)
        return self.clock.now() + pause

    def answer_looks(self) -> bool:
        """What the scheduler does: say what the batches carry, from the history; False if nobody asks."""
        if self.historian_away:
            return False
        with self.store.reading() as connection:
            asked = [looks.of_rollout(connection, each) for each in looks.unanswered(connection)]
        for each in asked:
            assert each is not None
            since, until = self.past(each.since_sha), self.past(each.until_sha)
            apart = [self.by_sha[sha] for sha in (since.keys() ^ until.keys())]
            closed = [{"sha": one.sha, "title": one.name, "why": "it drops a column"} for one in apart if one.one_way]
            found = {"ancestor": each.since_sha in until, "irreversible": closed, "undone": []}
            with self.store.writing() as connection:
                looks.answer(connection, each.rollout_id, found, self.clock.now())
            self.signals.wake(DEPLOY)
        return bool(asked)

    def past(self, sha: str) -> dict[str, Known]:
        """A commit and all before it."""
        found: dict[str, Known] = {}
        at: str | None = self.by_sha[sha].name
        while at is not None:
            found[self.known[at].sha] = self.known[at]
            at = self.known[at].parent
        return found

    def look(self) -> None:
        self.steps += 1
        self.watch(self)

    # --- facts -------------------------------------------------------------------------------------------------------

    def lane(self, connection: Connection, name: str) -> Lane:
        return lanes.by_id(connection, self.ids[name])

    def live(self, connection: Connection, name: str) -> Release | None:
        return releases.live_of(connection, self.ids[name])

    def live_in(self, name: str) -> str | None:
        with self.store.reading() as connection:
            found = self.live(connection, name)
        return self.by_sha[found.sha].name if found is not None else None

    def rollouts_in(self, name: str) -> list[Rollout]:
        """Oldest first."""
        with self.store.reading() as connection:
            return rollouts.latest(connection, self.ids[name], 10_000)[::-1]

    def journal_in(self, name: str) -> list[JournalEntry]:
        """Of the newest rollout."""
        newest = self.rollouts_in(name)[-1]
        with self.store.reading() as connection:
            return rollouts.entries(connection, newest.id)

    def outcomes_in(self, name: str) -> list[str]:
        """Every rollout in order: `forward good d`."""
        return [f"{each.kind} {each.state} {self.by_sha[each.until_sha].name}" for each in self.rollouts_in(name)]

    def resting(self, name: str) -> bool:
        """Nothing is under way."""
        with self.store.reading() as connection:
            return rollouts.active_of(connection, self.ids[name]) is None
