"""Every key of a job: its default, its short and its long form, and every usual way to get it wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from farmgate.pipeline import parse
from farmgate.pipeline.file import JobFile
from farmgate.pipeline.models import (
    ApproveSpec,
    ArtifactSpec,
    BuildSpec,
    CacheSpec,
    ConcurrencySpec,
    FetchSpec,
    HealthSpec,
    ReportsSpec,
    RetrySpec,
    ServiceSpec,
    WhenSpec,
)
from tests.pipeline.files import job, one, said

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("image: a/b:1@sha256:00", "image", "a/b:1@sha256:00"),
        ("timeout: 1h30m", "timeout", 5400 * SECOND),
        (
            "environment: {A: 010, B: on, C: 1.10, D: true}",
            "environment",
            {"A": "010", "B": "on", "C": "1.10", "D": "true"},
        ),
        ("artifacts: out", "artifacts", (ArtifactSpec(paths=("out",)),)),
        ("artifacts: [a, {paths: b}]", "artifacts", (ArtifactSpec(paths=("a",)), ArtifactSpec(paths=("b",)))),
        (
            "artifacts: {paths: [a, b], keep: 2d, optional: true, when: always}",
            "artifacts",
            (ArtifactSpec(paths=("a", "b"), keep=timedelta(days=2), optional=True, when="always"),),
        ),
        ("memory: 2g", "memory_bytes", 2**31),
        ("cpus: 1.5", "cpus", 1.5),
        ("pool: big", "pool", "big"),
        ("labels: {gpu: 2, fast: true}", "labels", {"gpu": "2", "fast": "true"}),
        ("priority: -100", "priority", -100),
        ("retry: 3", "retry", RetrySpec(times=3)),
        ("retry: {}", "retry", RetrySpec(times=1)),
        ("retry: {times: 2, on_exit: 7, pause: 5s}", "retry", RetrySpec(times=2, on_exit=(7,), pause=5 * SECOND)),
        ("allow_failure: true", "allow_failure", True),
        ("allow_failure: {on_exit: [3, 4]}", "allow_failure", (3, 4)),
        ("when: {branch: main}", "when", WhenSpec(branch=("main",))),
        (
            "when: {tag: ['v*'], event: tag, paths: [a, '!b'], result: passed}",
            "when",
            WhenSpec(tag=("v*",), event=("tag",), paths=("a", "!b")),
        ),
        ("concurrency: rig", "concurrency", ConcurrencySpec(group="rig")),
        (
            "concurrency: {group: rig, limit: 3, when_full: cancel_older, scope: ref}",
            "concurrency",
            ConcurrencySpec(group="rig", limit=3, when_full="cancel_older", scope="ref"),
        ),
        ("services: {db: redis:7}", "services", (ServiceSpec(name="db", image="redis:7"),)),
        (
            "services: {db: {image: x, health: 80, command: [a, 1], memory: 64m, cpus: 1, environment: {A: 1}}}",
            "services",
            (
                ServiceSpec(
                    name="db",
                    image="x",
                    health=HealthSpec(port=80),
                    command=("a", "1"),
                    memory_bytes=2**26,
                    cpus=1,
                    environment={"A": "1"},
                ),
            ),
        ),
        (
            "services: {db: {image: x, health: {command: ok, interval: 2s, timeout: 3s}, entrypoint: [y]}}",
            "services",
            (
                ServiceSpec(
                    name="db",
                    image="x",
                    entrypoint=("y",),
                    health=HealthSpec(command="ok", interval=2 * SECOND, timeout=3 * SECOND),
                ),
            ),
        ),
        ("caches: [{key: k, paths: ~/.npm}]", "caches", (CacheSpec(key="k", paths=("~/.npm",)),)),
        (
            "caches: [{key: k, files: a.lock, paths: [x, y]}]",
            "caches",
            (CacheSpec(key="k", files=("a.lock",), fallback=("k",), paths=("x", "y")),),
        ),
        (
            "caches: [{key: k-1, fallback: k-, paths: x}]",
            "caches",
            (CacheSpec(key="k-1", fallback=("k-",), paths=("x",)),),
        ),
        (
            "caches: [{key: k, files: a, fallback: [], paths: x}]",
            "caches",
            (CacheSpec(key="k", files=("a",), fallback=(), paths=("x",)),),
        ),
        ("reports: {junit: a.xml, lcov: [b, c]}", "reports", ReportsSpec(junit=("a.xml",), lcov=("b", "c"))),
        (
            "reports: {cobertura: a, sarif: b, cyclonedx: c}",
            "reports",
            ReportsSpec(cobertura=("a",), sarif=("b",), cyclonedx=("c",)),
        ),
        ("builds: [shop]", "builds", (BuildSpec(name="shop"),)),
        (
            "builds: [{name: a, dockerfile: x/D, context: x, target: t, arguments: {V: 1}}]",
            "builds",
            (BuildSpec(name="a", dockerfile="x/D", context="x", target="t", arguments={"V": "1"}),),
        ),
        ("secrets: TOKEN", "secrets", {"TOKEN": "TOKEN"}),
        ("secrets: [A, B]", "secrets", {"A": "A", "B": "B"}),
        ("secrets: {VAR: NAME}", "secrets", {"VAR": "NAME"}),
        ("identity: {T: aud}", "identity", {"T": "aud"}),
        ("identity: {T: {audience: aud}}", "identity", {"T": "aud"}),
        ("inputs: [src, '!docs']", "inputs", ("src", "!docs")),
        ("inputs: src", "inputs", ("src",)),
        ("reuse: false", "reuse", False),
        ("deploys_to: production", "deploys_to", "production"),
        ("deploys_to: production", "reuse", False),
        ("emits: out/jobs.yml", "emits", "out/jobs.yml"),
    ],
)
def test_a_key_in_its_short_and_long_form(line: str, field: str, value: Any) -> None:
    assert getattr(job(line), field) == value


def test_a_job_that_says_nothing_has_every_default() -> None:
    plain = job()
    assert (plain.image, plain.pool, plain.priority, plain.timeout) == (None, "default", 0, timedelta(minutes=30))
    assert (plain.retry, plain.allow_failure, plain.when) == (None, False, WhenSpec())
    assert (plain.concurrency, plain.services, plain.caches, plain.builds) == (None, (), (), ())
    assert (plain.secrets, plain.identity, plain.inputs, plain.reuse) == ({}, {}, (), True)
    assert (plain.deploys_to, plain.emits, plain.approve, plain.reports) == (None, None, None, ReportsSpec())


def test_steps_say_where_and_how() -> None:
    text = "jobs: {a: {steps: [{run: x, name: n, working_directory: d/e, shell: bash, environment: {A: 1}, image: i}]}}"
    (step,) = parse(text).jobs["a"].steps
    assert (step.run, step.name, step.working_directory, step.shell) == ("x", "n", "d/e", "bash")
    assert (step.environment, step.image) == ({"A": "1"}, "i")


def test_needs_say_which_artifacts_come_along() -> None:
    text = (
        "jobs:\n  a: {steps: [x], artifacts: out}\n"
        "  b: {steps: [x], needs: [a]}\n  c: {steps: [x], needs: {job: a, artifacts: false}}\n"
        "  d: {steps: [x], needs: [{job: a, artifacts: out/*.txt}]}\n"
    )
    found = parse(text).jobs
    assert found["b"].fetch == (FetchSpec(job="a"),)
    assert found["c"].fetch == ()
    assert found["d"].fetch == (FetchSpec(job="a", patterns=("out/*.txt",)),)


def test_an_approval_in_its_short_and_long_form() -> None:
    found = parse("jobs: {a: {approve: Go?}, b: {approve: {text: Go?, by: ada, within: 1h}, needs: a}}").jobs
    assert found["a"].approve == ApproveSpec(text="Go?")
    assert found["b"].approve == ApproveSpec(text="Go?", by=("ada",), within=timedelta(hours=1))


def test_shards_and_cells() -> None:
    found = parse(one("matrix: {v: [1, 2], include: [{v: 2, w: x}, {v: 3}]}", "parallel: 2")).jobs
    assert list(found) == ["a (1) 1/2", "a (1) 2/2", "a (2, x) 1/2", "a (2, x) 2/2", "a (3) 1/2", "a (3) 2/2"]
    last = found["a (2, x) 2/2"]
    assert last.environment == {"MATRIX_V": "2", "MATRIX_W": "x", "FARMGATE_SHARD": "2", "FARMGATE_SHARDS": "2"}
    assert last.family == "a"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("when: main", "4:11: jobs.a.when: must be a mapping of keys to values, but is 'main'"),
        ("when: {branch: []}", "4:20: jobs.a.when.branch: is too short: at least 1 must stand here"),
        ("when: {brnach: main}", "4:12: unknown key 'brnach' in jobs.a.when (did you mean 'branch'?)"),
        ("when: {event: pusch}", "4:19: jobs.a.when.event: 'pusch' is not one of 'push', 'tag', 'pull' or 'person'"),
        ("when: {branch: ['!']}", "4:21: jobs.a.when.branch[0]: '!' is not a pattern"),
        ("when: {result: failed}", "4:12: jobs.a: the result is that of what the job needs, and it needs nothing (add"),
        ("retry: often", "4:12: jobs.a.retry: must be a whole number or a mapping of keys to values, but is 'often'"),
        ("retry: true", "4:12: jobs.a.retry: must be a whole number or a mapping of keys to values, but is true"),
        ("retry: 11", "4:12: jobs.a.retry: must be less than or equal to 10"),
        ("retry: {times: 1, on_exit: 256}", "4:32: jobs.a.retry.on_exit: must be less than or equal to 255"),
        ("allow_failure: sometimes", "4:20: jobs.a.allow_failure: must be true or false, but is 'sometimes'"),
        ("needs: [{job: b, artifacts: /x}]", "4:33: jobs.a.needs[0].artifacts: '/x' leaves the workspace"),
        ("allow_failure: {on_exit: 0}", "4:30: jobs.a.allow_failure.on_exit: must be greater than or equal to 1"),
        ("matrix: {v: 3}", "4:17: jobs.a.matrix.v: must be a list, but is the number 3"),
        ("matrix: {v: []}", "4:17: jobs.a.matrix.v: is too short: at least 1 must stand here"),
        ("matrix: {}", "4:13: a matrix needs at least one axis"),
        ("matrix: {v: [1], exclude: [{w: 1}]}", "4:33: 'exclude' names 'w', which is not an axis of this matrix"),
        ("matrix: {v: [1], exclude: [{v: 1}]}", "4:13: no combination is left (exclude less)"),
        ("matrix: {v: [1], at_once: 0}", "4:31: jobs.a.matrix.at_once: must be greater than or equal to 1"),
        ("environment: {A: '${{ matrix.v }}'}", "4:22: ${{ matrix.v }}: there is no matrix here"),
        ("environment: {A: '${{ branch }}'}", "4:22: ${{ branch }} is not known: only ${{ matrix.NAME }} and,"),
        ("parallel: 0", "4:15: jobs.a.parallel: must be greater than or equal to 1"),
        ("parallel: 201", "4:15: jobs.a.parallel: must be less than or equal to 200"),
        ("concurrency: {limit: 2}", "4:5: jobs.a.concurrency needs 'group'"),
        ("concurrency: {group: x, when_full: stop}", "4:40: jobs.a.concurrency.when_full: 'stop' is not one of"),
        ("services: [redis]", "4:15: jobs.a.services: must be a mapping of names to values, but is a list"),
        ("services: {db: {}}", "4:16: jobs.a.services.db needs 'image'"),
        ("services: {Db: x}", "4:16: jobs.a.services.Db: 'Db' is not a name"),
        ("services: {db: x, db: y}", "4:23: key 'db' stands twice (first at line 4)"),
        ("services: {db: {image: x, health: {}}}", "4:39: jobs.a.services.db.health: needs 'command' or 'port'"),
        ("services: {db: {image: x, health: {http: /}}}", "4:39: jobs.a.services.db.health: needs 'command' or 'port'"),
        ("services: {db: {image: x, health: 0}}", "4:39: jobs.a.services.db.health: must be greater than or equal"),
        ("services: {db: {image: x, command: run}}", "4:40: jobs.a.services.db.command: must be a list, but is 'run'"),
        ("caches: {key: k, paths: x}", "4:13: jobs.a.caches: must be a list, but is a mapping"),
        ("caches: [{key: k}]", "4:14: jobs.a.caches[0] needs 'paths'"),
        ("caches: [{key: k, paths: []}]", "4:30: jobs.a.caches[0].paths: is too short"),
        ("caches: [{key: k, paths: '~'}]", "4:30: jobs.a.caches[0].paths: '~' is the whole home"),
        ("caches: [{key: k, paths: /etc}]", "4:30: jobs.a.caches[0].paths: '/etc' leaves the workspace"),
        ("caches: [{key: k, paths: ~/../x}]", "4:30: jobs.a.caches[0].paths: "),
        ("caches: [{key: k, paths: x}, {key: k, paths: y}]", "4:34: jobs.a: a second cache 'k' in the same job"),
        ("reports: {junitt: x}", "4:15: unknown key 'junitt' in jobs.a.reports (did you mean 'junit'?)"),
        ("reports: {junit: /x}", "4:22: jobs.a.reports.junit: '/x' leaves the workspace"),
        ("builds: shop", "4:13: jobs.a.builds: must be a list, but is 'shop' (write [shop])"),
        ("builds: [{name: 'a b'}]", "4:21: jobs.a.builds[0].name: 'a b' is not the name of an image"),
        ("builds: [{name: a, context: ../x}]", "4:33: jobs.a.builds[0].context: '../x' leaves the workspace"),
        ("builds: [a, a]", "4:17: jobs.a: a second image 'a' in the same job"),
        ("secrets: {A: }", "4:18: jobs.a.secrets.A: must be text, but is nothing"),
        ("secrets: [A-B]", "4:14: jobs.a.secrets: 'A-B' is not the name of a variable"),
        ("identity: {T: }", "4:19: jobs.a.identity.T: must be text or a mapping of keys to values, but is nothing"),
        ("identity: {FARMGATE_T: x}", "4:16: jobs.a.identity.FARMGATE_T: 'FARMGATE_T' is reserved"),
        ("inputs: ../x", "4:13: jobs.a.inputs: '../x' leaves the workspace: '..' is not allowed"),
        ("reuse: sometimes", "4:12: jobs.a.reuse: must be true or false, but is 'sometimes'"),
        ("deploys_to: The Moon", "4:17: jobs.a.deploys_to: 'The Moon' is not a name"),
        ("emits: /tmp/x", "4:12: jobs.a.emits: '/tmp/x' leaves the workspace"),
        ("labels: [gpu]", "4:13: jobs.a.labels: must be a mapping of names to values, but is a list"),
        ("priority: 101", "4:15: jobs.a.priority: must be less than or equal to 100"),
        ("priority: high", "4:15: jobs.a.priority: must be a whole number, but is 'high'"),
        ("approve: Go?", "3:5: jobs.a: a job that asks a person runs nothing"),
        ("artifacts: {keep: 3d}", "4:5: jobs.a.artifacts needs 'paths'"),
        ("artifacts: {paths: x, when: never}", "4:33: jobs.a.artifacts.when: 'never' is not one of"),
        ("needs: {artifacts: x}", "4:5: jobs.a.needs needs 'job'"),
    ],
)
def test_a_key_in_a_wrong_form(line: str, answer: str) -> None:
    (problem,) = said(one(line))
    place, _, words = answer.partition(": ")
    assert words in problem
    assert problem.split(":")[0] == place.split(":")[0]
    assert problem.startswith(place + ":"), problem


def test_a_variable_stands_in_one_place_only() -> None:
    assert said(one("environment: {A: 1}", "secrets: [A]", "identity: {A: x}")) == [
        "5:14: jobs.a: variable 'A' is set in 'environment' too (call one of them otherwise)",
        "6:16: jobs.a: variable 'A' is set in 'environment' too (call one of them otherwise)",
        "6:16: jobs.a: variable 'A' is set in 'secrets' too (call one of them otherwise)",
    ]


@pytest.mark.parametrize(
    "key",
    sorted(JobFile.model_fields.keys() - {"approve", "needs", "when", "allow_failure", "steps", "builds"}),
)
def test_what_does_nothing_on_an_approval_is_refused_with_where_it_belongs(key: str) -> None:
    written = {
        "timeout": "1h", "environment": "{A: 1}", "artifacts": "x", "memory": "1g", "cpus": "1", "labels": "{a: b}",
        "priority": "1", "retry": "1", "matrix": "{v: [1]}", "parallel": "2", "concurrency": "x",
        "services": "{a: b}", "caches": "[{key: k, paths: x}]", "reports": "{junit: x}", "secrets": "[A]",
        "identity": "{A: b}", "inputs": "x", "reuse": "false",
    }  # fmt: skip
    text = f"jobs:\n  a:\n    approve: Go?\n    {key}: {written.get(key, 'x')}\n"
    (problem,) = said(text)
    assert problem.startswith(f"4:5: jobs.a: {key!r} does nothing on a job that asks a person (")
    assert ("approve.within" in problem) == (key == "timeout")


def test_artifacts_of_a_job_that_keeps_none_cannot_be_taken() -> None:
    text = "jobs:\n  a: {steps: [x]}\n  b: {steps: [x], needs: [{job: a, artifacts: out}]}\n"
    assert said(text) == ["3:27: job 'a' keeps no artifacts that could be taken (add 'artifacts' to 'a')"]


def test_a_cell_that_lacks_a_value_is_told() -> None:
    lines = ("matrix: {v: [1], include: [{w: 2}]}", "image: base:${{ matrix.v }}")
    assert parse(one(*lines)).jobs.keys() == {"a (1, 2)"}
    (problem,) = said(one("matrix: {v: [1], include: [{v: 2, w: 2}, {x: 1, v: 3}]}", "image: base:${{ matrix.w }}"))
    assert problem.startswith("5:12: ${{ matrix.w }}: matrix has no 'w' (known here: v")
