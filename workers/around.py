"""What happens around a job's steps, in order. Each part stands in a module of its own; this page is their order.

Rules:
1. Before the steps, in the workspace that is checked out. What fails here is told as `verdict.of_error` says.
2. After the steps, however they ended, unless the attempt was stopped; but what ran out of time is kept as of a job
   that failed. A part that fails makes a green job what its error means, and leaves any other verdict as it was.
3. Each part has its own phase in the timings, and says in the job's log what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farmgate.errors import FarmgateError, StaleAttempt
from farmgate.masks import Masks
from farmgate.messages import EMITTED_LIMIT, Claimed, Result
from farmgate.node_folder import Key
from farmgate.pipeline import JobSpec
from workers import builds, caches, reports, services, shards, verdict
from workers.artifacts import Workspace
from workers.bench import Bench
from workers.caches import Wanted
from workers.engines.engine import Places
from workers.fetch import fetch
from workers.stop import Stop
from workers.timings import Timings
from workers.upload import keep, wanted


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
    masks: Masks  # for whatever else of the job leaves the node as text
    caches: list[Wanted] = field(default_factory=list)  # found before the steps, for after them


def before(around: Around) -> None:
    """Make ready what the steps need. Raises FarmgateError, OSError."""
    if around.spec.fetch:
        with around.timings.phase("fetch"):
            _fetch(around)
    caches.restore(around)
    shards.prepare(around)


def after(around: Around, workspace: Workspace, result: Result) -> Result:
    """Keep what the steps left; gives the job's result."""
    if around.spec.services:
        with around.timings.phase("service_logs"):
            result = services.after(around, result)
    reports.read(around, workspace, result)
    result = _or_error(around, result, lambda: _emitted(around, workspace, result))
    if wanted(around.spec.artifacts, result.outcome):
        with around.timings.phase("artifacts"):
            result = _or_error(around, result, lambda: _keep(around, workspace, result))
    caches.save(around, result)
    return result


def build(around: Around, workspace: Workspace, result: Result) -> Result:
    """Build the job's images once its steps have passed, within its time; gives the job's result."""
    if result.outcome != "passed" or not around.spec.builds:
        return result
    return _or_error(around, result, lambda: builds.build_all(around, workspace, result))


def _or_error(around: Around, result: Result, part: Callable[[], Result]) -> Result:
    """Rule 2: what a part gives, or what its error means for a green job."""
    try:
        return part()
    except StaleAttempt:
        raise
    except (FarmgateError, OSError) as error:
        if result.outcome == "passed":
            return verdict.of_error(error).model_copy(update={"image_digest": result.image_digest})
        around.say(f"farmgate: {error}")
        return result


def _fetch(around: Around) -> None:
    client, claimed, fetched = around.bench.client, around.claimed, around.spec.fetch
    taken = fetch(client, claimed, fetched, around.folder / "workspace", around.stop)
    size = sum(artifact.size_bytes for artifact in taken)
    names = ", ".join(dict.fromkeys(one.job for one in fetched))
    around.say(f"farmgate: {len(taken)} files, {size / 2**20:.1f} MiB, of {names}")


def _emitted(around: Around, workspace: Workspace, result: Result) -> Result:
    if result.outcome != "passed" or around.spec.emits is None:
        return result
    return result.model_copy(update={"emitted": workspace.read_text(around.spec.emits, EMITTED_LIMIT)})


def _keep(around: Around, workspace: Workspace, result: Result) -> Result:
    client, claimed, spec = around.bench.client, around.claimed, around.spec
    keep(client, claimed, workspace, spec.artifacts, result.outcome, around.stop, around.say)
    return result
