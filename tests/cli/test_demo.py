"""The demo's pure parts, and the demo itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farmgate import pipeline, policy
from farmgate.cli.demo import files, narrator
from farmgate.cli.demo.forge import Forge, Pushed
from farmgate.cli.demo.picture import LaneSeen, Picture, RolloutSeen, RunSeen, nothing
from farmgate.cli.demo.story import FEWEST, Part, story
from farmgate.cli.demo.verdict import answers, green_to_live, promises
from farmgate.cli.demo.visitors import Counted
from farmgate.clock import SystemClock

START = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = files.Place("farmgate-demo/python:abc", "127.0.0.1:9001", "127.0.0.1:9002")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


# --- the story -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commits", [FEWEST, 7, 12, 13, 50])
def test_every_story_breaks_the_tests_once_and_production_once(commits: int) -> None:
    told = story(commits, {})
    assert len(told) == commits
    parts = [change.part for change in told]
    for once in (Part.OPENS, Part.BREAKS_TESTS, Part.REPAIRS, Part.BREAKS_PRODUCTION, Part.REVERTS):
        assert parts.count(once) == 1
    assert parts[0] is Part.OPENS
    assert parts[-1] is Part.REVERTS
    assert parts.index(Part.REPAIRS) == parts.index(Part.BREAKS_TESTS) + 1
    assert parts.index(Part.REPAIRS) < parts.index(Part.BREAKS_PRODUCTION)


def test_the_story_does_in_a_real_shop_what_it_says(tmp_path: Path) -> None:
    """Each commit's tests are run; the one that breaks production is asked as production asks it."""
    forge = Forge(tmp_path, "shop", SystemClock())
    shop = tmp_path / "shop"
    for change in story(12, files.repository_files(PLACE)):
        forge.push([change])
        done = subprocess.run([sys.executable, "-m", "unittest"], cwd=shop, capture_output=True, check=False)
        assert (done.returncode == 0) is (change.part is not Part.BREAKS_TESTS), change
        ready = "import os; os.environ['ENVIRONMENT'] = 'production'; import app; app.page('/ready')"
        done = subprocess.run([sys.executable, "-c", ready], cwd=shop, capture_output=True, check=False)
        broken = [one.change.part for one in forge.pushed].count(Part.BREAKS_PRODUCTION)
        assert (done.returncode == 0) is (not broken or change.part is Part.REVERTS), change
    forge.close()


def test_the_examples_pipeline_and_policy_are_good() -> None:
    made = pipeline.parse(files.repository_files(PLACE)[".farmgate.yml"])
    assert {spec.image for spec in made.jobs.values()} == {PLACE.image}
    staging, production = policy.parse(files.policy(PLACE))
    assert (staging.listen, production.listen) == (PLACE.staging, PLACE.production)
    assert production.follows == ("staging",)
    assert [wave.share for wave in production.waves] == [20, 100]


def test_without_an_engine_the_policy_runs_processes() -> None:
    for lane in policy.parse(files.policy(replace(PLACE, image=None))):
        assert lane.target.type == "process"


def test_the_example_stands_where_the_demo_looks() -> None:
    assert (files.folder() / "app.py").is_file()


# --- judging ---------------------------------------------------------------------------------------------------------


def pushed() -> list[Pushed]:
    return [Pushed(change, f"{number:040x}", at(number)) for number, change in enumerate(story(FEWEST, {}))]


def rollout(number: int, state: str, commits: list[str], **more: object) -> RolloutSeen:
    made = RolloutSeen(number, "forward", state, 0, "", commits[-1], tuple(commits), at(20), at(30))
    return replace(made, **more)  # type: ignore[arg-type]


def good_end(commits: list[Pushed]) -> Picture:
    shas = [one.sha for one in commits]
    runs = {
        one.sha: RunSeen(
            number, one.sha, "failed" if one.change.part is Part.BREAKS_TESTS else "passed", at(0), at(2), ""
        )
        for number, one in enumerate(commits)
    }
    culprit = next(one.sha for one in commits if one.change.part is Part.BREAKS_PRODUCTION)
    rollouts = (rollout(1, "good", shas[:1]), rollout(2, "sick", shas[1:5]), rollout(3, "good", shas[1:]))
    lanes = {
        "staging": LaneSeen("staging", shas[-1], (rollout(1, "good", shas),)),
        "production": LaneSeen("production", shas[-1], rollouts, ever_banned=frozenset({culprit})),
    }
    return Picture(runs, dict.fromkeys(shas, 1), lanes)


def broken(picture: Picture, commits: list[Pushed], counted: Counted | None = None) -> list[str]:
    seen = counted or Counted(served=9, version=commits[-1].sha)
    return [one.sentence for one in promises(picture, commits, seen, ()) if not one.kept]


def test_a_good_end_keeps_every_promise() -> None:
    commits = pushed()
    assert broken(good_end(commits), commits) == []


