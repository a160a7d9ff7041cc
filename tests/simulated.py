"""The edges of the simulated farm: git, the bell, workers, and a store on which a process can die at any write.

Rules:
1. Nothing of the farm's own is faked here: workers speak to the same functions as the endpoints, and only with what a
   real one is told.
2. Everything that happens follows from the seed.
3. A process that dies forgets what it had in memory; what it had committed stays.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: the same seed gives the same run

from sqlalchemy import Connection, Engine

from farmgate.errors import BrokerUnreachable, Conflict, LostRace, NotInRepository, RemoteUnreachable, StaleAttempt
from farmgate.git.fake import FakeHistory
from farmgate.messages import Claim, Claimed, Heartbeat, Held, Join, Renew, Result, StepReport
from farmgate.models import Attempt, Node, Repository, TokenKind
from farmgate.refs import HEADS
from farmgate.store import attempts, nodes, tokens
from scheduler import claims, joining
from scheduler.context import Context
from tests.simulation.memory import OneStore

Dice = Random


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Fuse:
    """Kills the process at its nth write from now, before it commits or just after; or after its nth call outside."""

    left: int | None = None
    after: bool = True
    calls_left: int | None = None
    blown: int = 0

    def call(self) -> None:
        """Just after a call of a target."""
        if self.calls_left is None:
            return
        self.calls_left -= 1
        if self.calls_left <= 0:
            self.calls_left = None
            self.blown += 1
            raise Crash

    def burn(self, after: bool) -> None:
        if self.left is None or after != self.after:
            return
        self.left -= 1
        if self.left <= 0:
            self.left = None
            self.blown += 1
            raise Crash


class FragileStore(OneStore):
    """The store as one process has it: its writes may be its last."""

    def __init__(self, engine: Engine, fuse: Fuse) -> None:
        super().__init__(engine)
        self.fuse = fuse

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with super().writing() as connection:
            yield connection
            self.fuse.burn(after=False)
        self.fuse.burn(after=True)


class SimulatedMirrors:
    """One repository's remote and what the farm has fetched of it: the same history, unless it is out of reach."""

    def __init__(self, history: FakeHistory) -> None:
        self.history = history
        self.reachable = True
        self.fetches = 0

    def of(self, repository: Repository) -> FakeHistory:
        return self.history

    def fetch(self, repository: Repository, refspecs: Sequence[str] | None = None, *, url: str | None = None) -> None:
        if not self.reachable:
            raise RemoteUnreachable(f"{repository.url}: Could not resolve host")
        self.fetches += 1
        for spec in refspecs or ():
            source, _, destination = spec.lstrip("+").partition(":")
            if source not in self.history.refs():
                raise NotInRepository(f"{source} is not at the remote")
            self.history.point(destination, self.history.resolve(source))

    def default_branch(self, repository: Repository) -> str | None:
        return HEADS + "main"

    def path(self, repository: Repository) -> Path:
        return Path("/nowhere")


class SimulatedSignals:
    """Who was woken and has not looked yet. `lost`: nobody is ever woken; the loops look by themselves."""

    def __init__(self) -> None:
        self.woken: set[str] = set()
        self.lost = False

    def wake(self, loop: str) -> None:
        if not self.lost:
            self.woken.add(loop)

    def wait(self, loop: str, at_most: timedelta) -> None:
        self.woken.discard(loop)


