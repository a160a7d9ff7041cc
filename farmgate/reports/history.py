"""What the results of a test along a branch mean. Pure.

Rules:
1. A commit's result is that of its newest attempt in which the test ran; a commit in which it did not run says nothing.
2. A test is red since the oldest commit of the unbroken stretch of failures that ends at the commit looked at.
3. Who broke it is that commit, or one of those between the last green commit and it that were never tested.
4. A quarantine is named by class and name, and ends on its day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BAD: Final = ("failed", "error")


@dataclass(frozen=True, slots=True)
class Point:
    """How a test ended at a commit. `place`: grows along the branch."""

    sha: str
    place: int
    run_id: int
    job_id: int
    report_id: int
    outcome: str
    seconds: float
    flaky: bool = False

    @property
    def is_bad(self) -> bool:
        return self.outcome in BAD


@dataclass(frozen=True, slots=True)
class Red:
    """Since when a test fails. `since` None of `green`: no green result is known before it."""

    since: Point
    commits: int  # that were red, this one included
    green: Point | None
    untested: int  # commits between the last green one and the first red one, where the places tell


def red_since(points: Iterable[Point]) -> Red | None:
    """Rules 2 and 3. `points`: from the commit looked at backwards, as far as needed; None: it is not red there."""
    first: Point | None = None
    count = 0
    for point in points:
        if point.outcome == "skipped":
            continue
        if not point.is_bad:
            return None if first is None else Red(first, count, point, max(0, first.place - point.place - 1))
        first, count = point, count + 1
    return None if first is None else Red(first, count, None, 0)
