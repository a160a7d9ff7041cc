"""What is told of jobs that wait: why, and for about how long. One reading of the farm, shared by API and pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from farmgate import states
from farmgate.store import jobs
from scheduler.estimates import Forecast, durations, forecast
from scheduler.snapshot import snapshot
from scheduler.view import Rules, Snapshot
from scheduler.waiting import why

WAITS = (states.Job.WAITING, states.Job.READY, states.Job.QUEUED)
NO_HISTORY = "no estimate: nothing like it has passed here yet"
UNKNOWN = "no estimate: it waits for what has no set time"


@dataclass(frozen=True, slots=True)
class Outlook:
    """By job id: why it waits, when it should start, and that in words."""

    why: dict[int, str]
    starts: dict[int, Forecast]
    words: dict[int, str]


NOTHING = Outlook({}, {}, {})


def of_jobs(connection: Connection, rules: Rules, wanted: Iterable[int], now: datetime) -> Outlook:
    """Of these jobs; those that do not wait are left out."""
    return _look(connection, snapshot(connection, rules), frozenset(wanted), now)


def of_runs(connection: Connection, rules: Rules, run_ids: Iterable[int], now: datetime) -> dict[int, str]:
    """Of the runs that have not begun: in about how long their first job should start."""
    listed = frozenset(run_ids)
    seen = snapshot(connection, rules)
    of_run = {job.id: run.id for run in seen.runs if run.id in listed for job in run.jobs if job.state in WAITS}
    outlook = _look(connection, seen, frozenset(of_run), now)
    first: dict[int, Forecast] = {}
    for job, told in outlook.starts.items():
        run = of_run[job]
        if run not in first or told.starts_at < first[run].starts_at:
            first[run] = told
    return {run: first[run].words(now) if run in first else "not known yet" for run in set(of_run.values())}


def _look(connection: Connection, seen: Snapshot, wanted: frozenset[int], now: datetime) -> Outlook:
    waiting = frozenset(job.id for run in seen.runs for job in run.jobs if job.id in wanted and job.state in WAITS)
    if not waiting:
        return NOTHING
    known = durations(
        entry
        for repository in sorted({run.repository_id for run in seen.runs})
        for entry in jobs.recently_passed(connection, repository)
    )
    starts = forecast(seen, known, now, waiting)
    none = NO_HISTORY if known.usual is None else UNKNOWN
    words = {job: starts[job].words(now) if job in starts else none for job in waiting}
    return Outlook({job: text for job, text in why(seen, now).items() if job in waiting}, starts, words)
