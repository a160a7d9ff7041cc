"""Identities of jobs: the keys that sign their tokens, and that tokens were given"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0010"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("kid", sa.String(100), nullable=False, unique=True),
        sa.Column("public", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("key_id", sa.String(100), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_signing_keys_key_id", "signing_keys", ["key_id"])
    op.create_table(
        "identity_tokens",
        sa.Column("jti", sa.String(100), primary_key=True),
        sa.Column("signing_key_id", _ID, sa.ForeignKey("signing_keys.id"), nullable=False),
        sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_identity_tokens_job_id", "identity_tokens", ["job_id"])
    op.create_index("ix_identity_tokens_issued_at", "identity_tokens", ["issued_at"])
    op.create_index("ix_identity_tokens_signing_key_id_expires_at", "identity_tokens", ["signing_key_id", "expires_at"])
