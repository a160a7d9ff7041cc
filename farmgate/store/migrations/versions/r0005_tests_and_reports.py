"""Tests, their results and quarantine, coverage, findings, components"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id(table: str) -> tuple[sa.Column[int], sa.PrimaryKeyConstraint]:
    return (
        sa.Column("id", _key(), autoincrement=True, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )


def _ref(table: str, name: str, target: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    return (
        sa.Column(name, _key(), nullable=False),
        sa.ForeignKeyConstraint([name], [f"{target}.id"], name=op.f(f"fk_{table}_{name}")),
    )


def _when(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "reports",
        *_id("reports"),
        *_ref("reports", "attempt_id", "attempts"),
        *_ref("reports", "job_id", "jobs"),
        *_ref("reports", "run_id", "runs"),
        *_ref("reports", "repository_id", "repositories"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("variant", sa.String(200), nullable=False),
        sa.Column("ref", sa.String(500), nullable=False),
        sa.Column("sha", sa.String(64), nullable=False),
        sa.Column("tree", sa.String(64), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        _when("sealed_at", nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.UniqueConstraint("attempt_id", "kind", name=op.f("uq_reports_attempt_id_kind")),
    )
    op.create_index(op.f("ix_reports_run_id"), "reports", ["run_id"])
    op.create_index(op.f("ix_reports_tree"), "reports", ["tree"])
    op.create_index("ix_reports_of_variant", "reports", ["repository_id", "kind", "variant", "id"])
    op.create_table(
        "report_files",
        *_ref("report_files", "report_id", "reports"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        _when("modified_at"),
        sa.PrimaryKeyConstraint("report_id", "number", name=op.f("pk_report_files")),
    )
    op.create_index(op.f("ix_report_files_sha256"), "report_files", ["sha256"])
    op.create_table(
        "report_pages",
        *_ref("report_pages", "report_id", "reports"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", "number", name=op.f("pk_report_pages")),
    )
    op.create_table(
        "tests",
        *_id("tests"),
        *_ref("tests", "repository_id", "repositories"),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("variant", sa.String(200), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        _when("seen_at"),
        sa.UniqueConstraint("repository_id", "key", name=op.f("uq_tests_repository_id_key")),
    )
    op.create_index("ix_tests_name", "tests", ["repository_id", "name"])
    op.create_table(
        "test_results",
        *_ref("test_results", "report_id", "reports"),
        *_ref("test_results", "test_id", "tests"),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("failed_tries", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", "test_id", name=op.f("pk_test_results")),
    )
    op.create_index(op.f("ix_test_results_test_id"), "test_results", ["test_id"])
    op.create_table(
        "test_flakes",
        *_id("test_flakes"),
        *_ref("test_flakes", "test_id", "tests"),
        sa.Column("tree", sa.String(64), nullable=False),
        *_ref("test_flakes", "failed_report_id", "reports"),
        *_ref("test_flakes", "passed_report_id", "reports"),
        _when("seen_at"),
        sa.UniqueConstraint(
            "test_id", "tree", "failed_report_id", name=op.f("uq_test_flakes_test_id_tree_failed_report_id")
        ),
    )
    op.create_index(op.f("ix_test_flakes_seen_at"), "test_flakes", ["seen_at"])
    op.create_table(
        "quarantines",
        *_id("quarantines"),
        *_ref("quarantines", "repository_id", "repositories"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _when("until"),
        sa.Column("created_by", sa.Text(), nullable=False),
        _when("created_at"),
        _when("lifted_at", nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
    )
    op.create_index(op.f("ix_quarantines_repository_id"), "quarantines", ["repository_id"])
