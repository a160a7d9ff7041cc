"""Each invariant notices what it forbids, and a farm at rest breaks none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from farmgate import invariants, states
from farmgate.models import ArtifactKind, HoldKind, RolloutKind, TokenKind, Trust
from farmgate.store import schema as t
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from tests.store import rows

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store.at("sqlite://")
    migrate(store)
    yield store
    store.close()


ASKS_ONE = {"branch": "main", "approvals": {"count": 1, "by": [], "not_author": True}}


class Farm:
    """A farm at rest: one green commit of three built, packed, and delivered in one batch."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.repository = rows.a_repository(connection, NOW)
        self.node = rows.a_node(connection, NOW)
        self.run = rows.a_run(connection, self.repository, "3" * 40, NOW, states.Run.PASSED)
        self.job = rows.a_job(connection, self.run, NOW, states.Job.PASSED)
        self.attempt = rows.an_attempt(
            connection, self.job, self.node, NOW, state=states.Attempt.PASSED, log_blob="b" * 64
        )
        for position in (1, 2, 3):
            rows.a_commit(connection, self.repository, str(position) * 40, position, NOW)
        self.candidate = rows.a_candidate(connection, self.repository, "3" * 40, NOW)
        self.update(t.candidates, self.candidate, run_id=self.run)
        self.lane = rows.a_lane(connection, self.repository, NOW)
        self.rollout = self.deliver(1, 0, 3)
        self.release = self.released(self.rollout, 3)
        self.delivery = rows.add(
            connection,
            t.deliveries,
            repository_id=self.repository,
            delivery_id="d-1",
            event="push",
            received_at=NOW,
            outcome="push refs/heads/main",
        )
        self.intake = rows.add(
            connection,
            t.intakes,
            repository_id=self.repository,
            delivery_id=self.delivery,
            kind="push",
            ref="refs/heads/main",
            after="3" * 40,
            details={},
            state=states.Intake.DONE,
            tries=0,
            not_before=NOW,
            deadline=NOW + HOUR,
            created_at=NOW,
        )

    def deliver(
        self, number: int, since: int, until: int, state: states.Rollout = states.Rollout.GOOD, **more: Any
    ) -> int:
        sha = str(until) * 40
        rollout = rows.a_rollout(
            self.connection, self.lane, self.candidate, number, state, NOW, since, until, until_sha=sha, **more
        )
        for position in range(min(since, until) + 1, max(since, until) + 1):
            values = {"rollout_id": rollout, "lane_id": self.lane, "sha": str(position) * 40, "position": position}
            self.connection.execute(insert(t.rollout_commits).values(**values))
        return rollout

    def released(self, rollout: int, position: int) -> int:
        self.connection.execute(update(t.releases).where(t.releases.c.lane_id == self.lane).values(live_until=NOW))
        return rows.add(
            self.connection,
            t.releases,
            lane_id=self.lane,
            rollout_id=rollout,
            candidate_id=self.candidate,
            sha=str(position) * 40,
            position=position,
            artifacts={},
            config={},
            live_from=NOW,
        )

    def commit(self, position: int) -> None:
        rows.a_commit(self.connection, self.repository, str(position) * 40, position, NOW)

    def update(self, table: Any, key: int, **values: Any) -> None:
        self.connection.execute(update(table).where(table.c.id == key).values(**values))

    def run_(self, state: states.Job, attempt: states.Attempt | None = None, **more: Any) -> int:
        """Another job of an open run, with or without an attempt."""
        run = rows.a_run(self.connection, self.repository, "9" * 40, NOW, states.Run.RUNNING)
        job = rows.a_job(self.connection, run, NOW, state, **more)
        if attempt is not None:
            rows.an_attempt(self.connection, job, self.node, NOW, state=attempt)
        return job


def look(store: Store, change: Callable[[Farm], object] | None = None, now: datetime = NOW) -> list[str]:
    with store.writing() as connection:
        farm = Farm(connection)
        if change is not None:
            change(farm)
    return [violation.invariant for violation in invariants.check(store, now)]


def test_the_sentences_are_those_of_the_design_in_order() -> None:
    assert list(invariants.INVARIANTS) == [f"I{number}" for number in range(1, 19)]
    assert all(invariants.sentence(name).endswith(".") for name in invariants.INVARIANTS)


