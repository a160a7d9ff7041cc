"""Caches, images as nodes have them, artifacts that end"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WHEN = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("inputs_hash", sa.String(64)))
    with op.batch_alter_table("artifacts") as table:
        table.add_column(sa.Column("expires_at", _WHEN))
        table.add_column(sa.Column("removed_at", _WHEN))
        table.add_column(sa.Column("executable", sa.Boolean(), nullable=False, server_default=sa.text("false")))
        table.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default=sa.text("'file'")))
        table.add_column(sa.Column("image_id", sa.Text()))
    op.create_table(
        "caches",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), nullable=False),
        sa.Column("key", sa.String(600), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("created_at", _WHEN, nullable=False),
        sa.Column("used_at", _WHEN, nullable=False),
        sa.UniqueConstraint("repository_id", "key"),
    )
    op.create_index("ix_caches_sha256", "caches", ["sha256"])
    op.create_table(
        "images",
        sa.Column("pool", sa.String(100), primary_key=True),
        sa.Column("name", sa.String(600), primary_key=True),
        sa.Column("digest", sa.String(300), nullable=False),
        sa.Column("seen_at", _WHEN, nullable=False),
    )
    op.create_table(
        "doomed_blobs",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("since", _WHEN, nullable=False),
        sa.Column("removing", sa.Boolean(), nullable=False),
    )
