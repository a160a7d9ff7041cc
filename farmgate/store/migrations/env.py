"""What Alembic runs: it works on the connection that `farmgate.store.migrate` gives it, inside its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from farmgate.store.schema import State, Utc, metadata


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write our column types into revisions as what they are stored as, so that old revisions need no old code."""
    if kind == "type" and isinstance(item, Utc):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, State):
        return "sa.String(length=16)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
