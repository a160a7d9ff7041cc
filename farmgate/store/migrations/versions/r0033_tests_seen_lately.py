"""Tests say when they were last seen, to the day; of those that are known it is as late as can be"""

from __future__ import annotations

from alembic import op

from farmgate.store.migrations import before

revision = "0033"
down_revision = before(__file__)
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE tests SET seen_at = (SELECT max(sealed_at) FROM reports) "
        "WHERE seen_at < (SELECT max(sealed_at) FROM reports)"
    )
