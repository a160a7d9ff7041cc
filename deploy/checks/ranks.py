"""The Mann-Whitney U test (H. B. Mann and D. R. Whitney, 1947), one-sided. Pure.

It asks whether values of one group tend to be higher than those of another, from their ranks alone: it needs no bell
curve, and one wild outlier counts as one value. Its p is the chance to see ranks as one-sided as these, or more so, if
both groups came from the same distribution.

Rules:
1. Small groups without ties: exact, by counting how many of all orders have a U at least as high.
2. Else: the normal approximation with the correction for ties and for continuity, good from about eight values a side.
3. Values that are all the same tell nothing: p is 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_EXACT: Final = 400
"""Up to so many pairs all orders are counted."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """`u`: in how many pairs the first group's value is higher (ties count half); `superiority`: their share."""

    u: float
    p: float
    superiority: float
    exact: bool


def higher(first: Sequence[float], second: Sequence[float]) -> Ranked:
    """Do values of `first` tend to be higher than those of `second`? Both must hold something finite."""
    n, m = len(first), len(second)
    ties = Counter((*first, *second))
    ranks: dict[float, float] = {}
    below = 0
    for value in sorted(ties):
        ranks[value] = below + (ties[value] + 1) / 2
        below += ties[value]
    u = sum(ranks[value] for value in first) - n * (n + 1) / 2
    is_tied = any(count > 1 for count in ties.values())
    exact = not is_tied and n * m <= _EXACT
    p = _counted(n, m, round(u)) if exact else _normal(n, m, u, ties)
    return Ranked(u, p, u / (n * m), exact)


def _counted(n: int, m: int, u: int) -> float:
    """The share of all orders of n and m values whose U is at least `u`.

    How many orders have a certain U is the coefficient of its power in a Gaussian binomial: the product over i of
    (1 - q^(m+i)) / (1 - q^i).
    """
    top = n * m
    ways = [0] * (top + 1)
    ways[0] = 1
    for i in range(1, n + 1):
        for power in range(top, m + i - 1, -1):
            ways[power] -= ways[power - m - i]
        for power in range(i, top + 1):
            ways[power] += ways[power - i]
    return sum(ways[u:]) / math.comb(n + m, n)


def _normal(n: int, m: int, u: float, ties: Counter[float]) -> float:
    total = n + m
    tied = sum(count**3 - count for count in ties.values()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    if variance <= 0:
        return 1.0
    z = (u - n * m / 2 - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2