def test_an_empty_farm_breaks_none(store: Store) -> None:
    assert invariants.check(store, NOW) == []


def test_a_farm_at_rest_breaks_none(store: Store) -> None:
    assert look(store) == []


def test_a_farm_at_rest_breaks_none_a_year_later(store: Store) -> None:
    def removed(farm: Farm) -> None:
        farm.update(t.nodes, farm.node, state=states.Node.REMOVED)

    assert look(store, removed, NOW + 365 * 24 * HOUR) == []


def add_attempt(farm: Farm, number: int, **more: Any) -> None:
    rows.an_attempt(farm.connection, farm.job, farm.node, NOW, number, log_blob="c" * 64, **more)


def two_live_attempts(farm: Farm) -> None:
    add_attempt(farm, 2)
    add_attempt(farm, 3)


def told_nothing(farm: Farm) -> None:
    farm.connection.execute(t.intakes.delete())
    farm.update(t.deliveries, farm.delivery, outcome="")


def stale_log(farm: Farm) -> None:
    chunk = {"offset": 0, "data": b"late", "received_at": NOW + timedelta(seconds=1), "line": 0}
    farm.connection.execute(insert(t.log_chunks).values(attempt_id=farm.attempt, **chunk))


def stale_artifact(farm: Farm) -> None:
    values = {
        "job_id": farm.job,
        "path": "a",
        "sha256": "a" * 64,
        "size_bytes": 1,
        "executable": False,
        "kind": ArtifactKind.FILE,
    }
    late = NOW + timedelta(seconds=1)
    farm.connection.execute(insert(t.artifacts).values(attempt_id=farm.attempt, created_at=late, **values))


def second_delivery(farm: Farm) -> None:
    again = farm.deliver(2, 2, 3, from_release_id=farm.release)
    farm.released(again, 3)


def skipped_commit(farm: Farm) -> None:
    for position in (4, 5):
        farm.commit(position)
    farm.released(farm.deliver(2, 4, 5, from_release_id=farm.release), 5)


def silently_left_out(farm: Farm) -> None:
    farm.connection.execute(t.rollout_commits.delete().where(t.rollout_commits.c.position == 2))


def backwards(farm: Farm) -> None:
    farm.released(farm.deliver(2, 1, 2, from_release_id=farm.release), 2)


def from_elsewhere(farm: Farm) -> None:
    farm.commit(4)
    farm.released(farm.deliver(2, 3, 4), 4)


def back_to_the_unknown(farm: Farm) -> None:
    farm.released(farm.deliver(2, 3, 2, kind=RolloutKind.ROLLBACK, from_release_id=farm.release), 2)


def a_removed_nodes_token(farm: Farm) -> None:
    farm.update(t.nodes, farm.node, state=states.Node.REMOVED)
    values = {"name": "n", "hash": "h", "rights": [], "node_id": farm.node, "created_at": NOW}
    rows.add(farm.connection, t.tokens, kind=TokenKind.NODE, **values)


def still_holding(farm: Farm) -> None:
    farm.update(t.nodes, farm.node, holding=[f"{farm.job}/1"], seen_at=NOW + HOUR)


def an_overfull_group(farm: Farm) -> None:
    for number in (1, 2):
        rows.a_job(farm.connection, farm.run, NOW, states.Job.QUEUED, f"deploy-{number}", exclusion="1:all:deploy")


def a_crowded_family(farm: Farm) -> None:
    for number in (1, 2):
        more = {"family": "test", "family_limit": 1}
        rows.a_job(farm.connection, farm.run, NOW, states.Job.QUEUED, f"test-{number}", **more)


def banned(farm: Farm, position: int, rollout: int | None = None, **more: Any) -> None:
    sha = str(position) * 40
    values = {"reason": "sick", "created_by": "farmgate", "created_at": NOW - HOUR, "rollout_id": rollout, **more}
    rows.add(farm.connection, t.bans, lane_id=farm.lane, sha=sha, position=position, covers=[sha], **values)


def a_banned_commit_ships(farm: Farm) -> None:
    farm.commit(4)
    banned(farm, 4)
    farm.deliver(2, 3, 4, from_release_id=farm.release)


