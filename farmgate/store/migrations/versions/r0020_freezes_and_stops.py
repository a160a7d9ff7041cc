"""Holds may be planned, and may be of every lane"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0020"
down_revision = before(__file__)
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("holds") as holds:
        holds.alter_column("lane_id", nullable=True)
        holds.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="hold"))
        holds.add_column(sa.Column("begins", sa.DateTime(timezone=True), nullable=True))
        holds.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE holds SET begins = created_at, told_at = until")
    with op.batch_alter_table("holds") as holds:
        holds.alter_column("begins", nullable=False)
        holds.alter_column("kind", server_default=None)
