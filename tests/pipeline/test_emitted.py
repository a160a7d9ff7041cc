"""A job's file of further jobs for its run: checked as the pipeline file is, within what is left of the limits."""

from __future__ import annotations

import pytest

from farmgate.documents import SIZE_LIMIT
from farmgate.errors import BadDocument
from farmgate.pipeline import JobSpec, parse_emitted

RUN = {"plan": ("plan",), "test": ("test (3.12)", "test (3.13)")}
SOURCE = "plan: build/jobs.yml"


def emitted(text: str | bytes, room: int = 100, level: int = 1) -> dict[str, JobSpec]:
    made = parse_emitted(text, SOURCE, existing_names=RUN, room=room, level=level)
    return {job.name: job for job in made}


def said(text: str | bytes, room: int = 100, level: int = 1) -> list[str]:
    with pytest.raises(BadDocument) as refusal:
        emitted(text, room, level)
    return [str(problem).removeprefix(SOURCE + ":") for problem in refusal.value.problems]


def test_emitted_jobs_need_each_other_and_all_jobs_of_a_family_of_the_run() -> None:
    found = emitted(
        "image: alpine:3\nenvironment: {A: '1'}\n"
        "jobs:\n  slow: {steps: [x], needs: [test, plan]}\n  last: {steps: [y], needs: slow, image: busybox}\n"
    )
    assert found["slow"].needs == ("test (3.12)", "test (3.13)", "plan")
    assert found["last"].needs == ("slow",)
    assert (found["slow"].image, found["last"].image) == ("alpine:3", "busybox")
    assert found["slow"].environment == {"A": "1"}


def test_an_emitted_matrix_is_unfolded() -> None:
    found = emitted(
        "jobs:\n  part: {steps: ['x ${{ matrix.n }}'], matrix: {n: [1, 2]}}\n  end: {steps: [x], needs: part}"
    )
    assert list(found) == ["part (1)", "part (2)", "end"]
    assert found["part (2)"].steps[0].run == "x 2"
    assert found["end"].needs == ("part (1)", "part (2)")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "jobs:\n  test: {steps: [x]}\n  plan: {steps: [x]}\n",
            [
                "2:3: this run has a job 'test' already (take another name)",
                "3:3: this run has a job 'plan' already (take another name)",
            ],
        ),
        (
            "jobs:\n  a: {steps: [x], needs: [plam]}\n",
            ["2:27: job 'a' needs 'plam', which is not a job of this file (did you mean 'plan'?)"],
        ),
        (
            "jobs:\n  a: {steps: [x], needs: b}\n  b: {steps: [x], needs: a}\n",
            ["2:26: these jobs wait for each other: 'a' needs 'b' needs 'a'"],
        ),
        (
            "use: go-service\njobs:\n  a: {steps: [x]}\n",
            ["1:1: unknown key 'use' (known here: environment, image, jobs)"],
        ),
        ("image: x\n", ["1:1: the file needs 'jobs'"]),
        ("jobs: {}\n", ["1:7: jobs: is too short: at least 1 must stand here"]),
        ("", ["1:1: the file is empty"]),
    ],
)
def test_what_is_wrong_with_them_is_told_at_its_place(text: str, problems: list[str]) -> None:
    assert said(text) == problems


def test_they_may_emit_once_more_and_no_further() -> None:
    text = "jobs:\n  a:\n    steps: [x]\n    emits: more.yml\n"
    assert emitted(text)["a"].emits == "more.yml"
    assert said(text, level=2) == ["4:5: jobs that an emitted job emitted cannot emit further ones (at most 2 levels)"]


def test_what_the_run_has_room_for_is_the_limit() -> None:
    three = "jobs:\n" + "".join(f"  j{at}: {{steps: [x]}}\n" for at in range(3))
    assert len(emitted(three, room=3)) == 3
    assert said(three, room=2) == ["4:3: 3 jobs; a run has at most 2000 in all, which leaves 2 here"]
    assert said(three, room=0)[0].startswith("2:3: 3 jobs;")
    assert said("jobs:\n  j: {steps: [x], parallel: 4}\n", room=3) == [
        "2:3: with matrices and shards these are more than 3 jobs"
    ]


@pytest.mark.parametrize("text", ["#" * (SIZE_LIMIT + 1), b"\xff" * (50 * 2**20)], ids=["text", "50 MB"])
def test_a_file_of_any_size_is_answered(text: str | bytes) -> None:
    assert said(text) == ["1:1: the file has more than 2,097,152 bytes"]
