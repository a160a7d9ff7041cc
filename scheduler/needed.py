"""What an attempt may fetch: the files that the jobs it needs have left.

Rules:
1. Only jobs of the same run, and only those that the job's specification names (`fetch`): a token opens nothing else.
2. A job that took an earlier result gives that result's files.
3. Saved images and the logs of services are not fetched: they are large, and for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from farmgate import models
from farmgate.errors import NotFound
from farmgate.messages import Needed, NeededArtifact
from farmgate.pipeline import JobSpec
from farmgate.store import attempts
from scheduler.context import Context

_PIECE: Final = 256 * 1024


def listed(context: Context, job: models.Job) -> Needed:
    """All of them, in the order of the pipeline file and by path."""
    return Needed(
        artifacts=tuple(
            NeededArtifact(
                job=name, path=one.path, sha256=one.sha256, size_bytes=one.size_bytes, executable=one.executable
            )
            for name, one in _found(context, job)
        )
    )


def opened(context: Context, job: models.Job, sha256: str) -> tuple[int, Iterator[bytes]]:
    """The size and the bytes of one. Raises NotFound for what the job does not need, or is there no more."""
    for _, one in _found(context, job):
        if one.sha256 == sha256:
            return one.size_bytes, _pieces(context.blobs.open(sha256))
    raise NotFound(f"no job that {job.name} needs has left {sha256[:80]}")


def _found(context: Context, job: models.Job) -> list[tuple[str, models.Artifact]]:
    names = [fetch.job for fetch in JobSpec.model_validate(job.spec).fetch]
    with context.store.reading() as connection:
        return attempts.artifacts_for(connection, job, names)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
