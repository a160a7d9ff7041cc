"""Artifacts of a run: the list, one file, all of them as an archive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from farmgate.errors import NotFound, TooLarge
from farmgate.models import ArtifactKind
from farmgate.pipeline import globs
from farmgate.store import attempts, jobs, kept, runs
from farmgate.store.kept import Kept
from scheduler import artifact_archive
from scheduler.auth import Person
from scheduler.blob_streams import pieces_of
from scheduler.context import Context
from scheduler.retention import ends_of

MOST_IN_ARCHIVE = 50_000
MOST_LISTED = 2_000

Paths = Annotated[list[str], Query(alias="path", max_length=50, description="only what fits one of these patterns")]
OfJob = Annotated[str | None, Query(max_length=200, description="only of this job")]


class KeptBody(BaseModel):
    """Bytes that a job left. `url`: where they are; none once `removed_at`. `expires_at`: when they may go, unless
    something that is delivered needs them."""

    job: str
    attempt: int
    path: str
    kind: ArtifactKind
    size_bytes: int
    sha256: str
    executable: bool
    image_id: str | None
    created_at: datetime
    expires_at: datetime
    removed_at: datetime | None
    url: str | None


class KeptPage(BaseModel):
    """A part of a run's artifacts; `next` is where the next part begins."""

    artifacts: list[KeptBody]
    next: str | None


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["artifacts"])

    @routes.get("/runs/{run_id}/artifacts")
    def listed(
        person: Person,
        run_id: int,
        job: OfJob = None,
        path: Paths = [],  # noqa: B006  # FastAPI's way
        after: Annotated[str, Query(pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$")] = "0.0",
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 1000,
    ) -> KeptPage:
        """What a run's jobs left, by job: of each job's newest attempt. A pattern is one of the pipeline file's."""
        of, _, number = after.partition(".")
        with context.store.reading() as connection:
            found = kept.of_run(connection, run_id, limit, _job(connection, run_id, job), (int(of), int(number)))
        wanted = [body(context, one) for one in found if globs.fits(path, one.artifact.path, folders=True)]
        following = "{}.{}".format(*found[-1].place) if len(found) == limit else None
        return KeptPage(artifacts=wanted, next=following)

    @routes.get("/runs/{run_id}/artifacts/archive", response_class=StreamingResponse)
    def archive(
        person: Person,
        run_id: int,
        job: OfJob = None,
        path: Paths = [],  # noqa: B006
    ) -> StreamingResponse:
        """All of them as a tar archive: of a job as they lay in its workspace, of a run in a folder for each job."""
        with context.store.reading() as connection:
            found = kept.of_run(connection, run_id, MOST_IN_ARCHIVE + 1, _job(connection, run_id, job))
        if len(found) > MOST_IN_ARCHIVE:
            raise TooLarge(f"run {run_id} has more than {MOST_IN_ARCHIVE} artifacts: ask for one job's, by `job`")
        there = [one for one in found if not one.artifact.removed_at]
        wanted = [one for one in there if globs.fits(path, one.artifact.path, folders=True)]
        if not wanted:
            raise NotFound(f"run {run_id} has no such artifacts" + (", they have ended" if found and not there else ""))
        files = artifact_archive.entries(wanted, one_job=job is not None)
        name = f"run-{run_id}" if job is None else f"run-{run_id}-{job}"
        headers = {
            "Content-Length": str(artifact_archive.length(files)),
            "Content-Disposition": as_attachment(f"{name}.tar"),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        content = artifact_archive.stream(context.blobs, files)
        return StreamingResponse(content, media_type="application/x-tar", headers=headers)

    @routes.get("/artifacts/{sha256}", response_class=StreamingResponse)
    def artifact(person: Person, sha256: str) -> StreamingResponse:
        """An artifact's bytes."""
        with context.store.reading() as connection:
            known = attempts.artifact(connection, sha256)
        if known is None:
            raise NotFound(f"no artifact has the sha256 {sha256[:80]}")
        content = pieces_of(context.blobs, sha256)
        headers = {
            "Content-Length": str(known.size_bytes),
            "Content-Disposition": as_attachment(known.path),
            "Cache-Control": "private, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return StreamingResponse(content, media_type="application/octet-stream", headers=headers)

    return routes


def body(context: Context, one: Kept) -> KeptBody:
    """An artifact of a run."""
    artifact = one.artifact
    return KeptBody(
        job=one.job,
        attempt=one.attempt,
        path=artifact.path,
        kind=artifact.kind,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        executable=artifact.executable,
        image_id=artifact.image_id,
        created_at=artifact.created_at,
        expires_at=ends_of(artifact, context.settings.artifact_keep),
        removed_at=artifact.removed_at,
        url=None if artifact.removed_at else f"/api/artifacts/{artifact.sha256}",
    )


def _job(connection: Connection, run_id: int, name: str | None) -> int | None:
    """The job of that name. Raises NotFound, for the run as well."""
    runs.by_id(connection, run_id)
    if name is None:
        return None
    for job in jobs.of_run(connection, run_id):
        if job.name == name:
            return job.id
    raise NotFound(f"run {run_id} has no job {name[:200]!r}")


def as_attachment(path: str) -> str:
    """The file's last name, in plain ASCII."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.rpartition("/")[2])
    return f'attachment; filename="{name or "artifact"}"'
