"""Patches of commits, and what people say is a fix"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0018"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "patches",
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), primary_key=True),
        sa.Column("sha", sa.String(64), primary_key=True),
        sa.Column("patch_id", sa.String(64), nullable=False),
        sa.Column("inverse_id", sa.String(64), nullable=False),
    )
    op.create_index("ix_patches_patch_id", "patches", ["patch_id"])
    op.create_table(
        "said_fixes",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), nullable=False),
        sa.Column("fix", sa.String(64), nullable=False),
        sa.Column("fixes", sa.String(64), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_said_fixes_repository_id", "said_fixes", ["repository_id"])
