"""The Mann-Whitney U test: against values that scipy 1.16 computes (mannwhitneyu, alternative='greater')."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.checks.ranks import higher

A = [0.0441, 0.8114, 0.0739, -0.0151, -0.63, 0.0867, 1.4119, 0.7241, 1.3369, 0.5489, 0.6948, 0.4853]
B = [-1.6661, 0.8553, 0.5064, 0.4988, -1.6914, -1.7439, -0.8896, -0.4682, 0.3054, -0.0459, 0.521, -0.6422]
KNOWN = [
    ("a handful", [1.1, 2.2, 3.3, 4.4], [0.5, 1.5, 2.5], 9.0, 0.2),
    ("apart", [5, 6, 7, 8, 9, 10], [1, 2, 3, 4, 4.5, 4.7], 36.0, 0.0010822510822510823),
    ("with ties", [1, 2, 2, 3, 3, 3, 4], [1, 1, 2, 2, 3], 25.5, 0.10158695879254287),
    ("mostly zero", [0.0] * 10 + [0.2, 0.4], [0.0] * 12, 84.0, 0.08311229556417699),
    ("twelve each", A, B, 109.0, 0.016620712710361387),
]


@pytest.mark.parametrize(("first", "second", "u", "p"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_it_says_what_scipy_says(first: Sequence[float], second: Sequence[float], u: float, p: float) -> None:
    found = higher(first, second)
    assert found.u == u
    assert math.isclose(found.p, p, rel_tol=1e-9)


def test_counting_all_orders_by_hand_gives_the_same() -> None:
    values, n = (1.0, 2.0, 3.0, 4.0, 5.0), 2
    every = {tuple(sorted(order[:n])): order[n:] for order in permutations(values)}
    for first, second in every.items():
        at_least = sum(higher(a, b).u >= higher(first, second).u for a, b in every.items())
        assert math.isclose(higher(first, second).p, at_least / len(every))


def test_values_that_are_all_the_same_tell_nothing() -> None:
    assert higher([3.0] * 20, [3.0] * 20).p == 1.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_p_is_a_chance_and_one_side_is_the_other_turned_round(first: list[float], second: list[float]) -> None:
    one, other = higher(first, second), higher(second, first)
    assert 0.0 <= one.p <= 1.0
    assert one.u + other.u == len(first) * len(second)
    assert one.superiority == pytest.approx(1 - other.superiority)
