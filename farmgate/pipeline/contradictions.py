"""What cannot stand together in one job, each at its place and with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from farmgate.documents import Location
from farmgate.pipeline.file import JobFile

Found = tuple[Location, str, str | None]
"""A place below the job, what is wrong there, and what to do."""

ASKING: Final = frozenset({"approve", "needs", "when", "allow_failure"})
"""What a job that asks a person may say beside its question."""


def contradictions(job: JobFile) -> Iterator[Found]:
    """All of them."""
    yield from _asks_and_runs(job)
    yield from _same_variable(job)
    yield from _same_name(job)
    if job.when is not None and job.when.result == "failed" and not job.needs:
        yield ("when", "result"), "the result is that of what the job needs, and it needs nothing", "add 'needs'"


def _asks_and_runs(job: JobFile) -> Iterator[Found]:
    if job.approve is None:
        return
    for key in sorted(job.model_fields_set - ASKING - {"steps", "builds"}):
        hint = "put it on the job that needs this one"
        if key == "timeout":
            hint = "how long a person has is approve.within"
        yield (key,), f"{key!r} does nothing on a job that asks a person", hint


def _same_variable(job: JobFile) -> Iterator[Found]:
    for variable in job.secrets:
        if variable in job.environment:
            yield (
                ("secrets", variable),
                f"variable {variable!r} is set in 'environment' too",
                "call one of them otherwise",
            )
    for variable in job.identity:
        for other in ("environment", "secrets"):
            if variable in getattr(job, other):
                message = f"variable {variable!r} is set in {other!r} too"
                yield ("identity", variable), message, "call one of them otherwise"


def _same_name(job: JobFile) -> Iterator[Found]:
    for key, names in (
        ("caches", [cache.key for cache in job.caches]),
        ("builds", [build.name for build in job.builds]),
    ):
        for at, name in enumerate(names):
            if name in names[:at]:
                word = {"caches": "cache", "builds": "image"}[key]
                yield (key, at), f"a second {word} {name!r} in the same job", "call one of them otherwise"