def test_each_promise_can_break() -> None:
    commits = pushed()
    end, shas = good_end(commits), [one.sha for one in commits]

    def production(**more: object) -> Picture:
        return replace(end, lanes={**end.lanes, "production": replace(end.production, **more)})  # type: ignore[arg-type]

    one_run = "every commit has one run, with the right answer"
    assert broken(replace(end, run_count={**end.run_count, shas[1]: 2}), commits) == [one_run]
    red = replace(end.runs[shas[0]], state="lost")
    assert broken(replace(end, runs={**end.runs, shas[0]: red}), commits) == [one_run]
    found = "the commit that broke production was found"
    assert broken(production(ever_banned=frozenset()), commits) == [found]
    assert broken(production(ever_banned=end.production.ever_banned | {shas[0]}), commits) == [found]
    assert broken(production(live=shas[0]), commits) == ["both lanes ended at the newest commit"]
    batch = "every commit reached production in exactly one batch"
    assert broken(production(rollouts=end.production.rollouts[:2]), commits) == [batch]
    twice = (*end.production.rollouts, rollout(4, "good", shas[-1:]))
    assert broken(production(rollouts=twice), commits) == [batch]
    failed = Counted(served=9, failed=1, version=shas[-1], failures=[(START, "ReadError")])
    assert broken(end, commits, failed) == ["no visitor's request failed"]
    assert [
        one.sentence for one in promises(end, commits, Counted(version=shas[-1]), ("I5 lane",)) if not one.kept
    ] == ["the farm's invariants hold"]


def test_delays_count_from_the_push_and_from_green() -> None:
    commits = pushed()
    end = good_end(commits)
    assert answers(end).longest == timedelta(seconds=2)
    live = green_to_live(end, end.production)
    assert (live.middle, live.count) == (timedelta(seconds=28), 5)


@pytest.mark.parametrize(
    ("lane", "word"),
    [
        (LaneSeen("production", None, ()), ""),
        (LaneSeen("production", None, (rollout(3, "running", ["a", "b"]),)), "rolling 3"),
        (LaneSeen("production", None, (rollout(3, "restoring", ["a"]),)), "going back 3"),
        (LaneSeen("production", None, (rollout(3, "sick", ["a"]),)), "taken back"),
        (LaneSeen("production", None, (rollout(3, "sick", ["a"]),), banned={"a": ""}), "banned"),
        (LaneSeen("production", "b", (rollout(3, "good", ["a", "b"]),)), "batch 3"),
        (LaneSeen("production", "a", (rollout(3, "good", ["a"]),)), "live in 3"),
    ],
)
def test_a_commit_has_one_word_in_a_lane(lane: LaneSeen, word: str) -> None:
    assert lane.word("a") == word


def test_what_happened_is_told_once() -> None:
    commits = pushed()
    end, titles = good_end(commits), {one.sha: one.change.title for one in commits}
    lines = list(narrator.changes(nothing(), end, titles))
    assert any("takes 4 commits at once" in line for line in lines)
    assert any("was taken back; one of its 4 commits did it" in line for line in lines)
    assert list(narrator.changes(end, end, titles)) == []


def test_a_ban_is_told_with_its_evidence() -> None:
    before = nothing()
    lane: Mapping[str, LaneSeen] = {
        **before.lanes,
        "production": replace(before.production, banned={"a" * 40: "sick in rollout 3: http /ready = 200"}),
    }
    lines = list(narrator.changes(before, replace(before, lanes=lane), {"a" * 40: "Take card payments"}))
    assert "found it: aaaaaaaaaa 'Take card payments' is banned" in lines[0]
    assert "http /ready" in lines[1]


# --- the forge -------------------------------------------------------------------------------------------------------


@pytest.mark.needs("git")
def test_the_forge_makes_real_commits_and_a_revert_that_names_its_commit(tmp_path: Path) -> None:
    forge = Forge(tmp_path, "shop", SystemClock())
    for change in story(FEWEST, files.repository_files(PLACE)):
        forge.push([change])
    text = subprocess.run(
        ["git", "-C", str(forge.bare), "log", "--format=%H %an%n%B", "main"], capture_output=True, text=True, check=True
    ).stdout
    culprit = next(one.sha for one in forge.pushed if one.change.part is Part.BREAKS_PRODUCTION)
    assert f"This reverts commit {culprit}" in text
    assert all(one.sha in text for one in forge.pushed)
    forge.close()


# --- the whole -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.needs("redis", "git", "haproxy")
@pytest.mark.parametrize("engine", ["process", pytest.param("docker", marks=pytest.mark.needs("docker"))])
def test_the_demo_keeps_its_promises(engine: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "farmgate.cli", "demo", "--exit", "--json", "--commits", "8"]
    done = subprocess.run(
        [*line, "--engine", engine, "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["kept"]
    assert told["engine"] == engine
    assert told["commits"] == 8
    assert told["requests"]["failed"] == 0
