"""What of a run is done: conditions, results, tries, allowed failures, questions, forks, further jobs, runs again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from farmgate import invariants
from farmgate.messages import EMITTED_LIMIT
from farmgate.models import ForkPolicy
from farmgate.refs import HEADS
from farmgate.store import candidates, repositories, runs
from farmgate.store.intakes import NewIntake, put
from tests.scheduler.farm import Farm, Held, Worker

PATHS = """\
jobs:
  test:
    steps: [make test]
    artifacts: [out.txt]
    when: {paths: ["src/**"]}
  docs:
    steps: [make docs]
    when: {paths: ["docs/**"]}
"""


def connected(farm: Farm, pipeline: str, **files: str) -> Worker:
    farm.repository.add("first", {".farmgate.yml": pipeline, **files})
    farm.connect()
    return farm.join()


def states_of(farm: Farm, run: int) -> dict[str, str]:
    return {job["name"]: job["state"] for job in farm.run(run)["jobs"]}


def newest(farm: Farm) -> int:
    found: int = farm.runs()[-1]["id"]
    return found


def claim_all(farm: Farm, worker: Worker) -> dict[str, Held]:
    found = {}
    for job, attempt in farm.bell.heard():
        held = worker.claim(job, attempt)
        found[held.claimed["name"]] = held
    return found


def sound(farm: Farm) -> None:
    """No invariant is broken."""
    with farm.store.reading() as connection:
        found = invariants.look(connection, farm.clock.now())
    assert [str(one) for one in found] == []


def candidate(farm: Farm, sha: str) -> dict[str, str] | None:
    with farm.store.reading() as connection:
        repository = repositories.by_name(connection, "shop")
        found = candidates.of_commit(connection, repository.id, sha)
    return None if found is None else found.artifacts


# --- conditions ------------------------------------------------------------------------------------------------------


def test_a_job_left_out_says_which_condition_decided_and_counts_as_passed(farm: Farm) -> None:
    worker = connected(farm, PATHS)
    worker.work()
    farm.push("two", files={"docs/a.md": "words"})
    run = newest(farm)
    left_out = farm.job(run, "test")
    assert (left_out["state"], left_out["forgiven"]) == ("skipped", True)
    assert "`when.paths` wants src/**" in left_out["reason"]
    assert "docs/a.md" in left_out["reason"]
    worker.work()
    assert farm.run(run)["state"] == "passed"
    sound(farm)


def test_a_run_all_of_whose_jobs_were_left_out_passes_and_keeps_the_artifacts_of_what_it_leans_on(farm: Farm) -> None:
    worker = connected(farm, PATHS)
    held = claim_all(farm, worker)
    held["test"].artifact("out.txt", b"built")
    held["test"].end()
    held["docs"].end()
    (sha,) = farm.push("a typo", files={"README.md": "mended"})
    assert states_of(farm, newest(farm)) == {"test": "skipped", "docs": "skipped"}
    assert farm.run(newest(farm))["state"] == "passed"
    assert list(candidate(farm, sha) or {}) == ["out.txt"]
    sound(farm)


def test_a_typo_mended_after_a_red_commit_does_not_deliver_it_until_that_is_good(farm: Farm) -> None:
    worker = connected(farm, PATHS)
    worker.work()
    (red,) = farm.push("broken", files={"src/a.py": "("})
    broken = newest(farm)
    worker.work("failed")
    shas = farm.push("one typo", "another typo", files={"README.md": "x"})
    assert farm.run(newest(farm))["state"] == "passed"
    assert [candidate(farm, sha) for sha in (red, *shas)] == [None] * 3
    assert f"nothing they look at changed since {red[:10]}" in farm.runs()[-2]["reason"]
    farm.http.post(f"/api/runs/{broken}/rerun")  # it was the machine, after all
    farm.settle()
    worker.work()
    assert None not in [candidate(farm, sha) for sha in (red, *shas)]
    assert farm.runs()[-2]["reason"] is None
    sound(farm)


@pytest.mark.parametrize(
    ("when", "runs"),
    [
        ("{branch: main}", True),
        ("{branch: 'release/*'}", False),
        ("{tag: 'v*'}", False),
        ("{event: push}", True),
        ("{event: pull}", False),
    ],
)
def test_conditions_of_a_push(farm: Farm, when: str, runs: bool) -> None:
    connected(farm, f"jobs:\n  test:\n    steps: [make]\n    when: {when}\n")
    assert states_of(farm, 1) == {"test": "queued" if runs else "skipped"}


def test_a_notice_runs_when_something_failed_and_is_left_out_when_nothing_did(farm: Farm) -> None:
    worker = connected(
        farm,
        "jobs:\n  test: {steps: [make]}\n"
        "  deploy: {needs: [test], steps: [ship]}\n"
        "  tell: {needs: [deploy], steps: [mail], when: {result: failed}}\n"
        "  tidy: {needs: [deploy], steps: [rm], when: {result: always}}\n",
    )
    worker.work()
    assert states_of(farm, 1) == {"test": "passed", "deploy": "passed", "tell": "skipped", "tidy": "passed"}
    assert farm.run(1)["state"] == "passed"
    farm.push("two")
    claim_all(farm, worker)["test"].end("failed", exit_code=1)
    assert worker.work() == 2
    assert states_of(farm, 2) == {"test": "failed", "deploy": "skipped", "tell": "passed", "tidy": "passed"}
    assert farm.run(2)["state"] == "failed"
    sound(farm)


# --- tries and allowed failures --------------------------------------------------------------------------------------

RETRY = "jobs:\n  test:\n    steps: [make]\n    retry: {times: 2, on_exit: [7], pause: 30s}\n"


def test_a_failure_of_its_own_is_tried_again_after_its_pause_and_each_try_is_shown(farm: Farm) -> None:
    worker = connected(farm, RETRY)
    claim_all(farm, worker)["test"].end("failed", exit_code=7, reason="exit code 7")
    job = farm.job(1, "test")
    assert (job["state"], job["attempt"], job["failures"], job["losses"]) == ("ready", 2, 1, 0)
    assert farm.bell.heard() == []
    assert "failed 1 times, tries again in 30 s" in job["why"]
    farm.clock.advance(timedelta(seconds=31))
    worker.beat()
    assert worker.work() == 1
    job = farm.job(1, "test")
    assert (job["state"], [one["state"] for one in job["attempts"]]) == ("passed", ["failed", "passed"])
    assert farm.run(1)["state"] == "passed"
    sound(farm)


@pytest.mark.parametrize("end", [{"exit_code": 1}, {"exit_code": 7, "timed_out": True}])
def test_another_exit_code_and_a_time_that_is_over_are_not_tried_again(farm: Farm, end: dict[str, Any]) -> None:
    worker = connected(farm, RETRY)
    claim_all(farm, worker)["test"].end("failed", **end)
    assert farm.job(1, "test")["state"] == "failed"


def test_tries_of_its_own_and_lost_infrastructure_are_counted_apart(farm: Farm) -> None:
    worker = connected(farm, "jobs:\n  test: {steps: [make], retry: 1}\n")
    claim_all(farm, worker)["test"].end("lost", reason="the engine went away")
    claim_all(farm, worker)["test"].end("failed", exit_code=1)
    job = farm.job(1, "test")
    assert (job["losses"], job["failures"], job["attempt"]) == (1, 1, 3)
    claim_all(farm, worker)["test"].end("failed", exit_code=1)
    assert farm.job(1, "test")["state"] == "failed"
    assert "no try is left" in farm.job(1, "test")["reason"]
    sound(farm)


@pytest.mark.parametrize(
    ("allowed", "code", "run"),
    [("true", 1, "passed"), ("{on_exit: 3}", 3, "passed"), ("{on_exit: 3}", 1, "failed"), ("false", 3, "failed")],
)
def test_an_allowed_failure_is_shown_and_does_not_decide(farm: Farm, allowed: str, code: int, run: str) -> None:
    worker = connected(
        farm,
        f"jobs:\n  lint: {{steps: [lint], allow_failure: {allowed}}}\n  pack: {{needs: [lint], steps: [make]}}\n",
    )
    claim_all(farm, worker)["lint"].end("failed", exit_code=code)
    worker.work()
    assert farm.job(1, "lint")["state"] == "failed"
    assert farm.run(1)["state"] == run
    assert states_of(farm, 1)["pack"] == ("passed" if run == "passed" else "skipped")
    sound(farm)


# --- questions -------------------------------------------------------------------------------------------------------

ASKS = """\
jobs:
  build: {steps: [make]}
  ask:
    needs: [build]
    approve: {text: "Ship it?", by: [BY], within: 2h}
  ship: {needs: [ask], steps: [ship]}
