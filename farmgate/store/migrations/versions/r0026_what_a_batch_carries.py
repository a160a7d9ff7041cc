"""What the deploy loop asks of a batch, and what the history says"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0026"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "batch_looks",
        sa.Column("rollout_id", _ID, sa.ForeignKey("rollouts.id"), primary_key=True),
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), nullable=False),
        sa.Column("since_sha", sa.String(64), nullable=False),
        sa.Column("until_sha", sa.String(64), nullable=False),
        sa.Column("patterns", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("found", sa.JSON(), nullable=False),
    )
    op.create_index("ix_batch_looks_answered_at", "batch_looks", ["answered_at"])
