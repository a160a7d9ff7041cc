"""Needs: what comes before what, and that nothing waits for itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from farmgate.clock import stopwatch
from farmgate.pipeline import JOB_LIMIT, graph, order, parse
from tests.pipeline.files import said


def test_a_missing_need_is_told_with_what_was_meant() -> None:
    text = "jobs:\n  build: {steps: [x]}\n  test: {steps: [x], needs: [build, biuld]}\n"
    assert said(text) == ["3:37: job 'test' needs 'biuld', which is not a job of this file (did you mean 'build'?)"]


def test_a_circle_is_named_by_its_path() -> None:
    text = "jobs:\n" + "".join(
        f"  {name}: {{steps: [x], needs: [{need}]}}\n"
        for name, need in [("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")]
    )
    assert said(text) == ["3:27: these jobs wait for each other: 'a' needs 'b' needs 'c' needs 'a'"]


def test_as_many_jobs_as_the_limit_says_are_taken() -> None:
    text = "jobs:\n" + "".join(
        f"  j{i}: {{steps: [x], needs: [{f'j{i - 1}' if i else ''}]}}\n" for i in range(JOB_LIMIT)
    )
    assert order(parse(text)) == tuple(f"j{i}" for i in range(JOB_LIMIT))


def test_ten_thousand_jobs_are_refused_quickly_and_by_the_limit() -> None:
    job = "    image: x\n    steps:\n      - make\n      - {name: b, run: make b}\n    timeout: 10m\n"
    text = "jobs:\n" + "".join(f"  job{i}:\n{job}" for i in range(10_000))
    began = stopwatch()
    assert said(text) == ["12002:3: 10,000 jobs; a pipeline has at most 2000"]
    assert stopwatch() - began < 30  # 0.5 s on an idle machine


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
