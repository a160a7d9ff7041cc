"""Read once what a plan needs. A farm where nothing is open costs one query."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, or_, select, union_all

from farmgate import states
from farmgate.settings import SchedulerSettings
from farmgate.store import attempts, intakes, jobs, logs, looks, made, submissions
from farmgate.store.schema import Utc
from farmgate.store.schema import attempts as attempts_table
from farmgate.store.schema import intakes as intakes_table
from farmgate.store.schema import made as made_table
from farmgate.store.schema import nodes as nodes_table
from farmgate.store.schema import repositories as repositories_table
from farmgate.store.schema import runs as runs_table
from farmgate.store.schema import submissions as submissions_table
from scheduler import making
from scheduler.submitting import standing
from scheduler.view import (
    AttemptView,
    IntakeView,
    JobView,
    Labels,
    NodeView,
    RepositoryView,
    Rules,
    RunView,
    Snapshot,
)

LOGS_AT_ONCE = 20


def rules_of(settings: SchedulerSettings) -> Rules:
    """The settings that plans depend on."""
    return Rules(
        ring_again=settings.ring_again,
        poll_every=settings.poll_every,
        silent_after=settings.silent_after,
        infrastructure_retries=settings.infrastructure_retries,
        look_ahead=settings.look_ahead,
    )


def is_idle(connection: Connection, rules: Rules, now: datetime) -> bool:
    """True if there is nothing that a plan could decide about: one query."""
    asked = {"heard": now - rules.silent_after, "polled": now - rules.poll_every}
    return connection.execute(_ANYTHING, asked).first() is None


def snapshot(
    connection: Connection, rules: Rules, *, busy: frozenset[str] = frozenset(), fresh: bool = False
) -> Snapshot:
    """The farm as it is. `busy`: keys of background work under way."""
    return Snapshot(
        rules=rules,
        runs=_runs(*jobs.of_open_runs(connection)),
        attempts=tuple(AttemptView(*tuple(row)) for row in attempts.running(connection)),
        nodes=_nodes(connection),
        intakes=tuple(IntakeView(*values) for values in intakes.pending(connection)),
        repositories=_repositories(connection),
        unpacked_logs=tuple(logs.unpacked(connection, LOGS_AT_ONCE)),
        looks=tuple(looks.unanswered(connection)),
        submissions=tuple(standing(connection, row) for row in submissions.waiting(connection)),
        made=making.views(connection),
        busy=busy,
        fresh=fresh,
    )


def _runs(of_runs: Sequence[Any], of_jobs: Sequence[Any]) -> tuple[RunView, ...]:
    jobs_of: dict[int, list[JobView]] = {row[0]: [] for row in of_runs}
    for row in of_jobs:  # in the order of JobView's fields
        id_, run_id, name, needs, *rest = row
        rest[LABELS] = _labels(rest[LABELS])
        jobs_of[run_id].append(JobView(id_, run_id, name, _names(needs), *rest))
    found: list[RunView] = []
    for row in of_runs:  # likewise of RunView's
        if jobs := jobs_of[row[0]]:
            values = [*row[:BEFORE_JOBS], tuple(jobs), *row[BEFORE_JOBS:]]
            found.append(RunView(*values))
    return tuple(found)


BEFORE_JOBS = [field.name for field in dataclasses.fields(RunView)].index("jobs")
LABELS = [field.name for field in dataclasses.fields(JobView)].index("labels") - 4


@lru_cache(maxsize=4096)
def _names(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))


@lru_cache(maxsize=4096)
def _labels(stored: str) -> Labels:
    return tuple(sorted(json.loads(stored).items()))


def _nodes(connection: Connection) -> tuple[NodeView, ...]:
    return tuple(NodeView(*row[:-1], tuple(sorted(row.labels.items()))) for row in connection.execute(_NODES))


def _repositories(connection: Connection) -> tuple[RepositoryView, ...]:
    return tuple(RepositoryView(*row) for row in connection.execute(_REPOSITORIES))


# Built once: in every tick, building them took as long as asking.
_NODES: Final = select(
    nodes_table.c.id,
    nodes_table.c.name,
    nodes_table.c.pool,
    nodes_table.c.slots,
    nodes_table.c.state,
    nodes_table.c.seen_at,
    nodes_table.c.labels,
).where(nodes_table.c.state != states.Node.REMOVED)
_REPOSITORIES: Final = select(repositories_table.c.id, repositories_table.c.polled_at).where(
    repositories_table.c.removed_at.is_(None)
)
_ANYTHING: Final = union_all(
    select(runs_table.c.id).where(runs_table.c.state.in_(states.open_states(states.Run))).limit(1).subquery().select(),
    select(intakes_table.c.id).where(intakes_table.c.state == states.Intake.PENDING).limit(1).subquery().select(),
    select(submissions_table.c.id)
    .where(submissions_table.c.state == states.Submission.WAITING)
    .limit(1)
    .subquery()
    .select(),
    select(made_table.c.id).where(made_table.c.state.in_(made.BEFORE_DELIVERY)).limit(1).subquery().select(),
    looks.any_unanswered().subquery().select(),
    select(attempts_table.c.id).where(attempts_table.c.log_blob.is_(None)).limit(1).subquery().select(),
    select(nodes_table.c.id)
    .where(
        nodes_table.c.state.in_((states.Node.READY, states.Node.DRAINING)),
        nodes_table.c.seen_at <= bindparam("heard", type_=Utc),
    )
    .limit(1)
    .subquery()
    .select(),
    select(repositories_table.c.id)
    .where(
        repositories_table.c.removed_at.is_(None),
        or_(
            repositories_table.c.polled_at.is_(None),
            repositories_table.c.polled_at <= bindparam("polled", type_=Utc),
        ),
    )
    .limit(1)
    .subquery()
    .select(),
).limit(1)
