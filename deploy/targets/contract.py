"""What every target keeps, as tests that a target's own tests inherit. Needs pytest; nothing else imports this.

    pytest.register_assert_rewrite("deploy.targets.contract")      # in conftest.py, for telling failures

    class TestOurs(TargetContract):
        @pytest.fixture
        def rig(self, tmp_path):
            ...
            yield Rig(make=..., package=..., live=...)

Rules:
1. A `Rig` is a real place with a target in front of it. `make` gives one more handle on the same place, as another
   controller would have one: nothing may be remembered in memory only.
2. `DeathContract` cuts a controller off at each of its effects in turn, before it happens and after it did, and has
   another one go on. Its rigs have `dying`: a handle whose effects on the outside go through `Death.wrap`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import pytest

from deploy.targets.protocol import Ended, KnowsWayBack, Order, Outcome, Package, Target
from farmgate.errors import StaleEpoch

P = ParamSpec("P")
T = TypeVar("T")
EFFECTS_LIMIT: Final = 200
Step = Callable[[Target, Order], Outcome]


class Died(BaseException):
    """The controller is gone. No target may catch it: a real one could not."""


class Death:
    """Ends a controller at its `at`-th effect, from 0: before the effect, or once it happened and nobody knows yet."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left = at
        self._after = after
        self.happened = False

    def wrap(self, effect: Callable[P, T]) -> Callable[P, T]:
        """The effect, counted."""

        def counted(*args: P.args, **kwargs: P.kwargs) -> T:
            if self.happened:  # a dead one does nothing more, whatever it has in `finally`
                raise Died
            self.happened, self._left = self._left == 0, self._left - 1
            if self.happened and not self._after:
                raise Died
            result = effect(*args, **kwargs)
            if self.happened:
                raise Died
            return result

        return counted


@dataclass
class Rig:
    """A place of some kind. `package`: a release by number, from 1, of the commit `sha(number)`. `live`: what is live.

    `broken`: a release that does not come up, where the target can know that; `evidence`: what it then must say.
    `lose`: takes away what a release needs to come back, where `ready` can know that.
    """

    make: Callable[[], Target]
    package: Callable[[int], Package]
    live: Callable[[], str]
    broken: Callable[[int], Package] | None = None
    evidence: str = ""
    dying: Callable[[Death], Target] | None = None
    lose: Callable[[Package], object] | None = None

    def order(self, new: Package, old: Package | None, epoch: int = 1) -> Order:
        """From `old` to `new`."""
        return Order("shop/production", epoch, new, old)

    def steps(self, package: Package) -> tuple[Step, ...]:
        """A whole rollout, by as many waves as the target can take."""
        shares = (20, 60, 100) if package.target.TAKES_SHARES else (100,)
        return (_prepare, *(_shift(share) for share in shares), _finish)

    def bring_up(self, number: int, old: Package | None, epoch: int = 1) -> Package:
        """A whole rollout in one wave."""
        new, target = self.package(number), self.make()
        order = self.order(new, old, epoch)
        for step in (_prepare, _shift(100), _finish):
            done(step(target, order))
        return new


def sha(number: int) -> str:
    """The commit of a rig's release."""
    return f"{number:040x}"


def done(outcome: Outcome) -> None:
    """Says what it said if it did not end well."""
    assert outcome.ended is Ended.DONE, outcome


def _prepare(target: Target, order: Order) -> Outcome:
    return target.prepare(order)


def _finish(target: Target, order: Order) -> Outcome:
    return target.finish(order)


def _restore(target: Target, order: Order) -> Outcome:
    return target.restore(order)


def _shift(share: int) -> Step:
    return lambda target, order: target.shift(order, share)


class _Rigged:
    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        """Override it: yield a Rig, then clean up."""
        raise NotImplementedError("a contract needs a fixture `rig`")


