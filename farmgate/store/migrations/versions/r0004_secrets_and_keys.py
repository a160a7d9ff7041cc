"""Nothing: it was set aside for secrets, and landed empty; they came with 0009"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