def an_endless_search(farm: Farm) -> None:
    values = {"since_position": 3, "until_position": 5, "points": ["4" * 40, "5" * 40], "rollouts": 2}
    times = {"opened_at": NOW, "deadline": NOW + HOUR, "closed_at": NOW}
    sealed = {"rollout_id": farm.rollout, "state": states.Search.FOUND, "culprit": None}
    search = rows.add(farm.connection, t.searches, lane_id=farm.lane, **values, **times, **sealed)
    for number in (2, 3):
        farm.commit(number + 2)
        farm.deliver(number, number + 1, number + 2, kind=RolloutKind.SEARCH, search_id=search)


def cut_although_held(farm: Farm) -> None:
    values = {"kind": HoldKind.HOLD, "reason": "not today", "created_by": "alice", "begins": NOW - HOUR}
    rows.add(farm.connection, t.holds, lane_id=farm.lane, created_at=NOW - HOUR, until=NOW + HOUR, **values)


def taken_back_and_free(farm: Farm) -> None:
    farm.released(farm.deliver(2, 3, 2, kind=RolloutKind.ROLLBACK, from_release_id=farm.release), 2)


def an_older_epoch(farm: Farm) -> None:
    farm.update(t.rollouts, farm.rollout, epoch=7)


def half_finished(farm: Farm) -> None:
    """The good rollout goes together with one that was taken back."""
    farm.commit(4)
    other = farm.deliver(2, 3, 4, states.Rollout.SICK, from_release_id=farm.release)
    group = rows.add(farm.connection, t.lane_groups, name="all", version=1, created_at=NOW)
    joint = rows.add(
        farm.connection,
        t.joints,
        group_id=group,
        number=1,
        kind=RolloutKind.FORWARD,
        search_id=None,
        upto=None,
        created_at=NOW,
    )
    for place, rollout in enumerate((farm.rollout, other)):
        farm.connection.execute(t.joint_rollouts.insert().values(rollout_id=rollout, joint_id=joint, place=place))


FORBIDDEN: list[tuple[str, Callable[[Farm], object]]] = [
    ("I1", lambda farm: farm.update(t.intakes, farm.intake, after="8" * 40)),
    ("I1", lambda farm: farm.update(t.intakes, farm.intake, state=states.Intake.REJECTED)),
    ("I1", told_nothing),
    ("I2", lambda farm: farm.run_(states.Job.RUNNING)),
    ("I2", lambda farm: farm.run_(states.Job.READY, states.Attempt.RUNNING)),
    ("I2", lambda farm: add_attempt(farm, 2)),
    ("I2", two_live_attempts),
    ("I3", stale_log),
    ("I3", stale_artifact),
    ("I3", lambda farm: add_attempt(farm, 2, state=states.Attempt.FAILED)),
    ("I3", lambda farm: farm.update(t.attempts, farm.attempt, state=states.Attempt.LOST)),
    ("I3", lambda farm: farm.connection.execute(t.attempts.delete())),
    ("I3", lambda farm: farm.update(t.runs, farm.run, trust=Trust.UNTRUSTED)),
    ("I4", lambda farm: farm.update(t.jobs, farm.job, finished_at=None)),
    ("I4", lambda farm: farm.update(t.runs, farm.run, finished_at=None)),
    ("I4", lambda farm: farm.update(t.jobs, farm.job, state=states.Job.FAILED)),
    ("I4", lambda farm: rows.a_job(farm.connection, farm.run, NOW, states.Job.READY, "late")),
    ("I5", lambda farm: farm.connection.execute(t.releases.delete())),
    ("I5", lambda farm: farm.update(t.rollouts, farm.rollout, state=states.Rollout.SICK)),
    ("I6", second_delivery),
    ("I6", skipped_commit),
    ("I6", silently_left_out),
    ("I7", backwards),
    ("I7", from_elsewhere),
    ("I7", second_delivery),
    ("I8", back_to_the_unknown),
    ("I8", lambda farm: farm.update(t.rollouts, farm.rollout, from_release_id=77)),
    ("I9", lambda farm: farm.update(t.rollouts, farm.rollout, policy=ASKS_ONE)),
    ("I12", a_removed_nodes_token),
    ("I12", still_holding),
    ("I13", an_overfull_group),
    ("I13", a_crowded_family),
    ("I14", a_banned_commit_ships),
    ("I15", an_endless_search),
    ("I16", cut_although_held),
    ("I16", taken_back_and_free),
    ("I17", an_older_epoch),
    ("I18", half_finished),
]


