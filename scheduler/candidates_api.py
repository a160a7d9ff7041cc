"""Candidates: listed, and submitted from outside.

Rules:
1. Who submits has the right `candidates`, or `candidates:REPOSITORY` for one repository: such a token opens no other
   door.
2. Bytes are put first, then the submission names them by digest; either may be repeated.
3. The rules of what becomes of a submission stand in `outside`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator

from farmgate import states
from farmgate.errors import Forbidden
from farmgate.models import Candidate, Submission
from farmgate.store import candidates, repositories, submissions
from farmgate.store.intakes import storable
from scheduler import late_red, outside
from scheduler.auth import Known, Person, Principal
from scheduler.blob_streams import named
from scheduler.context import Context
from scheduler.lane_bodies import LateRedBody
from scheduler.streams import pieces
from scheduler.submitting import standing, submit

UPLOADS_AT_ONCE = 8
MOST_CHECKS = 500
MOST_ARTIFACTS = 200
Name = Annotated[str, Path(max_length=100)]
Digits = Annotated[str, Path(pattern="^[0-9a-fA-F]{4,64}$")]


class CheckSaid(BaseModel):
    """A check as it ended elsewhere."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    result: Literal["passed", "failed", "error", "cancelled", "skipped"]
    url: HttpUrl | None = None
    seconds: float | None = Field(None, ge=0, le=10**7)


class NewSubmission(BaseModel):
    """A commit, its checks, and what was built of it: artifacts by digest."""

    model_config = ConfigDict(extra="forbid")

    sha: str = Field(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")
    source: str = Field(pattern="^[a-z0-9][a-z0-9._-]{0,99}$")
    url: HttpUrl | None = None
    checks: list[CheckSaid] = Field(min_length=1, max_length=MOST_CHECKS)
    artifacts: dict[str, str] = Field(default_factory=dict, max_length=MOST_ARTIFACTS)

    @field_validator("source")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value == "farmgate":
            raise ValueError("farmgate is what we call our own: name the system that ran the checks")
        return value

    @field_validator("checks")
    @classmethod
    def _once(cls, value: list[CheckSaid]) -> list[CheckSaid]:
        names = [each.name for each in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"told twice: {', '.join(twice[:10])}")
        return value

    @field_validator("artifacts")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        bad = [name for name in value if not (0 < len(name) <= 500 and name.isprintable())]
        if bad:
            raise ValueError("a name is not plain text of at most 500 characters")
        return value


class RedSaid(BaseModel):
    """Who says no of a candidate, and why."""

    model_config = ConfigDict(extra="forbid")

    check: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)
    source: str = Field("a person", pattern="^([a-z0-9][a-z0-9._-]{0,99}|a person)$")


class GreenSaid(BaseModel):
    """That it is good again, and why."""

    model_config = ConfigDict(extra="forbid")

    check: str | None = Field(None, min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)


class SubmissionBody(BaseModel):
    """What was submitted, and what became of it. `candidate`: its id, once it is one."""

    id: int
    repository: str
    sha: str
    source: str
    url: str
    checks: list[dict[str, Any]]
    artifacts: dict[str, str]
    state: states.Submission
    reason: str | None
    submitted_by: str
    created_at: datetime
    settled_at: datetime | None
    candidate: int | None


class CandidateBody(BaseModel):
    """A commit that may be delivered. `run`: of ours; none for one from outside."""

    id: int
    sha: str
    source: str
    run: int | None
    artifacts: dict[str, str]
    created_at: datetime


class CandidatesBody(BaseModel):
    """The newest of a repository, and what was submitted lately."""

    candidates: list[CandidateBody]
    submissions: list[SubmissionBody]


class BytesTaken(BaseModel):
    sha256: str
    size_bytes: int


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/candidates", tags=["candidates"])
    uploads = anyio.CapacityLimiter(UPLOADS_AT_ONCE)

    @routes.get("/{repository}")
    def listed(person: Person, repository: Name, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> CandidatesBody:
        """The newest candidates and submissions of a repository."""
        with context.store.reading() as connection:
            of = repositories.by_name(connection, repository)
            return CandidatesBody(
                candidates=[candidate_body(each) for each in candidates.latest(connection, of.id, limit)],
                submissions=[
                    submission_body(context, each, repository) for each in submissions.latest(connection, of.id, limit)
                ],
            )

    @routes.put("/{repository}/bytes")
    async def put_bytes(who: Known, repository: Name, request: Request) -> BytesTaken:
        """Keep the bytes of an artifact; the answer's digest is what a submission names."""
        _may(who, repository)
        chunks = pieces(request)

        def take() -> BytesTaken:
            with context.store.reading() as connection:
                repositories.by_name(connection, repository)
            stored = context.blobs.put(chunks, context.settings.artifact_limit_bytes)
            with context.store.writing() as connection:
                named(context, connection, stored.sha256)
            return BytesTaken(sha256=stored.sha256, size_bytes=stored.size_bytes)

        return await anyio.to_thread.run_sync(take, limiter=uploads)

    @routes.post("/{repository}")
    def submitted(who: Known, repository: Name, body: NewSubmission, response: Response) -> SubmissionBody:
        """Submit a commit: 201 the first time, 200 whenever the same comes again."""
        _may(who, repository)
        checks = [each.model_dump(mode="json", exclude_none=True) for each in body.checks]
        for each in checks:
            each["name"] = storable(each["name"])
        row, new = submit(
            context,
            repository,
            body.sha,
            body.source,
            str(body.url or ""),
            checks,
            {storable(name): value for name, value in body.artifacts.items()},
            who.name,
        )
        response.status_code = 201 if new else 200
        return submission_body(context, row, repository)

    @routes.post("/{repository}/{sha}/red")
    def turned_red(who: Known, repository: Name, sha: Digits, body: RedSaid) -> list[LateRedBody]:
        """A check says no of a commit that is a candidate already: a nightly, one that ended late."""
        _may(who, repository)
        return late_red.say(
            context, repository, sha, body.source, storable(body.check), storable(body.reason), who.name
        )

    @routes.post("/{repository}/{sha}/green")
    def green_again(who: Known, repository: Name, sha: Digits, body: GreenSaid) -> list[LateRedBody]:
        """It says yes now, or you know better; without `check`, all that stand against the commit."""
        _may(who, repository)
        return late_red.forgive(context, repository, sha, body.check, storable(body.reason), who.name)

    return routes


def _may(who: Principal, repository: str) -> None:
    """Rule 1. Raises Forbidden."""
    if not who.may(f"candidates:{repository}"):
        raise Forbidden(f"{who.name} has no right to submit candidates of {repository}")


def candidate_body(row: Candidate) -> CandidateBody:
    return CandidateBody(
        id=row.id,
        sha=row.sha,
        source=row.source,
        run=row.run_id,
        artifacts=row.artifacts,
        created_at=row.created_at,
    )


def submission_body(context: Context, row: Submission, repository: str) -> SubmissionBody:
    with context.store.reading() as connection:
        seen = standing(connection, row)
    accepted = row.state is states.Submission.ACCEPTED and seen.candidate is not None
    waits = row.state is states.Submission.WAITING
    return SubmissionBody(
        id=row.id,
        repository=repository,
        sha=row.sha,
        source=row.source,
        url=row.url,
        checks=row.checks,
        artifacts=row.artifacts,
        state=row.state,
        reason=outside.waits_for(seen) if waits else row.reason,
        submitted_by=row.submitted_by,
        created_at=row.created_at,
        settled_at=row.settled_at,
        candidate=seen.candidate[0] if accepted and seen.candidate is not None else None,
    )