class SimulatedBell:
    """A bell between Redis and the workers: it can lose, double, forget and be out of reach."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self.queues: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
        self.reachable = True
        self.lose = 0.0
        self.double = 0.0
        self.rung = 0

    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        if not self.reachable:
            raise BrokerUnreachable("connection refused")
        self.rung += 1
        queue = self.queues[pool if node is None else f"node {node}"]
        if self._dice.random() < self.lose:
            return
        queue.append((job, attempt))
        if self._dice.random() < self.double:
            queue.append((job, attempt))

    def flush(self) -> None:
        self.queues.clear()


@dataclass
class Work:
    """An attempt that a worker is at."""

    claimed: Claimed
    done_at: datetime
    told: int = 0  # log bytes sent


@dataclass
class SimulatedWorker:
    """A node with its worker. `asleep`: it neither speaks nor works, and believes on waking that nothing happened."""

    name: str
    context: Context
    bell: SimulatedBell
    slots: int
    build: Callable[[], timedelta]
    verdict: Callable[[Claimed], Result]
    pool: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    node_id: int = 0
    asleep: bool = False
    deaf: bool = False
    work: dict[tuple[int, int], Work] = field(default_factory=dict)
    begun: list[tuple[int, int]] = field(default_factory=list)
    refused: int = 0
    renewed_at: datetime | None = None

    def join(self) -> None:
        now = self.context.clock.now()
        with self.context.store.writing() as connection:
            token = tokens.create(connection, self.context.vault, TokenKind.JOIN, self.name, now)
        body = Join(
            token=token,
            name=self.name,
            pool=self.pool,
            slots=self.slots,
            engine="fake",
            version="0",
            labels=self.labels,
        )
        self.node_id = joining.join(self.context, body, "redis://nowhere").node

    def step(self) -> None:
        """What it does when it is its turn."""
        if self.asleep:
            return
        self._speak()
        for key in list(self.work):
            self._go_on(key)
        self._listen()

    def die(self) -> None:
        """Its containers, its memory and its claims are gone."""
        self.work.clear()
        self.renewed_at = None

    def _node(self) -> Node:
        with self.context.store.reading() as connection:
            return nodes.by_id(connection, self.node_id)

    def _held(self) -> tuple[Held, ...]:
        return tuple(Held(job=job, attempt=attempt) for job, attempt in self.work)

    def _speak(self) -> None:
        now = self.context.clock.now()
        if self.renewed_at is not None and now < self.renewed_at + self.context.settings.lease / 4:
            return
        self.renewed_at = now
        body = Heartbeat(slots=self.slots, holding=self._held(), worker_alive=True, free_disk_bytes=2**40, version="0")
        heard = joining.heartbeat(self.context, self._node(), body)
        if heard.restart_worker:
            self.deaf = False
        for held in heard.remove:
            self.work.pop((held.job, held.attempt), None)
        if self.work:
            renewed = claims.renew(self.context, self._node(), Renew(held=self._held()))
            for held in renewed.lost:
                self.work.pop((held.job, held.attempt), None)
            for held in renewed.cancelled:
                self._report((held.job, held.attempt), Result(outcome="cancelled"))

    def _listen(self) -> None:
        for queue in (self.bell.queues[f"node {self.node_id}"], self.bell.queues[self.pool]):
            self._take_from(queue)

    def _take_from(self, queue: deque[tuple[int, int]]) -> None:
        while queue and not self.deaf and len(self.work) < self.slots:
            job, attempt = queue.popleft()
            try:
                claimed = claims.claim(self.context, self._node(), Claim(job=job, attempt=attempt), "http://nowhere")
            except LostRace:
                continue
            except Conflict:
                queue.append((job, attempt))
                return
            self.begun.append((job, attempt))
            self.work[job, attempt] = Work(claimed, self.context.clock.now() + self.build())

    def _go_on(self, key: tuple[int, int]) -> None:
        work, now = self.work[key], self.context.clock.now()
        if work.told and now < work.done_at:
            return
        try:
            attempt = self._attempt(work)
            if not work.told or now >= work.done_at:
                work.told = claims.take_log(self.context, attempt, work.told, b"at work\n").length
            if now >= work.done_at:
                self._finish(key, attempt)
        except StaleAttempt:
            self.refused += 1
            del self.work[key]

    def _finish(self, key: tuple[int, int], attempt: Attempt) -> None:
        claimed = self.work[key].claimed
        result = self.verdict(claimed)
        passed = result.outcome == "passed"
        step = StepReport(number=1, name="test", state="passed" if passed else "failed", exit_code=0 if passed else 1)
        claims.take_step(self.context, attempt, step)
        if passed:
            claims.take_artifact(self.context, attempt, "dist/shop.tar.gz", [claimed.sha.encode()])
        self._report(key, result)

    def _report(self, key: tuple[int, int], result: Result) -> None:
        work = self.work.pop(key)
        try:
            claims.take_result(self.context, self._attempt(work), result)
        except StaleAttempt:
            self.refused += 1

    def _attempt(self, work: Work) -> Attempt:
        """As the endpoint finds it: by the token alone."""
        claimed = work.claimed
        with self.context.store.reading() as connection:
            token_hash = self.context.vault.hash(claimed.token)
            return attempts.live_by_token(connection, token_hash, claimed.job, claimed.attempt)[1]
