"""The places of the simulated farm: the scripted targets, where a process can die or stall at any call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deploy.checks import Answer, Question, Verdict
from deploy.targets.protocol import Observed, Order, Outcome, Package
from deploy.targets.scripted import Place, ScriptedProber, ScriptedTarget
from farmgate.git.fake import FakeHistory
from farmgate.policy import Check, CommandCheck, LanePolicy
from tests.simulated import Fuse

CHECKED_EVERY = 30
"""Seconds between two questions of a check."""


def policy_text(lanes: Sequence[str], rollout_minutes: float, more: Mapping[str, object]) -> str | None:
    """A policy whose rollouts take so long, in two waves; `production` follows `staging` where there is one.

    `ask` in `more`: who is asked at the end of the last wave."""
    if not lanes:
        return None
    half = max(1, round(rollout_minutes * 30))
    asks = f", checks: [{{ask: {more['ask']}}}]" if "ask" in more else ""
    told = "".join(f", {name}: {value}" for name, value in more.items() if name != "ask")
    lines = [
        "application: shop",
        "repository: shop",
        "target: {type: command, artifact: dist/shop.tar.gz, shift: [shift], restore: [restore]}",
        "lanes:",
    ]
    for lane in lanes:
        follows = ", follows: [staging]" if lane == "production" and "staging" in lanes else ""
        waves = f"waves: [{{share: 20, soak: {half}s}}, {{share: 100, soak: {half}s{asks}}}]"
        checks = f"checks: [{{command: [{lane}], every: {CHECKED_EVERY}s, timeout: 5s, failures: 2}}]"
        lines.append(f"  {lane}: {{branch: main, settle: 20s{follows}, {waves}, {checks}{told}}}")
    return "\n".join(lines) + "\n"


class Places:
    """The targets of all lanes, and whoever asks their checks. A lane's check is a command of the lane's name."""

    def __init__(self, lanes: Sequence[str], history: FakeHistory, fuse: Fuse) -> None:
        self.of_lane = {lane: Place(breaks=lambda sha, lane=lane: _broken(history, sha, lane)) for lane in lanes}  # type: ignore[misc]
        self._fuse = fuse
        self._stall: tuple[str, Callable[[], None]] | None = None

    def of(self, lane_id: int, policy: LanePolicy) -> MortalTarget:
        return MortalTarget(ScriptedTarget(self.of_lane[policy.environment]), self._called)

    def ask(self, check: Check, question: Question) -> Answer:
        assert isinstance(check, CommandCheck)
        answer = ScriptedProber(self.of_lane[check.command[0]]).ask(check, question)
        return answer if question.about.instances else Answer(Verdict.UNTOLD, "there is no instance to ask")

    def stall(self, call: str, meanwhile: Callable[[], None]) -> None:
        self._stall = (call, meanwhile)

    def _called(self, name: str) -> None:
        if self._stall is not None and self._stall[0] == name:
            meanwhile, self._stall = self._stall[1], None
            meanwhile()
        self._fuse.call()


class MortalTarget:
    """A target whose caller may die, or be overtaken, just after a call did its work."""

    def __init__(self, target: ScriptedTarget, called: Callable[[str], None]) -> None:
        self._target = target
        self._called = called

    def ready(self, order: Order) -> Sequence[str]:
        found = self._target.ready(order)
        self._called("ready")
        return found

    def prepare(self, order: Order) -> Outcome:
        return self._after("prepare", self._target.prepare(order))

    def shift(self, order: Order, share: int) -> Outcome:
        return self._after("shift", self._target.shift(order, share))

    def observe(self, order: Order) -> Observed:
        return self._target.observe(order)

    def finish(self, order: Order) -> Outcome:
        return self._after("finish", self._target.finish(order))

    def restore(self, order: Order) -> Outcome:
        return self._after("restore", self._target.restore(order))

    def tend(self, live: Package, epoch: int) -> None:
        self._target.tend(live, epoch)

    def watch(self, epoch: int) -> bool:
        return self._target.watch(epoch)

    def remove(self, epoch: int) -> None:
        self._target.remove(epoch)

    def _after(self, name: str, outcome: Outcome) -> Outcome:
        self._called(name)
        return outcome


def _broken(history: FakeHistory, sha: str, lane: str) -> bool:
    return any(path.startswith(f"broken/{lane}/") for path in history.changed_paths(None, sha))
