"""What an attempt's end means. Pure.

| what happened                                                        | outcome   |
|----------------------------------------------------------------------|-----------|
| all steps ended with 0 and every artifact was taken                  | passed    |
| a step failed, was killed for memory, or ran over the job's time     | failed    |
| a promised artifact, or the file of further jobs, is not there       | failed    |
| an image that the job builds cannot be built as it is written       | failed    |
| the registry does not take the image that was built                  | error     |
| the image is not there, or cannot run a script                       | error     |
| an artifact leads out, or the server does not take it (too large)    | error     |
| what a needed job left cannot be put where it belongs                | error     |
| a service never becomes healthy                                      | error     |
| the job was cancelled                                                | cancelled |
| engine, registry, mirror, disk, server (also full) or node           | lost      |
| the attempt is stale, or its lease ran out                           | nothing   |

Rules:
1. What stopped the attempt outweighs how its script ended.
2. A step that failed on a full disk is lost infrastructure.
3. A reason names the step, the limit or the place, so that nobody has to look for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, assert_never

from farmgate.errors import FarmgateError, ImageMissing, Refused, RegistryRefused
from farmgate.messages import Result
from farmgate.quantities import show_duration
from workers.artifacts import BadArtifacts, NothingThere, OutsideWorkspace
from workers.engines.engine import BuildFailed, Ended, NotHere, ServiceFailed
from workers.fetch import Blocked
from workers.script import BadShell
from workers.segments import Segment
from workers.steps import Steps
from workers.stop import Ending

Outcome = Literal["passed", "failed", "error", "lost", "cancelled"]


def of_stop(ending: Ending, timeout: timedelta) -> Result | None:
    """What is still said of an attempt that was stopped; None: nothing."""
    match ending:
        case Ending.TIMEOUT:
            return Result(outcome="failed", timed_out=True, reason=f"timed out after {show_duration(timeout)}")
        case Ending.CANCELLED:
            return Result(outcome="cancelled", reason="cancelled")
        case Ending.DRAIN:
            return Result(outcome="lost", reason="the node was shut down and the job took longer than it waits")
        case Ending.STALE | Ending.LEASE | Ending.ORPHANED:
            return None
    assert_never(ending)


def of_script(ended: Ended, steps: Steps, part: Segment, memory_bytes: int, disk_full: bool, said: str) -> Result:
    """How the script of the last part that ran ended. `said` is the end of its output."""
    code = ended.exit_code
    if code == 0 and steps.all_passed:
        return Result(outcome="passed", exit_code=0)
    if disk_full:
        return Result(outcome="lost", exit_code=code, reason="the node's disk is full")
    if steps.failed is None and steps.done < part.first:
        why = said.strip().splitlines()[-1].strip() if said.strip() else f"exit code {code}"
        return Result(
            outcome="error", exit_code=code, reason=f"the image {part.image!r} cannot run the job's script: {why}"
        )
    where = f"step {steps.failed.number} ({steps.failed.name})" if steps.failed else "the job"
    if ended.out_of_memory and code:
        limit = f"{memory_bytes // 2**20} MiB"
        return Result(outcome="failed", exit_code=code, reason=f"{where} was killed for memory (limit {limit})")
    if code > 128:
        return Result(outcome="failed", exit_code=code, reason=f"{where} was ended by signal {code - 128}")
    if code == 0:  # the script's own exit code is the truth, and it did not run all steps
        return Result(outcome="failed", exit_code=code, reason=f"the script ended after {steps.done} steps")
    return Result(outcome="failed", exit_code=code, reason=f"{where} failed with exit code {code}")


def of_error(error: FarmgateError | OSError) -> Result:
    """What an error on the way means."""
    outcome: Outcome
    match error:
        case (
            ImageMissing()
            | OutsideWorkspace()
            | BadArtifacts()
            | BadShell()
            | Blocked()
            | NotHere()
            | ServiceFailed()
            | Refused()
            | RegistryRefused()
        ):
            outcome = "error"
        case NothingThere() | BuildFailed():
            outcome = "failed"
        case _:
            outcome = "lost"
    return Result(outcome=outcome, reason=str(error))
