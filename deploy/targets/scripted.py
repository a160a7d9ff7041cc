"""A target in memory that does what a script says: for the simulation, and to see that callers keep the order of calls.

Rules:
1. It keeps the contract of `protocol` and refuses calls that break it: a shift of what was not prepared, a finish
   before everything was shifted, a restore after the finish.
2. A commit in `broken` (or of which `breaks` says so) comes up and answers, but its checks are sick. One in `stillborn`
   does not come up. What is named in `faults` raises a TargetError that many times. What is `silent` cannot be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from deploy.checks import Answer, Question, Verdict
from deploy.targets.contents import strangers
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package
from farmgate.errors import StaleEpoch, TargetError
from farmgate.policy import Check


@dataclass(slots=True)
class Place:
    """What is there in one lane: the world that survives every process. `shares` by commit, in percent."""

    epoch: int = 0
    up: dict[int, str] = field(default_factory=dict)  # rollout -> commit
    shares: dict[int, int] = field(default_factory=dict)  # rollout -> percent
    finished: int | None = None  # the rollout that was finished last
    broken: set[str] = field(default_factory=set)
    breaks: Callable[[str], bool] | None = None
    stillborn: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)  # commits whose artifacts are not there any more
    goes_on: dict[str, Outcome] = field(default_factory=dict)  # commit -> what a shift of it answers meanwhile
    silent: set[str] = field(default_factory=set)
    logs: dict[str, str] = field(default_factory=dict)  # commit -> what its instances wrote
    sick_whatever: bool = False  # every check fails, whatever is live
    restore_fails: bool = False
    faults: Counter[str] = field(default_factory=Counter)  # call -> how often it still raises
    calls: list[str] = field(default_factory=list)

    @property
    def serving(self) -> dict[str, int]:
        """Who serves, by commit."""
        return {self.up[rollout]: share for rollout, share in self.shares.items() if share > 0}


class ScriptedTarget:
    """A target over a place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def ready(self, order: Order) -> Sequence[str]:
        if self.place.faults["ready"] > 0:
            self.place.faults["ready"] -= 1
            raise TargetError("scripted: ready is out of order")
        gone = order.old is not None and order.old.sha in self.place.gone
        lacks = (f"the artifact of {order.old.sha[:12]} is gone",) if gone and order.old is not None else ()
        return (*lacks, *strangers(self.place.shares, order))

    def prepare(self, order: Order) -> Outcome:
        self._enter("prepare", order)
        if order.new.sha in self.place.stillborn:
            return Outcome(Ended.FAILED, "does not come up")
        self.place.up[order.new.rollout_id] = order.new.sha
        return Outcome()

    def shift(self, order: Order, share: int) -> Outcome:
        self._enter(f"shift {share}", order)
        if order.new.rollout_id not in self.place.up:
            raise TargetError("shift before prepare")
        if order.new.sha in self.place.goes_on:
            return self.place.goes_on[order.new.sha]
        if order.old is None:
            self.place.shares = {order.new.rollout_id: 100}
        else:
            self.place.up.setdefault(order.old.rollout_id, order.old.sha)
            self.place.shares = {order.new.rollout_id: share, order.old.rollout_id: 100 - share}
        return Outcome(figures={"share": share})

    def observe(self, order: Order) -> Observed:
        there = {rollout: (Instance(0, sha, True),) for rollout, sha in self.place.up.items()}
        return Observed(there, dict(self.place.shares))

    def finish(self, order: Order) -> Outcome:
        self._enter("finish", order)
        if self.place.shares.get(order.new.rollout_id) != 100:
            raise TargetError("finish before everything was shifted")
        self._only(order.new)
        self.place.finished = order.new.rollout_id
        return Outcome()

    def restore(self, order: Order) -> Outcome:
        self._enter("restore", order)
        if self.place.finished == order.new.rollout_id:
            raise TargetError("restore after finish")
        if self.place.restore_fails:
            return Outcome(Ended.FAILED, "cannot go back")
        if order.old is None:
            self.place.up.clear()
            self.place.shares.clear()
        else:
            self._only(order.old)
        return Outcome()

    def tend(self, live: Package, epoch: int) -> None:
        self._fence(epoch)
        self._only(live)

    def log(self, package: Package, since: datetime | None) -> Iterable[bytes]:
        return [self.place.logs.get(package.sha, "").encode()]

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        self._fence(epoch)
        self.place.up.clear()
        self.place.shares.clear()

    def _only(self, package: Package) -> None:
        self.place.up = {package.rollout_id: package.sha}
        self.place.shares = {package.rollout_id: 100}

    def _enter(self, call: str, order: Order) -> None:
        self._fence(order.epoch)
        self.place.calls.append(f"{call} {order.new.sha[:12]}")
        name = call.partition(" ")[0]
        if self.place.faults[name] > 0:
            self.place.faults[name] -= 1
            raise TargetError(f"scripted: {name} is out of order")

    def _fence(self, epoch: int) -> None:
        if epoch < self.place.epoch:
            raise StaleEpoch(f"epoch {epoch} is older than {self.place.epoch}")
        self.place.epoch = epoch


class ScriptedProber:
    """Checks whose answers follow from the commits that are asked: an instance's address is its commit."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def ask(self, check: Check, question: Question) -> Answer:
        if self.place.sick_whatever:
            return Answer(Verdict.SICK, "everything is sick")
        for instance in question.about.instances:
            if instance.address in self.place.silent:
                return Answer(Verdict.UNTOLD, "no answer")
            breaks = self.place.breaks is not None and self.place.breaks(instance.address)
            if breaks or instance.address in self.place.broken:
                return Answer(Verdict.SICK, f"{instance.address[:12]} answers 500")
        return Answer(Verdict.HEALTHY, "")
