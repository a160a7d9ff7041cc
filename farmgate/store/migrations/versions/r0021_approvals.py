"""Approvals of batches"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0021"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("lane_id", _ID, sa.ForeignKey("lanes.id"), nullable=False),
        sa.Column("since_position", sa.Integer(), nullable=False),
        sa.Column("since_sha", sa.String(64)),
        sa.Column("until_position", sa.Integer(), nullable=False),
        sa.Column("until_sha", sa.String(64), nullable=False),
        sa.Column("candidate_id", _ID, sa.ForeignKey("candidates.id"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        sa.Column("withdrawn_by", sa.Text()),
    )
    op.create_index("ix_approvals_lane_id", "approvals", ["lane_id"])
