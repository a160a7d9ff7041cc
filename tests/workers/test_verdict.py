"""What an attempt's end means: the whole table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farmgate.errors import (
    EngineError,
    FarmgateError,
    ImageMissing,
    NoSpace,
    Refused,
    RegistryUnreachable,
    RemoteUnreachable,
    ServerFull,
)
from farmgate.messages import Result
from farmgate.pipeline import StepSpec
from workers import verdict
from workers.artifacts import NothingThere, OutsideWorkspace
from workers.engines.engine import Ended
from workers.markers import Begin, End
from workers.segments import Segment
from workers.steps import Steps
from workers.stop import Ending, Stop

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPECS = (StepSpec(name="build", run="make"), StepSpec(name="test", run="make test"))


def steps(*codes: int) -> Steps:
    """Steps that ended with these codes."""
    made = Steps(SPECS)
    for number, code in enumerate(codes, start=1):
        made.began(Begin(number, 0, None), NOW)
        made.ended(End(number, code, None), NOW)
    return made


def of(ended: Ended, made: Steps, *, full: bool = False, said: str = "") -> Result:
    return verdict.of_script(ended, made, Segment(0, "debian:12", 1, 2), 512 * 2**20, full, said)


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        (of(Ended(0), steps(0, 0)), "passed", None),
        (of(Ended(2), steps(0, 2)), "failed", "step 2 (test) failed with exit code 2"),
        (of(Ended(137, True), steps(137)), "failed", "step 1 (build) was killed for memory (limit 512 MiB)"),
        (of(Ended(139), steps(0, 139)), "failed", "step 2 (test) was ended by signal 11"),
        (of(Ended(0), steps(0)), "failed", "the script ended after 1 steps"),
        (of(Ended(1), steps(1), full=True), "lost", "the node's disk is full"),
        (
            of(Ended(127), steps(), said="[FATAL] exec sh failed\n"),
            "error",
            "the image 'debian:12' cannot run the job's script: [FATAL] exec sh failed",
        ),
    ],
)
def test_how_a_script_ended(result: Result, outcome: str, reason: str | None) -> None:
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ImageMissing("no image"), "error"),
        (OutsideWorkspace("out"), "error"),
        (Refused("too large"), "error"),
        (NothingThere("no file"), "failed"),
        (EngineError("away"), "lost"),
        (RemoteUnreachable("away"), "lost"),
        (RegistryUnreachable("away"), "lost"),
        (ServerFull("full"), "lost"),
        (NoSpace("full"), "lost"),
        (OSError("disk"), "lost"),
    ],
)
def test_what_an_error_on_the_way_means(error: FarmgateError | OSError, outcome: str) -> None:
    assert verdict.of_error(error).outcome == outcome


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Ending.TIMEOUT, "failed"),
        (Ending.CANCELLED, "cancelled"),
        (Ending.DRAIN, "lost"),
        (Ending.STALE, None),
        (Ending.LEASE, None),
    ],
)
def test_what_stopped_it_outweighs_how_it_ended(ending: Ending, outcome: str | None) -> None:
    result = verdict.of_stop(ending, timedelta(minutes=10))
    assert (result.outcome if result else None) == outcome


def test_the_reason_of_a_timeout_names_the_limit() -> None:
    result = verdict.of_stop(Ending.TIMEOUT, timedelta(minutes=10))
    assert result is not None
    assert result.reason == "timed out after 10m"


def test_the_first_ending_counts_and_silence_outweighs_it() -> None:
    stop, seen = Stop(), list[Ending | None]()
    for ending in (Ending.CANCELLED, Ending.TIMEOUT, Ending.STALE, Ending.DRAIN):
        stop.set(ending)
        seen.append(stop.ending)
    assert seen == [Ending.CANCELLED, Ending.CANCELLED, Ending.STALE, Ending.STALE]
    assert stop.silenced.is_set()


def test_forged_markers_change_nothing() -> None:
    made = Steps(SPECS)
    assert made.ended(End(1, 0, None), NOW) == []
    assert made.began(Begin(2, 0, None), NOW) == []
    made.began(Begin(1, 0, None), NOW)
    assert made.began(Begin(1, 9, None), NOW) == []
    assert made.ended(End(2, 0, None), NOW) == []
    assert [report.state for report in made.over(7, NOW)] == ["failed", "skipped"]
    assert made.failed is not None
    assert made.failed.exit_code == 7
