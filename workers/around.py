"""What happens around a job's steps, in order. Each part stands in a module of its own; this page is their order.

Rules:
1. Before the steps, in the workspace that is checked out. What fails here is told as `verdict.of_error` says.
2. After the steps, however they ended, unless the attempt was stopped; a part that fails makes a green job what its
   error means, and leaves any other verdict as it was.
3. Each part has its own phase in the timings, and says in the job's log what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farmgate.messages import Claimed, Result
from farmgate.node_folder import Key
from farmgate.pipeline import JobSpec
from workers import caches, reports, shards
from workers.artifacts import Workspace
from workers.bench import Bench
from workers.caches import Wanted
from workers.engines.engine import Places
from workers.stop import Stop
from workers.timings import Timings
from workers.upload import upload


@dataclass(frozen=True, slots=True)
class Around:
    """An attempt, as the parts around its steps see it."""

    bench: Bench
    claimed: Claimed
    spec: JobSpec
    key: Key
    folder: Path  # the attempt's own: steps, workspace, home, tmp
    places: Places  # the same as the job sees them
    stop: Stop
    timings: Timings
    say: Callable[[str], None]  # a line for the job's log
    caches: list[Wanted] = field(default_factory=list)  # found before the steps, for after them


def before(around: Around) -> None:
    """Make ready what the steps need. Raises FarmgateError, OSError."""
    caches.restore(around)
    shards.prepare(around)


def after(around: Around, workspace: Workspace, result: Result) -> Result:
    """Keep what the steps left; gives the job's result."""
    reports.read(around, workspace, result)
    if result.outcome == "passed" and around.spec.artifacts and around.stop.ending is None:
        patterns = [pattern for artifact in around.spec.artifacts for pattern in artifact.paths]
        with around.timings.phase("artifacts"):
            upload(around.bench.client, around.claimed, workspace, patterns, around.stop)
    caches.save(around, result)
    return result
