"""A lane's history under another policy: the same cutting rules over what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks import delay
from farmgate.errors import NotFound
from farmgate.lanes import QueuedCommit, StandingBan, Verified, most_rollouts
from farmgate.lanes.replay import Past, Replayed, replay
from farmgate.policy import CommandTarget, LanePolicy
from farmgate.store import lanes
from scheduler import replay_api
from tests.simulation.acts import act
from tests.simulation.doors import Line, door
from tests.simulation.farm import Farm

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TEN = 10 * MINUTE


def policy(**more: Any) -> LanePolicy:
    target = CommandTarget(shift=("shift",), restore=("restore",))
    names = {"application": "shop", "environment": "production", "repository": "shop", "branch": "main"}
    return LanePolicy(**names, target=target, **more)


def past(minutes: Sequence[float | None], **more: Any) -> Past:
    """Commits 1, 2, ... that turned green at these minutes; None: red."""
    commits = tuple(
        QueuedCommit(
            at,
            f"{at:040x}",
            candidate_id=None if green is None else at,
            green_at=None if green is None else NOW + green * MINUTE,
        )
        for at, green in enumerate(minutes, 1)
    )
    return Past(NOW, NOW + timedelta(days=1), 0, commits, work=(TEN,), **more)


def batches(found: Replayed) -> list[tuple[int, int, bool]]:
    return [(each.since, each.until, each.good) for each in found.batches]


def test_commits_gather_while_a_rollout_runs_and_ride_the_next() -> None:
    found = replay(past([0, 1, 2, 3]), policy())
    assert batches(found) == [(0, 1, True), (1, 4, True)]
    assert found.delays == (10 * MINUTE, 17 * MINUTE, 18 * MINUTE, 19 * MINUTE)
    assert (found.delay(50), found.left, found.exposure) == (18 * MINUTE, 0, 0)


def test_a_cap_makes_more_rollouts_and_longer_delays() -> None:
    found = replay(past([0, 1, 2, 3]), policy(max_commits=1))
    assert batches(found) == [(0, 1, True), (1, 2, True), (2, 3, True), (3, 4, True)]
    assert found.delays[-1] == 37 * MINUTE


def test_red_commits_ride_along_and_have_no_delay() -> None:
    found = replay(past([0, None, 2]), policy())
    assert [each.size for each in found.batches] == [1, 2]
    assert len(found.delays) == 2


def test_a_followed_lane_verifies_first() -> None:
    verified = {"staging": (Verified(2, NOW + 30 * MINUTE),)}
    found = replay(past([0, 1], verified=verified), policy(follows=("staging",)))
    assert [each.cut_at for each in found.batches] == [NOW + 30 * MINUTE]


def test_what_broke_the_lane_breaks_it_again_and_is_searched() -> None:
    many = 8
    sha = f"{5:040x}"
    ban = StandingBan(1, sha, 5, (sha,), "sick")
    found = replay(past([0] * many, broke=(ban,)), policy())
    assert batches(found)[0] == (0, 8, False)
    assert len(found.batches) - 1 <= most_rollouts(many)
    assert max(each.until for each in found.batches if each.good) == 4
    assert found.left == 4
    assert found.exposure == sum(each.size * 5 for each in found.batches if not each.good)


def test_the_queue_goes_on_with_the_fix() -> None:
    sha = f"{1:040x}"
    ban = StandingBan(1, sha, 1, (sha,), "sick")
    recorded = past([0, 60], broke=(ban,))
    fix = QueuedCommit(2, "f" * 40, candidate_id=2, green_at=NOW + 60 * MINUTE, fixes=(sha,))
    mended = Past(NOW, recorded.until, 0, (recorded.commits[0], fix), broke=(ban,), work=(TEN,))
    assert batches(replay(mended, policy())) == [(0, 1, False), (0, 2, True)]


def test_what_is_green_and_not_live_at_the_end_is_told() -> None:
    short = past([0, 1])
    found = replay(Past(NOW, NOW + 5 * MINUTE, 0, short.commits, work=(TEN,)), policy())
    assert found.left == 1


NEW = b"""
application: shop
target: {type: command, shift: [shift], restore: [restore]}
lanes:
  production: {max_commits: 1, waves: [{share: 100, soak: 2m}], checks: [{command: [production]}]}
"""


def delivered() -> Farm:
    """A farm that took ten commits live, some of them together, and one that broke production."""
    farm = Farm(policy={"waves": [100], "soak": 120, "settle": 10})
    lines: tuple[Line, ...] = (
        {"advance": 200},
        {"push": ["a", "b", "c"]},
        {"advance": 60},
        {"push": ["d", "e"]},
        {"advance": 400},
        {"push": ["f", "g", "h"], "breaks": {"g": ["production"]}},
        {"advance": 900},
    )
    for line in lines:
        act(farm, line)
    return farm


def test_replaying_a_lanes_own_policy_gives_what_was_recorded() -> None:
    farm = delivered()
    body = replay_api.replayed(door(farm), "shop", "production", NEW, "new.yml", timedelta(days=1))
    was, own = body.recorded, body.current
    assert (own.rollouts, own.sick, own.delivered) == (was.rollouts, was.sick, was.delivered)
    assert was.sick >= 1
    assert own.delay_p95_seconds is not None
    assert was.delay_p95_seconds is not None
    assert abs(own.delay_p95_seconds - was.delay_p95_seconds) < 30


def test_another_policy_is_told_beside_it_and_changes_nothing() -> None:
    farm = delivered()
    before = farm.outcomes_in("production")
    body = replay_api.replayed(door(farm), "shop", "production", NEW, "new.yml", timedelta(days=1))
    assert body.proposed.rollouts > body.current.rollouts
    assert max(each.commits for each in body.batches) == 1
    assert farm.outcomes_in("production") == before
    with farm.store.reading() as connection:
        assert lanes.by_name(connection, "shop", "production").policy_version == 1


def test_a_file_without_the_lane_is_refused() -> None:
    with pytest.raises(NotFound, match=r"new.yml has no lane shop/staging"):
        replay_api.replayed(door(Farm()), "shop", "staging", NEW, "new.yml", timedelta(days=1))


def test_the_page_of_the_delay_is_what_its_command_writes() -> None:
    rows = [delay.measure(every) for every in delay.EVERY]
    docs = Path(delay.DOCS)
    assert (docs / "delay.md").read_text() == delay.page(rows), "./farm bench delay writes it"
    assert (docs / "delay.svg").read_text() == delay.drawing(rows)
    assert all(row.p99 <= 20 for row in rows), "a rollout under way and one's own, at any rate"
    assert rows[-1].single_p50 > 1000 * rows[-1].p50
