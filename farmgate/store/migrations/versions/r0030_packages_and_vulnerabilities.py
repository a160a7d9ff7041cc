"""What is built, of what, and what is known of it: packages, component lists, OSV documents, decisions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0030"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "packages",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("ecosystem", sa.String(100), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("purl", sa.Text(), nullable=False),
    )
    op.create_index("ix_packages_ecosystem_name", "packages", ["ecosystem", "name"])
    op.create_index("ix_packages_name", "packages", ["name"])
    op.create_table(
        "package_sets",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("size", sa.Integer(), nullable=False),
    )
    op.create_table(
        "package_set_members",
        sa.Column("set_id", _ID, sa.ForeignKey("package_sets.id"), primary_key=True),
        sa.Column("package_id", _ID, sa.ForeignKey("packages.id"), primary_key=True),
    )
    op.create_index("ix_package_set_members_package_id", "package_set_members", ["package_id"])
    op.create_table(
        "boms",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("set_id", _ID, sa.ForeignKey("package_sets.id"), nullable=True),
        sa.Column("unnamed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_boms_set_id", "boms", ["set_id"])
    op.create_index("ix_boms_state", "boms", ["state"])
    op.create_table(
        "candidate_boms",
        sa.Column("candidate_id", _ID, sa.ForeignKey("candidates.id"), primary_key=True),
        sa.Column("bom_id", _ID, sa.ForeignKey("boms.id"), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
    )
    op.create_index("ix_candidate_boms_bom_id", "candidate_boms", ["bom_id"])
    op.create_table(
        "candidate_lists",
        sa.Column("candidate_id", _ID, sa.ForeignKey("candidates.id"), primary_key=True),
        sa.Column("boms", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "osv_dumps",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("without", sa.Boolean(), nullable=False),
        sa.Column("read_bytes", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.Column("affected", sa.Integer(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("ecosystems", sa.JSON(), nullable=False),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_osv_dumps_state", "osv_dumps", ["state"])
    op.create_table(
        "osv_records",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("dump_id", sa.BigInteger(), nullable=False),
        sa.Column("osv_id", sa.String(100), nullable=False),
        sa.Column("aliases", sa.JSON(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("vector", sa.Text(), nullable=False),
        sa.Column("published", sa.DateTime(timezone=True), nullable=True),
        sa.Column("modified", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("dump_id", "osv_id"),
    )
    op.create_table(
        "osv_affected",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("dump_id", sa.BigInteger(), nullable=False),
        sa.Column("ecosystem", sa.String(100), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("osv_id", sa.String(100), nullable=False),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_osv_affected_package", "osv_affected", ["dump_id", "ecosystem", "name"])
    op.create_table(
        "package_checks",
        sa.Column("dump_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("package_id", _ID, sa.ForeignKey("packages.id"), primary_key=True),
        sa.Column("problem", sa.Text(), nullable=True),
    )
    op.create_table(
        "package_matches",
        sa.Column("dump_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("package_id", _ID, sa.ForeignKey("packages.id"), primary_key=True),
        sa.Column("osv_id", sa.String(100), primary_key=True),
        sa.Column("fixed", sa.Text(), nullable=True),
    )
    op.create_table(
        "vulnerability_decisions",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("vulnerability", sa.String(100), nullable=False),
        sa.Column("scope", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
    )
    op.create_index("ix_vulnerability_decisions_vulnerability", "vulnerability_decisions", ["vulnerability"])
