"""Asking repositories what webhooks missed: each ref that differs from what is known becomes a change to be read."""

from __future__ import annotations

from collections.abc import Mapping

from farmgate import states
from farmgate.errors import RemoteUnreachable
from farmgate.models import Ref
from farmgate.refs import HEADS, is_branch_or_tag
from farmgate.store import intakes, repositories
from farmgate.store.intakes import NewIntake
from scheduler.context import Context
from scheduler.reading import LONGEST_REF


def poll(context: Context, repository_id: int) -> None:
    """Ask the remote for what webhooks missed: write down each ref that differs from what is known."""
    with context.store.reading() as connection:
        repository = repositories.by_id(connection, repository_id)
        first = intakes.first_read(connection, repository_id)
    if repository.removed_at is not None:
        return
    error: str | None = None
    found: list[NewIntake] = []
    try:
        context.mirrors.fetch(repository)
        tips = context.mirrors.of(repository).refs()
        with context.store.reading() as connection:
            known = repositories.known_refs(connection, repository_id)
        if first is not None and first.state is states.Intake.DONE:
            found = missed(tips, known)
        elif first is None or first.state is states.Intake.REJECTED:
            found = [NewIntake("first", HEADS + repository.default_branch)]
    except RemoteUnreachable as unreachable:
        error = str(unreachable)
    now = context.clock.now()
    with context.store.writing() as connection:
        repositories.polled(connection, repository_id, now, error)
        waiting = {intake.ref for intake in intakes.due(connection, repository_id, now)}
        intakes.put(connection, repository_id, [change for change in found if change.ref not in waiting], now)
    if found:
        context.wake()


def missed(tips: Mapping[str, str], known: Mapping[str, Ref]) -> list[NewIntake]:
    """The refs that differ from what is known, as changes to be read."""
    found = [
        NewIntake("push", name, known[name].sha if name in known else None, sha)
        for name, sha in sorted(tips.items())
        if is_branch_or_tag(name) and len(name) <= LONGEST_REF and (name not in known or known[name].sha != sha)
    ]
    found += [
        NewIntake("delete", ref.name, ref.sha, None)
        for ref in known.values()
        if ref.sha is not None and ref.name not in tips and is_branch_or_tag(ref.name)
    ]
    return found
