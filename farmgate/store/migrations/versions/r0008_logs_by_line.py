"""Logs by line: how many ends of line stand before each piece, and where lines stand in a packed log"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("log_lines", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
        table.add_column(sa.Column("log_index", sa.String(64)))
    with op.batch_alter_table("log_chunks") as table:
        table.add_column(sa.Column("line", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    _count_lines()


def _count_lines() -> None:
    """Of the logs that are not packed yet: few. A packed one without an index is read from its beginning."""
    connection = op.get_bind()
    chunks = sa.table("log_chunks", *map(sa.column, ("attempt_id", "offset", "data", "line")))
    attempts = sa.table("attempts", *map(sa.column, ("id", "log_lines")))
    of_attempts = sa.select(chunks.c.attempt_id).distinct()
    for attempt in connection.execute(of_attempts).scalars().all():
        line = 0
        offsets = sa.select(chunks.c.offset).where(chunks.c.attempt_id == attempt).order_by(chunks.c.offset)
        for offset in connection.execute(offsets).scalars().all():
            this = sa.and_(chunks.c.attempt_id == attempt, chunks.c.offset == offset)
            connection.execute(sa.update(chunks).where(this).values(line=line))
            line += bytes(connection.execute(sa.select(chunks.c.data).where(this)).scalar_one()).count(b"\n")
        connection.execute(sa.update(attempts).where(attempts.c.id == attempt).values(log_lines=line))
