"""Logins of repositories, sealed. The scheduler seals those that stand in addresses when it starts: it has the keys"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0016"
down_revision = before(__file__)
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repositories", sa.Column("login", sa.Text(), nullable=True))
    op.add_column("repositories", sa.Column("login_key", sa.String(100), nullable=True))
