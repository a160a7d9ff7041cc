"""What is wrong with a file is told at its place, with what to do."""

from __future__ import annotations

import pytest

from tests.pipeline.files import one, said


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("jobs:\n", ["1:6: jobs: must be a mapping of names to values, but is nothing"]),
        ("image: x\n", ["1:1: needs 'jobs' with at least one job (or 'use'"]),
        ("jobs: {}\n", ["1:7: jobs: is too short: at least 1 must stand here"]),
        ("jobs:\n  a: make\n", ["2:6: jobs.a: must be a mapping of keys to values, but is 'make'"]),
        ("jobs:\n  a: {}\n", ["2:6: jobs.a: needs 'steps' (or 'builds', or 'approve')"]),
        ("job: {}\njobs: {a: {steps: [x]}}", ["1:1: unknown key 'job' (did you mean 'jobs'?)"]),
        ("jobs:\n  a: {steps: []}\n", ["2:14: jobs.a.steps: is too short: at least 1 must stand here"]),
        ("jobs:\n  a: {steps: make}\n", ["2:14: jobs.a.steps: must be a list, but is 'make' (write [make])"]),
        ("jobs:\n  a: {steps: ['  ']}\n", ["2:15: jobs.a.steps[0]: is blank: write a command"]),
        ("jobs:\n  a: {steps: [{run: ' '}]}\n", ["2:21: jobs.a.steps[0].run: is blank: write a command"]),
        ("jobs:\n  a: {steps: [{name: x}]}\n", ["2:15: jobs.a.steps[0] needs 'run'"]),
        (
            "jobs:\n  a: {steps: [x, 3]}\n",
            ["2:18: jobs.a.steps[1]: must be text or a mapping of keys to values, but is the number 3"],
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
        (one("artifacts: [/etc/passwd]"), ["4:17: jobs.a.artifacts[0]: '/etc/passwd' leaves the workspace"]),
        (one("artifacts: [a/../../b]"), ["4:17: jobs.a.artifacts[0]: 'a/../../b' leaves the workspace: '..'"]),
        (one("artifacts: ['C:/x']"), ["4:17: jobs.a.artifacts[0]: 'C:/x' leaves the workspace"]),
        (one("artifacts: ['a\\b']"), ["4:17: jobs.a.artifacts[0]: "]),
        (
            one("artifacts: [~]"),
            ["4:17: jobs.a.artifacts[0]: must be text or a mapping of keys to values, but is nothing"],
        ),
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
        (one("needs: 3"), ["4:12: jobs.a.needs: must be a list, but is the number 3"]),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, answers: list[str]) -> None:
    found = said(text)
    assert len(found) == len(answers), found
    for problem, answer in zip(found, answers, strict=True):
        assert problem.startswith(answer)