"""


def asking(farm: Farm, by: str = "") -> int:
    connected(farm, ASKS.replace("BY", by)).work()
    job = farm.job(1, "ask")
    assert job["state"] == "asking"
    assert "Ship it?" in job["why"]
    found: int = job["id"]
    return found


@pytest.mark.parametrize(("verdict", "ask", "run"), [("approve", "passed", "passed"), ("decline", "failed", "failed")])
def test_a_person_answers_once_and_who_and_what_is_kept(farm: Farm, verdict: str, ask: str, run: str) -> None:
    job = asking(farm)
    body = {"verdict": verdict, "text": "I looked"}
    assert farm.http.post(f"/api/jobs/{job}/answer", json=body).status_code == 200
    farm.settle()
    farm.join("n2").work()
    assert states_of(farm, 1)["ask"] == ask
    assert farm.run(1)["state"] == run
    question = farm.job(1, "ask")["question"]
    assert (question["verdict"], question["answered_by"], question["answer"]) == (f"{verdict}d", "ada", "I looked")
    again = farm.http.post(f"/api/jobs/{job}/answer", json=body)
    assert (again.status_code, "already" in again.json()["error"]) == (409, True)
    sound(farm)


def test_who_is_not_named_may_not_answer(farm: Farm) -> None:
    job = asking(farm, by="grace")
    answer = farm.http.post(f"/api/jobs/{job}/answer", json={"verdict": "approve"})
    assert answer.status_code == 403
    assert "it asks grace" in answer.json()["error"]
    assert states_of(farm, 1)["ask"] == "asking"


def test_a_question_that_nobody_answers_is_declined_with_the_reason(farm: Farm) -> None:
    asking(farm)
    farm.advance(2 * 3600 + 1)
    job = farm.job(1, "ask")
    assert (job["state"], job["question"]["verdict"]) == ("failed", "expired")
    assert "nobody answered" in job["reason"]
    assert farm.run(1)["state"] == "failed"
    sound(farm)


def test_what_does_not_ask_yet_or_at_all_takes_no_answer(farm: Farm) -> None:
    connected(farm, ASKS.replace("BY", ""))
    for name, words in (("ask", "does not ask yet"), ("build", "asks nobody")):
        answer = farm.http.post(f"/api/jobs/{farm.job(1, name)['id']}/answer", json={"verdict": "approve"})
        assert (answer.status_code, words in answer.json()["error"]) == (409, True)


# --- forks -----------------------------------------------------------------------------------------------------------


def propose(farm: Farm, title: str) -> str:
    """A commit of a pull request from a fork, as a forge reports it."""
    if farm.tip("theirs") is None:
        farm.repository.git("update-ref", HEADS + "theirs", HEADS + "main")
    sha = farm.repository.add(title, {"src/x.py": title}, branch="theirs")
    farm.repository.git("update-ref", "refs/pull/7/head", sha)
    details = {"from_fork": True, "fetch_ref": "refs/pull/7/head", "base": HEADS + "main", "author": "eve", "number": 7}
    with farm.store.writing() as connection:
        repository = repositories.by_name(connection, "shop")
        put(
            connection,
            repository.id,
            [NewIntake("pull", "refs/pull/7/head", after=sha, details=details)],
            farm.clock.now(),
        )
    farm.settle()
    return sha


def test_a_run_of_a_fork_waits_for_a_maintainer_and_each_further_commit_asks_anew(farm: Farm) -> None:
    worker = connected(farm, "jobs:\n  test: {steps: [make], when: {branch: main}}\n")
    worker.work()
    assert farm.http.patch("/api/repositories/shop", json={"forks": "ask"}).json()["forks"] == "ask"
    sha = propose(farm, "theirs")
    run = newest(farm)
    assert states_of(farm, run) == {"test": "waiting"}
    assert f"a maintainer must allow commit {sha[:10]}" in farm.job(run, "test")["why"]
    assert farm.bell.heard() == []
    wrong = farm.http.post(f"/api/runs/{run}/allow", json={"sha": "b" * 40})
    assert wrong.status_code == 409
    sound(farm)
    assert farm.http.post(f"/api/runs/{run}/allow", json={"sha": sha}).status_code == 200
    farm.settle()
    assert worker.work() == 1
    assert farm.run(run)["state"] == "passed"
    assert candidate(farm, sha) is None
    propose(farm, "theirs, again")
    assert states_of(farm, newest(farm)) == {"test": "waiting"}
    assert farm.run(newest(farm))["hold"]


def test_a_fork_that_is_refused_is_recorded_as_refused(farm: Farm) -> None:
    connected(farm, "jobs:\n  test: {steps: [make]}\n")
    with farm.store.writing() as connection:
        repository = repositories.by_name(connection, "shop")
        repositories.set_fork_policy(connection, repository.id, ForkPolicy.REFUSE)
    propose(farm, "theirs")
    assert len(farm.runs()) == 1
    assert (farm.intakes()[-1]["state"], "refuses runs of forks" in farm.intakes()[-1]["reason"]) == ("rejected", True)


# --- further jobs ----------------------------------------------------------------------------------------------------

EMITS = "jobs:\n  plan: {steps: [plan], emits: more.yml}\n  last: {needs: [plan], steps: [make]}\n"
MORE = "jobs:\n  a: {steps: [a]}\n  b: {needs: [a], steps: [b]}\n"


def test_a_job_emits_further_jobs_with_its_result(farm: Farm) -> None:
    worker = connected(farm, EMITS)
    claim_all(farm, worker)["plan"].end(emitted=MORE)
    assert worker.work() == 3
    assert states_of(farm, 1) == dict.fromkeys(("plan", "last", "a", "b"), "passed")
    assert farm.job(1, "a")["emitted_by"] == "plan"
    assert farm.run(1)["state"] == "passed"
    sound(farm)


@pytest.mark.parametrize(
    ("emitted", "words"),
    [
        ("jobs:\n  a: {stepz: [a]}\n", "more.yml:2:7"),
        ("jobs:\n  last: {steps: [a]}\n", "has a job 'last' already"),
        (None, "was not handed over"),
        ("#" * (EMITTED_LIMIT + 1), f"at most {EMITTED_LIMIT}"),
        ("jobs:\n" + "".join(f"  j{n}: {{steps: [a]}}\n" for n in range(2000)), "more.yml:"),
    ],
    ids=["wrong key", "taken name", "nothing", "too large", "too many"],
)
def test_a_file_of_further_jobs_with_problems_ends_its_job_in_error(
    farm: Farm, emitted: str | None, words: str
) -> None:
    worker = connected(farm, EMITS)
    claim_all(farm, worker)["plan"].end(emitted=emitted)
    assert farm.job(1, "plan")["state"] == "error"
    assert words in farm.job(1, "plan")["reason"]
    assert list(states_of(farm, 1)) == ["plan", "last"]
    assert farm.run(1)["state"] == "error"


def test_a_stale_attempt_and_one_that_failed_emit_nothing(farm: Farm) -> None:
    worker = connected(farm, EMITS)
    stale = claim_all(farm, worker)["plan"]
    farm.advance(farm.context.settings.lease.total_seconds() + 1)
    assert stale.result("passed", emitted=MORE).status_code == 409
    worker.beat()
    claim_all(farm, worker)["plan"].end("failed", exit_code=1, emitted=MORE)
    assert list(states_of(farm, 1)) == ["plan", "last"]


# --- again -----------------------------------------------------------------------------------------------------------

THREE = """\
jobs:
  build: {steps: [make], artifacts: [out.txt]}
  test: {needs: [build], steps: [test]}
  pack: {needs: [test], steps: [pack]}
