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
from farmgate.lanes.replay_limits import Beside, leaves_out
from farmgate.policy import CommandTarget, LanePolicy, Provenance, Vulnerabilities
from farmgate.store import lanes
from farmgate.vulnerabilities.exposure import Exposure, Hit, Listing, MadeOf
from farmgate.vulnerabilities.grouping import Decision, Told, Vulnerability, grouped
from farmgate.vulnerabilities.ratings import Severity
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
    assert body.leaves_out == []
    act(farm, {"rollback": "production"})
    act(farm, {"advance": 400})
    asks = NEW.replace(b"max_commits: 1,", b"vulnerabilities: {refuse: high}, provenance: {required: true},")
    body = replay_api.replayed(door(farm), "shop", "production", asks, "new.yml", timedelta(days=1))
    assert "1 rollback of that time: not repeated" in body.leaves_out
    assert any("provenance" in words for words in body.leaves_out)
    assert body.proposed.delivered == 0, "nothing of it says what it is made of"
    assert body.current.delivered > 0


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


# --- what a candidate is made of, and what is left out ---------------------------------------------------------------

HIT = Hit("GHSA-1", "PyPI", "flask", "2.0", "2.3")
BAD, CLEAN = MadeOf(Listing.LISTED, hits=(HIT,)), MadeOf(Listing.LISTED)
RULES = Vulnerabilities(refuse="high", grace=timedelta(hours=2))


def known(published: datetime) -> dict[str, Vulnerability]:
    return grouped([Told("GHSA-1", (), "flask", Severity.HIGH, 8.0, published)])


def made_of(published: datetime, *decisions: Decision, live: MadeOf = CLEAN) -> Exposure:
    made = {1: BAD, 2: CLEAN, 3: BAD}
    return Exposure("shop/production", NOW, True, made, live, known(published), decisions)


def test_a_candidate_is_refused_from_the_day_its_vulnerability_was_public_and_its_grace_over() -> None:
    early = replay(past([0, 200], made_of=made_of(NOW - timedelta(days=9))), policy(vulnerabilities=RULES))
    assert batches(early) == [(0, 2, True)]
    later = replay(past([0, 200], made_of=made_of(NOW + timedelta(days=9))), policy(vulnerabilities=RULES))
    assert batches(later) == [(0, 1, True), (1, 2, True)]
    passes = replay(past([0], made_of=made_of(NOW - timedelta(days=9), live=BAD)), policy(vulnerabilities=RULES))
    assert batches(passes) == [(0, 1, True)], "what is live has it already"


def test_what_was_delivered_in_the_replay_is_what_the_next_is_compared_with() -> None:
    found = replay(past([0, 30, 60], made_of=made_of(NOW - timedelta(hours=1))), policy(vulnerabilities=RULES))
    assert batches(found) == [(0, 1, True), (1, 2, True)], "2 is clean and live, so that 3 brings it anew"


def test_an_administrators_word_counts_from_when_it_was_given() -> None:
    word = Decision(1, "GHSA-1", "", "accept", "behind a proxy", NOW + timedelta(days=9), "ada", NOW + 90 * MINUTE)
    found = replay(past([0], made_of=made_of(NOW - timedelta(days=9), word)), policy(vulnerabilities=RULES))
    assert [each.cut_at for each in found.batches] == [NOW + 90 * MINUTE]


def test_a_candidate_without_provenance_stays_behind() -> None:
    found = replay(past([0, 1], unproven={2: "nobody signed it"}), policy(provenance=Provenance()))
    assert (batches(found), found.left) == ([(0, 1, True)], 1)


def test_what_a_replay_leaves_out_is_said() -> None:
    assert list(leaves_out((policy(), policy()), Beside())) == []
    asks = policy(vulnerabilities=RULES, provenance=Provenance(), irreversible=("schema/**",))
    told = list(leaves_out((policy(), asks), Beside("all", ("api/production",), hotfixes=2, dropped=1)))
    assert "goes together with api/production (group all) and is replayed by itself" in told[0]
    assert ["vulnerabilities are" in told[1], "provenance counts" in told[2], "before a start" in told[3]] == [True] * 3
    assert told[4:] == [
        "2 hotfixes of that time: not repeated",
        "1 commit that a forced push dropped of that time: not repeated",
    ]
