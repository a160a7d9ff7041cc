"""The store of integration keeps its promises on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import Conflict, LostRace, NotFound, StaleAttempt, Unauthorised
from farmgate.messages import Heartbeat, Join
from farmgate.models import Step, Trigger, Trust
from farmgate.states import Job, Run
from farmgate.store import attempts, candidates, intakes, jobs, logs, nodes, repositories, runs
from farmgate.store.database import Store
from farmgate.store.intakes import NewIntake
from farmgate.store.runs import NewJob, NewRun

SHA = "a" * 40
SECOND = timedelta(seconds=1)


def a_repository(connection: Connection, now: datetime, name: str = "shop") -> int:
    return repositories.add(connection, name, "/shop.git", "plain", "sealed", "main", now).id


def new_run(repository: int, now: datetime, sha: str = SHA, **more: object) -> NewRun:
    spec = {"name": "build"}
    given: dict[str, object] = {
        "jobs": (NewJob("build", (), spec, "default"), NewJob("test", ("build",), spec, "default")),
    }
    return NewRun(repository, sha, "refs/heads/main", Trigger.PUSH, Trust.TRUSTED, "ada", now, **(given | more))  # type: ignore[arg-type]


def a_node(connection: Connection, now: datetime, name: str = "n1") -> int:
    body = Join(token="t", name=name, pool="default", slots=2, engine="process", version="1")
    return nodes.join(connection, body, now).id


def a_live_attempt(store: Store, now: datetime) -> int:
    """Job 1, attempt 1, running; the attempt's id."""
    with store.writing() as connection:
        runs.create(connection, new_run(a_repository(connection, now), now), now)
        node = a_node(connection, now)
        jobs.queue(connection, 1, 1, now)
        jobs.start(connection, 1, 1, now, timedelta(minutes=1))
        attempts.claim(connection, 1, 1, node, "hash", now, now + 30 * SECOND)
        return attempts.by_number(connection, 1, 1).id


def together(store: Store, work: Callable[[Connection], object], count: int = 8) -> list[object]:
    """The same work by several threads at once; what each got, or its error's class."""
    found: list[object] = []
    gate = threading.Barrier(count)

    def one() -> None:
        gate.wait()
        try:
            with store.writing() as connection:
                answer = work(connection)
        except (LostRace, Conflict) as error:
            answer = type(error)
        found.append(answer)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# --- repositories ----------------------------------------------------------------------------------------------------


