"""What each part of an attempt took, in seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from farmgate.clock import stopwatch


@dataclass(slots=True)
class Timings:
    """Seconds by phase."""

    begun: float = field(default_factory=stopwatch)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        since = stopwatch()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + stopwatch() - since, 4)

    def mark(self, name: str) -> None:
        """A moment, counted from the beginning."""
        self.seconds.setdefault(name, round(stopwatch() - self.begun, 4))
