"""Without a culprit, as rules: when a lane asks for a commit that takes it back, when it goes, when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from farmgate import lanes, states
from farmgate.lanes import (
    Cut,
    LaneView,
    OpenRevert,
    PastRevert,
    RevertWanted,
    StandingBan,
    StandingHold,
    Verified,
    Wait,
    Why,
)
from farmgate.models import HoldKind, RolloutKind
from farmgate.policy import Approvals
from scheduler.decisions import EndMade, MakeCommit, MakeReadyMade
from scheduler.making_plan import MadeView, of_made
from tests.test_lanes import NOW, ban, green, policy, red, sha, view

LATER = NOW + timedelta(hours=1)
MADE = "f" * 40
REVERTING = policy(on_culprit="revert")
OPEN = OpenRevert(7, states.Made.READY, MADE, 99, 5, onto=sha(5), position=5, picks=(sha(3), sha(2)))


def culprit(*covers: int, taken: bool = False) -> StandingBan:
    """Found by automation; `taken`: a made commit that is live took it back."""
    of = tuple((sha(each), each) for each in covers) if taken else ()
    return replace(ban(*covers), culprit=True, taken=of)


def lane(*commits: object, **more: object) -> LaneView:
    """Commit 1 is live; 2 rode along red, and 3 is the culprit."""
    return view(*commits, **{"at": 1, "policy": REVERTING, "bans": (culprit(2, 3),), **more})  # type: ignore[arg-type]


WAITING = (red(2), green(3), green(4), green(5))


def cut(seen: LaneView) -> object:
    return lanes.cut(seen, NOW)


# --- when one is asked for -------------------------------------------------------------------------------------------


def test_the_newest_commit_without_all_that_the_ban_covers_is_asked_for() -> None:
    wanted = cut(lane(*WAITING))
    assert isinstance(wanted, RevertWanted)
    assert (wanted.onto.sha, wanted.picks) == (sha(5), (sha(3), sha(2)))
    assert wanted.words == f"everything up to {sha(5)[:9]} but {sha(3)[:9]}: sick"


@pytest.mark.parametrize(
    "seen",
    [
        lane(*WAITING, policy=policy()),
        lane(red(2), green(3)),  # nothing but the culprit waits
        lane(red(2), green(3), red(4)),
        lane(*WAITING, bans=(ban(2, 3),)),  # a person took it back
        lane(*WAITING, bans=(culprit(2, 3), ban(4))),
        lane(*WAITING, bans=(ban(2, 3, lane="staging"),)),
        lane(*WAITING, replace(red(6), fixes=(sha(3),))),  # somebody is at it
        lane(*WAITING, policy=policy(on_culprit="revert", follows=("staging",))),  # and staging has none of it
        lane(*WAITING, holds=(StandingHold(1, "a fair", "bob", LATER),)),
        lane(*WAITING, at=0),  # nothing is live
    ],
)
def test_it_is_not_asked_for(seen: LaneView) -> None:
    assert isinstance(cut(seen), Wait)


def test_what_can_be_cut_goes_without_one() -> None:
    before = lane(green(2), green(3), green(4), bans=(culprit(3),))
    fixed = lane(*WAITING, green(6, fixes=(3,)))
    assert [each.commit.position for each in (cut(before), cut(fixed)) if isinstance(each, Cut)] == [2, 6]


def test_it_takes_what_is_verified_where_the_lane_follows_another() -> None:
    follows = policy(on_culprit="revert", follows=("staging",))
    wanted = cut(lane(*WAITING, policy=follows, verified={"staging": (Verified(4, NOW),)}))
    assert isinstance(wanted, RevertWanted)
    assert wanted.onto.position == 4


@pytest.mark.parametrize(("limit", "onto"), [(None, 6), (4, 5), (1, 4)])
def test_the_size_of_a_batch_counts(limit: int | None, onto: int) -> None:
    wanted = cut(lane(*WAITING, green(6), policy=policy(on_culprit="revert", max_commits=limit)))
    assert isinstance(wanted, RevertWanted)
    assert wanted.onto.position == onto


def test_several_culprits_are_taken_back_at_once_and_those_of_what_is_live_again() -> None:
    wanted = cut(lane(green(6), green(7), green(8), at=5, bans=(culprit(7), culprit(2, 3, taken=True))))
    assert isinstance(wanted, RevertWanted)
    assert (wanted.onto.position, wanted.picks) == (8, (sha(7), sha(3), sha(2)))


def past(state: states.Made, onto: int, *, settled: bool = True) -> PastRevert:
    return PastRevert(6, state, sha(onto), (sha(3), sha(2)), "it conflicts in a", settled)


@pytest.mark.parametrize(
    ("reverts", "asked"),
    [
        ((past(states.Made.FAILED, 5),), False),
        ((past(states.Made.SICK, 5),), False),
        ((past(states.Made.FAILED, 4),), True),
        ((past(states.Made.CANCELLED, 4),), False),  # by a person
        ((past(states.Made.NEEDLESS, 5),), True),
        ((past(states.Made.LIVE, 4),) * 9, True),
        ((past(states.Made.LIVE, 4),) * 10, False),
        ((past(states.Made.NEEDLESS, 4),) * 10, True),
        ((replace(past(states.Made.CANCELLED, 4), picks=(sha(9),)),), True),  # another culprit's
    ],
)
def test_the_same_is_not_tried_twice_and_not_without_end(reverts: tuple[PastRevert, ...], *, asked: bool) -> None:
    assert isinstance(cut(lane(*WAITING, reverts=reverts)), RevertWanted) is asked


def test_who_waits_is_told() -> None:
    told = {each.commit.position: each for each in lanes.explain(lane(*WAITING), NOW)}
    words = [reason.words for reason in told[5].reasons if reason.kind is Why.REVERT]
    assert words == [f"a commit is made that takes {sha(3)[:9]} and 1 more back and delivers the others"]
    many = lanes.explain(lane(*WAITING, reverts=(past(states.Made.LIVE, 4),) * 10), NOW)
    assert "bring its fix or revert to main" in " ".join(reason.words for reason in many[-1].reasons)


# --- while it is open ------------------------------------------------------------------------------------------------


def test_a_ready_one_goes_at_the_place_of_what_it_is_made_from() -> None:
    answer = cut(lane(*WAITING, green(6), revert=OPEN))
    assert isinstance(answer, Cut)
    assert (answer.kind, answer.commit.sha, answer.commit.position, answer.since, answer.made_id) == (
        RolloutKind.REVERT,
        MADE,
        5,
        1,
        7,
    )


@pytest.mark.parametrize("state", [states.Made.ASKED, states.Made.TESTING])
def test_while_it_is_made_and_tested_what_can_be_cut_goes(state: states.Made) -> None:
    busy = replace(OPEN, state=state)
    assert isinstance(cut(lane(*WAITING, revert=busy)), Wait)
    before = lane(green(2), green(3), green(4), green(5), bans=(culprit(3),), revert=replace(busy, picks=(sha(3),)))
    answer = cut(before)
    assert isinstance(answer, Cut)
    assert answer.commit.position == 2


@pytest.mark.parametrize("kind", list(HoldKind))
def test_what_closes_a_lane_and_what_paces_it_keep_it(kind: HoldKind) -> None:
    hold = StandingHold(1, "a fair", "bob", LATER, kind=kind)
    assert isinstance(cut(lane(*WAITING, revert=OPEN, holds=(hold,))), Wait)
    slow = policy(on_culprit="revert", minimum_interval=timedelta(hours=5))
    assert isinstance(cut(lane(*WAITING, revert=OPEN, policy=slow, finished_at=NOW)), Wait)


def test_people_approve_exactly_it_where_the_lane_asks() -> None:
    asks = policy(on_culprit="revert", approvals=Approvals(count=1, by=("bob",)))
    waits = cut(lane(*WAITING, revert=OPEN, policy=asks))
    assert isinstance(waits, Wait)
    assert waits.reasons[0].words == "revert 7 (fffffffff) needs 1 approval of bob"
    assert isinstance(cut(lane(*WAITING, revert=replace(OPEN, agreed=True), policy=asks)), Cut)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (lane(*WAITING, policy=policy()), "does not ask for it any more"),
        (lane(*WAITING, bans=()), "is not banned any more"),
        (lane(*WAITING, replace(red(6), fixes=(sha(2),))), f"{sha(6)[:9]} fixes or reverts {sha(3)[:9]}"),
        (lane(*WAITING, bans=(culprit(2, 3), ban(4))), f"it holds {sha(4)[:9]}, which is banned"),
        (lane(*WAITING, bans=(culprit(2, 3), culprit(4))), "other commits up to there are banned"),
        (lane(green(6), at=5), "what is live is beyond it"),
    ],
)
def test_it_is_over_as_soon_as_it_is_not_needed_as_it_is(seen: LaneView, words: str) -> None:
    assert words in (lanes.revert_over(replace(seen, revert=OPEN)) or "")


def test_a_forced_push_under_it_ends_it() -> None:
    assert "forced push" in (lanes.revert_over(lane(*WAITING, revert=replace(OPEN, stands=False))) or "")
    assert lanes.revert_over(lane(*WAITING, green(6), revert=OPEN)) is None


# --- one that did not go, and one that is live -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "held"),
    [
        (lane(*WAITING, reverts=(past(states.Made.FAILED, 5, settled=False),)), True),
        (lane(*WAITING, reverts=(past(states.Made.SICK, 5, settled=False),)), True),
        (lane(*WAITING, reverts=(past(states.Made.FAILED, 5),)), False),  # a person lifted that hold
        (lane(*WAITING, green(6, fixes=(3,)), reverts=(past(states.Made.FAILED, 5, settled=False),)), False),
        (lane(*WAITING, bans=(), reverts=(past(states.Made.FAILED, 5, settled=False),)), False),
        (lane(*WAITING, reverts=(past(states.Made.CANCELLED, 5, settled=False),)), False),
    ],
)
def test_one_that_failed_holds_the_lane_while_it_is_needed(seen: LaneView, *, held: bool) -> None:
    words = lanes.revert_fell(seen)
    assert (words is not None) is held
    if words is not None:
        assert sha(3)[:9] in words
        assert "it conflicts in a" in words


TAKEN = (culprit(2, 3, taken=True),)


@pytest.mark.parametrize(
    ("commits", "cut_at"),
    [
        ((green(6),), None),
        ((green(6), green(7, fixes=(3,)), green(8)), 8),
        ((green(6), red(7), green(8, fixes=(2,))), 8),
        ((green(6), green(7, fixes=(3,)), green(8, fixes=(7,))), 7),  # the revert is reverted
    ],
)
def test_what_a_live_one_took_back_stays_away_until_it_is_fixed(
    commits: tuple[object, ...], cut_at: int | None
) -> None:
    answer = cut(lane(*commits, at=5, bans=TAKEN, policy=policy()))
    assert (answer.commit.position if isinstance(answer, Cut) else None) == cut_at
    assert (
        cut_at is not None
        or "would bring back" in lanes.explain(lane(*commits, at=5, bans=TAKEN), NOW)[0].reasons[0].words
    )


# --- what the scheduler does -----------------------------------------------------------------------------------------

ASKED = MadeView(
    1, 3, states.Made.ASKED, sha(5), LATER, (sha(1), 1), contained=False, run=None, candidate=False, is_revert=True
)
TESTING = replace(ASKED, state=states.Made.TESTING, run=(5, states.Run.RUNNING, None))


@pytest.mark.parametrize(
    ("made", "decision"),
    [
        (ASKED, MakeCommit(1, 3)),
        (replace(ASKED, live=(sha(9), 9)), MakeCommit(1, 3)),  # it does not stand on what is live
        (TESTING, None),
        (replace(TESTING, run=(5, states.Run.PASSED, None), candidate=True), MakeReadyMade(1)),
        (replace(TESTING, over="it is fixed"), EndMade(1, states.Made.NEEDLESS, "it is fixed")),
        (
            replace(TESTING, state=states.Made.READY, deadline=NOW),
            EndMade(1, states.Made.NEEDLESS, "its time was over: it was still ready"),
        ),
        (replace(TESTING, deadline=NOW), EndMade(1, states.Made.FAILED, "its time was over: it was still testing")),
    ],
)
def test_it_is_made_from_the_branch_and_over_when_the_lane_says_so(made: MadeView, decision: object) -> None:
    assert of_made(made, NOW) == decision
