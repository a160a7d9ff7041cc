"""Hotfixes as rules: what goes first, what keeps one, and what must not be lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from farmgate import lanes, states
from farmgate.lanes import Brought, Culprit, Cut, LaneView, OpenHotfix, OpenSearch, StandingHold, Wait, Why
from farmgate.models import HoldKind, MadeKind, RolloutKind
from farmgate.policy import Approvals
from scheduler.decisions import EndMade, MakeAnew, MakeCommit, MakeReadyMade
from scheduler.making_plan import MadeView, of_made
from tests.test_lanes import NOW, ban, green, policy, red, sha, view

FIX = "f" * 40
READY = OpenHotfix(7, states.Made.READY, FIX, 99, 5, on_live=True, asked_by="alice")
LATER = NOW + timedelta(hours=1)


def cut(seen: LaneView) -> object:
    return lanes.cut(seen, NOW)


def brought(at: int | None) -> tuple[Brought, ...]:
    return (Brought(FIX, "the fix", MadeKind.HOTFIX, at),)


def test_a_ready_hotfix_goes_before_everything_that_waits() -> None:
    answer = cut(view(green(2), green(3), at=1, hotfix=READY))
    assert isinstance(answer, Cut)
    assert (answer.kind, answer.commit.sha, answer.since, answer.made_id) == (RolloutKind.HOTFIX, FIX, 1, 7)


@pytest.mark.parametrize("state", [states.Made.ASKED, states.Made.TESTING])
def test_while_it_is_made_and_tested_nothing_else_is_cut(state: states.Made) -> None:
    answer = cut(view(green(2), at=1, hotfix=replace(READY, state=state)))
    assert isinstance(answer, Wait)
    assert "hotfix 7" in answer.reasons[0].words
    (told,) = lanes.explain(view(green(2), at=1, hotfix=replace(READY, state=state)), NOW)
    assert any(reason.kind is Why.HOTFIX and "goes first" in reason.words for reason in told.reasons)
    assert told.live_at is None


@pytest.mark.parametrize(("kind", "goes"), [(HoldKind.HOLD, False), (HoldKind.STOP, False), (HoldKind.FREEZE, True)])
def test_a_hold_and_the_stop_keep_it_and_a_freeze_does_not(kind: HoldKind, *, goes: bool) -> None:
    hold = StandingHold(1, "a fair", "bob", LATER, kind=kind)
    assert isinstance(cut(view(at=1, hotfix=READY, holds=(hold,))), Cut) is goes


def test_the_minimum_interval_does_not_keep_it() -> None:
    slow = policy(minimum_interval=timedelta(hours=5))
    assert isinstance(cut(view(at=1, hotfix=READY, policy=slow, finished_at=NOW)), Cut)


def test_a_lane_that_asks_people_asks_them_for_exactly_the_hotfix() -> None:
    asks = policy(approvals=Approvals(count=2, by=("bob", "carl")))
    waits = cut(view(at=1, hotfix=replace(READY, approved_by=frozenset({"bob"})), policy=asks))
    assert isinstance(waits, Wait)
    assert waits.reasons[0].words == "hotfix 7 (fffffffff) needs 2 approvals of bob, carl"
    both = frozenset({"bob", "carl"})
    assert isinstance(cut(view(at=1, hotfix=replace(READY, approved_by=both), policy=asks)), Cut)


def test_a_ban_of_what_it_brings_keeps_it() -> None:
    assert isinstance(cut(view(at=1, hotfix=replace(READY, against=("it is banned",)))), Wait)


def test_one_that_stands_on_what_was_live_waits_to_be_made_anew() -> None:
    answer = cut(view(at=1, hotfix=replace(READY, on_live=False)))
    assert isinstance(answer, Wait)
    assert "made anew" in answer.reasons[0].words


# --- it is never lost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "cut_at"), [(None, None), (2, 4), (3, 4), (4, 4), (5, None)])
def test_a_batch_that_would_lose_a_hotfix_is_not_cut(at: int | None, cut_at: int | None) -> None:
    answer = cut(view(green(2), green(3), green(4), at=1, brought=brought(at)))
    assert (answer.commit.position if isinstance(answer, Cut) else None) == cut_at


def test_with_a_cap_the_batch_goes_as_far_as_the_hotfix_at_least() -> None:
    capped = policy(max_commits=1)
    answer = cut(view(green(2), green(3), green(4), at=1, brought=brought(3), policy=capped))
    assert isinstance(answer, Cut)
    assert answer.commit.position == 3


def test_each_waiting_commit_says_what_it_would_lose() -> None:
    first, second = lanes.explain(view(green(2), green(3), at=1, brought=brought(3)), NOW)
    assert any("would lose the hotfix fffffffff (the fix)" in reason.words for reason in first.reasons)
    assert not any(reason.kind is Why.HOTFIX for reason in second.reasons)


def test_points_of_a_search_that_would_lose_it_are_not_tried() -> None:
    batch = tuple(green(number) for number in range(2, 6))
    search = OpenSearch(1, 1, 5, tuple(each.sha for each in batch), 1, LATER)
    tried = cut(view(*batch, at=1, search=search, brought=brought(4)))
    assert isinstance(tried, Cut)
    assert tried.commit.position == 4
    # Only the one that is known to be sick is left: it is the culprit, with all that was not tried.
    assert cut(view(*batch, at=1, search=search, brought=brought(None))) == Culprit(1, sha(5), 1, 5)


def test_a_ban_counts_as_before() -> None:
    answer = cut(view(green(2), red(3), green(4), at=1, bans=(ban(4),), brought=brought(2)))
    assert isinstance(answer, Cut)
    assert answer.commit.position == 2


# --- what the scheduler does about one -------------------------------------------------------------------------------

ASKED = MadeView(1, 3, states.Made.ASKED, sha(1), LATER, (sha(1), 1), contained=False, run=None, candidate=False)
TESTING = replace(ASKED, state=states.Made.TESTING, run=(5, states.Run.RUNNING, None))


@pytest.mark.parametrize(
    ("made", "decision"),
    [
        (ASKED, MakeCommit(1, 3)),
        (TESTING, None),
        (replace(TESTING, run=(5, states.Run.PASSED, None), candidate=True), MakeReadyMade(1)),
        (replace(TESTING, state=states.Made.READY), None),
        (replace(ASKED, live=(sha(2), 2)), MakeAnew(1, sha(2), 2)),
        (replace(TESTING, live=(sha(2), 2)), MakeAnew(1, sha(2), 2)),
        (replace(TESTING, state=states.Made.READY, live=(sha(2), 2)), MakeAnew(1, sha(2), 2)),
    ],
)
def test_a_made_commit_is_made_tested_and_made_anew_where_what_is_live_moved(made: MadeView, decision: object) -> None:
    assert of_made(made, NOW) == decision


@pytest.mark.parametrize(
    ("made", "after", "words"),
    [
        (replace(TESTING, run=(5, states.Run.FAILED, "step test")), states.Made.FAILED, "run 5 failed: step test"),
        (replace(TESTING, run=(5, states.Run.PASSED, "not alone")), states.Made.FAILED, "run 5 passed: not alone"),
        (replace(TESTING, run=None), states.Made.FAILED, "its run is gone"),
        (replace(ASKED, live=None), states.Made.FAILED, "nothing is live"),
        (replace(TESTING, live=(sha(2), 2), contained=True), states.Made.NEEDLESS, "contains it"),
        (replace(TESTING, deadline=NOW), states.Made.CANCELLED, "its time was over"),
    ],
)
def test_one_that_cannot_go_on_ends_in_words(made: MadeView, after: states.Made, words: str) -> None:
    decision = of_made(made, NOW)
    assert isinstance(decision, EndMade)
    assert decision.after is after
    assert words in decision.reason