def test_a_repositorys_name_is_unique_until_it_is_removed(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        first = a_repository(connection, now)
        with pytest.raises(Conflict):
            a_repository(connection, now)
        repositories.remove(connection, repositories.by_name(connection, "shop"), now)
        with pytest.raises(NotFound):
            repositories.by_name(connection, "shop")
        assert a_repository(connection, now) != first
        assert repositories.by_id(connection, first).removed_at == now


def test_a_ref_is_known_as_it_was_last_read(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        for sha in (SHA, "b" * 40, None):
            repositories.set_ref(connection, repository, "refs/heads/main", sha, now)
        assert repositories.known_refs(connection, repository)["refs/heads/main"].sha is None


def test_places_are_dropped_and_taken_again(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        for position, digit in enumerate("abc", 1):
            repositories.place(connection, repository, "main", position, digit * 40)
        assert repositories.drop_after(connection, repository, "main", 1, now) == 2
        repositories.place(connection, repository, "main", 2, "c" * 40)
        assert [(one.position, one.sha[0]) for one in repositories.places(connection, repository, "main")] == [
            (1, "a"),
            (2, "c"),
        ]
        last = repositories.last_place(connection, repository, "main")
        assert last is not None
        assert last.sha == "c" * 40
        assert repositories.last_place(connection, repository, "other") is None


def test_a_commit_is_found_by_a_unique_prefix_only(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        for sha in ("abcd" + "0" * 36, "abcd" + "f" * 36):
            row = {"repository_id": repository, "sha": sha, "parents": [], "tree": SHA, "author_name": "A"}
            row |= {"author_email": "", "title": "t", "message": "t", "committed_at": now, "seen_at": now}
            repositories.see(connection, [row, row])
        assert repositories.by_prefix(connection, repository, "abcdf").sha.endswith("f")
        with pytest.raises(Conflict):
            repositories.by_prefix(connection, repository, "abcd")
        for wrong in ("abce", "abc", "%%%%", "ABCD"):
            with pytest.raises(NotFound):
                repositories.by_prefix(connection, repository, wrong)


# --- intakes ---------------------------------------------------------------------------------------------------------


def test_a_delivery_is_taken_once_whoever_races(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    change = [NewIntake("push", "refs/heads/main", None, SHA)]
    taken = together(store, lambda each: intakes.accept(each, repository, "d-1", "push", "x", change, now))
    assert sorted(map(bool, taken)) == [False] * 7 + [True]
    with store.reading() as connection:
        assert len(intakes.pending(connection)) == 1


def test_a_change_waits_for_its_time_and_ends_once(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        intakes.put(
            connection, repository, [NewIntake("push", "refs/heads/main", None, SHA, {"title": "a\0b\ud800"})], now
        )
        intakes.later(connection, 1, 1, now + SECOND, "away")
        assert intakes.due(connection, repository, now) == []
        (due,) = intakes.due(connection, repository, now + SECOND)
        assert (due.tries, due.reason, due.details["title"]) == (1, "away", "a\ufffdb?")
        intakes.done(connection, 1, "1 run")
        with pytest.raises(LostRace):
            intakes.reject(connection, 1, "late")


# --- runs and jobs ---------------------------------------------------------------------------------------------------


def test_a_run_is_made_once_with_its_jobs_whoever_races(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    made = together(store, lambda each: runs.create(each, new_run(repository, now), now))
    assert len([one for one in made if one is not None]) == 1
    with store.reading() as connection:
        assert [(job.name, job.state) for job in jobs.of_run(connection, 1)] == [
            ("build", Job.READY),
            ("test", Job.WAITING),
        ]


def test_a_run_that_cannot_be_run_is_over_at_once(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        number = runs.create(connection, new_run(repository, now, problems=".farmgate.yml:1:1: bad"), now)
        assert number is not None
        run = runs.by_id(connection, number)
        assert (run.state, run.reason, run.finished_at) == (Run.ERROR, ".farmgate.yml:1:1: bad", now)
        assert jobs.of_run(connection, number) == []
        assert runs.next_ordinal(connection, run) == 2


def test_a_job_is_claimed_once_whoever_races(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        runs.create(connection, new_run(a_repository(connection, now), now), now)
        node = a_node(connection, now)
        jobs.queue(connection, 1, 1, now)

    def claim(connection: Connection) -> str:
        jobs.start(connection, 1, 1, now, timedelta(minutes=1))
        attempts.claim(connection, 1, 1, node, "hash", now, now)
        return "claimed"

    assert max(map(str, together(store, claim))) == "claimed"
    with store.reading() as connection:
        assert len(attempts.of_jobs(connection, [1])) == 1


def test_every_move_of_a_job_is_fenced_by_its_attempt(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        jobs.retry(connection, 1, 1, now, "lost")
        attempts.finish(connection, attempt, states.Attempt.LOST, now, reason="lost")
    moves: list[Callable[[Connection], None]] = [
        lambda each: jobs.finish(each, 1, 1, Job.PASSED, now, None),
        lambda each: jobs.retry(each, 1, 1, now, "again"),
        lambda each: jobs.queue(each, 1, 1, now),
        lambda each: jobs.start(each, 1, 1, now, SECOND),
        lambda each: attempts.finish(each, attempt, states.Attempt.PASSED, now),
    ]
    for move in moves:
        with pytest.raises(LostRace), store.writing() as connection:
            move(connection)
    with store.reading() as connection:
        job = jobs.by_id(connection, 1)
        assert (job.state, job.attempt, job.losses, job.rings) == (Job.READY, 2, 1, 0)


def test_a_live_attempt_is_known_by_its_token_and_a_stale_one_refused(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        job, found = attempts.live_by_token(connection, "hash", 1, 1)
        assert (job.id, found.id) == (1, attempt)
        assert attempts.repository_by_token(connection, "hash") == 1
        for token, number in (("other", 1), ("hash", 2)):
            with pytest.raises(Unauthorised):
                attempts.live_by_token(connection, token, 1, number)
        jobs.retry(connection, 1, 1, now, "lost")
        with pytest.raises(StaleAttempt):
            attempts.live_by_token(connection, "hash", 1, 1)
        with pytest.raises(StaleAttempt):
            attempts.still_live(connection, attempt)
        assert attempts.repository_by_token(connection, "hash") is None


def test_a_step_told_twice_or_late_stays_as_it_ended(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        for state in (states.Step.RUNNING, states.Step.FAILED, states.Step.RUNNING, states.Step.PASSED):
            attempts.report_step(connection, Step(attempt, 1, "make", state, None, now, None, 0))
        assert [step.state for step in attempts.steps_of(connection, [attempt])] == [states.Step.FAILED]


def test_an_artifact_sent_again_replaces_itself(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        row = attempts.by_id(connection, attempt)
        for digest in ("1" * 64, "2" * 64):
            attempts.keep_artifact(connection, row, "out", digest, 3, now)
        assert [one.sha256 for one in attempts.artifacts_of(connection, [attempt])] == ["2" * 64]
        some, counts = attempts.some_artifacts_of(connection, [attempt, 999], 1)
        assert ([one.sha256 for one in some], counts) == (["2" * 64], {attempt: 1})
        assert attempts.some_artifacts_of(connection, [attempt], 0) == ([], {attempt: 1})


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_piece_that_arrives_twice_at_once_is_stored_once(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    data = b"x" * 300_000
    together(store, lambda each: logs.append(each, attempt, 0, data, now, 2**30))
    with store.reading() as connection:
        assert attempts.by_id(connection, attempt).log_bytes == len(data)
        assert b"".join(row.data for row in logs.chunks_after(connection, attempt, 0, 99)) == data


@pytest.mark.parametrize("offset", [0, 1, 262_143, 262_144, 262_145, 599_999, 600_000])
def test_a_log_is_read_from_any_offset(store: Store, now: datetime, offset: int) -> None:
    attempt = a_live_attempt(store, now)
    data = bytes(number % 251 for number in range(600_000))
    with store.writing() as connection:
        logs.append(connection, attempt, 0, data, now, 2**30)
        assert logs.read(connection, attempt, offset, 10) == data[offset : offset + 10]
        assert logs.read(connection, attempt, offset, 2**20) == data[offset:]


def test_many_small_pieces_are_read_whole(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        for number in range(200):
            logs.append(connection, attempt, number, b"x", now, 2**30)
        found = b""
        while piece := logs.read(connection, attempt, len(found), 64):
            found += piece
        assert len(found) == 200


def test_only_ended_logs_are_packed_and_once(store: Store, now: datetime) -> None:
    attempt = a_live_attempt(store, now)
    with store.writing() as connection:
        logs.append(connection, attempt, 0, b"x", now, 2**30)
        assert logs.unpacked(connection, 10) == []
        attempts.finish(connection, attempt, states.Attempt.PASSED, now)
        assert logs.unpacked(connection, 10) == [attempt]
        assert logs.packed(connection, attempt, "f" * 64, "d" * 64)
        assert not logs.packed(connection, attempt, "e" * 64, "d" * 64)
        assert logs.unpacked(connection, 10) == []
        assert logs.chunks_after(connection, attempt, 0, 9) == []
        with pytest.raises(StaleAttempt):
            logs.append(connection, attempt, 1, b"y", now, 2**30)


# --- nodes and candidates --------------------------------------------------------------------------------------------


def test_a_heartbeat_between_a_look_and_its_verdict_saves_the_node(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        node = nodes.by_id(connection, a_node(connection, now))
        beat = Heartbeat(slots=3, holding=(), worker_alive=True, free_disk_bytes=1, version="2")
        nodes.heard(connection, node, beat, now + SECOND)
    with pytest.raises(LostRace), store.writing() as connection:
        nodes.silence(connection, node.id, node.state, node.seen_at)
    with store.writing() as connection:
        later = nodes.by_id(connection, node.id)
        assert (later.state, later.slots) == (states.Node.READY, 3)
        nodes.silence(connection, node.id, later.state, later.seen_at)
        nodes.heard(connection, later, beat, now + 2 * SECOND)
        assert nodes.by_id(connection, node.id).state is states.Node.READY


def test_a_commit_becomes_a_candidate_once(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
    made = together(store, lambda each: candidates.put(each, repository, SHA, {"a": "sha256:1"}, now, run_id=None))
    assert sorted(map(bool, made)) == [False] * 7 + [True]
    with store.reading() as connection:
        found = candidates.of_commit(connection, repository, SHA)
        assert found is not None
        assert found.artifacts == {"a": "sha256:1"}
