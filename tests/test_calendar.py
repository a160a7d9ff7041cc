"""When a lane may begin: windows with zones, freezes, holds ahead, the budget; and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farmgate import lanes
from farmgate.errors import BadDocument
from farmgate.lanes import Cut, StandingHold, Wait, Why, may_begin
from farmgate.lanes.calendar import closed_by
from farmgate.models import HoldKind
from farmgate.policy import Budget, LanePolicy, parse
from tests.test_lanes import NOW, green, policy, position, view

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def written(more: str) -> LanePolicy:
    """The policy of a lane with these keys."""
    target = "target: {type: command, shift: [a], restore: [b]}"
    return parse(f"application: shop\nzone: Europe/Berlin\n{target}\nlanes:\n  production: {{{more}}}\n")[0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def opens(more: str, moment: str) -> str | None:
    found = may_begin(view(policy=written(more)), at(moment))
    return found.astimezone(UTC).strftime("%F %H:%M") if found is not None else None


OFFICE = 'windows: [{days: mon-fri, from: "09:00", to: "16:00"}]'
TWO = "{from: 2026-01-05, to: 2026-01-09T15:00, reason: a}, {from: 2026-01-09T15:00, to: 2026-01-10, reason: b}"
NIGHT = 'windows: [{days: [fri, sun], from: "22:00", to: "02:00"}]'


@pytest.mark.parametrize(
    ("more", "moment", "open_at"),
    [
        (OFFICE, "2026-01-05T10:00+01:00", "2026-01-05 09:00"),  # a Monday, open
        (OFFICE, "2026-01-05T08:59+01:00", "2026-01-05 08:00"),
        (OFFICE, "2026-01-05T16:00+01:00", "2026-01-06 08:00"),  # its end is outside
        (OFFICE, "2026-01-09T17:00+01:00", "2026-01-12 08:00"),  # from Friday to Monday
        (OFFICE, "2026-03-27T17:00+01:00", "2026-03-30 07:00"),  # summer time began on the Sunday between
        (NIGHT, "2026-01-10T01:00+01:00", "2026-01-10 00:00"),  # Friday's window, past midnight
        (NIGHT, "2026-01-10T02:00+01:00", "2026-01-11 21:00"),
        (NIGHT, "2026-01-12T01:59+01:00", "2026-01-12 00:59"),
        ('windows: [{days: daily, from: "00:00", to: "24:00"}]', "2026-01-05T23:59:59+01:00", "2026-01-05 22:59"),
        # An hour that never comes is the moment of the change; one that comes twice is its first coming.
        ('windows: [{days: sun, from: "02:30", to: "03:30"}]', "2026-03-29T00:00+01:00", "2026-03-29 01:00"),
        ('windows: [{days: sun, from: "02:15", to: "02:45"}]', "2026-10-25T00:00+02:00", "2026-10-25 00:15"),
        ('windows: [{days: sun, from: "02:15", to: "02:45"}]', "2026-10-25T02:20+01:00", "2026-11-01 01:15"),
        # Two windows in two zones: whichever opens first.
        (
            'windows: [{days: mon, from: "09:00", to: "10:00"}, {days: mon, from: "08:00", to: "09:00", zone: UTC}]',
            "2026-01-05T10:00+01:00",
            "2026-01-12 08:00",
        ),
        ("freezes: [{from: 2026-12-20, to: 2027-01-03, reason: holidays}]", "2026-12-24T12:00Z", "2027-01-02 23:00"),
        ("freezes: [{from: 2026-12-20, to: 2027-01-03, reason: holidays}]", "2026-12-19T22:59Z", "2026-12-19 22:59"),
        (
            f"{OFFICE}, freezes: [{TWO}]",
            "2026-01-05T10:00+01:00",
            "2026-01-12 08:00",
        ),
        (f"{OFFICE}, freezes: [{{from: 2026-01-01, to: 2036-01-01, reason: for ever}}]", "2026-01-05T10:00Z", None),
    ],
)
def test_the_first_moment_at_which_a_lane_is_open(more: str, moment: str, open_at: str | None) -> None:
    assert opens(more, moment) == open_at


def test_a_closed_lane_says_which_rule_closes_it_and_until_when() -> None:
    shut = view(green(1), policy=written(f"{OFFICE}, freezes: [{{from: 2026-01-01, to: 2026-01-06, reason: party}}]"))
    found = lanes.cut(shut, at("2026-01-05T20:00+01:00"))
    assert isinstance(found, Wait)
    assert [(each.kind, each.words) for each in found.reasons] == [
        (Why.FREEZE, "frozen by its policy until 2026-01-06 00:00 CET: party"),
        (Why.WINDOW, "outside its windows (mon-fri 09:00 to 16:00 Europe/Berlin)"),
    ]
    assert found.until == at("2026-01-06T09:00+01:00")
    assert position(lanes.cut(shut, at("2026-01-06T09:00+01:00"))) == 1


def test_a_freeze_that_a_person_planned_begins_when_it_was_said() -> None:
    ahead = StandingHold(1, "fair", "ada", NOW + 3 * HOUR, NOW + HOUR, HoldKind.FREEZE)
    seen = view(green(1), holds=(ahead,))
    assert position(lanes.cut(seen, NOW)) == 1
    assert isinstance(lanes.cut(seen, NOW + HOUR), Wait)
    assert closed_by(seen, NOW + HOUR)[0].words == "frozen by ada: fair"
    assert position(lanes.cut(seen, NOW + 3 * HOUR)) == 1


def budget(rollouts: int, per: timedelta = 7 * DAY, spares: str = "security") -> LanePolicy:
    return policy(budget=Budget(rollouts=rollouts, per=per, spares=spares))


def test_a_budget_that_is_used_up_waits_for_its_oldest_rollout_to_leave_the_span() -> None:
    begun = (NOW - 6 * DAY, NOW - 2 * DAY)
    seen = view(green(1), policy=budget(2), begun=begun)
    found = lanes.cut(seen, NOW)
    assert isinstance(found, Wait)
    assert [(each.kind, each.words) for each in found.reasons] == [(Why.BUDGET, "its 2 rollouts in 7d are used up")]
    assert found.until == NOW + DAY
    assert position(lanes.cut(seen, NOW + DAY)) == 1
    assert position(lanes.cut(view(green(1), policy=budget(3), begun=begun), NOW)) == 1


@pytest.mark.parametrize(
    ("security", "spares", "goes"),
    [((), "security", False), ((2,), "security", True), ((4,), "security", False), ((2,), "nothing", False)],
)
def test_a_budget_spares_a_batch_with_a_security_fix(security: tuple[int, ...], spares: str, goes: bool) -> None:
    seen = view(green(1), green(3), policy=budget(1, spares=spares), begun=(NOW - DAY,), security=security)
    assert isinstance(lanes.cut(seen, NOW), Cut) is goes


def test_a_search_is_not_delayed_by_the_budget_and_is_by_a_window() -> None:
    commits = tuple(green(each) for each in range(1, 5))
    points = tuple(commit.sha for commit in commits)
    search = lanes.OpenSearch(1, 0, 4, points, 1, NOW + 7 * DAY)
    spent = view(*commits, policy=budget(1), begun=(NOW,), search=search)
    assert position(lanes.cut(spent, NOW)) == 2
    closed = replace(spent, policy=written(OFFICE))
    assert isinstance(lanes.cut(closed, at("2026-01-03T12:00Z")), Wait)


def test_every_estimate_goes_through_windows_and_the_budget() -> None:
    rules = written(f"{OFFICE}, max_commits: 1, budget: {{rollouts: 2, per: 1d}}")
    seen = view(*(green(each) for each in range(1, 7)), policy=rules, durations=(HOUR,), begun=())
    told = lanes.explain(seen, at("2026-01-05T14:30+01:00"))
    begins = [each.live_at - HOUR for each in told if each.live_at is not None]
    zone = at("2026-01-05T00:00+01:00").tzinfo
    assert [f"{each.astimezone(zone):%d %H:%M}" for each in begins] == [
        "05 14:30",
        "05 15:30",
        "06 14:30",
        "06 15:30",
        "07 14:30",
        "07 15:30",
    ]
    assert lanes.preview(seen, at("2026-01-05T14:30+01:00")).at == begins[0]


def test_a_lane_that_never_opens_again_has_no_estimate() -> None:
    rules = written("freezes: [{from: 2026-01-01, to: 2099-01-01, reason: the end}]")
    told = lanes.explain(view(green(1), policy=rules), NOW)
    assert [each.live_at for each in told] == [None]


def test_ten_thousand_batches_ahead_cost_no_more_than_the_hundred_that_are_told() -> None:
    rules = written(f"{OFFICE}, max_commits: 1")
    told = lanes.explain(view(*(green(each) for each in range(1, 10_001)), policy=rules), NOW)
    assert sum(each.live_at is not None for each in told) == 100


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 24 * 14), max_size=6),
    st.integers(1, 3),
    st.integers(1, 24 * 7),
    st.integers(0, 24 * 14 * 4),
    st.booleans(),
)
def test_what_may_begin_is_open_and_nothing_before_it_is(
    begun: list[int], rollouts: int, per: int, now: int, office: bool
) -> None:
    rules = written(f"{OFFICE if office else NIGHT}, budget: {{rollouts: {rollouts}, per: {per}h}}")
    start = at("2026-03-20T00:00Z")
    seen = view(green(1), policy=rules, begun=tuple(sorted(start + each * HOUR for each in begun)))
    moment = start + now * HOUR / 4
    found = may_begin(seen, moment)
    assert found is not None
    assert isinstance(lanes.cut(seen, found), Cut)
    step = timedelta(minutes=15)
    for number in range(min(60, int((found - moment) / step))):
        assert isinstance(lanes.cut(seen, moment + number * step), Wait)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('windows: [{days: mon, from: "09:00", to: "09:00"}]', "this window never opens"),
        ('windows: [{days: mo, from: "09:00", to: "10:00"}]', "'mo' is no day"),
        ('windows: [{days: [], from: "09:00", to: "10:00"}]', "at least 1"),
        ('windows: [{days: mon, from: "9:00", to: "10:00"}]', "'9:00' is not a time of the day"),
        ('windows: [{days: mon, from: "09:00", to: "24:01"}]', "'24:01' is not a time of the day"),
        ('windows: [{days: mon, from: "09:00", to: "10:00", zone: Europe/Berlni}]', "did you mean 'Europe/Berlin'?"),
        ("zone: Mars", "no time zone is called 'Mars'"),
        ("freezes: [{from: 2026-12-20, to: 2026-12-20, reason: x}]", "this freeze ends before it begins"),
        ("freezes: [{from: 2026-13-20, to: 2026-12-20, reason: x}]", "month must be in 1..12"),
        ("freezes: [{from: tomorrow, to: 2026-12-20, reason: x}]", "'tomorrow' is no moment"),
        ("freezes: [{from: 2026-12-20, to: 2026-12-21}]", "needs 'reason'"),
        ("budget: {rollouts: 0, per: 1d}", "greater than or equal to 1"),
        ("budget: {rollouts: 1, per: 0s}", "must be more than 0s"),
        ("budget: {rollouts: 1, per: 2}", "has no unit"),
        ("max_commits: {start: 9, most: 5}", "must rise in this order"),
        ("max_commits: 0", "greater than or equal to 1"),
        ("approvals: {count: 3, by: [ada, bob]}", "3 approvals of 2 people can never be had"),
        ("approvals: {by: [ada, ada]}", "somebody stands in 'by' twice"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused_at_its_place(more: str, said: str) -> None:
    with pytest.raises(BadDocument) as refused:
        written(more)
    assert said in str(refused.value)
    assert "delivery.yml:5:" in str(refused.value)


def test_a_policy_with_a_calendar_is_read_back_from_its_row_as_it_was() -> None:
    rules = written(
        f"{OFFICE}, freezes: [{{from: 2026-12-20, to: 2027-01-03, reason: x}}], budget: {{rollouts: 2, per: 7d}}"
    )
    assert LanePolicy.model_validate(rules.model_dump(mode="json")) == rules