class TargetContract(_Rigged):
    """For every target."""

    def test_a_finished_rollout_serves_the_new_release_and_nothing_else(self, rig: Rig) -> None:
        first = rig.bring_up(1, None)
        second = rig.bring_up(2, first)
        assert rig.live() == second.sha
        assert set(rig.make().observe(rig.order(second, None)).instances) <= {2}

    def test_a_restore_leaves_what_was_there_before(self, rig: Rig) -> None:
        first = rig.bring_up(1, None)
        new, target = rig.package(2), rig.make()
        order = rig.order(new, first)
        for steps in (rig.steps(new)[:1], rig.steps(new)[:-1]):
            for step in steps:
                done(step(target, order))
            done(target.restore(order))
            assert rig.live() == first.sha
            assert set(target.observe(order).instances) <= {1}

    def test_every_call_may_be_repeated_by_another_controller(self, rig: Rig) -> None:
        first = rig.bring_up(1, None)
        new, epoch = rig.package(2), itertools.count(2)
        for step in rig.steps(new):
            done(step(rig.make(), rig.order(new, first, next(epoch))))
            done(step(rig.make(), rig.order(new, first, next(epoch))))
        assert rig.live() == new.sha

    def test_a_restore_before_anything_was_prepared_is_harmless(self, rig: Rig) -> None:
        first = rig.bring_up(1, None)
        order = rig.order(rig.package(2), first)
        done(rig.make().restore(order))
        done(rig.make().restore(order))
        assert rig.live() == first.sha

    def test_an_older_controller_is_refused(self, rig: Rig) -> None:
        first = rig.bring_up(1, None, epoch=5)
        new, target = rig.package(2), rig.make()
        late = rig.order(new, first, epoch=4)
        for call in (*rig.steps(new), _restore):
            with pytest.raises(StaleEpoch):
                call(target, late)
        with pytest.raises(StaleEpoch):
            target.tend(first, 4)
        with pytest.raises(StaleEpoch):
            target.remove(4)
        assert rig.live() == first.sha

    def test_tending_and_looking_change_nothing_of_what_is_well(self, rig: Rig) -> None:
        first = rig.bring_up(1, None)
        before = rig.make().observe(rig.order(first, None))
        rig.make().tend(first, 1)
        rig.make().watch(1)
        after = rig.make().observe(rig.order(first, None))
        assert (after.instances, after.shares) == (before.instances, before.shares)
        assert rig.live() == first.sha

    def test_a_way_back_is_there_until_what_it_needs_is_gone(self, rig: Rig) -> None:
        target = rig.make()
        if not isinstance(target, KnowsWayBack):
            return  # nobody is told before the start: the restore tells
        first = rig.bring_up(1, None)
        order = rig.order(rig.package(2), first)
        assert tuple(target.ready(order)) == ()
        if rig.lose is not None:
            rig.lose(first)
            (words,) = target.ready(order)
            assert first.sha[:12] in words
        assert rig.live() == first.sha, "looking changes nothing"

    def test_a_release_that_does_not_come_up_is_told_and_taken_back(self, rig: Rig) -> None:
        if rig.broken is None:
            return  # this kind cannot know: its own tests say what it answers
        first = rig.bring_up(1, None)
        order, target = rig.order(rig.broken(2), first), rig.make()
        outcome = target.prepare(order)
        assert outcome.ended is Ended.FAILED
        assert outcome.words
        assert rig.evidence in outcome.words
        done(target.restore(order))
        assert rig.live() == first.sha


class DeathContract(_Rigged):
    """For targets whose effects can be cut off one by one."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_what_a_dead_controller_began_is_gone_on_with_by_the_next(self, rig: Rig, after: bool) -> None:
        live, epoch = rig.bring_up(1, None), itertools.count(2)
        for at in range(EFFECTS_LIMIT):
            new, death = rig.package(at + 2), Death(at, after=after)
            steps = rig.steps(new)
            reached = _until_dead(rig, steps, rig.order(new, live, next(epoch)), death)
            for step in steps[reached:]:
                done(step(rig.make(), rig.order(new, live, next(epoch))))
            assert rig.live() == new.sha, f"a death at effect {at}, in step {reached}"
            assert set(rig.make().observe(rig.order(new, None)).instances) <= {new.rollout_id}
            live = new
            if not death.happened:
                assert at > 0, "no effect goes through Death.wrap"
                return
        raise AssertionError(f"one rollout has more than {EFFECTS_LIMIT} effects")

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_what_a_dead_controller_began_is_taken_back_by_the_next(self, rig: Rig, after: bool) -> None:
        live, epoch = rig.bring_up(1, None), itertools.count(2)
        for at in range(EFFECTS_LIMIT):
            new, death = rig.package(at + 2), Death(at, after=after)
            steps = (*rig.steps(new)[:-1], _restore)
            _until_dead(rig, steps, rig.order(new, live, next(epoch)), death)
            done(rig.make().restore(rig.order(new, live, next(epoch))))
            assert rig.live() == live.sha, f"a death at effect {at}"
            assert set(rig.make().observe(rig.order(new, live)).instances) <= {live.rollout_id}
            if not death.happened:
                assert at > 0, "no effect goes through Death.wrap"
                return
        raise AssertionError(f"one rollout has more than {EFFECTS_LIMIT} effects")


def _until_dead(rig: Rig, steps: tuple[Step, ...], order: Order, death: Death) -> int:
    """The step that was cut off; as many as there are if none was."""
    assert rig.dying is not None, "this rig cannot die"
    target = rig.dying(death)
    for number, step in enumerate(steps):
        try:
            done(step(target, order))
        except Died:
            return number
    return len(steps)
