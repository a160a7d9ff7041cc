"""What workers and nodes may do, and what is refused, over HTTP."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import func, select

from farmgate.messages import RESULT_CARRIES_BYTES
from farmgate.store import attempts
from farmgate.store.schema import log_chunks
from tests.scheduler.farm import TWO_JOBS, Farm


def test_a_job_goes_from_the_bell_to_its_result(shop: Farm) -> None:
    worker = shop.join()
    assert shop.bell.heard() == [(1, 1)]
    held = worker.claim(1)
    claimed = held.claimed
    assert claimed["sha"] == shop.tip()
    assert claimed["git_url"] == "http://farm/git/shop"
    assert claimed["spec"]["steps"][0]["run"] == "make test"
    assert claimed["variables"]["FARMGATE_BRANCH"] == "main"
    assert shop.run(1)["state"] == "running"
    assert held.step(1, "running").status_code == 204
    assert held.log(0, b"hello\n").json() == {"length": 6, "cut": False}
    assert held.step(1, "passed", exit_code=0, log_offset=0).status_code == 204
    held.end("passed", timings={"total": 1.5})
    run = shop.run(1)
    assert run["state"] == "passed"
    assert run["jobs"][0]["steps"][0]["state"] == "passed"
    assert run["jobs"][0]["timings"] == {"total": 1.5}


def test_a_green_run_of_a_branch_becomes_a_candidate_with_its_artifacts(shop: Farm) -> None:
    shop.push("second", files={".farmgate.yml": TWO_JOBS})
    worker = shop.join()
    worker.try_claim_and_end(1, 1, "passed")
    held = worker.claim(2)
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert held.artifact("dist/out.txt", b"bytes").json() == {"sha256": digest, "size_bytes": 5}
    held.end("passed")
    shop.deploy.woken.clear()
    worker.claim(3).end("passed")
    candidate = shop.http.get(f"/api/commits/shop/{shop.tip()}").json()["candidate"]
    assert candidate == {"dist/out.txt": f"sha256:{digest}"}
    assert shop.deploy.woken == ["deploy"]
    assert shop.http.get(f"/api/artifacts/{digest}").content == b"bytes"


def test_a_red_run_is_no_candidate_and_skips_what_needs_it(shop: Farm) -> None:
    shop.push("second", files={".farmgate.yml": TWO_JOBS})
    worker = shop.join()
    worker.claim(2).end("failed", reason="step make: exit code 2", exit_code=2)
    run = shop.run(2)
    assert (run["state"], run["reason"]) == ("failed", "build: step make: exit code 2")
    assert shop.job(2, "test")["state"] == "skipped"
    assert shop.http.get(f"/api/commits/shop/{shop.tip()}").json()["candidate"] is None


def test_only_one_of_several_claims_wins(shop: Farm) -> None:
    workers = [shop.join("n1"), shop.join("n2")]
    codes = [worker.try_claim(1, 1).status_code for worker in workers + workers]
    assert sorted(codes) == [200, 409, 409, 409]


def test_a_claim_of_another_attempt_another_pool_or_nothing_is_refused(shop: Farm) -> None:
    worker = shop.join()
    other = shop.join("gpu", pool="gpu")
    assert worker.try_claim(1, 2).status_code == 409
    assert other.try_claim(1, 1).status_code == 409
    assert worker.try_claim(99, 1).status_code == 404


def test_a_draining_node_claims_nothing(shop: Farm) -> None:
    worker = shop.join()
    assert shop.http.post("/api/nodes/n1/drain").json()["state"] == "draining"
    assert worker.try_claim(1, 1).status_code == 409
    assert worker.beat()["drain"] is True
    assert shop.http.post("/api/nodes/n1/resume").json()["state"] == "ready"
    assert worker.beat()["drain"] is False
    assert worker.try_claim(1, 1).status_code == 200


@pytest.mark.parametrize("what", ["log", "step", "artifact", "result", "git"])
def test_a_stale_attempt_is_refused_whatever_it_brings(shop: Farm, what: str) -> None:
    worker = shop.join()
    held = worker.claim(1)
    worker.beat(held)
    shop.advance(31)
    assert shop.job(1, "test")["attempt"] == 2
    match what:
        case "log":
            answer = held.log(0, b"late")
        case "step":
            answer = held.step(1, "passed")
        case "artifact":
            answer = held.artifact("a", b"late")
        case "result":
            answer = held.result("passed")
        case _:
            answer = shop.stranger.get("/git/shop/info/refs?service=git-upload-pack", headers=held.headers)
    assert answer.status_code == (401 if what == "git" else 409)
    assert shop.run(1)["state"] == "running"


def test_a_token_opens_its_own_attempt_only(shop: Farm) -> None:
    shop.push("second")
    worker = shop.join()
    first, second = worker.claim(1), worker.claim(2)
    first.headers = second.headers
    assert first.log(0, b"x").status_code == 401
    assert shop.stranger.post(f"{first.path}/log?offset=0", content=b"x").status_code == 401
    assert worker.http.post(f"{first.path}/log?offset=0", content=b"x").status_code == 401


def test_a_lost_worker_costs_an_attempt_and_the_next_one_ends_it(shop: Farm) -> None:
    worker = shop.join()
    held = worker.claim(1)
    shop.bell.heard()
    shop.advance(20)
    worker.beat(held)
    shop.advance(11)
    assert shop.job(1, "test")["losses"] == 1
    assert shop.bell.heard() == [(1, 2)]
    worker.claim(1, 2).end("passed")
    assert shop.run(1)["state"] == "passed"
    assert [one["state"] for one in shop.job(1, "test")["attempts"]] == ["lost", "passed"]


def test_a_renewed_lease_goes_on(shop: Farm) -> None:
    worker = shop.join()
    held = worker.claim(1)
    for _ in range(6):
        shop.advance(20)
        worker.beat(held)
        assert worker.renew(held) == {"lease_seconds": 30.0, "cancelled": [], "lost": []}
    held.end()
    assert shop.job(1, "test")["losses"] == 0


def test_a_renewal_tells_what_is_cancelled_and_what_is_lost(shop: Farm) -> None:
    shop.push("second")
    worker = shop.join()
    first, second = worker.claim(1), worker.claim(2)
    second.end()
    shop.http.post("/api/runs/1/cancel", json={"reason": "wrong"})
    told = worker.renew(first, second)
    assert told["cancelled"] == [{"job": 1, "attempt": 1}]
    assert told["lost"] == [{"job": 2, "attempt": 1}]
    first.end("cancelled")
    run = shop.run(1)
    assert (run["state"], run["reason"]) == ("cancelled", "test: cancelled by ada: wrong")


def test_a_run_that_nobody_holds_is_cancelled_at_once(shop: Farm) -> None:
    shop.http.post("/api/runs/1/cancel", json={"reason": "wrong"})
    shop.settle()
    assert shop.run(1)["state"] == "cancelled"
    assert shop.http.post("/api/runs/1/cancel", json={"reason": "again"}).status_code == 409


def test_infrastructure_lost_too_often_is_lost_not_failed(shop: Farm) -> None:
    worker = shop.join()
    for number in range(1, 5):
        worker.claim(1, number).end("lost", reason="the engine died")
        shop.advance(20)  # a job that was lost again rests before it is sent
        worker.beat()
    run = shop.run(1)
    assert run["state"] == "lost"
    assert "the engine died" in run["reason"]
    assert shop.job(1, "test")["attempt"] == 4


@pytest.mark.parametrize("outcome", ["passed", "failed", "error", "cancelled"])
def test_a_result_is_taken_once(shop: Farm, outcome: str) -> None:
    held = shop.join().claim(1)
    held.end(outcome)
    assert held.result("passed").status_code == 409
    assert shop.job(1, "test")["state"] == outcome


def test_a_result_brings_the_end_of_the_log_and_of_the_steps_with_it(shop: Farm) -> None:
    held = shop.join().claim(1)
    held.step(1, "running", started_at=shop.clock.now().isoformat())
    held.log(0, b"abc")
    steps = [
        {"number": 1, "name": "step 1", "state": "passed", "exit_code": 0},
        {"number": 2, "name": "step 2", "state": "skipped"},
    ]
    held.end("passed", log_offset=1, log=base64.urlsafe_b64encode(b"bcdef").decode(), steps=steps)
    assert shop.http.get("/api/jobs/1/log").text == "abcdef"
    attempt = shop.job(1, "test")["attempts"][-1]
    assert [(step["number"], step["state"]) for step in attempt["steps"]] == [(1, "passed"), (2, "skipped")]
    assert attempt["steps"][0]["started_at"] is not None


def test_a_stale_result_brings_nothing_into_the_log(shop: Farm) -> None:
    held = shop.join().claim(1)
    held.end("passed")
    assert held.result("passed", log_offset=0, log=base64.urlsafe_b64encode(b"late").decode()).status_code == 409
    assert "late" not in shop.http.get("/api/jobs/1/log").text


def test_more_of_a_log_than_a_result_carries_is_refused(shop: Farm) -> None:
    held = shop.join().claim(1)
    much = base64.urlsafe_b64encode(bytes(RESULT_CARRIES_BYTES + 1)).decode()
    assert held.result("passed", log_offset=0, log=much).status_code == 422
    held.end("passed")


def test_a_claim_names_the_newest_commit_of_a_trusted_branch(shop: Farm) -> None:
    held = shop.join().claim(1)
    assert held.claimed["newest"] == held.claimed["sha"]


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_log_sent_twice_overlapping_or_with_a_gap_has_no_hole_and_no_repetition(shop: Farm) -> None:
    held = shop.join().claim(1)
    assert held.log(0, b"abc").json()["length"] == 3
    assert held.log(0, b"abc").json()["length"] == 3
    assert held.log(1, b"bcdef").json()["length"] == 6
    assert held.log(9, b"gap").json()["length"] == 6
    assert shop.http.get("/api/jobs/1/log").text == "abcdef"
    assert shop.http.get("/api/jobs/1/log?offset=4").text == "ef"


def test_a_log_over_the_limit_is_cut_and_says_so(shop: Farm) -> None:
    object.__setattr__(shop.context, "settings", shop.context.settings.model_copy(update={"log_limit_bytes": 10}))
    held = shop.join().claim(1)
    taken = held.log(0, b"0123456789abcdef").json()
    assert taken["cut"] is True
    assert held.log(taken["length"], b"more").json() == taken
    text = shop.http.get("/api/jobs/1/log").text
    assert text.startswith("0123456789\n[the log is cut here")


def test_an_ended_log_is_packed_and_reads_the_same(shop: Farm) -> None:
    held = shop.join().claim(1)
    data = bytes(range(256)) * 4096
    offset = 0
    while offset < len(data):
        offset = held.log(offset, data[offset : offset + 300_000]).json()["length"]
    before = shop.http.get("/api/jobs/1/log")
    assert before.content == data
    assert "X-Farmgate-Log-End" not in before.headers
    held.end()
    with shop.store.reading() as connection:
        attempt = attempts.by_number(connection, 1, 1)
        assert connection.execute(select(func.count()).select_from(log_chunks)).scalar_one() == 0
    assert attempt.log_blob is not None
    with shop.context.blobs.open(attempt.log_blob) as file:
        assert gzip.decompress(file.read()) == data
    after = shop.http.get("/api/jobs/1/log")
    assert (after.content, after.headers["X-Farmgate-Log-End"]) == (data, "passed")
    assert shop.http.get("/api/jobs/1/log?offset=1000000").content == data[1_000_000:]


# --- artifacts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "", ".", "a//b", "a\nb", "x" * 2000])
def test_an_artifact_path_that_leads_outside_is_refused(shop: Farm, path: str) -> None:
    held = shop.join().claim(1)
    assert held.artifact(path, b"x").status_code == 400


def test_an_artifact_over_the_limit_is_refused(shop: Farm) -> None:
    object.__setattr__(shop.context, "settings", shop.context.settings.model_copy(update={"artifact_limit_bytes": 10}))
    held = shop.join().claim(1)
    assert held.artifact("big", b"x" * 11).status_code == 413
    assert held.artifact("small", b"x" * 10).status_code == 200


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_a_join_token_opens_once(shop: Farm) -> None:
    token = shop.http.post("/api/nodes/enrol").json()["token"]
    body = {"token": token, "name": "a", "pool": "default", "slots": 1, "engine": "process", "version": "1"}
    assert shop.stranger.post("/api/nodes/join", json=body).status_code == 200
    assert shop.stranger.post("/api/nodes/join", json=body | {"name": "b"}).status_code == 401
    assert shop.stranger.post("/api/nodes/join", json=body | {"token": "fgj_wrong"}).status_code == 401


def test_a_live_nodes_name_is_not_given_to_another_and_the_token_is_kept(shop: Farm) -> None:
    shop.join("n1")
    token = shop.http.post("/api/nodes/enrol").json()["token"]
    body = {"token": token, "name": "n1", "pool": "default", "slots": 1, "engine": "process", "version": "1"}
    assert shop.stranger.post("/api/nodes/join", json=body).status_code == 409
    assert shop.stranger.post("/api/nodes/join", json=body | {"name": "n2"}).status_code == 200


def test_a_silent_node_is_back_with_its_next_heartbeat(shop: Farm) -> None:
    worker = shop.join()
    shop.advance(31)
    assert shop.http.get("/api/nodes").json()[0]["state"] == "silent"
    worker.beat()
    assert shop.http.get("/api/nodes").json()[0]["state"] == "ready"


def test_a_removed_nodes_credential_opens_nothing_and_its_name_is_free(shop: Farm) -> None:
    worker = shop.join()
    held = worker.claim(1)
    assert shop.http.post("/api/nodes/n1/remove").json()["state"] == "removed"
    assert worker.try_claim(1, 1).status_code == 401
    assert shop.http.get("/api/nodes").json() == []
    shop.advance(31)
    assert shop.job(1, "test")["attempt"] == 2
    assert held.result("passed").status_code == 409
    shop.join("n1").claim(1, 2).end()
    assert shop.run(1)["state"] == "passed"


def test_a_node_holding_what_is_over_is_told_to_remove_it(shop: Farm) -> None:
    worker = shop.join()
    held = worker.claim(1)
    assert worker.beat(held)["remove"] == []
    shop.advance(31)
    assert worker.beat(held)["remove"] == [{"job": 1, "attempt": 1}]


def test_what_a_dead_worker_held_gets_its_next_attempt_at_once(shop: Farm) -> None:
    worker = shop.join()
    held = worker.claim(1)
    worker.beat(ended=[{"job": 1, "attempt": 1}])
    job = shop.job(1, "test")
    assert (job["state"], job["attempt"]) == ("queued", 2)
    assert held.result("passed").status_code == 409
    again = worker.claim(1, 2)
    worker.beat(again, ended=[{"job": 1, "attempt": 1}])  # told twice: the second attempt is another
    again.end()
    assert shop.run(1)["state"] == "passed"


def test_a_dead_workers_attempt_that_was_cancelled_is_cancelled(shop: Farm) -> None:
    worker = shop.join()
    worker.claim(1)
    shop.http.post("/api/runs/1/cancel", json={"reason": "no"})
    worker.beat(ended=[{"job": 1, "attempt": 1}])
    assert shop.run(1)["state"] == "cancelled"


def test_a_node_ends_no_attempt_of_another(shop: Farm) -> None:
    held = shop.join("n1").claim(1)
    shop.join("n2").beat(ended=[{"job": 1, "attempt": 1}])
    assert held.step(1, "running").status_code == 204
    assert shop.job(1, "test")["attempt"] == 1


def test_a_worker_that_waits_for_its_engine_is_not_taken_for_deaf(shop: Farm) -> None:
    worker = shop.join(slots=1)
    shop.advance(12)
    worker.beat()
    shop.advance(6)
    assert worker.beat(problem="the engine is away")["restart_worker"] is False


def test_a_deaf_worker_is_told_to_restart_and_a_busy_one_is_not(shop: Farm) -> None:
    worker = shop.join(slots=1)
    shop.advance(12)
    worker.beat()
    shop.advance(6)
    assert worker.beat()["restart_worker"] is True
    held = worker.claim(1)
    assert worker.beat(held)["restart_worker"] is False


def test_a_worker_that_still_clears_away_a_job_is_not_taken_for_deaf(shop: Farm) -> None:
    worker = shop.join(slots=1)
    held = worker.claim(1)
    held.end("passed")
    shop.push("two")
    for _ in range(3):
        shop.advance(8)
        assert worker.beat(held)["restart_worker"] is False
    assert worker.beat()["restart_worker"] is True


def test_a_persons_token_opens_no_workers_door_and_the_reverse(shop: Farm) -> None:
    worker = shop.join()
    assert shop.http.post("/api/worker/claim", json={"job": 1, "attempt": 1}).status_code == 401
    assert worker.http.get("/api/runs").status_code == 401


def test_the_farms_own_token_lets_any_number_of_nodes_in_and_nothing_like_it_does(tmp_path: Path) -> None:
    farm = Farm(tmp_path, join_token="j" * 32)
    wish = {"pool": "default", "slots": 1, "engine": "docker", "version": "1"}

    def join(name: str, token: str) -> int:
        answer = farm.stranger.post("/api/nodes/join", json={**wish, "name": name, "token": token})
        return int(answer.status_code)

    try:
        assert [join(name, "j" * 32) for name in ("one", "two")] == [200, 200]
        assert [join("three", token) for token in ("", "j" * 31, "j" * 33, "ü" * 32)] == [401] * 4
        farm.join("three")  # one-time tokens are good beside it
        assert [node["name"] for node in farm.http.get("/api/nodes").json()] == ["one", "three", "two"]
    finally:
        farm.close()


def test_a_node_that_leaves_is_no_part_of_the_farm_and_may_join_anew_under_its_name(shop: Farm) -> None:
    worker = shop.join("passing")
    body = {"slots": 4, "holding": [], "worker_alive": False, "free_disk_bytes": 1, "version": "1", "leaves": True}
    assert worker.http.post("/api/nodes/heartbeat", json=body).status_code == 200
    assert shop.http.get("/api/nodes").json() == []
    assert worker.http.post("/api/nodes/heartbeat", json=body).status_code == 401
    shop.join("passing").claim(1).end("passed")
    assert shop.run(1)["state"] == "passed"