"""


def failed_once(farm: Farm) -> Worker:
    worker = connected(farm, THREE)
    build = claim_all(farm, worker)["build"]
    build.artifact("out.txt", b"built")
    build.end()
    claim_all(farm, worker)["test"].end("failed", exit_code=1)
    assert farm.run(1)["state"] == "failed"
    return worker


def test_only_what_failed_runs_again_and_the_rest_is_taken_over_with_its_artifacts(farm: Farm) -> None:
    worker = failed_once(farm)
    made = farm.http.post("/api/runs/1/rerun", json={"failed": True}).json()
    farm.settle()
    assert states_of(farm, made["id"]) == {"build": "passed", "test": "queued", "pack": "waiting"}
    assert worker.work() == 2
    run = farm.run(made["id"])
    assert (run["state"], run["again_of"]) == ("passed", 1)
    build = farm.job(made["id"], "build")
    assert (build["reused_from"]["run"], [one["path"] for one in build["artifacts"]]) == (1, ["out.txt"])
    assert list(candidate(farm, run["sha"]) or {}) == ["out.txt"]
    sound(farm)


def test_a_whole_run_again_has_the_inputs_of_before(farm: Farm) -> None:
    worker = failed_once(farm)
    before = farm.run(1)
    made = farm.http.post("/api/runs/1/rerun", json={"reuse": False}).json()
    for key in ("sha", "ref", "trigger", "trust"):
        assert made[key] == before[key]
    assert (made["ordinal"], made["again_of"], made["reuse"]) == (2, 1, False)
    farm.settle()
    assert worker.work() == 3


def test_one_job_runs_again_with_what_needs_it(farm: Farm) -> None:
    worker = failed_once(farm)
    made = farm.http.post("/api/runs/1/rerun", json={"job": "build"}).json()
    assert worker.work() == 0
    farm.settle()
    assert worker.work() == 3
    assert farm.run(made["id"])["state"] == "passed"


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"job": "pack"}, 409, "needs test, which did not pass"),
        ({"job": "nothing"}, 404, "no job nothing"),
        ({"job": "test", "failed": True}, 400, "not both"),
    ],
)
def test_what_cannot_run_again_says_why(farm: Farm, wish: dict[str, Any], status: int, words: str) -> None:
    failed_once(farm)
    answer = farm.http.post("/api/runs/1/rerun", json=wish)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_jobs_that_were_emitted_are_taken_over_or_emitted_anew_with_their_emitter(farm: Farm) -> None:
    worker = connected(farm, EMITS)
    claim_all(farm, worker)["plan"].end(emitted=MORE)
    held = claim_all(farm, worker)
    held["a"].end("failed", exit_code=1)
    held["last"].end()
    failed = farm.http.post("/api/runs/1/rerun", json={"failed": True}).json()["id"]
    assert states_of(farm, failed) == {"plan": "passed", "last": "passed", "a": "ready", "b": "waiting"}
    assert farm.job(failed, "a")["emitted_by"] == "plan"
    whole = farm.http.post("/api/runs/1/rerun").json()["id"]
    assert list(states_of(farm, whole)) == ["plan", "last"]
    farm.settle()
    sound(farm)


def test_a_run_again_waits_for_a_cancelled_fork_as_the_first_did(farm: Farm) -> None:
    connected(farm, "jobs:\n  test: {steps: [make]}\n")
    farm.http.patch("/api/repositories/shop", json={"forks": "ask"})
    propose(farm, "theirs")
    run = newest(farm)
    farm.http.post(f"/api/runs/{run}/cancel", json={"reason": "no"})
    farm.settle()
    made = farm.http.post(f"/api/runs/{run}/rerun").json()["id"]
    farm.settle()
    assert states_of(farm, made) == {"test": "waiting"}
    with farm.store.reading() as connection:
        assert [one.id for one in runs.held(connection)] == [made]
    farm.clock.advance(timedelta(seconds=1))
    sound(farm)
