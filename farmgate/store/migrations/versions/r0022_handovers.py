"""Rollouts in the hands of other tools"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0022"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "handovers",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("rollout_id", _ID, sa.ForeignKey("rollouts.id"), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("delivery", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("share", sa.Integer()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("tellings", sa.Integer(), nullable=False),
        sa.Column("stamp", sa.BigInteger()),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("rollout_id", "step"),
    )
    op.create_index("ix_handovers_deadline", "handovers", ["deadline"])
