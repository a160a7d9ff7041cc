"""The API's answers about tests, coverage, findings and components, as models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class PointBody(BaseModel):
    """How a test ended at a commit."""

    sha: str
    run: int
    outcome: str
    seconds: float
    flaky: bool


class RedBody(BaseModel):
    """Since when a test fails on its branch, and whose commit that was.

    `untested`: commits between the last green one and this one that were never tested: one of them may be to blame.
    `known`: False if no green result is known before it.
    """

    sha: str
    run: int
    title: str
    author: str
    commits: int
    untested: int
    known: bool


class QuarantineBody(BaseModel):
    """A test that runs and does not decide, until a day. `ended`: the day has come, and it decides again."""

    test: str
    owner: str
    reason: str
    until: datetime
    ended: bool
    created_by: str
    created_at: datetime


class FailureBody(BaseModel):
    """A test that did not simply pass. `outcome` passed: after tries that failed."""

    test: str
    job: str
    variant: str
    suite: str
    file: str
    outcome: str
    failed_tries: int
    seconds: float
    message: str
    text: str
    red: RedBody | None
    flaky: bool
    quarantine: QuarantineBody | None


class FileBody(BaseModel):
    """A file that was read. `problem`: why not to its end. `url`: its bytes, where they are kept."""

    path: str
    size_bytes: int
    problem: str | None
    url: str | None


class TestsBody(BaseModel):
    """The tests of a job."""

    job: str
    attempt: int
    complete: bool
    figures: dict[str, float]
    files: list[FileBody]


class CoveredBody(BaseModel):
    """A file's coverage; `before`: its covered lines in the report that this one is compared with."""

    path: str
    covered: int
    lines: int
    before: tuple[int, int] | None


class CoverageBody(BaseModel):
    """The coverage of a job. `changed`: the files whose share changed, the greatest loss first."""

    job: str
    complete: bool
    figures: dict[str, float]
    before: dict[str, float] | None
    before_run: int | None
    changed: list[CoveredBody]
    files: list[FileBody]


class FindingBody(BaseModel):
    rule: str
    level: str
    path: str
    line: int
    message: str


class FindingsBody(BaseModel):
    """The findings of a job. `new`: those that the report before did not have; `gone`: how many it had more."""

    job: str
    complete: bool
    figures: dict[str, float]
    before_run: int | None
    new_count: int
    gone: int
    new: list[FindingBody]
    files: list[FileBody]


class ComponentsBody(BaseModel):
    """How many components a job's software is made of, by type."""

    job: str
    complete: bool
    figures: dict[str, float]
    files: list[FileBody]


class RunReports(BaseModel):
    """All that a run's jobs reported. `more`: failures beyond those that are listed."""

    run: int
    repository: str
    sums: dict[str, float]
    tests: list[TestsBody]
    failures: list[FailureBody]
    more: int
    coverage: list[CoverageBody]
    findings: list[FindingsBody]
    components: list[ComponentsBody]


class FlakeBody(BaseModel):
    """The same tree, different results."""

    tree: str
    seen_at: datetime
    failed_run: int
    passed_run: int


class VariantBody(BaseModel):
    """A test in one job (one cell of a matrix). `points`: newest commit first."""

    variant: str
    suite: str
    file: str
    points: list[PointBody]
    red: RedBody | None
    flakes: list[FlakeBody]
    failure: FailureBody | None


class TestBody(BaseModel):
    """A test's history on a branch."""

    repository: str
    test: str
    ref: str
    variants: list[VariantBody]
    quarantine: QuarantineBody | None


class SlowBody(BaseModel):
    test: str
    variant: str
    seconds: float


class FlakyBody(BaseModel):
    """`rate`: how often it was seen flaky, per run that told of its tests in the last 30 days."""

    test: str
    variant: str
    times: int
    rate: float
    last_seen: datetime
    failed_run: int
    passed_run: int


class RedTestBody(BaseModel):
    test: str
    variant: str
    message: str
    red: RedBody


class RepositoryTests(BaseModel):
    """A repository's tests: what is red on its default branch (newest first), flaky, slow, in quarantine."""

    repository: str
    ref: str
    red: list[RedTestBody]
    flaky: list[FlakyBody]
    slowest: list[SlowBody]
    quarantined: list[QuarantineBody]


class NewQuarantine(BaseModel):
    """`until`: at most 30 days from now."""

    test: str = Field(min_length=1, max_length=1200)
    owner: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)
    until: datetime
