"""Rows whose time is over: logs, what reports tell in detail, and whole runs. In the background, in bounded steps.

Rules:
1. The newest `runs_kept` runs of each repository stay whole, whatever their age; nothing of a run that is not over is
   touched, nor anything whose result another job took and shows.
2. A log gives way to a line that says so, after `log_keep`; what a rollout ever took to a lane keeps its logs.
3. Of a report the figures stay; its single results, their texts and its files go after `report_keep`.
4. A run goes with its jobs after `run_keep`, unless its commit was handed over to delivery (a candidate: the ledger
   names it) or a cache that is still there names one of its jobs. So do runs beyond `runs_most` of a repository and
   `branch_runs_most` of a branch, whatever their age. Commits and the audit log stay; `forgetting_names` has the tests.
5. Each transaction is small, and one round does so much; a death in between loses nothing: the rest is found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, false, func, or_, select, update

from farmgate import audit, states
from farmgate.settings import SchedulerSettings
from farmgate.store import schema as t
from scheduler import forgetting_names, packing
from scheduler.blob_streams import named
from scheduler.context import Context

AT_ONCE: Final = 100
ROUND: Final = 20
"""Steps of `AT_ONCE` in one round; the next sweep goes on."""
SMALL_LOG: Final = 512
"""Bytes up to which a log is not worth the line that would stand for it."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many of each."""

    logs: int = 0
    reports: int = 0
    runs: int = 0
    messages: int = 0  # webhooks, changes and lines of the record
    tests: int = 0  # names

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, field.name)} {field.name}" for field in fields(self))


def forget(context: Context) -> Forgotten:
    """One round of everything."""
    return Forgotten(logs(context), reports(context), runs(context), messages(context), forgetting_names.names(context))


# --- logs ---


def logs(context: Context) -> int:
    """Rule 2."""
    ledger = exists().where(t.candidates.c.run_id == t.runs.c.id, t.rollouts.c.candidate_id == t.candidates.c.id)
    count = 0
    for before, floors in _rounds(context, context.settings.log_keep):
        wanted = (
            _of_old_runs(select(t.attempts.c.id, t.attempts.c.job_id, t.attempts.c.log_bytes), before, floors)
            .where(t.attempts.c.log_blob.is_not(None), t.attempts.c.log_bytes > SMALL_LOG, ~ledger)
            .order_by(t.attempts.c.id)
            .limit(AT_ONCE)
        )
        with context.store.reading() as connection:
            found = connection.execute(wanted.where(~_shown_elsewhere())).all()
        for row in found:
            _replace_log(context, row.id, row.log_bytes)
        count += len(found)
        if len(found) < AT_ONCE:
            break
    return count


def _replace_log(context: Context, attempt_id: int, size: int) -> None:
    now = context.clock.now()
    text = f"farmgate: this log of {size} bytes was removed on {now:%Y-%m-%d}: its time was over (FARMGATE_LOG_KEEP)\n"
    stored = context.blobs.put(packing.squeezed(text.encode()))
    with context.store.writing() as connection:
        named(context, connection, stored.sha256)
        connection.execute(
            update(t.attempts)
            .where(t.attempts.c.id == attempt_id)
            .values(log_blob=stored.sha256, log_index=None, log_bytes=len(text), log_lines=1, log_cut=True)
        )
        connection.execute(update(t.steps).where(t.steps.c.attempt_id == attempt_id).values(log_offset=None))


# --- reports ---


def reports(context: Context) -> int:
    """Rule 3."""
    told = or_(*(exists().where(table.c.report_id == t.reports.c.id) for table in _DETAILS))
    count = 0
    for before, floors in _rounds(context, context.settings.report_keep):
        wanted = (
            _of_old_runs(select(t.reports.c.id), before, floors, of=t.reports.c.attempt_id)
            .where(t.reports.c.sealed_at.is_not(None), told, ~_shown_elsewhere())
            .order_by(t.reports.c.id)
            .limit(AT_ONCE)
        )
        with context.store.reading() as connection:
            found = list(connection.execute(wanted).scalars())
        for number in found:
            with context.store.writing() as connection:
                _forget_details(connection, [number])
        count += len(found)
        if len(found) < AT_ONCE:
            break
    return count


_DETAILS = (t.report_pages, t.report_files, t.test_results)


def _forget_details(connection: Connection, report_ids: Sequence[int]) -> None:
    for table in _DETAILS:
        connection.execute(delete(table).where(table.c.report_id.in_(report_ids)))


# --- runs ---


def runs(context: Context) -> int:
    """Rule 4."""
    kept_by = or_(
        exists().where(t.candidates.c.run_id == t.runs.c.id),
        exists().where(t.jobs.c.run_id == t.runs.c.id, t.caches.c.job_id == t.jobs.c.id),
        exists().where(t.jobs.c.run_id == t.runs.c.id, _shown_elsewhere()),
    )
    count = 0
    for before, floors in _rounds(context, context.settings.run_keep):
        with context.store.reading() as connection:
            goes = or_(_is_old(before, floors), _too_many(connection, context.settings, floors))
        wanted = select(t.runs.c.id).where(goes, ~kept_by).order_by(t.runs.c.id).limit(AT_ONCE)
        with context.store.reading() as connection:
            found = list(connection.execute(wanted).scalars())
        for number in found:
            _forget_run(context, number)
        count += len(found)
        if len(found) < AT_ONCE:
            break
    return count


