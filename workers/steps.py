"""What became of each step, from the markers of the script.

Rules:
1. Steps run in order, one at a time: a marker that does not fit is a forgery and changes nothing.
2. A step that began and has no end when the script ended failed, with the script's exit code.
3. What never began is skipped.
4. Times are the container's own where it tells them with fractions, and the arrival here otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from farmgate.messages import StepReport
from farmgate.pipeline import StepSpec
from workers.markers import Begin, End


@dataclass(slots=True)
class Steps:
    """Follows the steps; each call gives the reports to send."""

    specs: Sequence[StepSpec]
    running: StepReport | None = None
    failed: StepReport | None = None
    done: int = 0
    reports: list[StepReport] = field(default_factory=list)

    def began(self, item: Begin, now: datetime) -> list[StepReport]:
        if self.running is not None or self.failed is not None or item.number != self.done + 1:
            return []
        if item.number > len(self.specs):
            return []
        name = self.specs[item.number - 1].name
        self.running = StepReport(
            number=item.number, name=name, state="running", started_at=_time(item.at, now), log_offset=item.offset
        )
        return [self.running]

    def ended(self, item: End, now: datetime) -> list[StepReport]:
        if self.running is None or item.number != self.running.number:
            return []
        return [self._finish(item.exit_code, _time(item.at, now))]

    def over(self, exit_code: int, now: datetime) -> list[StepReport]:
        """The script ended: what runs has failed, what has not begun is skipped."""
        reports = [self._finish(exit_code or 1, now)] if self.running is not None else []
        skipped = range(self.done + 1, len(self.specs) + 1)
        return reports + [StepReport(number=n, name=self.specs[n - 1].name, state="skipped") for n in skipped]

    @property
    def all_passed(self) -> bool:
        return self.failed is None and self.done == len(self.specs)

    def _finish(self, exit_code: int, at: datetime) -> StepReport:
        assert self.running is not None
        report = self.running.model_copy(
            update={
                "state": "failed" if exit_code else "passed",
                "exit_code": exit_code,
                "finished_at": max(at, self.running.started_at or at),
            }
        )
        self.done, self.running = report.number, None
        if exit_code:
            self.failed = report
        return report


def _time(at: float | None, now: datetime) -> datetime:
    if at is None or abs(at - now.timestamp()) > 3600:  # a forged or a frozen clock
        return now
    return datetime.fromtimestamp(at, UTC)
