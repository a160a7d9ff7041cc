"""Answering what the deploy loop asks of a batch: the effects of `looking`."""

from __future__ import annotations

from sqlalchemy import select

from farmgate.store import looks, repositories
from farmgate.store.schema import said_fixes
from scheduler.context import DEPLOY, Context
from scheduler.looking import look


def answer(context: Context, rollout_id: int) -> None:
    """Look, and write what was found. Raises FarmgateError: it is tried again."""
    with context.store.reading() as connection:
        asked = looks.of_rollout(connection, rollout_id)
        if asked is None or asked.answered_at is not None:
            return
        repository = repositories.by_id(connection, asked.repository_id)
        said = select(said_fixes.c.fixes).where(said_fixes.c.repository_id == repository.id)
        fixed = frozenset(connection.execute(said).scalars())
    found = look(context.mirrors.of(repository), asked.since_sha, asked.until_sha, asked.patterns, fixed)
    with context.store.writing() as connection:
        looks.answer(connection, rollout_id, found, context.clock.now())
    context.deploy_signals.wake(DEPLOY)