def _forget_run(context: Context, run_id: int) -> None:
    """What belongs to its attempts goes attempt by attempt, the run itself at the end."""
    mine = select(t.attempts.c.id).join(t.jobs, t.jobs.c.id == t.attempts.c.job_id).where(t.jobs.c.run_id == run_id)
    with context.store.reading() as connection:
        attempts = list(connection.execute(mine).scalars())
    for number in attempts:
        with context.store.writing() as connection:
            of_it = list(connection.execute(select(t.reports.c.id).where(t.reports.c.attempt_id == number)).scalars())
            _forget_details(connection, of_it)
            flakes = t.test_flakes.c
            connection.execute(
                delete(t.test_flakes).where(flakes.failed_report_id.in_(of_it) | flakes.passed_report_id.in_(of_it))
            )
            connection.execute(delete(t.reports).where(t.reports.c.id.in_(of_it)))
            for table in (t.artifacts, t.steps, t.log_chunks):
                connection.execute(delete(table).where(table.c.attempt_id == number))
    with context.store.writing() as connection:
        jobs = select(t.jobs.c.id).where(t.jobs.c.run_id == run_id)
        for table in (t.answers, t.identity_tokens, t.attempts):
            connection.execute(delete(table).where(table.c.job_id.in_(jobs)))
        connection.execute(delete(t.jobs).where(t.jobs.c.run_id == run_id))
        connection.execute(update(t.made).where(t.made.c.run_id == run_id).values(run_id=None))
        connection.execute(delete(t.runs).where(t.runs.c.id == run_id))


# --- webhooks, changes, the record ---


def messages(context: Context) -> int:
    """Of webhooks and changes that ended, and of what the record tells that is no act of anyone: as old as runs."""
    before = context.clock.now() - context.settings.run_keep
    open_ = states.open_states(states.Intake)
    named_by = exists().where(t.intakes.c.delivery_id == t.deliveries.c.id)
    return (
        _all_of(
            context, select(t.intakes.c.id).where(t.intakes.c.created_at <= before, t.intakes.c.state.not_in(open_))
        )
        + _all_of(context, select(t.deliveries.c.id).where(t.deliveries.c.received_at <= before, ~named_by))
        + _all_of(
            context, select(t.events.c.id).where(t.events.c.at <= before, t.events.c.kind.in_(list(audit.NOTICED)))
        )
    )


def _all_of(context: Context, wanted: Select[tuple[int]]) -> int:
    column = wanted.selected_columns[0]
    table, count = column.table, 0
    for _ in range(ROUND):
        with context.store.writing() as connection:
            found = list(connection.execute(wanted.order_by(column).limit(AT_ONCE)).scalars())
            connection.execute(delete(table).where(column.in_(found)))
        count += len(found)
        if len(found) < AT_ONCE:
            break
    return count


# --- what is old (rule 1) ---

Floors = dict[int, int]
"""By repository: the newest run that is not among the newest `runs_kept`."""


def _rounds(context: Context, keep: timedelta) -> Iterator[tuple[datetime, Floors]]:
    before = context.clock.now() - keep
    with context.store.reading() as connection:
        floors = _floors(connection, context.settings.runs_kept)
    for _ in range(ROUND if floors else 0):
        yield before, floors


def _floors(connection: Connection, kept: int) -> Floors:
    found: Floors = {}
    for number in connection.execute(select(t.repositories.c.id)).scalars():
        mine = select(t.runs.c.id).where(t.runs.c.repository_id == number).order_by(t.runs.c.id.desc())
        last = connection.execute(mine.offset(kept).limit(1)).scalar()
        if last is not None:
            found[number] = last
    return found


def _too_many(connection: Connection, settings: SchedulerSettings, floors: Floors) -> ColumnElement[bool]:
    """Runs that are over, beyond as many as a repository or a branch may have; never of the newest (rule 1)."""
    over = t.runs.c.state.not_in(states.open_states(states.Run))
    beyond = [
        and_(t.runs.c.repository_id == of, t.runs.c.id <= min(last, floors[of]))
        for of, last in _floors(connection, settings.runs_most).items()
        if of in floors
    ]
    if settings.branch_runs_most is not None:
        many = (
            select(t.runs.c.repository_id, t.runs.c.ref)
            .where(t.runs.c.repository_id.in_(list(floors)))
            .group_by(t.runs.c.repository_id, t.runs.c.ref)
            .having(func.count() > settings.branch_runs_most)
            .order_by(t.runs.c.repository_id, t.runs.c.ref)
            .limit(AT_ONCE)
        )
        for of, ref in connection.execute(many).all():
            mine = select(t.runs.c.id).where(t.runs.c.repository_id == of, t.runs.c.ref == ref)
            last = connection.execute(
                mine.order_by(t.runs.c.id.desc()).offset(settings.branch_runs_most).limit(1)
            ).scalar_one()
            beyond.append(and_(t.runs.c.repository_id == of, t.runs.c.ref == ref, t.runs.c.id <= min(last, floors[of])))
    return and_(over, or_(false(), *beyond))


def _is_old(before: datetime, floors: Floors) -> ColumnElement[bool]:
    among = or_(*(and_(t.runs.c.repository_id == of, t.runs.c.id <= last) for of, last in floors.items()))
    return and_(t.runs.c.finished_at <= before, t.runs.c.state.not_in(states.open_states(states.Run)), among)


def _of_old_runs(
    wanted: Select[Any], before: datetime, floors: Floors, of: ColumnElement[int] = t.attempts.c.id
) -> Select[Any]:
    """Of the attempts of old runs."""
    joined = t.attempts.join(t.jobs, t.jobs.c.id == t.attempts.c.job_id).join(t.runs, t.runs.c.id == t.jobs.c.run_id)
    if of.table is not t.attempts:
        joined = joined.join(of.table, of == t.attempts.c.id)
    return wanted.select_from(joined).where(_is_old(before, floors))


def _shown_elsewhere() -> ColumnElement[bool]:
    """A job whose result another one took."""
    other = t.jobs.alias("other")
    return exists().where(other.c.reused_from == t.jobs.c.id)