@pytest.mark.parametrize(("name", "change"), FORBIDDEN, ids=[f"{name}-{at}" for at, (name, _) in enumerate(FORBIDDEN)])
def test_what_is_forbidden_is_noticed(store: Store, name: str, change: Callable[[Farm], object]) -> None:
    assert name in look(store, change)


def open_rollout(farm: Farm) -> None:
    farm.commit(4)
    farm.deliver(2, 3, 4, states.Rollout.RUNNING, from_release_id=farm.release)


LATE: list[tuple[str, Callable[[Farm], object], timedelta]] = [
    ("I10", lambda farm: farm.run_(states.Job.RUNNING, states.Attempt.RUNNING), timedelta(minutes=10)),
    ("I10", lambda farm: farm.run_(states.Job.WAITING), 2 * HOUR),
    ("I10", open_rollout, 2 * HOUR),
    ("I10", lambda farm: farm.update(t.intakes, farm.intake, state=states.Intake.PENDING), 2 * HOUR),
    ("I10", lambda farm: None, 2 * HOUR),  # the node, unheard of
    ("I11", lambda farm: farm.run_(states.Job.READY, ready_at=NOW), HOUR / 2),
    ("I11", lambda farm: farm.update(t.intakes, farm.intake, state=states.Intake.PENDING), HOUR / 2),
    ("I11", lambda farm: farm.run_(states.Job.PASSED, states.Attempt.PASSED), HOUR / 2),
    ("I12", lambda farm: farm.update(t.attempts, farm.attempt, log_blob=None), HOUR),
]


@pytest.mark.parametrize(("name", "change", "later"), LATE, ids=[f"{name}-{at}" for at, (name, *_) in enumerate(LATE)])
def test_what_is_late_is_noticed_in_its_time(
    store: Store, name: str, change: Callable[[Farm], object], later: timedelta
) -> None:
    assert name not in look(store, change, NOW + timedelta(seconds=10))
    assert name in [violation.invariant for violation in invariants.check(store, NOW + later)]


def test_a_rollback_takes_commits_back_and_they_may_be_delivered_again(store: Store) -> None:
    def story(farm: Farm) -> None:
        farm.commit(4)
        second = farm.released(farm.deliver(2, 3, 4, from_release_id=farm.release), 4)
        back = farm.deliver(3, 4, 3, kind=RolloutKind.ROLLBACK, from_release_id=second)
        banned(farm, 4, back, lifted_at=NOW, lifted_by="alice")
        third = farm.released(back, 3)
        farm.released(farm.deliver(4, 3, 4, from_release_id=third), 4)

    assert look(store, story) == []


def test_a_batch_that_went_sick_delivered_nothing(store: Store) -> None:
    def story(farm: Farm) -> None:
        farm.commit(4)
        farm.deliver(2, 3, 4, states.Rollout.SICK, from_release_id=farm.release)

    assert look(store, story) == []


def test_what_a_forced_push_dropped_does_not_count(store: Store) -> None:
    def story(farm: Farm) -> None:
        farm.connection.execute(update(t.branch_commits).where(t.branch_commits.c.position == 3).values(gone_at=NOW))

    assert look(store, story) == []


def test_a_witness_remembers_what_was_final(store: Store) -> None:
    witness = invariants.Witness()
    with store.writing() as connection:
        farm = Farm(connection)
        assert witness.look(connection) == []
        farm.update(t.jobs, farm.job, state=states.Job.FAILED)
        (found,) = witness.look(connection)
    assert (found.invariant, found.text) == ("I4", "was passed for good, and is failed")


def test_what_is_open_is_not_drained(store: Store) -> None:
    with store.writing() as connection:
        farm = Farm(connection)
        assert invariants.undrained(connection) == []
        farm.run_(states.Job.QUEUED)
        assert sorted(violation.subject for violation in invariants.undrained(connection)) == ["jobs/2", "runs/2"]
