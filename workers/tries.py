"""The tests of a job's reports, and those that were tried several times.

Rules:
1. A test that is told several times is one test: failed if any of it failed. Where a later one passed and the job
   passed too, it passed after tries that failed: that is how Gradle, gotestsum and others write their re-runs.
2. Passes go on at once, failures when all is known; of these MOST_FAILURES, with texts of TEXT_BYTES together at most.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from farmgate.reports import BadReport, Case

MOST_CASES: Final = 500_000
MOST_FAILURES: Final = 5_000
TEXT_BYTES: Final = 16 * 2**20


class Cases:
    """Tests as they are read. `give` takes a case and its place among all that were told."""

    def __init__(self, give: Callable[[Case, int], None]) -> None:
        self._give = give
        self._count = 0
        self._sums: Counter[str] = Counter()
        self._failed: dict[tuple[str, str, str, str], tuple[Case, int, bool]] = {}
        self._text = 0

    def take(self, cases: Iterator[Case]) -> None:
        """The cases of one more file. Raises BadReport for more than MOST_CASES in all."""
        for case in cases:
            self._count += 1
            if self._count > MOST_CASES:
                raise BadReport(f"has more tests than the {MOST_CASES} that are kept")
            self._one(case)

    def _one(self, case: Case) -> None:
        known = self._failed.get(case.key) if self._failed else None
        bad = case.outcome in ("failed", "error")
        if known is not None:  # told before, with tries that failed
            before, ordinal, _ = known
            tries = before.failed_tries + case.failed_tries + (before.outcome in ("failed", "error"))
            merged = replace(case if bad else before, failed_tries=tries, seconds=case.seconds)
            self._failed[case.key] = (merged, ordinal, case.outcome == "passed")
        elif bad or case.failed_tries:
            if len(self._failed) >= MOST_FAILURES:
                self._sums.update({case.outcome: 1})
                self._give(replace(case, text="", message=case.message[:200]), self._count)
                return
            self._text += len(case.text)
            kept = case if self._text <= TEXT_BYTES else replace(case, text="")
            # The texts of most failures share nothing; their names are shared with every run.
            self._failed[case.key] = (replace(kept, class_name=sys.intern(kept.class_name)), self._count, not bad)
        else:
            self._sums.update({case.outcome: 1})
            self._sums["milliseconds"] += round(case.seconds * 1000)
            self._give(case, self._count)

    def finish(self, *, passed: bool) -> dict[str, float]:
        """Give what failed; how many there are of each outcome, and their seconds. `passed`: the job did."""
        for case, ordinal, passed_later in self._failed.values():
            told_itself = case.outcome == "passed"
            if passed_later and (passed or told_itself):
                self._sums.update(passed=1, flaky=1)
                self._give(replace(case, outcome="passed", failed_tries=max(1, case.failed_tries)), ordinal)
            else:
                self._sums.update({case.outcome: 1})
                self._give(case, ordinal)
            self._sums["milliseconds"] += round(case.seconds * 1000)
        sums = self._sums
        return {
            "passed": float(sums["passed"]),
            "failed": float(sums["failed"]),
            "errors": float(sums["error"]),
            "skipped": float(sums["skipped"]),
            "flaky": float(sums["flaky"]),
            "seconds": sums["milliseconds"] / 1000,
        }
