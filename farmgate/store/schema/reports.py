"""Tables: results that are read: tests, coverage, findings, components."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from farmgate.models import ReportKind
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

reports = Table(
    "reports",
    metadata,
    row_id(),
    ref("attempt_id", "attempts.id"),
    ref("job_id", "jobs.id"),
    ref("run_id", "runs.id", index=True),
    ref("repository_id", "repositories.id"),
    Column("kind", State(ReportKind), nullable=False),
    Column("variant", String(200), nullable=False),
    Column("ref", String(500), nullable=False),
    Column("sha", SHA, nullable=False),
    Column("tree", SHA, nullable=False, index=True),
    Column("complete", Boolean, nullable=False),
    Column("counts", Boolean, nullable=False),
    when("sealed_at", nullable=True),
    Column("figures", JSON, nullable=False),
    UniqueConstraint("attempt_id", "kind"),
    Index("ix_reports_of_variant", "repository_id", "kind", "variant", "id"),
)

report_files = Table(
    "report_files",
    metadata,
    ref("report_id", "reports.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), index=True),
    Column("problem", Text),
    when("modified_at"),
)

report_pages = Table(
    "report_pages",
    metadata,
    ref("report_id", "reports.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

tests = Table(
    "tests",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("key", String(40), nullable=False),
    Column("variant", String(200), nullable=False),
    Column("suite", Text, nullable=False),
    Column("class_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("file", Text, nullable=False),
    when("seen_at"),
    UniqueConstraint("repository_id", "key"),
    Index("ix_tests_name", "repository_id", "name"),
)

test_results = Table(
    "test_results",
    metadata,
    ref("report_id", "reports.id", primary_key=True),
    ref("test_id", "tests.id", primary_key=True, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("failed_tries", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("text", Text, nullable=False),
)

test_flakes = Table(
    "test_flakes",
    metadata,
    row_id(),
    ref("test_id", "tests.id"),
    Column("tree", SHA, nullable=False),
    ref("failed_report_id", "reports.id"),
    ref("passed_report_id", "reports.id"),
    when("seen_at", index=True),
    UniqueConstraint("test_id", "tree", "failed_report_id"),
)

quarantines = Table(
    "quarantines",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id", index=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    when("until"),
    Column("created_by", Text, nullable=False),
    when("created_at"),
    when("lifted_at", nullable=True),
    Column("lifted_by", Text),
)
