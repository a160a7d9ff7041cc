"""The rules of lanes, as tables and as properties."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmgate import lanes
from farmgate.clock import stopwatch
from farmgate.lanes import (
    SETTLE_BOUND,
    Active,
    Checks,
    Culprit,
    Cut,
    LaneView,
    Live,
    Lost,
    OpenSearch,
    QueuedCommit,
    StandingBan,
    StandingHold,
    Verified,
    Wait,
    Why,
)
from farmgate.models import RolloutKind
from farmgate.policy import CommandTarget, LanePolicy

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=10)


def sha(position: int) -> str:
    return f"{position:040x}"


def green(position: int, *, fixes: tuple[int, ...] = (), at: datetime = LONG_AGO) -> QueuedCommit:
    named = tuple(sha(each) for each in fixes)
    return QueuedCommit(
        position,
        sha(position),
        f"commit {position}",
        checks=Checks.GREEN,
        candidate_id=position,
        green_at=at,
        fixes=named,
    )


def red(position: int) -> QueuedCommit:
    return QueuedCommit(position, sha(position), f"commit {position}", checks=Checks.RED)


def policy(**changes: object) -> LanePolicy:
    target = CommandTarget(shift=("true",), restore=("true",))
    plain = LanePolicy(application="shop", environment="production", repository="shop", branch="main", target=target)
    return plain.model_copy(update=changes)


def live(position: int, *, gone: bool = False, base: int | None = None) -> Live:
    return Live(1, 1, sha(position), position, position if base is None else base, LONG_AGO, gone)


def ban(*covers: int, lane: str | None = None) -> StandingBan:
    return StandingBan(1, sha(max(covers)), max(covers), tuple(sha(each) for each in covers), "sick", lane)


def view(*commits: QueuedCommit, at: int = 0, **more: object) -> LaneView:
    rules = more.pop("policy", policy())
    assert isinstance(rules, LanePolicy)
    return LaneView(1, rules, live=live(at) if at else None, commits=commits, **more)  # type: ignore[arg-type]


def position(answer: object) -> int | None:
    return answer.commit.position if isinstance(answer, Cut) else None


# --- the cut ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commits", "limit", "cut_at"),
    [
        ((), None, None),
        ((green(1), green(2), green(3)), None, 3),
        ((green(1), green(2), red(3)), None, 2),
        ((red(1), red(2)), None, None),
        ((green(1), green(2), green(3), green(4)), 2, 2),
        ((green(1), red(2), green(3)), 2, 1),
        ((red(1), red(2), red(3), green(4), green(5)), 2, 4),  # none within: the nearest beyond
    ],
)
def test_the_cut_is_the_newest_eligible_within_the_limit(
    commits: tuple[QueuedCommit, ...], limit: int | None, cut_at: int | None
) -> None:
    assert position(lanes.cut(view(*commits, policy=policy(max_commits=limit)), NOW)) == cut_at


@pytest.mark.parametrize(
    ("bans", "commits", "cut_at"),
    [
        ((ban(2),), (green(1), green(2), green(3)), 1),
        ((ban(2),), (green(1), green(2), green(3), green(4, fixes=(2,))), 4),
        ((ban(2),), (green(1), green(2), green(3, fixes=(2,)), green(4)), 4),
        ((ban(2),), (green(1), green(2), green(3, fixes=(2,)), green(4, fixes=(3,))), 3),  # the fix is reverted
        ((ban(2),), (green(1), green(2), green(3, fixes=(2,)), green(4, fixes=(3,)), green(5, fixes=(4,))), 3),
        ((ban(2),), (green(1), green(2), green(3, fixes=(2,)), green(4, fixes=(3,)), green(5, fixes=(2,))), 5),
        ((ban(2, 3),), (green(1), green(2), green(3), green(4, fixes=(2,))), 4),  # a fix of any covered one
        ((ban(1, 2, 3),), (green(1), green(2), green(3, fixes=(1,)), green(4)), None),  # inside the ban it is no fix
        ((ban(2), ban(3)), (green(1), green(2), green(3), green(4, fixes=(2,))), 1),
        ((ban(2, lane="staging"),), (green(1), green(2)), 1),
    ],
)
def test_a_ban_blocks_until_its_fix_is_in_the_batch_after_it(
    bans: tuple[StandingBan, ...], commits: tuple[QueuedCommit, ...], cut_at: int | None
) -> None:
    assert position(lanes.cut(view(*commits, bans=bans), NOW)) == cut_at


def test_a_ban_of_what_is_live_blocks_nothing() -> None:
    assert position(lanes.cut(view(green(6), at=5, bans=(ban(4, 5),)), NOW)) == 6


def test_a_followed_lane_verifies_a_commit_by_any_later_good_release() -> None:
    waiting = (green(1), green(2), green(3), green(4))
    verified = {"staging": lanes.useful([Verified(2, LONG_AGO), Verified(3, LONG_AGO)])}
    following = policy(follows=("staging",))
    assert position(lanes.cut(view(*waiting, policy=following, verified=verified), NOW)) == 3
    assert isinstance(lanes.cut(view(*waiting, policy=following), NOW), Wait)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=20), st.integers(1, 20))
def test_useful_releases_tell_the_same_as_all_of_them(releases: list[tuple[int, int]], asked: int) -> None:
    every = [Verified(place, NOW + timedelta(minutes=minute)) for place, minute in releases]
    looked = view(verified={"staging": lanes.useful(every)})
    expected = min((each.at for each in every if each.position >= asked), default=None)
    assert lanes.verified_at(looked, "staging", asked) == expected


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        ({"active": Active(1, 1, RolloutKind.FORWARD, sha(1), 1, NOW)}, Why.ROLLOUT),
        ({"rollback_asked": "ada"}, Why.ROLLBACK),
        ({"holds": (StandingHold(1, "lunch", "ada", NOW + timedelta(minutes=1)),)}, Why.HOLD),
        ({"finished_at": NOW - timedelta(seconds=29)}, Why.INTERVAL),
    ],
)
def test_what_stops_a_lane_is_what_its_commits_wait_for(stop: dict[str, object], why: Why) -> None:
    looked = view(green(1), red(2), policy=policy(minimum_interval=timedelta(seconds=30)), **stop)  # type: ignore[arg-type]
    answer = lanes.cut(looked, NOW)
    assert isinstance(answer, Wait)
    assert why in {reason.kind for reason in answer.reasons}
    for explained in lanes.explain(looked, NOW):
        assert why in {reason.kind for reason in explained.reasons}


def test_a_live_commit_that_was_dropped_stops_the_lane_until_a_person_agrees() -> None:
    looked = LaneView(1, policy(), live=live(5, gone=True, base=3), commits=(green(4),), unacknowledged_loss=True)
    answer = lanes.cut(looked, NOW)
    assert isinstance(answer, Wait)
    assert answer.reasons[0].kind is Why.LOSS
    agreed = LaneView(1, policy(), live=live(5, gone=True, base=3), commits=(green(4),))
    assert lanes.cut(agreed, NOW) == Cut(green(4), since=3)


def test_an_ended_hold_stops_nothing() -> None:
    assert position(lanes.cut(view(green(1), holds=(StandingHold(1, "over", "ada", NOW),)), NOW)) == 1


# --- delays ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 120))
def test_a_constant_stream_defers_a_cut_by_no_more_than_the_bound(settle: int, every: int) -> None:
    rules = policy(settle=timedelta(seconds=settle))
    waiting: list[QueuedCommit] = []
    for second in range(settle * SETTLE_BOUND + 1):
        now = NOW + timedelta(seconds=second)
        if second % every == 0:
            waiting.append(green(len(waiting) + 1, at=now))
        if isinstance(lanes.cut(view(*waiting, policy=rules), now), Cut):
            return
    raise AssertionError("deferred beyond the bound")


def test_commits_that_turn_green_together_ride_together() -> None:
    rules = policy(settle=timedelta(seconds=10))
    waiting = (green(1, at=NOW - timedelta(seconds=8)), green(2, at=NOW))
    answer = lanes.cut(view(*waiting, policy=rules), NOW)
    assert isinstance(answer, Wait)
    assert answer.until == NOW + timedelta(seconds=10)
    assert position(lanes.cut(view(*waiting, policy=rules), NOW + timedelta(seconds=10))) == 2


@given(st.integers(1, 200))
def test_the_delay_does_not_grow_with_the_number_of_commits(number: int) -> None:
    looked = view(*(green(each) for each in range(1, number + 1)))
    assert {explained.batch for explained in lanes.explain(looked, NOW)} == {0}


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.one_of(st.none(), st.integers(1, 10)))
def test_nothing_green_is_lost_whatever_the_limit(colours: list[bool], limit: int | None) -> None:
    commits = [green(each + 1) if ok else red(each + 1) for each, ok in enumerate(colours)]
    at, delivered = 0, 0
    for _ in range(len(commits) + 1):
        left = tuple(commit for commit in commits if commit.position > at)
        answer = lanes.cut(view(*left, at=at, policy=policy(max_commits=limit)), NOW)
        if not isinstance(answer, Cut):
            break
        assert answer.since == at
        delivered += answer.commit.position - at
        at = answer.commit.position
    newest = max((commit.position for commit in commits if commit.candidate_id), default=0)
    assert at == delivered == newest


@given(st.lists(st.booleans(), max_size=30), st.lists(st.integers(1, 30), max_size=3), st.integers(0, 5))
def test_what_decides_is_what_explains(colours: list[bool], banned: list[int], limit: int) -> None:
    commits = [green(each + 1) if ok else red(each + 1) for each, ok in enumerate(colours)]
    bans = tuple(ban(each) for each in banned)
    looked = view(*commits, bans=bans, policy=policy(max_commits=limit or None))
    answer, preview = lanes.cut(looked, NOW), lanes.preview(looked, NOW)
    explained = lanes.explain(looked, NOW)
    if isinstance(answer, Cut):
        assert preview.candidate == answer.commit
        assert [each.commit for each in explained if each.batch == 0] == list(preview.commits)
    else:
        assert preview.candidate is None
        assert all(each.reasons for each in explained)


# --- the search ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.data())
def test_a_search_finds_the_culprit_within_its_bound(number: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(1, number))
    commits = tuple(green(each) for each in range(1, number + 1))
    points = lanes.points(view(*commits), 0, number, sha(number))
    assert points == tuple(sha(each) for each in range(1, number + 1))
    since, until, rollouts = 0, number, 0
    while True:
        search = OpenSearch(1, since, until, points, rollouts, NOW + timedelta(days=1))
        at = since  # good halves stay live
        left = tuple(commit for commit in commits if commit.position > at)
        answer = lanes.cut(view(*left, at=at, search=search), NOW)
        if isinstance(answer, Culprit):
            break
        assert isinstance(answer, Cut)
        assert answer.kind is RolloutKind.SEARCH
        rollouts += 1
        if answer.commit.position >= bad:
            until = answer.commit.position
        else:
            since = answer.commit.position
    assert answer.position == bad
    assert answer.since == bad - 1
    assert rollouts <= math.ceil(math.log2(number)) + 1 if number > 1 else rollouts == 0
    assert rollouts <= lanes.most_rollouts(number)


def test_the_older_half_goes_first_and_neither_interval_nor_new_commits_matter() -> None:
    rules = policy(settle=timedelta(hours=1), minimum_interval=timedelta(hours=1))
    search = OpenSearch(7, 0, 4, tuple(sha(each) for each in (1, 2, 3, 4)), 0, NOW + timedelta(days=1))
    commits = (green(1), green(2), green(3), green(4), green(5, at=NOW))
    answer = lanes.cut(view(*commits, policy=rules, search=search, finished_at=NOW), NOW)
    assert answer == Cut(commits[1], 0, RolloutKind.SEARCH, 7)


def test_only_what_was_sealed_is_tried() -> None:
    search = OpenSearch(7, 0, 4, (sha(1), sha(4)), 0, NOW + timedelta(days=1))
    answer = lanes.cut(view(green(1), green(2), green(3), green(4), search=search), NOW)
    assert position(answer) == 1


def test_a_search_whose_batch_was_dropped_is_lost() -> None:
    search = OpenSearch(7, 0, 4, (sha(1), sha(4)), 0, NOW + timedelta(days=1))
    assert isinstance(lanes.cut(view(green(9), search=search), NOW), Lost)


# --- words and figures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (f'Revert "x"\n\nThis reverts commit {sha(3)}.', (sha(3),)),
        (f"This reverts commit {sha(3)}, reversing\nchanges made to {sha(9)}.", (sha(3),)),
        (f"This reverts commits {sha(3)} and {sha(4)}.", (sha(3), sha(4))),
        ("Mend it\n\nFixes-commit: ABCDEF1", ("abcdef1",)),
        ("see Fixes-commit: abcdef1 in the middle", ()),
        ("this reverts commit abc", ()),
        ("nothing", ()),
    ],
)
def test_a_message_says_what_it_reverts_or_fixes(message: str, named: tuple[str, ...]) -> None:
    assert lanes.fixes_in(message) == named


def test_a_short_hash_is_enough_to_name_a_fix() -> None:
    fix = QueuedCommit(3, sha(3), checks=Checks.GREEN, candidate_id=3, green_at=LONG_AGO, fixes=("a" * 7,))
    bad = StandingBan(1, "a" * 40, 2, ("a" * 40,), "sick")
    culprit = QueuedCommit(2, "a" * 40, checks=Checks.GREEN, candidate_id=2, green_at=LONG_AGO)
    assert position(lanes.cut(view(green(1), culprit, fix, bans=(bad,)), NOW)) == 3


def test_an_estimate_counts_the_rollout_under_way_and_the_batches_before() -> None:
    minute = timedelta(minutes=1)
    active = Active(1, 1, RolloutKind.FORWARD, sha(1), 1, NOW - 4 * minute)
    commits = tuple(green(each) for each in range(2, 6))
    rules = policy(max_commits=2, minimum_interval=minute)
    looked = view(*commits, at=1, active=active, durations=(10 * minute,), policy=rules)
    estimates = [each.live_at for each in lanes.explain(looked, NOW)]
    # Six minutes to go, one of rest, ten of rollout; and another minute and ten for the second batch.
    assert estimates == [NOW + 17 * minute] * 2 + [NOW + 28 * minute] * 2


def test_planning_a_lane_with_ten_thousand_waiting_commits_is_quick() -> None:
    commits = tuple(green(each) if each % 3 else red(each) for each in range(1, 10_001))
    looked = view(*commits, bans=(ban(50), ban(9_000)), policy=policy(max_commits=9_500))
    began = stopwatch()
    lanes.cut(looked, NOW)
    decided = stopwatch() - began
    lanes.explain(looked, NOW)
    explained = stopwatch() - began - decided
    print(f"10,000 waiting commits: decided in {decided * 1000:.1f} ms, explained in {explained * 1000:.0f} ms")
    assert decided < 1  # 50 ms on a quiet machine; a noisy one must not fail
