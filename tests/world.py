"""The whole farm in memory on a virtual clock: the real store, real plans and real effects; fakes at the edges only.

Rules:
1. After every step that wrote more than a heartbeat all invariants are checked, and now and then anyway, since some
   things go wrong by time alone; the first violation stops the world with its story.
2. Time moves only here, in steps, and in each step everyone does what there is to do now.
3. Faults are verbs: a process dies at its nth write, a worker dies or sleeps, bells are lost, doubled or forgotten.
4. The same seed gives the same run.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, event, or_, select

from deploy.context import LOOP as DEPLOY
from deploy.context import AtOnce
from deploy.context import Context as DeployContext
from deploy.loop import Deployer
from farmgate import invariants, policy
from farmgate import lanes as rules
from farmgate.blobs import MemoryBlobs
from farmgate.clock import VirtualClock
from farmgate.errors import Conflict, NotFound
from farmgate.git.fake import FakeHistory
from farmgate.messages import Claimed, Result
from farmgate.models import HoldKind, Lane, Made, Release, Rollout, RolloutKind, Verdict
from farmgate.pipeline import FILE_NAME
from farmgate.refs import HEADS
from farmgate.settings import SchedulerSettings
from farmgate.store import (
    answers,
    bans,
    events,
    holds,
    lane_views,
    lanes,
    late_reds,
    made,
    releases,
    repositories,
    rollouts,
    runs,
)
from farmgate.store import fixes as store_fixes
from farmgate.store import schema as t
from farmgate.store.database import Store
from farmgate.vault import Vault
from scheduler import hooks, hotfix_api
from scheduler.answers import answer
from scheduler.auth import Principal
from scheduler.background import Inline
from scheduler.context import LOOP, Context
from scheduler.loop import Loop
from tests.simulated import (
    Crash,
    Dice,
    FragileStore,
    Fuse,
    SimulatedBell,
    SimulatedMirrors,
    SimulatedSignals,
    SimulatedWorker,
)
from tests.simulated_lanes import Places, policy_text
from tests.simulation.memory import begin_with, the_store

STEP = timedelta(seconds=10)
LOOK_ANYWAY = 10  # steps
BEATS = re.compile(
    "PRAGMA|BEGIN|WITH|(UPDATE|INSERT INTO) (nodes|leaders) "
    "|UPDATE attempts SET lease_until=|UPDATE repositories SET polled_at="
)
SECRET = "a webhook secret"
PIPELINE = "jobs:\n  test:\n    steps: [make test]\n    artifacts: [dist/shop.tar.gz]\n"
MISHAP = or_(t.events.c.kind.like("decision.%"), t.events.c.kind == "lane.trouble")
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
QUIET = timedelta(minutes=5)
"""How long nothing may be open before the farm counts as settled: longer than any pause of its policies."""


PICKED = "picked "


class Names(dict[str, str]):
    """Commits by their names; of those that Farmgate makes, from their titles."""

    def __init__(self, history: FakeHistory) -> None:
        super().__init__()
        self._history = history

    def __missing__(self, sha: str) -> str:
        title = self._history.commit(sha).title
        return title.replace("Revert ", "without ").replace('"', "") if title.startswith("Revert") else PICKED + title


_SEEN: Final[list[Callable[..., None]]] = []


def _see_writes(see: Callable[..., None]) -> None:
    """Every statement is shown to one world: there is one store, of which one world is made at a time."""
    engine = the_store().engine
    while _SEEN:
        event.remove(engine, "before_cursor_execute", _SEEN.pop())
    event.listen(engine, "before_cursor_execute", see)
    _SEEN.append(see)


class World:
    """One farm and its surroundings. Commits are called by the names they were pushed under; `root` is there first."""

    def __init__(
        self,
        *,
        seed: int = 0,
        nodes: int = 2,
        slots: int = 2,
        build_minutes: float = 2,
        rollout_minutes: float = 4,
        lanes: Sequence[str] = ("production",),
        pipeline: str = PIPELINE,
        labels: Sequence[Mapping[str, str]] = (),
        more_policy: Mapping[str, object] | None = None,
    ) -> None:
        self.dice = Dice(seed)
        self.clock = VirtualClock()
        self.history = FakeHistory(self.clock.now())
        self.store = begin_with()
        self._written = True
        _see_writes(self._see)
        self.mirrors = SimulatedMirrors(self.history)
        self.bell = SimulatedBell(self.dice)
        self.scheduler_fuse = Fuse()
        self.deploy_fuse = Fuse()
        self.lanes = tuple(lanes)
        self.places = Places(self.lanes, self.history, self.deploy_fuse)
        self.blobs = MemoryBlobs()
        self.signals = SimulatedSignals()
        self.settings = SchedulerSettings(
            lease=timedelta(seconds=60), silent_after=timedelta(seconds=60), poll_every=timedelta(minutes=10)
        )
        self.vault = Vault(b"the simulation's own key")
        self.build = timedelta(minutes=build_minutes)
        self.witness = invariants.Witness()
        self.steps = 0
        self.lives = 0
        self.down: dict[str, datetime] = {}  # until when a process stays dead
        self.stalled: list[Deployer] = []
        self._killing: tuple[str, bool, int] | None = None
        self.faulty_at = self.clock.now()  # when the last fault was there
        self.names: dict[str, str] = Names(self.history)  # of commits, by sha
        self.shas: dict[str, str] = {}
        self._deliveries = 0
        self._commit("root", {FILE_NAME: pipeline})
        self._connect(policy_text(self.lanes, rollout_minutes, more_policy or {}))
        door = self._context(self.store)
        self.door = door
        self.scheduler = self._begin_scheduler()
        self.deployer = self._begin_deployer()
        self.workers = [
            SimulatedWorker(
                f"node-{number}",
                door,
                self.bell,
                slots,
                self._build_time,
                self._verdict,
                labels=dict(labels[number - 1]) if labels else {},
            )
            for number in range(1, nodes + 1)
        ]
        for worker in self.workers:
            worker.join()
        self.step()  # the first look at the repository takes the tip alone: `root`

    def _context(self, store: Store) -> Context:
        return Context(
            settings=self.settings,
            store=store,
            blobs=self.blobs,
            vault=self.vault,
            clock=self.clock,
            bell=self.bell,
            signals=self.signals,
            deploy_signals=self.signals,
            mirrors=self.mirrors,
        )

    def _begin_scheduler(self) -> Loop:
        self.lives += 1
        mortal = FragileStore(self.store.engine, self.scheduler_fuse)
        return Loop(self._context(mortal), Inline(), holder=f"scheduler-{self.lives}")

    def _begin_deployer(self) -> Deployer:
        self.lives += 1
        mortal = FragileStore(self.store.engine, self.deploy_fuse)
        return Deployer(
            DeployContext(
                store=mortal,
                targets=self.places,
                prober=self.places,
                clock=self.clock,
                signals=self.signals,
                hands=AtOnce(),
                holder=f"deploy-{self.lives}",
            )
        )

    def _connect(self, text: str | None) -> None:
        now = self.clock.now()
        with self.store.writing() as connection:
            repositories.add(connection, "shop", "file:///shop", "git", self.vault.encrypt(SECRET), "main", now)
            if text is not None:
                lanes.apply_policy(connection, policy.parse(text, "delivery.yml"), "world", now)

    def _build_time(self) -> timedelta:
        return self.build * (0.5 + self.dice.random())

    def _verdict(self, claimed: Claimed) -> Result:
        broken = self.history.read(claimed.sha, "tests") or b""
        if broken == self.names[claimed.sha].removeprefix(PICKED).encode():
            return Result(outcome="failed", exit_code=1, reason="step test: exit code 1")
        missing = [path for path in self.history.changed_paths(None, claimed.sha) if path.startswith("needs/")]
        if any(self.history.read(claimed.sha, path.replace("needs/", "own/")) is None for path in missing):
            return Result(outcome="failed", exit_code=1, reason="step test: it needs what is not there")
        flaky = self.history.read(claimed.sha, "flaky") or b""
        if flaky == self.names[claimed.sha].encode() and (claimed.name, claimed.attempt) == ("test", 1):
            return Result(outcome="failed", exit_code=1, reason="step test: it failed this once")
        return Result(outcome="passed", exit_code=0)

    # --- what people do ----------------------------------------------------------------------------------------------

    def _commit(self, name: str, files: Mapping[str, str | None], message: str | None = None) -> str:
        sha = self.history.add(message or name, files)
        self.names[sha], self.shas[name] = name, sha
        return sha

    def push(
        self,
        *names: str,
        breaks_tests: Iterable[str] = (),
        breaks_production: Iterable[str] = (),
        breaks_staging: Iterable[str] = (),
        fails_once: Iterable[str] = (),
        security: Iterable[str] = (),
        irreversible: Mapping[str, str] | None = None,
        fixes: Mapping[str, str] | None = None,
        mends: Mapping[str, str] | None = None,
        needs: Mapping[str, str] | None = None,
        apart: bool = False,
        webhook: str = "once",
    ) -> None:
        """Commits on main in one push. `apart`: each changes files of its own; else all change one file;
        `needs`: commit -> the commit without which its tests fail;
        `fixes`: commit -> the commit whose breakage it mends, and says so;
        `mends`: the same, and says nothing;
        `irreversible`: commit -> why it cannot be taken back, as its message says;
        `fails_once`: whose tests fail at their first attempt."""
        before = self.history.resolve("main")
        for name in names:
            files: dict[str, str | None] = {f"own/{name}" if apart else "last": name}
            message = name
            if needs and name in needs:
                files[f"needs/{needs[name]}"] = name
            if name in breaks_tests:
                files["tests"] = name
            if name in fails_once:
                files["flaky"] = name
            if name in breaks_production:
                files[f"broken/production/{name}"] = "yes"
            if name in breaks_staging:
                files[f"broken/staging/{name}"] = "yes"
            if fixes and name in fixes:
                files |= {f"broken/{lane}/{fixes[name]}": None for lane in self.lanes}
                message = f"{name}\n\nFixes-commit: {self.shas[fixes[name]]}"
            if irreversible and name in irreversible:
                message += f"\n\nIrreversible: {irreversible[name]}"
            if name in security:
                message += "\n\nSecurity-fix: CVE-2026-0001"
            if mends and name in mends:
                files |= {f"broken/{lane}/{mends[name]}": None for lane in self.lanes}
            self._commit(name, files, message)
        self.tell(before, webhook)

    def take_back(self, name: str) -> None:
        """Push `back-<name>`: what the newest commit changed is as it was, and nobody says so."""
        before = self.history.resolve("main")
        assert before == self.shas[name], "only the newest one: others have changed the same file since"
        (above,) = self.history.commit(before).parents
        paths = self.history.changed_paths(above, before)
        self._commit(f"back-{name}", {path: _text(self.history.read(above, path)) for path in paths}, "better so")
        self.tell(before)

    def lose_artifact(self, name: str) -> None:
        """What a commit's release needs is gone from wherever it was kept."""
        for place in self.places.of_lane.values():
            place.gone.add(self.shas[name])

    def find_artifact(self, name: str) -> None:
        for place in self.places.of_lane.values():
            place.gone.discard(self.shas[name])

    def say_fixed(self, fix: str, fixes: str) -> None:
        """A person names the commit that fixes another one."""
        with self.store.writing() as connection:
            shop = repositories.by_name(connection, "shop").id
            store_fixes.say(connection, shop, self.shas[fix], self.shas[fixes], "alice", "seen", self.clock.now())
        self.signals.wake(DEPLOY)

    def revert(self, name: str, *, webhook: str = "once") -> None:
        """Push `revert-<name>`, as git words it."""
        before = self.history.resolve("main")
        said = f'Revert "{name}"\n\nThis reverts commit {self.shas[name]}.'
        mended: dict[str, str | None] = {f"broken/{lane}/{name}": None for lane in self.lanes}
        own = f"own/{name}" if self.history.read(self.shas[name], f"own/{name}") else "last"
        self._commit(f"revert-{name}", {own: f"revert-{name}" if own == "last" else None, **mended}, said)
        self.tell(before, webhook)

    def force(self, back_to: str, *names: str, webhook: str = "once") -> None:
        """A forced push: main goes back to a commit, and on from there."""
        before = self.history.resolve("main")
        self.history.point(HEADS + "main", self.shas[back_to])
        for name in names:
            self._commit(name, {"last": name})
        self.tell(before, webhook)

    def turn_red(self, name: str) -> None:
        """A late check says no of a candidate."""
        with self.store.writing() as connection:
            repository = repositories.by_name(connection, "shop").id
            checks = ["nightly"]
            late_reds.put(connection, repository, self.shas[name], "nightly", checks, "leaks", "ci", self.clock.now())
        self.signals.wake(DEPLOY)

    def tell(self, before: str, webhook: str = "once", ref: str = HEADS + "main") -> None:
        """The webhook of a push to main: once, twice, lost."""
        self._deliveries += 1
        body = json.dumps({"ref": ref, "before": before, "after": self.history.resolve(ref)}).encode()
        headers = {
            "content-type": "application/json",
            "x-farmgate-event": "push",
            "x-farmgate-delivery": f"delivery-{self._deliveries}",
            "x-farmgate-signature": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }
        for _ in range({"lost": 0, "once": 1, "twice": 2}[webhook]):
            hooks.accept(self.door, "shop", headers, body)

    def rollback(self, lane: str = "", to: str | None = None) -> None:
        """A person goes back: to the release of a commit, or to the one before."""
        with self.store.writing() as connection:
            found = self._lane(connection, lane)
            live = releases.live_of(connection, found.id)
            assert live is not None
            known: dict[str, Release] = {self.names[each.sha]: each for each in releases.latest(connection, found.id)}
            target = known[to] if to is not None else releases.before(connection, live)
            assert target is not None
            lanes.order_rollback(connection, found.id, target.id, "alice", "it is worse", self.clock.now())
        self.signals.wake(DEPLOY)

    def side(
        self,
        name: str,
        *,
        fixes: str | None = None,
        on: str | None = None,
        breaks_production: bool = False,
        breaks_tests: bool = False,
        touches: str | None = None,
    ) -> None:
        """A commit on a branch of its own, from another commit (main's tip), pushed."""
        files: dict[str, str | None] = {touches or f"side/{name}": name}
        if fixes is not None:
            files |= {f"broken/{lane}/{fixes}": None for lane in self.lanes}
        if breaks_production:
            files[f"broken/production/{name}"] = "yes"
        if breaks_tests:
            files["tests"] = name
        base = self.shas[on] if on is not None else self.history.resolve("main")
        sha = self.history.add(name, files, branch=name, parents=[base])
        self.names[sha], self.shas[name] = name, sha
        self.tell("0" * 40, ref=HEADS + name)

    def merge(self, name: str) -> None:
        """Merge a side branch into main by a merge commit, `merge-<name>`."""
        before = self.history.resolve("main")
        side = self.history.commit(self.shas[name])
        paths = self.history.changed_paths(side.parents[0], side.sha)
        files = {path: _text(self.history.read(side.sha, path)) for path in paths}
        sha = self.history.add(f"merge {name}", files, parents=[before, side.sha])
        self.names[sha], self.shas[f"merge-{name}"] = f"merge-{name}", sha
        self.tell(before)

    def squash(self, name: str) -> None:
        """Bring a side branch to main as one commit of its own, `squash-<name>`."""
        before = self.history.resolve("main")
        side = self.history.commit(self.shas[name])
        paths = self.history.changed_paths(side.parents[0], side.sha)
        self._commit(f"squash-{name}", {path: _text(self.history.read(side.sha, path)) for path in paths})
        self.tell(before)

    def merge_revert(self) -> None:
        """Merge the newest commit without a culprit into main, `merge-without`."""
        before, of = self.history.resolve("main"), self._newest_made()
        paths = self.history.changed_paths(of.onto, of.sha or "")
        files = {path: _text(self.history.read(of.sha or "", path)) for path in paths}
        sha = self.history.add("merge it", files, parents=[before, of.sha or ""])
        self.names[sha], self.shas["merge-without"] = "merge-without", sha
        self.tell(before)

    def take_revert(self) -> None:
        """Bring the newest commit without a culprit to main as a patch: another commit, which says what it says."""
        before, of = self.history.resolve("main"), self._newest_made()
        paths = self.history.changed_paths(of.onto, of.sha or "")
        files = {path: _text(self.history.read(of.sha or "", path)) for path in paths}
        self._commit("taken", files, self.history.commit(of.sha or "").message)
        self.tell(before)

    def push_revert(self) -> None:
        """Push the newest commit without a culprit itself: main must not have moved since."""
        before, of = self.history.resolve("main"), self._newest_made()
        assert of.onto == before
        self.history.point(HEADS + "main", of.sha)
        self.names[of.sha or ""], self.shas["itself"] = "itself", of.sha or ""
        self.tell(before)

    def _newest_made(self) -> Made:
        with self.store.reading() as connection:
            return made.latest(connection, self._lane(connection, "").id, 1)[0]

    def hotfix(self, *names: str, lane: str = "", refused: str | None = None) -> None:
        """A person asks for one; `refused`: with these words."""
        place, said = lane or self.lanes[-1], None
        try:
            hotfix_api.ask(self.door, "shop", place, [self.shas[name] for name in names], "it burns", "alice")
        except (Conflict, NotFound) as error:
            said = str(error)
        assert said == refused or (said and refused and refused in said), said

    def cancel_hotfix(self, lane: str = "") -> None:
        with self.store.reading() as connection:
            row = made.open_of(connection, self._lane(connection, lane).id)
        assert row is not None
        hotfix_api.cancel(self.door, "shop", lane or self.lanes[-1], row.id, "not needed", "alice")

    def say_contained(self, by: str, lane: str = "") -> None:
        """A person says which commit of main contains the newest hotfix."""
        with self.store.reading() as connection:
            row = made.latest(connection, self._lane(connection, lane).id, 1)[0]
        hotfix_api.say_contained(self.door, "shop", lane or self.lanes[-1], row.id, self.shas[by], "I looked", "alice")

    def made_in(self, lane: str = "") -> list[str]:
        """What became of the lane's made commits, oldest first."""
        with self.store.reading() as connection:
            return [str(row.state) for row in reversed(made.latest(connection, self._lane(connection, lane).id))]

    def hold(self, lane: str = "", minutes: float | None = None) -> None:
        now = self.clock.now()
        until = None if minutes is None else now + timedelta(minutes=minutes)
        with self.store.writing() as connection:
            holds.place(connection, self._lane(connection, lane).id, "not today", "alice", now, until)

    def lift_hold(self, lane: str = "") -> None:
        with self.store.writing() as connection:
            holds.lift(connection, self._lane(connection, lane).id, "alice", self.clock.now())
        self.signals.wake(DEPLOY)

    def freeze(self, minutes: float, starts_in: float = 0, lane: str = "") -> None:
        now = self.clock.now()
        begins, until = now + timedelta(minutes=starts_in), now + timedelta(minutes=starts_in + minutes)
        with self.store.writing() as connection:
            of = self._lane(connection, lane).id
            holds.place(connection, of, "a fair", "alice", now, until, begins=begins, kind=HoldKind.FREEZE)

    def stop_all(self, minutes: float | None = None) -> None:
        """The one button."""
        now = self.clock.now()
        until = None if minutes is None else now + timedelta(minutes=minutes)
        with self.store.writing() as connection:
            holds.place(connection, None, "it burns", "alice", now, until, kind=HoldKind.STOP)

    def go_on(self) -> None:
        with self.store.writing() as connection:
            holds.lift(connection, None, "alice", self.clock.now())
        self.signals.wake(DEPLOY)

    def lift_ban(self, name: str, lane: str = "") -> None:
        with self.store.writing() as connection:
            bans.lift(connection, self._lane(connection, lane).id, self.shas[name], "alice", self.clock.now())
        self.signals.wake(DEPLOY)

    def decide(self, verdict: str, lane: str = "") -> None:
        """A person says good or sick of a rollout that asks."""
        with self.store.writing() as connection:
            asking = rollouts.active_of(connection, self._lane(connection, lane).id)
            assert asking is not None
            rollouts.decide(connection, asking, verdict, "alice", "I looked", self.clock.now())
        self.signals.wake(DEPLOY)

    def answer_all(self, verdict: str) -> None:
        """A person answers every job that asks."""
        who = Principal("alice", frozenset({"write"}), 0)
        with self.store.reading() as connection:
            asking = answers.asking(connection)
        for job in asking:
            answer(self.door, job.id, who, Verdict(verdict), "I looked")

    # --- faults ------------------------------------------------------------------------------------------------------

    def kill_worker(self, number: int = 1) -> None:
        """What it held is gone; it is started again at once, and knows nothing."""
        self.workers[number - 1].die()

    def sleep_worker(self, number: int = 1) -> None:
        """It freezes, and with it its renewals; what it holds it still holds when it wakes."""
        self.workers[number - 1].asleep = True

    def wake_worker(self, number: int = 1) -> None:
        self.workers[number - 1].asleep = False

    def deafen_worker(self, number: int = 1) -> None:
        """Alive, and not consuming, until its agent starts it again."""
        self.workers[number - 1].deaf = True

    def kill_scheduler(self, *, after_writes: int = 0, before_commit: bool = False, minutes: float = 0) -> None:
        """At once, or at its nth write from now; it stays dead for a while, then another begins with nothing."""
        if after_writes:
            self.scheduler_fuse.left, self.scheduler_fuse.after = after_writes, not before_commit
        else:
            self.scheduler = self._begin_scheduler()
        if minutes:
            self.down["scheduler"] = self.clock.now() + timedelta(minutes=minutes)

    def kill_deploy(
        self, *, after_writes: int = 0, after_calls: int = 0, before_commit: bool = False, minutes: float = 0
    ) -> None:
        """At once, at its nth write, or just after its nth call of a target."""
        if after_writes:
            self.deploy_fuse.left, self.deploy_fuse.after = after_writes, not before_commit
        elif after_calls:
            self.deploy_fuse.calls_left = after_calls
        else:
            self.deployer = self._begin_deployer()
        if minutes:
            self.down["deploy"] = self.clock.now() + timedelta(minutes=minutes)

    def keep_killing(self, process: str, *, calls: bool = False) -> None:
        """Let a process die again and again: at its 1st write (or call), in the next life at its 2nd, and so on."""
        self._killing = (process, calls, 0)
        self._kill_again()

    def _kill_again(self) -> None:
        if self._killing is None:
            return
        process, calls, at = self._killing
        self._killing = (process, calls, at + 1)
        fuse = self.scheduler_fuse if process == "scheduler" else self.deploy_fuse
        if calls:
            fuse.calls_left = at + 1
        else:
            fuse.left, fuse.after = at // 2 + 1, bool(at % 2)

    def stall_deploy(self, call: str) -> None:
        """The next such call of a target takes so long that a successor takes over meanwhile; then it returns."""
        self.places.stall(call, self._be_succeeded)

    def _be_succeeded(self) -> None:
        late = self.deployer
        self.deployer = self._begin_deployer()
        for _ in range(6):
            self.clock.advance(STEP)
            self.deployer.tick()
        self.stalled.append(late)

    def lose_bells(self, share: float = 1.0) -> None:
        self.bell.lose = share

    def duplicate_bells(self, share: float = 1.0) -> None:
        self.bell.double = share

    def flush_redis(self) -> None:
        self.bell.flush()

    def cut_redis(self) -> None:
        """Nobody can ring."""
        self.bell.reachable = False

    def cut_git(self) -> None:
        """The remote is out of reach."""
        self.mirrors.reachable = False

    def stop_faults(self) -> None:
        self.bell.lose = self.bell.double = 0.0
        self.bell.reachable = self.mirrors.reachable = True
        self.scheduler_fuse.left = self.deploy_fuse.left = self.deploy_fuse.calls_left = None
        self.signals.lost = False
        self._killing = None
        self.down.clear()
        for worker in self.workers:
            worker.asleep = False

    # --- time --------------------------------------------------------------------------------------------------------

    def step(self, span: timedelta = STEP) -> None:
        """Everyone does what there is to do now; then time goes on."""
        self._turn_of_scheduler()
        for worker in self.workers:
            worker.step()
        self._turn_of_deploy()
        self.steps += 1
        self.down = {process: until for process, until in self.down.items() if until > self.clock.now()}
        if self._faulty():
            self.faulty_at = self.clock.now()
        if self._written or self.steps % LOOK_ANYWAY == 0:
            self._written = False
            self.check()
        self.clock.advance(span)

    def _see(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not (statement.startswith("SELECT") or BEATS.match(statement)):
            self._written = True

    def _turn_of_scheduler(self) -> None:
        if "scheduler" in self.down:
            return
        try:
            if self.scheduler.lead():
                self.signals.wait(LOOP, STEP)
                while self.scheduler.tick() or LOOP in self.signals.woken:
                    self.signals.wait(LOOP, STEP)
        except Crash:
            self.scheduler = self._begin_scheduler()
            self._kill_again()

    def _turn_of_deploy(self) -> None:
        if "deploy" in self.down:
            return
        try:
            self.deployer.tick()
            while DEPLOY in self.signals.woken:
                self.signals.wait(DEPLOY, STEP)
                self.deployer.tick()
        except Crash:
            self.deployer = self._begin_deployer()
            self._kill_again()
        for late in self.stalled:
            late.tick()  # it believes that it still leads
        self.stalled.clear()

    def check(self) -> None:
        """Rule 1."""
        now = self.clock.now()
        with self.store.reading() as connection:
            found = [*invariants.look(connection, now), *self.witness.look(connection)]
            found = [violation for violation in found if self._counts(violation, now)]
            failed = connection.execute(select(t.events.c.text).where(MISHAP)).scalars()
            mishaps = list(failed)
            if not found and not mishaps:
                return
            story = [
                f"{event.at:%H:%M:%S} {event.subject} {event.kind}: {event.text}" for event in events.latest(connection)
            ]
        lines = [str(violation) for violation in found] + mishaps
        raise AssertionError("\n".join([f"step {self.steps}, {now:%H:%M:%S}:", *lines, "", *reversed(story[:60])]))

    def _counts(self, violation: invariants.Violation, now: datetime) -> bool:
        """What is late counts only when faults have stopped for as long as a farm may take to recover."""
        recovers = {
            "I10": invariants.bounds.GRACE,
            "I11": invariants.bounds.DRAIN_BOUND,
            "I12": invariants.bounds.GRACE,
        }
        patience = recovers.get(violation.invariant)
        return patience is None or now - self.faulty_at > patience + self.settings.lease

    def _faulty(self) -> bool:
        bell = self.bell.lose or self.bell.double or not self.bell.reachable
        workers = any(worker.asleep or worker.deaf for worker in self.workers)
        return bool(bell or workers or not self.mirrors.reachable or self.down)

    def advance(self, minutes: float) -> None:
        until = self.clock.now() + timedelta(minutes=minutes)
        while self.clock.now() < until:
            self.step()

    def settle(self, hours: float = 24) -> None:
        """Until nothing has been open for a while (I11). Faults must have stopped, or be bearable."""
        until, quiet, span = self.clock.now() + timedelta(hours=hours), timedelta(0), STEP
        while quiet < QUIET:
            self.step(span)
            still = self.open()
            quiet = timedelta(0) if still else quiet + span
            # Where everyone only waits for a time to come, time may go faster.
            span = STEP if any(not each.subject.startswith("lane/") for each in still) else STEP * 5
            if self.clock.now() > until:
                raise AssertionError("\n".join([f"I11: not drained after {hours} hours:", *map(str, still)]))

    def open(self) -> list[invariants.Violation]:
        """What is not final, and lanes that will go on by themselves."""
        now = self.clock.now()
        with self.store.reading() as connection:
            found = invariants.undrained(connection)
            if found:
                return found
            for lane in lanes.every(connection):
                decision = rules.cut(lane_views.view(connection, lane, now), now)
                by_itself = not isinstance(decision, rules.Wait) or (decision.until or NEVER) < NEVER
                if by_itself:
                    found.append(invariants.Violation("I11", f"lane/{lane.environment}", f"goes on: {decision}"))
        return found

    @property
    def ran_on(self) -> dict[str, int]:
        """How many attempts each node began."""
        return {worker.name: len(worker.begun) for worker in self.workers}

    # --- facts -------------------------------------------------------------------------------------------------------

    def answer(self, name: str) -> str | None:
        """The verdict on a commit; None: no run of it."""
        with self.store.reading() as connection:
            found = runs.find(connection, sha=self.shas[name])
        return str(found[0].state) if found else None

    @property
    def answers(self) -> dict[str, str | None]:
        return {name: self.answer(name) for name in self.shas}

    @property
    def runs_per_commit(self) -> dict[str, int]:
        with self.store.reading() as connection:
            return {name: len(runs.find(connection, sha=sha)) for name, sha in self.shas.items()}

    @property
    def attempts(self) -> list[tuple[int, int]]:
        """Every attempt that a worker began, in order: nothing may be in it twice."""
        return [key for worker in self.workers for key in worker.begun]

    def _lane(self, connection: Connection, name: str) -> Lane:
        return lanes.by_name(connection, "shop", name or self.lanes[-1])

    def live_in(self, lane: str = "") -> str | None:
        """The commit that is live by the store; the place must agree once nothing is under way."""
        with self.store.reading() as connection:
            live = releases.live_of(connection, self._lane(connection, lane).id)
        return self.names[live.sha] if live is not None else None

    @property
    def live(self) -> str | None:
        return self.live_in()

    def whereabouts(self, name: str) -> str:
        """live, taken back, waiting..., as the ledger tells it of the last lane."""
        with self.store.reading() as connection:
            shop = repositories.by_name(connection, "shop").id
            return lanes.where_is(connection, shop, self.shas[name])[-1].state

    def banned_in(self, lane: str = "") -> set[str]:
        with self.store.reading() as connection:
            return {self.names[ban.sha] for ban in bans.standing(connection, self._lane(connection, lane).id)}

    @property
    def banned(self) -> set[str]:
        return self.banned_in()

    def rollouts_in(self, lane: str = "") -> list[Rollout]:
        with self.store.reading() as connection:
            return rollouts.latest(connection, self._lane(connection, lane).id, limit=10_000)[::-1]

    def batches_in(self, lane: str = "") -> list[list[str]]:
        """What each good batch carried, in the order in which they went live."""
        with self.store.reading() as connection:
            good = self._good(connection, lane)
            carried = rollouts.commits_of(connection, [each.id for each in good])
        return [[self.names[one.sha] for one in carried if one.rollout_id == each.id] for each in good]

    @property
    def batches(self) -> list[list[str]]:
        return self.batches_in()

    def outcomes_in(self, lane: str = "") -> list[str]:
        """Every rollout in order: `forward good d`."""
        return [f"{each.kind} {each.state} {self.names[each.until_sha]}" for each in self.rollouts_in(lane)]

    @property
    def outcomes(self) -> list[str]:
        return self.outcomes_in()

    def why(self, name: str, lane: str = "") -> str:
        """Why a commit is not live yet, in words."""
        now = self.clock.now()
        with self.store.reading() as connection:
            view = lane_views.view(connection, self._lane(connection, lane), now, full=True)
        told = [each for each in rules.explain(view, now) if each.commit.sha == self.shas[name]]
        return "; ".join(reason.words for each in told for reason in each.reasons)

    def told(self, kind: str) -> list[str]:
        """The events of a kind, oldest first."""
        with self.store.reading() as connection:
            return [event.text for event in events.latest(connection, limit=10_000) if event.kind == kind][::-1]

    @property
    def held(self) -> list[str]:
        with self.store.reading() as connection:
            return [hold.reason for hold in holds.standing(connection, self._lane(connection, "").id, self.clock.now())]

    @property
    def run_order(self) -> list[str]:
        """The commits in the order in which their runs were made."""
        with self.store.reading() as connection:
            return [self.names[run.sha] for run in runs.find(connection, limit=10_000)][::-1]

    def slowest_minutes_to_live(self, lane: str = "") -> float:
        """From the push of a commit to the end of the rollout that brought it, of the slowest."""
        with self.store.reading() as connection:
            seen = {row.sha: row.seen_at for row in connection.execute(select(t.commits.c.sha, t.commits.c.seen_at))}
            good = [each for each in self._good(connection, lane) if each.finished_at is not None]
            carried = rollouts.commits_of(connection, [each.id for each in good])
        ended = {each.id: each.finished_at for each in good if each.finished_at is not None}
        spans: list[timedelta] = [ended[one.rollout_id] - seen[one.sha] for one in carried]
        return max(spans) / timedelta(minutes=1)

    def _good(self, connection: Connection, lane: str) -> list[Rollout]:
        found = rollouts.latest(connection, self._lane(connection, lane).id, limit=10_000)
        return [each for each in found[::-1] if each.state == "good" and each.kind is not RolloutKind.ROLLBACK]


def _text(data: bytes | None) -> str | None:
    return data.decode() if data is not None else None
