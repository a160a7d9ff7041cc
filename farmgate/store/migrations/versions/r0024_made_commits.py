"""Commits that Farmgate makes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0024"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "made",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("lane_id", _ID, sa.ForeignKey("lanes.id"), nullable=False),
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), nullable=False),
        sa.Column("branch", sa.String(500), nullable=False),
        sa.Column("ref", sa.String(600), nullable=False),
        sa.Column("picks", sa.JSON(), nullable=False),
        sa.Column("onto", sa.String(64), nullable=False),
        sa.Column("onto_position", sa.Integer(), nullable=False),
        sa.Column("shas", sa.JSON(), nullable=False),
        sa.Column("sha", sa.String(64)),
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id")),
        sa.Column("rollout_id", _ID, sa.ForeignKey("rollouts.id")),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_made_lane_id", "made", ["lane_id"])
    op.create_index("ix_made_state", "made", ["state"])
    op.create_index("ix_made_sha", "made", ["repository_id", "sha"])
    op.create_table(
        "carriers",
        sa.Column("made_id", _ID, sa.ForeignKey("made.id"), primary_key=True),
        sa.Column("pick", sa.String(64), primary_key=True),
        sa.Column("sha", sa.String(64), primary_key=True),
        sa.Column("said_by", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
    )
