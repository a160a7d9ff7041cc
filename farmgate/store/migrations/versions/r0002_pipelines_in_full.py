"""Pipelines in full: what jobs, runs and repositories say of matrices, conditions, groups, tries and reuse"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _filled(name: str, kind: sa.types.TypeEngine[Any], value: str) -> sa.Column[Any]:
    """Not null: rows that exist get this value; new ones always bring their own."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(value))


def upgrade() -> None:
    with op.batch_alter_table("repositories") as table:
        table.add_column(_filled("weight", sa.Integer(), "1"))
        table.add_column(_filled("fork_policy", sa.String(16), "'run'"))
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("hold", sa.Text()))
        table.add_column(sa.Column("superseded_by", _ID))
        table.add_column(sa.Column("again_of", _ID))
        table.add_column(_filled("reuse", sa.Boolean(), "true"))
        table.add_column(sa.Column("cancel_superseded", sa.Boolean()))
        table.add_column(_filled("origin", sa.JSON(), "'{}'"))
    with op.batch_alter_table("jobs") as table:
        table.alter_column("name", existing_type=sa.String(100), type_=sa.String(200), existing_nullable=False)
        table.add_column(_filled("kind", sa.String(16), "'work'"))
        table.add_column(_filled("family", sa.String(100), "''"))
        table.add_column(sa.Column("family_limit", sa.Integer()))
        table.add_column(_filled("priority", sa.Integer(), "0"))
        table.add_column(_filled("labels", sa.JSON(), "'{}'"))
        table.add_column(_filled("runs_when", sa.String(16), "'passed'"))
        table.add_column(_filled("forgiven", sa.Boolean(), "false"))
        table.add_column(_filled("failures", sa.Integer(), "0"))
        table.add_column(sa.Column("not_before", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("exclusion", sa.String(300)))
        table.add_column(_filled("exclusion_limit", sa.Integer(), "1"))
        table.add_column(_filled("exclusion_cancels", sa.Boolean(), "false"))
        table.add_column(sa.Column("reuse_key", sa.String(64)))
        table.add_column(sa.Column("reused_from", _ID))
        table.add_column(sa.Column("emitted_by", _ID))
        table.create_index("ix_jobs_exclusion", ["exclusion"])
        table.create_index("ix_jobs_reuse_key", ["reuse_key"])
