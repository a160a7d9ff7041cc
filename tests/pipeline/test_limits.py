"""Files that would become enormous are answered at once."""

from __future__ import annotations

from typing import Any

import pytest

from farmgate import documents
from farmgate.clock import stopwatch
from farmgate.pipeline import parse, standing, substitution
from tests.pipeline.files import one, said

QUICK = 20
"""Seconds on a busy machine; 0.1 on an idle one."""


def test_a_matrix_of_a_million_cells_is_counted_and_not_made() -> None:
    axes = ", ".join(f"{axis}: [{', '.join(map(str, range(100)))}]" for axis in "abc")
    began = stopwatch()
    (problem,) = said(one(f"matrix: {{{axes}}}"))
    assert problem.startswith("4:13: 1,000,000 combinations; a matrix has at most 1,000 (")
    assert stopwatch() - began < QUICK


def test_cells_times_shards_are_counted() -> None:
    assert len(parse(one("matrix: {a: [1, 2]}", "parallel: 200")).jobs) == 400
    values = ", ".join(map(str, range(11)))
    assert said(one(f"matrix: {{a: [{values}]}}", "parallel: 200")) == [
        "2:3: with matrices and shards these are more than 2000 jobs"
    ]


def test_a_long_command_in_many_cells_is_refused() -> None:
    text = f"jobs:\n  a:\n    matrix: {{n: [{', '.join(map(str, range(1000)))}]}}\n    steps: ['{'x' * 90_000}']\n"
    began = stopwatch()
    (problem,) = said(text)
    assert problem.startswith("2:3: the jobs become more than 32 MiB of text with matrices, shards and aliases (")
    assert stopwatch() - began < QUICK


def test_an_alias_in_many_jobs_is_refused() -> None:
    text = f"jobs:\n  a:\n    steps: &s ['{'x' * 90_000}']\n"
    text += "".join(f"  j{at}: {{steps: *s}}\n" for at in range(1000))
    (problem,) = said(text)
    assert "more than 32 MiB of text" in problem


def test_a_value_that_is_put_in_again_and_again_is_refused() -> None:
    value, places = "x" * 500, " ".join(["${{ matrix.v }}"] * 200)
    steps = ", ".join(f"'{places}'" for _ in range(199))
    cells = ", ".join(f"'{at}{value[4:]}'" for at in range(500))
    began = stopwatch()
    problems = said(f"jobs:\n  a:\n    matrix: {{v: [{cells}]}}\n    steps: [{steps}]\n")
    assert len(problems) == 1
    assert "becomes too large" in problems[0] or "more than 32 MiB" in problems[0]
    assert stopwatch() - began < 60


@pytest.mark.parametrize("step", ["make test", "make ${{ matrix.n }}"])
def test_a_matrix_costs_what_it_has_cells(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Counted, not timed: how much is read when its values are put in, and how much is checked then."""
    seen = 0

    def size(value: Any) -> int:
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(size(one) for one in below)

    def counted(part: Any, at: int) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            nonlocal seen
            seen += size(given[at])
            return part(*given, **more)

        return call

    monkeypatch.setattr(standing, "fill", counted(substitution.fill, 0))
    monkeypatch.setattr(standing, "check", counted(documents.check, 2))

    def cost(cells: int) -> int:
        nonlocal seen
        seen = 0
        parsed = parse(one(f"matrix: {{n: [{', '.join(map(str, range(cells)))}]}}", f"artifacts: ['{step}']"))
        assert [len(parsed.jobs), list(parsed.jobs.values())[-1].matrix] == [cells, {"n": str(cells - 1)}]
        return seen

    assert cost(1000) < 12 * cost(100)
