"""Runs: look, cancel, run again; commits."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from farmgate import states
from farmgate.errors import Conflict
from farmgate.models import Verdict
from farmgate.store import cancelling, events, repositories, runs
from farmgate.store.intakes import storable
from scheduler import again, answers, outlook, views
from scheduler.auth import Person, Writer
from scheduler.bodies import CommitBody, RunDetail, RunSummary
from scheduler.context import Context
from scheduler.snapshot import rules_of


class Cancel(BaseModel):
    """Why."""

    reason: str = Field(min_length=1, max_length=1000)


class Again(BaseModel):
    """What to run again: everything, `failed` for only what failed, or one `job` by name. `reuse` false: nothing is
    taken from earlier results."""

    failed: bool = False
    job: str | None = Field(None, max_length=200)
    reuse: bool = True


class Allow(BaseModel):
    """The commit that is allowed, as a whole hash: refused where the run is of another one."""

    sha: str | None = Field(None, pattern="^[0-9a-f]{40,64}$")


class AnswerGiven(BaseModel):
    """An answer to a job that asks."""

    verdict: Literal["approve", "decline"]
    text: str = Field("", max_length=2000)


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
        """Ask the open jobs of the run to end. Those that clean up (`when.result: always`) still run, unless it is
        asked once more."""
        cancel(context, run_id, person.name, body.reason)
        return one(person, run_id)

    @routes.post("/runs/{run_id}/rerun", status_code=201)
    def rerun_run(person: Writer, run_id: int, body: Again | None = None) -> RunDetail:
        """Run the same commit once more with the same inputs: all of it, only what failed, or one job."""
        wish = again.Wish() if body is None else again.Wish(body.failed, body.job, body.reuse)
        return one(person, again.run_again(context, run_id, wish, person.name))

    @routes.post("/runs/{run_id}/allow")
    def allow_run(person: Writer, run_id: int, body: Allow | None = None) -> RunDetail:
        """Let a run begin that waits for a maintainer: of exactly this commit."""
        allow(context, run_id, None if body is None else body.sha, person.name)
        return one(person, run_id)

    @routes.post("/jobs/{job_id}/answer")
    def answer_job(person: Writer, job_id: int, body: AnswerGiven) -> RunDetail:
        """Answer a job that asks a person. Once; 409 for one that does not ask (any more)."""
        verdict = Verdict.APPROVED if body.verdict == "approve" else Verdict.DECLINED
        return one(person, answers.answer(context, job_id, person, verdict, body.text).run_id)

    @routes.get("/commits/{repository}/{sha}")
    def commit(person: Person, repository: str, sha: str) -> CommitBody:
        """A commit by the beginning of its hash: its runs, and where it is in every lane."""
        with context.store.reading() as connection:
            return views.commit_body(connection, repositories.by_name(connection, repository), sha)

    return routes


def cancel(context: Context, run_id: int, who: str, reason: str) -> None:
    """Ask a run's jobs to end, as `store.cancelling` says. Raises NotFound, Conflict for a run that is over."""
    now = context.clock.now()
    why = storable(f"cancelled by {who}: {reason}")
    with context.store.writing() as connection:
        run = runs.by_id(connection, run_id)
        if states.is_final(run.state):
            raise Conflict(f"run {run_id} is over: {run.state}")
        clearing = cancelling.ask(connection, run_id, why, now + context.settings.clean_up_within)
        told = f"; {', '.join(clearing[:20])} may still clean up" if clearing else ""
        events.record(connection, now, "run.cancel_asked", f"run/{run_id}", who, storable(reason) + told)
    context.changes.touch()
    context.wake()


def allow(context: Context, run_id: int, sha: str | None, who: str) -> None:
    """Let a held run begin: for exactly its commit. Raises NotFound, Conflict."""
    now = context.clock.now()
    with context.store.writing() as connection:
        run = runs.by_id(connection, run_id)
        if sha is not None and sha != run.sha:
            raise Conflict(f"run {run_id} is of commit {run.sha}, not of {sha[:64]}: look at what is to be allowed")
        if not runs.allow(connection, run_id, run.sha):
            over = states.is_final(run.state)
            raise Conflict(f"run {run_id} is over: {run.state}" if over else f"run {run_id} is not held")
        events.record(connection, now, "run.allowed", f"run/{run_id}", who, f"commit {run.sha} may run")
    context.changes.touch()
    context.wake()
