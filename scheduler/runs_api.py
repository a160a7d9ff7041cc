"""Runs: look, cancel, run again; commits and artifacts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from farmgate import states
from farmgate.errors import Conflict, NotFound
from farmgate.models import Trigger
from farmgate.store import attempts, events, jobs, repositories, runs
from farmgate.store.intakes import storable
from scheduler import outlook, views
from scheduler.auth import Person, Writer
from scheduler.blob_streams import pieces_of
from scheduler.bodies import CommitBody, RunDetail, RunSummary
from scheduler.context import Context
from scheduler.pipelines import run_of
from scheduler.snapshot import rules_of
from scheduler.templates import FarmTemplates


class Cancel(BaseModel):
    """Why."""

    reason: str = Field(min_length=1, max_length=1000)


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["runs"])

    @routes.get("/runs")
    def find(
        person: Person,
        repository: str | None = None,
        ref: str | None = None,
        sha: Annotated[str | None, Query(pattern="^[0-9a-f]{1,64}$")] = None,
        state: states.Run | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before_id: int | None = None,
    ) -> list[RunSummary]:
        """Runs, newest first. `ref` is a full ref or a branch's name, `sha` the beginning of a hash."""
        with context.store.reading() as connection:
            of = None if repository is None else repositories.by_name(connection, repository).id
            full = ref if ref is None or ref.startswith("refs/") else f"refs/heads/{ref}"
            found = runs.find(
                connection, repository_id=of, ref=full, sha=sha, state=state, before_id=before_id, limit=limit
            )
            listed = views.summaries(connection, found)
            waiting = [run.id for run in found if run.state is states.Run.PENDING]
            if waiting:
                told = outlook.of_runs(connection, rules_of(context.settings), waiting, context.clock.now())
                listed = [run.model_copy(update={"estimate": told.get(run.id)}) for run in listed]
            return listed

    @routes.get("/runs/{run_id}")
    def one(person: Person, run_id: int) -> RunDetail:
        """A run with its jobs, attempts, steps, artifacts, and why each waiting job waits."""
        with context.store.reading() as connection:
            return views.run_detail(connection, run_id, context.settings, context.clock.now())

    @routes.post("/runs/{run_id}/cancel", status_code=202)
    def cancel_run(person: Writer, run_id: int, body: Cancel) -> RunDetail:
        """Ask every open job of the run to end."""
        cancel(context, run_id, person.name, body.reason)
        return one(person, run_id)

    @routes.post("/runs/{run_id}/rerun", status_code=201)
    def rerun_run(person: Writer, run_id: int) -> RunDetail:
        """Run the same commit once more, as it stands in the repository."""
        return one(person, rerun(context, run_id, person.name))

    @routes.get("/commits/{repository}/{sha}")
    def commit(person: Person, repository: str, sha: str) -> CommitBody:
        """A commit by the beginning of its hash: its runs, and where it is in every lane."""
        with context.store.reading() as connection:
            return views.commit_body(connection, repositories.by_name(connection, repository), sha)

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
            "Content-Disposition": _as_attachment(known.path),
            "Cache-Control": "private, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }

        return StreamingResponse(content, media_type="application/octet-stream", headers=headers)

    return routes


def cancel(context: Context, run_id: int, who: str, reason: str) -> None:
    """Ask every open job of a run to end. Raises NotFound, Conflict for a run that is over."""
    now = context.clock.now()
    why = storable(f"cancelled by {who}: {reason}")
    with context.store.writing() as connection:
        run = runs.by_id(connection, run_id)
        if states.is_final(run.state):
            raise Conflict(f"run {run_id} is over: {run.state}")
        jobs.ask_cancel(connection, run_id, why)
        events.record(connection, now, "run.cancel_asked", f"run/{run_id}", who, storable(reason))
    context.changes.touch()
    context.wake()


def rerun(context: Context, run_id: int, who: str) -> int:
    """A new run of the same commit on the same ref; its id. Raises NotFound, NotInRepository, Conflict."""
    now = context.clock.now()
    with context.store.reading() as connection:
        before = runs.by_id(connection, run_id)
        repository = repositories.by_id(connection, before.repository_id)
        ordinal = runs.next_ordinal(connection, before)
    if repository.removed_at is not None:
        raise Conflict(f"the repository of run {run_id} was removed")
    trigger = before.trigger if before.trigger in (Trigger.TAG, Trigger.PULL) else Trigger.PERSON
    new = run_of(
        context.mirrors.of(repository),
        repository.id,
        before.sha,
        before.ref,
        trigger,
        before.trust,
        who,
        now,
        ordinal,
        FarmTemplates(context, repository, before.trust),
    )
    with context.store.writing() as connection:
        made = runs.create(connection, new, now)
        if made is None:
            raise Conflict("somebody else asked for the same at this moment: look at the newest run")
        events.record(connection, now, "run.again", f"run/{made}", who, f"run {run_id} once more")
    context.changes.touch()
    context.wake()
    return made


def _as_attachment(path: str) -> str:
    """The file's last name, in plain ASCII."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.rpartition("/")[2])
    return f'attachment; filename="{name or "artifact"}"'
