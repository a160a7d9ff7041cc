"""Never the same work twice: what is taken, what is never taken, and how it looks."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from sqlalchemy import update

from farmgate import invariants
from farmgate.models import Trigger, Trust
from farmgate.store import repositories, runs, schema
from scheduler.compared import Place
from scheduler.pipelines import run_of
from tests.scheduler.farm import Farm, Worker
from tests.store.rows import a_repository

JOB: dict[str, Any] = {"image": "python:3.12", "steps": ["make test"], "inputs": ["src/**"], "artifacts": ["out.txt"]}
DIGEST = "sha256:" + "1" * 64


def pipeline(**jobs: dict[str, Any]) -> str:
    return json.dumps({"jobs": jobs})


class World:
    """A farm whose commits have a pipeline and some files, and a worker that does what is rung."""

    def __init__(self, farm: Farm, **jobs: dict[str, Any]) -> None:
        self.farm = farm
        self.jobs = jobs or {"test": JOB}
        farm.repository.add("first", {"src/a.py": "a", "docs/x.md": "x", ".farmgate.yml": pipeline(**self.jobs)})
        farm.connect()
        self.worker: Worker = farm.join()
        self.ran: list[str] = []
        self.digest: str | None = DIGEST
        self.work()

    def push(self, files: dict[str, str | None] | None = None, **more: Any) -> dict[str, Any]:
        """Commit, and do what is asked; the run."""
        files = dict(files or {})
        if more:
            self.jobs = {**self.jobs, **more}
            files[".farmgate.yml"] = pipeline(**self.jobs)
        self.ran = []
        self.farm.push("another", files=files)
        self.work()
        return self.last()

    def last(self) -> dict[str, Any]:
        return self.farm.run(self.farm.runs()[-1]["id"])

    def work(self, outcome: str = "passed") -> None:
        while rung := self.farm.bell.heard():
            for number, attempt in rung:
                held = self.worker.claim(number, attempt)
                self.ran.append(held.claimed["name"])
                held.log(0, f"log of {held.job}".encode())
                held.artifact("out.txt", held.claimed["name"].encode())
                held.end(outcome, image_digest=self.digest)

    def again(self, run: int) -> dict[str, Any]:
        self.ran = []
        answer = self.farm.http.post(f"/api/runs/{run}/rerun")
        assert answer.status_code == 201, answer.text
        self.farm.settle()
        self.work()
        return self.last()

    def set_run(self, run: int, **values: Any) -> None:
        with self.farm.store.writing() as connection:
            connection.execute(update(schema.runs).where(schema.runs.c.id == run).values(**values))

    def holds(self) -> bool:
        return invariants.check(self.farm.store, self.farm.clock.now()) == []


@pytest.fixture
def world(farm: Farm) -> World:
    return World(farm)


def test_a_commit_that_touches_no_input_has_its_answer_without_a_node(world: World) -> None:
    run = world.push({"docs/x.md": "y"})
    assert (run["state"], world.ran) == ("passed", [])
    job = run["jobs"][0]
    assert job["reused_from"]["run"] == 1
    assert [one["path"] for one in job["artifacts"]] == ["out.txt"]
    assert world.farm.http.get(f"/api/jobs/{job['id']}/log").text == "log of 1"
    assert world.holds()


def test_its_candidate_has_the_artifacts_of_the_original(world: World) -> None:
    world.push({"docs/x.md": "y"})
    first, second = (
        world.farm.http.get(f"/api/commits/shop/{run['sha']}").json()["candidate"] for run in world.farm.runs()
    )
    assert first == second != {}


def test_a_commit_that_touches_an_input_runs(world: World) -> None:
    run = world.push({"src/a.py": "b"})
    assert (run["state"], world.ran) == ("passed", ["test"])
    assert world.push({"src/a.py": "a"})["jobs"][0]["reused_from"]["run"] == 1, "back to what was tested"


@pytest.mark.parametrize(
    "change",
    [
        {"steps": ["make other"]},
        {"steps": [{"run": "make test", "shell": "bash"}]},
        {"steps": [{"run": "make test", "working_directory": "src"}]},
        {"environment": {"A": "1"}},
        {"image": "python:3.13"},
        {"artifacts": ["out.txt", "more*"]},
        {"services": {"db": "postgres:16"}},
        {"inputs": ["src/**", "docs/**"]},
        {"matrix": {"PYTHON": ["3.12"]}},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_another_job_is_other_work(world: World, change: dict[str, Any]) -> None:
    run = world.push(test={**JOB, **change})
    assert run["jobs"][0]["reused_from"] is None
    assert len(world.ran) == 1


@pytest.mark.parametrize(
    "change", [{"timeout": "5m"}, {"priority": 7}, {"steps": [{"name": "Tests", "run": "make test"}]}, {"retry": 2}]
)
def test_what_only_says_when_and_how_long_is_no_part_of_the_work(world: World, change: dict[str, Any]) -> None:
    assert world.push(test={**JOB, **change})["jobs"][0]["reused_from"] is not None
    assert world.ran == []


@pytest.mark.parametrize(
    "change",
    [
        {"reuse": False},
        {"deploys_to": "production"},
        {"secrets": ["TOKEN"]},
        {"identity": {"TOKEN": "sts.example.org"}},
        {"emits": "more.yml"},
        {"builds": ["shop"]},
        {"inputs": []},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_some_jobs_are_never_reused(farm: Farm, change: dict[str, Any]) -> None:
    job = {key: value for key, value in {**JOB, **change}.items() if value != []}
    world = World(farm, test=job)
    world.push({"docs/x.md": "y"})
    assert world.ran == ["test"]


def test_another_image_under_the_same_name_is_other_work(world: World) -> None:
    world.digest = "sha256:" + "2" * 64
    world.push({"src/a.py": "b"})  # the nodes have a newer image now
    assert world.push({"src/a.py": "a"})["jobs"][0]["reused_from"] is None
    assert world.push({"docs/x.md": "z"})["jobs"][0]["reused_from"] is not None


def test_without_the_image_s_digest_nothing_is_reused(farm: Farm) -> None:
    world = World(farm, other={**JOB, "image": "python:3.13"})
    world.digest = None
    world.push({"src/a.py": "b"})
    world.push({"docs/x.md": "y"})
    assert world.ran == ["other"]


def test_a_red_result_is_never_taken(farm: Farm) -> None:
    world = World(farm)
    farm.push("red", files={"src/a.py": "red"})
    world.work("failed")
    assert world.push({"docs/x.md": "y"})["state"] == "passed"
    assert world.ran == ["test"]


def test_a_fork_s_result_is_never_taken_by_a_trusted_run(world: World) -> None:
    world.push({"src/a.py": "b"})
    world.set_run(2, trust="untrusted")
    assert world.push({"docs/x.md": "y"})["jobs"][0]["reused_from"] is None
    world.set_run(3, trust="untrusted")
    again = world.again(2)
    assert again["trust"] == "untrusted"
    assert again["jobs"][0]["reused_from"] is not None, "among forks it may be"


def test_a_fork_may_take_a_trusted_result(world: World) -> None:
    run = world.push({"docs/x.md": "y"})
    world.set_run(run["id"], trust="untrusted")
    assert world.again(run["id"])["jobs"][0]["reused_from"]["run"] == 1


def test_a_chain_is_answered_as_far_as_its_artifacts_are_the_same(farm: Farm) -> None:
    build = {**JOB, "steps": ["make"]}
    test = {**JOB, "needs": ["build"], "inputs": ["tests/**"]}
    world = World(farm, build=build, test=test)
    run = world.push({"docs/x.md": "y"})
    assert (run["state"], world.ran) == ("passed", [])
    assert all(job["reused_from"] for job in run["jobs"])
    world.push({"src/a.py": "b"})
    assert world.ran == ["build"], "it made the same file, so its test is the same work"


def test_what_is_taken_is_what_ran_not_what_took(world: World) -> None:
    runs = [world.push({"docs/x.md": str(number)}) for number in range(3)]
    assert {run["jobs"][0]["reused_from"]["run"] for run in runs} == {1}


def test_a_run_that_wants_no_reuse_runs_and_is_reused_later(world: World) -> None:
    with world.farm.store.reading() as connection:
        history = world.farm.mirrors.of(repositories.by_id(connection, 1))
    now = world.farm.clock.now()
    sha = world.last()["sha"]
    made = run_of(history, 1, sha, Place("refs/heads/main", Trigger.PERSON), Trust.TRUSTED, "ada", now, 2)
    with world.farm.store.writing() as connection:
        number = runs.create(connection, dataclasses.replace(made, reuse=False), now)
    world.farm.settle()
    world.ran = []
    world.work()
    assert world.ran == ["test"]
    assert world.push({"docs/x.md": "y"})["jobs"][0]["reused_from"]["run"] == number


def test_an_original_whose_artifacts_are_gone_is_not_taken(world: World) -> None:
    with world.farm.store.writing() as connection:
        connection.execute(update(schema.artifacts).values(removed_at=world.farm.clock.now()))
    assert world.push({"docs/x.md": "y"})["jobs"][0]["reused_from"] is None
    assert world.ran == ["test"]


def test_another_repository_s_result_is_not_ours(world: World) -> None:
    world.set_run(1, repository_id=_other(world.farm))
    world.push({"docs/x.md": "y"})
    assert world.ran == ["test"]


def _other(farm: Farm) -> int:
    with farm.store.writing() as connection:
        return a_repository(connection, farm.clock.now(), "other")
