"""What the end of an attempt, or an answer, means for its job. Pure.

Rules:
1. A failure of the job's own is tried again while its `retry` lasts, if its exit code is one of those named. A job that
   ran out of time has no exit code of its own: it is tried again only where `retry` names none.
2. What is left of it is forgiven where `allow_failure` says so: always, or after the exit codes named.
3. Lost infrastructure, errors and cancellations are no failures: neither rule is for them.
"""

from __future__ import annotations

from datetime import timedelta

from farmgate.messages import Result
from farmgate.pipeline import JobSpec


def pause_before_next_try(spec: JobSpec, failures: int, result: Result) -> timedelta | None:
    """Rule 1: how long to wait before the next try; None: there is none. `failures`: tries that failed before."""
    retry = spec.retry
    if retry is None or result.outcome != "failed" or failures >= retry.times:
        return None
    if retry.on_exit and (result.timed_out or result.exit_code not in retry.on_exit):
        return None
    return retry.pause


def is_allowed(spec: JobSpec, result: Result) -> bool:
    """Rule 2."""
    if result.outcome != "failed":
        return False
    if isinstance(spec.allow_failure, bool):
        return spec.allow_failure
    return not result.timed_out and result.exit_code in spec.allow_failure


def may_be_declined(spec: JobSpec) -> bool:
    """Rule 2, of a question: a 'no' that does not decide."""
    return spec.allow_failure is True
