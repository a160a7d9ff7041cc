"""The file of a group, and the rules of lanes that go together, as tables and as a property."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmgate import lanes
from farmgate.errors import BadDocument
from farmgate.lanes import JointCulprit, JointCut, JointSearch, LaneView, Need, Point, Together
from farmgate.lanes.joint_search import next_prefix
from farmgate.policy import LanePolicy, parse_group
from tests.test_lanes import NOW, green, policy


def lane(number: int, repository: str, upto: int, **changes: object) -> LaneView:
    """A lane of a repository with nothing live, where commits 1 to `upto` are green."""
    own = policy_of(number, repository)
    return replace(LaneView(number, own, commits=tuple(green(at) for at in range(1, upto + 1))), **changes)  # type: ignore[arg-type]


def policy_of(number: int, repository: str) -> LanePolicy:
    return policy().model_copy(update={"application": f"app{number}", "repository": repository})


def group(*views: LaneView, search: JointSearch | None = None) -> LaneView:
    """The first of the lanes, with the others after it."""
    return replace(views[0], together=Together("all", (), views[1:], search))


def taken(view: LaneView) -> dict[int, int]:
    return {share.view.lane_id: share.commit.position for share in lanes.shares(view)}


def test_a_file_names_a_group_and_its_lanes() -> None:
    found = parse_group("group: shop\nlanes: [api/production, web/production]\n")
    assert (found.name, found.lanes) == ("shop", ("api/production", "web/production"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group: shop\nlanes: [api/live, api/live]\n", "together.yml:2:19: api/live stands here twice"),
        ("group: shop\nlanes: [api]\n", "together.yml:2:9: lanes[0]: 'api' names no lane: say application/environment"),
        ("group: shop\nlanes: []\n", "together.yml:2:8"),
        ("group: shop\nlane: [a/b]\n", "together.yml:2:1"),
        (f"group: shop\nlanes: [{', '.join(f'a{at}/b' for at in range(21))}]\n", "together.yml:2:8"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, said: str) -> None:
    with pytest.raises(BadDocument) as caught:
        parse_group(text)
    assert said in str(caught.value)


def test_a_message_names_what_it_needs() -> None:
    said = "add a column\n\nDepends-On: schema@3F9C2D1A\ndepends-on: web@0123456\nDepends-On: nothing"
    assert lanes.needs_in(said) == (("schema", "3f9c2d1a"), ("web", "0123456"))


def test_what_needs_another_line_goes_up_to_the_commit_before_it() -> None:
    need = Need(3, "f" * 40, ("schema", "main"), None)
    assert taken(group(lane(1, "shop", 5, needs=(need,)), lane(2, "schema", 4))) == {1: 2, 2: 4}


lines = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=4)
needing = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 2), st.integers(1, 7)), max_size=6)


@given(lines, needing)
def test_no_lane_gets_a_commit_without_what_it_needs_and_more_could_not_go(
    made: list[tuple[int, int]], wanted: list[tuple[int, int, int, int]]
) -> None:
    upto = dict(made)  # the last one named says how long a line is
    needs = {
        number: tuple(
            Need(at, "f" * 40, (f"r{other}", "main"), place if place <= upto.get(other, 0) else None)
            for own, at, other, place in wanted
            if own == number and other != number and other in upto and at <= upto.get(own, 0)
        )
        for number in upto
    }
    views = [lane(at, f"r{line}", upto[line], needs=needs[line]) for at, (line, _) in enumerate(made, 1)]
    found = taken(group(*views))
    got = {line: max((found.get(at, 0) for at, (its, _) in enumerate(made, 1) if its == line)) for line in upto}
    assert all(found.get(at, 0) == got[line] for at, (line, _) in enumerate(made, 1))

    def allowed(choice: dict[int, int]) -> bool:
        return all(
            need.position > choice[line] or (need.at is not None and choice[int(need.line[0][1:])] >= need.at)
            for line in upto
            for need in needs[line]
        )

    assert allowed(got)
    best = dict.fromkeys(upto, 0)
    choices: list[dict[int, int]] = [{}]
    for line, most in upto.items():
        choices = [{**choice, line: at} for choice in choices for at in range(most + 1)]
    for choice in choices:
        if allowed(choice):
            best = {line: max(best[line], choice[line]) for line in upto}
    assert got == best


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.data())
def test_the_search_finds_whichever_point_it_is_in_so_many_rollouts(sizes: list[int], data: st.DataObject) -> None:
    views = [lane(at, f"r{at}", size) for at, size in enumerate(sizes, 1)]
    points = tuple(
        Point((f"r{at}", "main"), green(place).sha) for at, size in enumerate(sizes, 1) for place in range(1, size + 1)
    )
    if not points:
        return
    culprit = data.draw(st.integers(0, len(points) - 1))
    good, sick, rollouts = 0, len(points), 0
    while True:
        search = JointSearch(1, points, good, sick, rollouts, NOW)
        step = next_prefix(group(*views, search=search), search)
        if isinstance(step, JointCulprit):
            break
        assert isinstance(step, JointCut)
        assert step.upto is not None
        rollouts += 1
        if step.upto > culprit:
            sick = step.upto
            continue
        good = step.upto
        live = {share.view.lane_id: share.commit.position for share in step.shares}
        views = [
            replace(view, commits=tuple(each for each in view.commits if each.position > live.get(view.lane_id, 0)))
            for view in views
        ]
    assert step.sha == points[culprit].sha
    assert [lane_id for lane_id, _ in step.lanes] == [int(points[culprit].line[0][1:])]
    assert rollouts <= lanes.most_rollouts(len(points))
