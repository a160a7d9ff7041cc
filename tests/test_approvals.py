"""Who must agree to a batch, and what of an approval still counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmgate import lanes
from farmgate.lanes import Approval, LaneView, Wait, Why, is_author
from farmgate.policy import Adaptive, Approvals
from tests.test_lanes import NOW, green, policy, position, red, view


def asks(count: int = 1, *by: str, not_author: bool = True) -> object:
    return policy(approvals=Approvals(count=count, by=by, not_author=not_author))


def said(by: str, since: int, until: int) -> Approval:
    return Approval(by, since, until)


FOUR = (green(1), green(2), green(3), green(4))


@pytest.mark.parametrize(
    ("rules", "given", "authored", "cut_at"),
    [
        (asks(), (), {}, None),
        (asks(), (said("ada", 0, 3),), {}, 3),
        (asks(), (said("ada", 0, 3), said("bob", 3, 4)), {}, 4),  # the difference was enough
        (asks(), (said("ada", 1, 3),), {}, None),  # nobody agreed to the first
        (asks(), (said("ada", 0, 2), said("bob", 3, 4)), {}, 2),  # nobody agreed to the third
        (asks(2), (said("ada", 0, 3),), {}, None),
        (asks(2), (said("ada", 0, 3), said("ada", 0, 3)), {}, None),  # one person is one person
        (asks(2), (said("ada", 0, 3), said("bob", 0, 3)), {}, 3),
        (asks(2), (said("ada", 0, 4), said("bob", 0, 3)), {}, None),  # they looked at different digests
        (asks(2), (said("ada", 0, 3), said("bob", 0, 3), said("ada", 3, 4), said("bob", 3, 4)), {}, 4),
        (asks(), (said("ada", 0, 3),), {"ada": frozenset({2})}, None),  # she wrote the second
        (asks(), (said("ada", 0, 3), said("bob", 0, 3)), {"ada": frozenset({2, 3})}, 3),
        (asks(not_author=False), (said("ada", 0, 3),), {"ada": frozenset({2})}, 3),
    ],
)
def test_a_batch_goes_when_enough_people_agreed_to_each_commit_and_its_digests(
    rules: object, given: tuple[Approval, ...], authored: dict[str, frozenset[int]], cut_at: int | None
) -> None:
    seen = view(*FOUR, policy=rules, approvals=given, authored=authored)
    assert position(lanes.cut(seen, NOW)) == cut_at


def test_red_commits_that_ride_along_need_agreement_too_and_what_is_live_does_not() -> None:
    seen = view(red(3), green(4), at=2, policy=asks(), approvals=(said("ada", 3, 4),))
    assert isinstance(lanes.cut(seen, NOW), Wait)
    agreed = replace(seen, approvals=(said("ada", 2, 4),))
    assert position(lanes.cut(agreed, NOW)) == 4


def test_a_commit_that_waits_for_people_says_for_how_many_and_whom() -> None:
    told = lanes.explain(view(green(1), policy=asks(2, "ada", "bob")), NOW)
    assert [(each.kind, each.words) for each in told[0].reasons] == [
        (Why.APPROVAL, "the batch up to it needs 2 approvals of ada, bob")
    ]
    assert told[0].live_at is None


def test_the_halves_of_an_approved_batch_need_no_approval_of_their_own() -> None:
    seen = view(*FOUR, policy=asks(), approvals=(said("ada", 0, 4),))
    points = lanes.points(seen, 0, 4, FOUR[3].sha)
    assert len(points) == 4
    search = lanes.OpenSearch(1, 0, 4, points, 0, NOW.replace(year=2027))
    assert position(lanes.cut(replace(seen, search=search), NOW)) == 2


def test_what_a_person_need_not_look_at_again() -> None:
    seen = view(*FOUR, policy=asks(), approvals=(said("ada", 0, 2), said("bob", 0, 4), said("ada", 2, 3)))
    assert (lanes.approved_upto(seen, "ada"), lanes.approved_upto(seen, "eve")) == (3, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6), st.integers(1, 6)), max_size=8),
    st.integers(1, 3),
    st.dictionaries(st.sampled_from("abc"), st.frozensets(st.integers(1, 6)), max_size=3),
)
def test_it_is_as_counting_person_by_person_for_each_commit(
    given: list[tuple[str, int, int]], count: int, authored: dict[str, frozenset[int]]
) -> None:
    words = tuple(said(by, since, until) for by, since, until in given if since < until)
    seen: LaneView = view(
        *(green(each) for each in range(1, 7)), policy=asks(count), approvals=words, authored=authored
    )

    def people(at: int, *, ends_here: bool) -> int:
        of = {each.by for each in words if each.since < at <= each.until and (not ends_here or each.until == at)}
        return len({by for by in of if at not in authored.get(by, ())})

    may = [
        end
        for end in range(1, 7)
        if people(end, ends_here=True) >= count
        and all(people(at, ends_here=False) >= count for at in range(1, end + 1))
    ]
    assert position(lanes.cut(seen, NOW)) == (may[-1] if may else None)


@pytest.mark.parametrize(
    ("person", "name", "email", "is_it"),
    [
        ("ada", "Ada", "x@y", True),
        ("ada", "Ada Lovelace", "Ada@example.org", True),
        ("ada@example.org", "Ada Lovelace", "ada@example.org", True),
        ("ada", "Ada Lovelace", "lovelace@example.org", False),
    ],
)
def test_an_author_is_known_by_name_or_address(person: str, name: str, email: str, is_it: bool) -> None:
    assert is_author(person, name, email) is is_it


@pytest.mark.parametrize(
    ("outcomes", "size"),
    [((), 4), ((True, True), 6), ((True,) * 9, 8), ((False,), 2), ((False, False, False), 1), ((True, False, True), 3)],
)
def test_a_batch_size_that_adapts_grows_by_one_and_halves(outcomes: tuple[bool, ...], size: int) -> None:
    rules = policy(adaptive=Adaptive(start=4, least=1, most=8))
    seen = view(*(green(each) for each in range(1, 20)), policy=rules, outcomes=outcomes)
    assert position(lanes.cut(seen, NOW)) == size


def test_a_lane_whose_limit_cannot_keep_up_says_which_would() -> None:
    from datetime import timedelta

    minutes = timedelta(minutes=1)
    commits = [replace(green(each), seen_at=NOW - (61 - each) * minutes) for each in range(1, 61)]
    slow = view(*commits, policy=policy(max_commits=5), durations=(10 * minutes,))
    said = lanes.falls_behind(slow, NOW)
    assert said is not None
    assert "commits arrive faster (60 an hour) than batches of 5 let them leave (30 an hour)" in said
    assert "10 commits a batch would keep up" in said
    assert lanes.falls_behind(replace(slow, policy=policy(max_commits=20)), NOW) is None
    assert lanes.falls_behind(replace(slow, policy=policy()), NOW) is None
