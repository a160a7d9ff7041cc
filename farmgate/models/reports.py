"""Rows: results that are read: tests, coverage, findings, components."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farmgate.models.kinds import ReportKind


@dataclass(frozen=True, slots=True)
class Report:
    """What an attempt reported of one kind, out of all its files."""

    id: int
    attempt_id: int
    job_id: int
    run_id: int
    repository_id: int
    kind: ReportKind
    variant: str  # the job's name without its shard: what is compared with what
    ref: str
    sha: str
    tree: str  # the commit's git tree: the same tree is the same code
    complete: bool  # every file was read to its end
    counts: bool  # its attempt ended by itself, so its results say something of the commit
    sealed_at: datetime | None  # when its attempt ended; nothing is added after that
    figures: dict[str, Any]  # sums, by the kind


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file that a report was read from."""

    report_id: int
    number: int
    path: str
    size_bytes: int
    sha256: str | None  # of its bytes, where they are kept
    problem: str | None  # why it was not read to its end
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A piece of a report's rows, packed (farmgate.reports.packing)."""

    report_id: int
    number: int  # from 0
    data: bytes


@dataclass(frozen=True, slots=True)
class KnownTest:
    """A test that was seen once: the same from run to run."""

    id: int
    repository_id: int
    key: str  # a hash of what follows: unique in the repository
    variant: str
    suite: str
    class_name: str
    name: str
    file: str
    seen_at: datetime  # lately, to the day


@dataclass(frozen=True, slots=True)
class NotedResult:
    """A result that did not simply pass; all others are in the report's pages."""

    report_id: int
    test_id: int
    ordinal: int  # its place among the report's failures
    outcome: str  # failed, error; passed: after tries that failed
    failed_tries: int
    seconds: float
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Flake:
    """The same test on the same tree with different results."""

    id: int
    test_id: int
    tree: str
    failed_report_id: int
    passed_report_id: int  # the same: the file itself tells of tries that failed
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A test that runs but does not decide, until a day."""

    id: int
    repository_id: int
    name: str  # as people call it: class and name, in every variant
    owner: str
    reason: str
    until: datetime
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
