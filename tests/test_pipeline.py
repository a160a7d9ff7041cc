"""The pipeline file, as its reference page promises."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farmgate.clock import stopwatch
from farmgate.errors import BadDocument
from farmgate.pipeline import JOB_LIMIT, JobSpec, Pipeline, StepSpec, graph, order, parse
from farmgate.pipeline.schema import schema, schema_text

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "pipeline.md").read_text()
FENCES = re.findall(r"^```(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GOOD = [text for kind, text in FENCES if kind == "yaml"]
REFUSED = [(text, FENCES[index + 1][1]) for index, (kind, text) in enumerate(FENCES) if kind == "yaml-refused"]

WHOLE = """\
image: python:3.12-slim
environment: {A: "1", VERSION: 1.10}
jobs:
  build:
    steps:
      - make build
    artifacts: [dist/*.tar.gz]
  unit:
    image: node:22
    needs: [build]
    steps:
      - "\\n  make deps\\nmake test"
      - name: Lint
        run: make lint
    timeout: 10m
    environment: {A: yes, B: true}
    memory: 512m
    cpus: 0.5
    pool: large
"""


def said(text: str) -> list[str]:
    with pytest.raises(BadDocument) as refusal:
        parse(text)
    return [str(problem).removeprefix(".farmgate.yml:") for problem in refusal.value.problems]


def one(job: str) -> str:
    """A file with one job, which has steps and these further lines."""
    return f"jobs:\n  a:\n    steps: [x]\n    {job}\n"


def test_a_file_becomes_a_pipeline_with_every_default_applied() -> None:
    assert parse(WHOLE) == Pipeline(
        jobs={
            "build": JobSpec(
                name="build",
                image="python:3.12-slim",
                needs=(),
                steps=(StepSpec(name="make build", run="make build"),),
                timeout=timedelta(minutes=30),
                environment={"A": "1", "VERSION": "1.10"},
                artifacts=("dist/*.tar.gz",),
                memory_bytes=None,
                cpus=None,
                pool="default",
            ),
            "unit": JobSpec(
                name="unit",
                image="node:22",
                needs=("build",),
                steps=(
                    StepSpec(name="make deps", run="\n  make deps\nmake test"),
                    StepSpec(name="Lint", run="make lint"),
                ),
                timeout=timedelta(minutes=10),
                environment={"A": "yes", "VERSION": "1.10", "B": "true"},
                artifacts=(),
                memory_bytes=2**29,
                cpus=0.5,
                pool="large",
            ),
        }
    )


def test_a_pipeline_goes_through_json_unchanged() -> None:
    pipeline = parse(WHOLE)
    assert Pipeline.model_validate(pipeline.model_dump(mode="json")) == pipeline
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
    job = pipeline.jobs["unit"]
    assert JobSpec.model_validate(job.model_dump(mode="json")) == job


def test_a_job_without_an_image_leaves_it_to_the_node() -> None:
    assert parse("jobs: {a: {steps: [x]}}").jobs["a"].image is None


@pytest.mark.parametrize("text", GOOD)
def test_the_examples_of_the_page_are_pipelines(text: str) -> None:
    assert parse(text).jobs


@pytest.mark.parametrize(("text", "answer"), REFUSED)
def test_the_problems_of_the_page_are_told_as_it_says(text: str, answer: str) -> None:
    with pytest.raises(BadDocument) as refusal:
        parse(text)
    assert str(refusal.value) + "\n" == answer


def test_the_page_has_examples() -> None:
    assert len(GOOD) >= 3
    assert len(REFUSED) >= 2


def test_the_page_names_every_key() -> None:
    definitions = schema()["$defs"] | {"file": schema()}
    keys = {key for definition in definitions.values() for key in definition.get("properties", {})}
    assert {"image", "steps", "pool", "jobs"} <= keys
    assert {key for key in keys if f"`{key}`" not in PAGE and f"{key}:" not in PAGE} == set()


def test_the_schema_is_not_stale() -> None:
    written = ROOT / "schemas" / "pipeline.schema.json"
    assert written.read_text() == schema_text(), "run: python -m farmgate.pipeline > schemas/pipeline.schema.json"
    command = [sys.executable, "-m", "farmgate.pipeline"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode() == schema_text()


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("jobs:\n", ["1:6: jobs: must be a mapping of names to values, but is nothing"]),
        ("image: x\n", ["1:1: the file needs 'jobs'"]),
        ("jobs: {}\n", ["1:7: jobs: is too short: at least 1 must stand here"]),
        ("jobs:\n  a: make\n", ["2:6: jobs.a: must be a mapping of keys to values, but is 'make'"]),
        ("jobs:\n  a: {}\n", ["2:3: jobs.a needs 'steps'"]),
        ("job: {}\njobs: {a: {steps: [x]}}", ["1:1: unknown key 'job' (did you mean 'jobs'?)"]),
        ("jobs:\n  a: {steps: []}\n", ["2:14: jobs.a.steps: is too short: at least 1 must stand here"]),
        ("jobs:\n  a: {steps: make}\n", ["2:14: jobs.a.steps: must be a list, but is 'make' (write [make])"]),
        ("jobs:\n  a: {steps: ['  ']}\n", ["2:15: jobs.a.steps[0]: is blank: write a command"]),
        ("jobs:\n  a: {steps: [{run: ' '}]}\n", ["2:21: jobs.a.steps[0].run: is blank: write a command"]),
        ("jobs:\n  a: {steps: [{name: x}]}\n", ["2:15: jobs.a.steps[0] needs 'run'"]),
        (
            "jobs:\n  a: {steps: [x, 3]}\n",
            ["2:18: jobs.a.steps[1]: must be a mapping of keys to values, but is the number 3"],
        ),
        ("jobs:\n  Build: {steps: [x]}\n", ["2:3: jobs.Build: 'Build' is not a name: use lower-case letters"]),
        (f"jobs:\n  {'a' * 64}: {{steps: [x]}}\n", [f"2:3: jobs.{'a' * 64}: '{'a' * 64}' is not a name"]),
        (one("timeout: 10"), ["4:14: jobs.a.timeout: 10 has no unit: write 10s, 10m or 10h"]),
        (one("timeout: 25h"), ["4:14: jobs.a.timeout: 1d1h is not more than 0s and at most 24h"]),
        (one("timeout: 0s"), ["4:14: jobs.a.timeout: 0s is not more than 0s"]),
        (one("timeout: soon"), ["4:14: jobs.a.timeout: 'soon' is not a duration"]),
        (one("timeout: [1m]"), ["4:14: jobs.a.timeout: "]),
        (one("memory: 1m"), ["4:13: jobs.a.memory: must be at least 6m"]),
        (one("memory: 9000000g"), ["4:13: jobs.a.memory: is more than any node has"]),
        (one("memory: lots"), ["4:13: jobs.a.memory: 'lots' is not a size"]),
        (one("cpus: 0"), ["4:11: jobs.a.cpus: must be greater than 0"]),
        (one("cpus: .inf"), ["4:11: jobs.a.cpus: "]),
        (one("cpus: many"), ["4:11: jobs.a.cpus: must be a number, but is 'many'"]),
        (one("pool: 'a b'"), ["4:11: jobs.a.pool: 'a b' is not a name"]),
        (one("image: '--privileged'"), ["4:12: jobs.a.image: '--privileged' is not the name of an image"]),
        (one("image: 'a b'"), ["4:12: jobs.a.image: 'a b' is not the name of an image"]),
        (one("artifacts: dist"), ["4:16: jobs.a.artifacts: must be a list, but is 'dist' (write [dist])"]),
        (one("artifacts: [/etc/passwd]"), ["4:17: jobs.a.artifacts[0]: '/etc/passwd' leaves the workspace"]),
        (one("artifacts: [a/../../b]"), ["4:17: jobs.a.artifacts[0]: 'a/../../b' leaves the workspace: '..'"]),
        (one("artifacts: ['C:/x']"), ["4:17: jobs.a.artifacts[0]: 'C:/x' leaves the workspace"]),
        (one("artifacts: ['a\\b']"), ["4:17: jobs.a.artifacts[0]: "]),
        (one("artifacts: [~]"), ["4:17: jobs.a.artifacts[0]: must be text, but is nothing"]),
        (one("artifacts: ['']"), ["4:17: jobs.a.artifacts[0]: is blank"]),
        (one("artifacts: [.git/config]"), ["4:17: jobs.a.artifacts[0]: '.git/config' is git's own folder"]),
        (one("environment: {1A: x}"), ["4:19: jobs.a.environment.1A: '1A' is not the name of a variable"]),
        (one("environment: {A-B: x}"), ["4:19: jobs.a.environment.A-B: 'A-B' is not the name of a variable"]),
        (one("environment: {A: }"), ["4:22: jobs.a.environment.A: must be text, but is nothing"]),
        (one("environment: {A: [x]}"), ["4:22: jobs.a.environment.A: must be text, but is a list"]),
        (one('environment: {A: "a\\0b"}'), ["4:22: jobs.a.environment.A: holds a NUL character"]),
        (one("environment: {FARMGATE_RUN: x}"), ["4:19: jobs.a.environment.FARMGATE_RUN: 'FARMGATE_RUN' is reserved"]),
        (one("environment: [A=1]"), ["4:18: jobs.a.environment: must be a mapping of names to values, but is a list"]),
        (one("needs: [a]"), ["4:13: job 'a' needs itself"]),
        (one("needs: [b]"), ["4:13: job 'a' needs 'b', which is not a job of this file"]),
        (one("needs: b"), ["4:12: jobs.a.needs: must be a list, but is 'b' (write [b])"]),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, answers: list[str]) -> None:
    found = said(text)
    assert len(found) == len(answers), found
    for problem, answer in zip(found, answers, strict=True):
        assert problem.startswith(answer)


@pytest.mark.parametrize("key", ["matrix", "services", "caches", "when", "retry", "secrets", "parallel", "reports"])
def test_a_key_that_does_not_exist_yet_is_refused_with_those_that_do(key: str) -> None:
    (problem,) = said(one(f"{key}: 1"))
    assert problem.startswith(f"4:5: unknown key '{key}' in jobs.a (")
    assert "steps" in problem or "did you mean" in problem


def test_a_missing_need_is_told_with_what_was_meant() -> None:
    text = "jobs:\n  build: {steps: [x]}\n  test: {steps: [x], needs: [build, biuld]}\n"
    assert said(text) == ["3:37: job 'test' needs 'biuld', which is not a job of this file (did you mean 'build'?)"]


def test_a_circle_is_named_by_its_path() -> None:
    text = "jobs:\n" + "".join(
        f"  {name}: {{steps: [x], needs: [{need}]}}\n"
        for name, need in [("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")]
    )
    assert said(text) == ["3:27: these jobs wait for each other: 'a' needs 'b' needs 'c' needs 'a'"]


def test_five_hundred_jobs_are_taken() -> None:
    text = "jobs:\n" + "".join(
        f"  j{i}: {{steps: [x], needs: [{f'j{i - 1}' if i else ''}]}}\n" for i in range(JOB_LIMIT)
    )
    assert order(parse(text)) == tuple(f"j{i}" for i in range(JOB_LIMIT))


def test_ten_thousand_jobs_are_refused_quickly_and_by_the_limit() -> None:
    job = "    image: x\n    steps:\n      - make\n      - {name: b, run: make b}\n    timeout: 10m\n"
    text = "jobs:\n" + "".join(f"  job{i}:\n{job}" for i in range(10_000))
    began = stopwatch()
    assert said(text) == ["3002:3: 10,000 jobs; a pipeline has at most 500"]
    assert stopwatch() - began < 5  # 0.5 s on an idle machine


def test_jobs_are_ordered_after_their_needs_and_else_as_they_stand() -> None:
    text = "jobs:\n" + "".join(
        f"  {name}: {{steps: [x], needs: [{needs}]}}\n"
        for name, needs in [("deploy", "unit, lint"), ("lint", ""), ("unit", "build"), ("build", "")]
    )
    assert order(parse(text)) == ("lint", "build", "unit", "deploy")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_a_graph_either_has_an_order_or_a_true_circle(edges: list[list[int]]) -> None:
    count = len(edges)
    needs = {f"j{i}": tuple(dict.fromkeys(f"j{n % count}" for n in to if n % count != i)) for i, to in enumerate(edges)}
    circle = graph.find_circle(needs)
    if circle is None:
        done: set[str] = set()
        for name in graph.order(needs):
            assert set(needs[name]) <= done
            done.add(name)
        assert done == needs.keys()
    else:
        assert graph.flaws(needs)
        for name, following in zip(circle, (*circle[1:], circle[0]), strict=True):
            assert following in needs[name]
