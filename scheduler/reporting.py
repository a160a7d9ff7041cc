"""What attempts report, as functions without HTTP; and what their tests mean for the job's verdict.

Rules:
1. A page, a file, an end is taken in the transaction that checks that the attempt is live (I3).
2. A job that failed is forgiven if its tests are why, and every test that failed is in quarantine: it ended with an
   exit code of its own in its last step, its test report is complete and was written in that step, and nothing that it
   promised is missing. The quarantines are those in force when the result comes.
3. A quarantine that has ended decides nothing, and is named where its test failed.
4. The result and what follows from the tests are one transaction: seals, flakes, forgiveness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from farmgate import models, states
from farmgate.errors import BadPayload
from farmgate.messages import ArtifactTaken, CaseRow, ReportEnd, ReportPage, TimedTest, Times
from farmgate.models import KnownTest, NotedResult, Quarantine, Report, ReportKind, Step
from farmgate.pipeline import JobSpec
from farmgate.reports.history import BAD
from farmgate.reports.names import called, variant_of
from farmgate.reports.packing import pack_rows, unpack_results
from farmgate.store import attempts, courses, holdings, jobs, quarantines, reports, repositories, runs
from farmgate.store.intakes import storable
from scheduler.blob_streams import named
from scheduler.context import Context

FILE_LIMIT_BYTES = 256 * 2**20
ITS_OWN = range(1, 126)  # exit codes that a test runner gives; above: not found, or a signal
CLOCKS = timedelta(seconds=2)
"""How far a file's time and a step's may be apart: they come from different clocks of one node."""
TIMES_OF = 3
"""Runs whose times a shard is told."""
MOST_TIMES = 100_000


# --- what an attempt sends ---------------------------------------------------------------------------------------


def take_page(context: Context, attempt: models.Attempt, body: ReportPage) -> None:
    """Keep a page of a report. Raises StaleAttempt."""
    now = context.clock.now()
    with context.store.writing() as connection:
        report = _report(connection, attempt, ReportKind(body.kind))
        match body.kind:
            case "tests":
                reports.put_cases(connection, report, body.number, [_storable(case) for case in body.cases], now)
            case "coverage":
                reports.put_page(
                    connection, report.id, body.number, pack_rows([list(dict(r).values()) for r in body.covered])
                )
            case "findings":
                reports.put_page(
                    connection, report.id, body.number, pack_rows([list(dict(r).values()) for r in body.findings])
                )
            case "components":
                raise BadPayload("components have no pages: they are counted")


def take_end(context: Context, attempt: models.Attempt, body: ReportEnd) -> None:
    """All of a kind was sent. Raises StaleAttempt."""
    with context.store.writing() as connection:
        report = _report(connection, attempt, ReportKind(body.kind))
        for file in body.files:
            if file.sha256 is not None:
                holdings.name(connection, file.sha256)
                if not context.blobs.exists(file.sha256):
                    raise BadPayload(f"files: the bytes of {file.path[:100]!r} were not sent")
        files = tuple(
            file.model_copy(
                update={
                    "path": storable(file.path),
                    "problem": None if file.problem is None else storable(file.problem),
                }
            )
            for file in body.files
        )
        named(context, connection, *(file.sha256 for file in files if file.sha256 is not None))
        reports.end(connection, report, body.model_copy(update={"files": files}))
    context.changes.touch(attempt.job_id)


def take_file(context: Context, attempt: models.Attempt, chunks: Iterable[bytes]) -> ArtifactTaken:
    """Keep the bytes of a file that was read. Raises StaleAttempt, TooLarge."""
    stored = context.blobs.put(chunks, min(FILE_LIMIT_BYTES, context.settings.artifact_limit_bytes))
    with context.store.writing() as connection:
        attempts.still_live(connection, attempt.id)
        named(context, connection, stored.sha256)
    return ArtifactTaken(sha256=stored.sha256, size_bytes=stored.size_bytes)


def _report(connection: Connection, attempt: models.Attempt, kind: ReportKind) -> Report:
    """Rule 1."""
    attempts.still_live(connection, attempt.id)
    job = jobs.by_id(connection, attempt.job_id)
    run = runs.by_id(connection, job.run_id)
    commit = repositories.commit(connection, run.repository_id, run.sha)
    return reports.begin(connection, attempt, job, run, commit.tree if commit else run.sha, kind)


def _storable(case: CaseRow) -> CaseRow:
    texts = {name: storable(getattr(case, name)) for name in ("suite", "class_name", "name", "file", "message", "text")}
    return case.model_copy(update=texts)


# --- what its end means ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pardon:
    """What quarantine says of a failed job: `forgiven`, and in words why or why not."""

    forgiven: bool
    words: str


def settle(
    connection: Connection, attempt: models.Attempt, job: models.Job, outcome: str, exit_code: int | None, now: datetime
) -> Pardon | None:
    """Rule 4, once the attempt has ended; None: quarantine has nothing to say."""
    sealed = reports.seal(connection, attempt.id, now, counts=outcome in ("passed", "failed"))
    report = next((one for one in sealed if one.kind is ReportKind.TESTS), None)
    if report is None or not report.counts:
        return None
    courses.note_flakes(connection, report, now)
    if outcome != "failed":
        return None
    standing = quarantines.standing(connection, report.repository_id)
    if not standing:
        return None
    rows = reports.noted(connection, [report.id])
    failed = [row for row in rows if row.outcome in BAD]
    known = reports.known_tests(connection, [row.test_id for row in failed])
    files = reports.files_of(connection, [report.id])
    steps = attempts.steps_of(connection, [attempt.id])
    oldest = min((file.modified_at for file in files), default=None)
    return pardon(JobSpec.model_validate(job.spec), exit_code, report, failed, known, standing, steps, oldest, now)


def pardon(
    spec: JobSpec,
    exit_code: int | None,
    report: Report,
    failed: Sequence[NotedResult],
    known: dict[int, KnownTest],
    standing: dict[str, Quarantine],
    steps: Sequence[Step],
    oldest: datetime | None,
    now: datetime,
) -> Pardon | None:
    """Rules 2 and 3. Pure. `failed`: all that failed; `oldest`: when the first of the report's files was written."""
    names = {called(known[row.test_id].class_name, known[row.test_id].name) for row in failed}
    held = {name: standing[name] for name in sorted(names) if name in standing}
    if not held:
        return None
    ended = [
        f"the quarantine of {name} ended on {one.until:%Y-%m-%d}" for name, one in held.items() if one.until <= now
    ]
    if ended:
        return Pardon(False, "; ".join(ended[:3]) + ": it decides again")
    others = len(names) - len(held)
    if others:
        return None
    last = next((step for step in steps if step.state is states.Step.FAILED), None)
    why_not = None
    if exit_code not in ITS_OWN or last is None:
        why_not = "the job did not end by a test's failure"
    elif not report.complete or report.figures.get("failed", 0) + report.figures.get("errors", 0) > len(failed):
        why_not = "its test report is not complete"
    elif last.number != len(spec.steps):
        why_not = f"the steps after step {last.number} did not run"
    elif oldest is None or last.started_at is None or oldest < last.started_at - CLOCKS:
        why_not = f"its test report was not written by step {last.number}, which failed"
    elif any(one.when == "passed" and not one.optional for one in spec.artifacts) or spec.builds or spec.emits:
        why_not = "what the job makes was not made"
    if why_not is not None:
        return Pardon(False, f"the tests that failed are in quarantine, but {why_not}")
    told = [f"{name} (until {one.until:%Y-%m-%d}, {one.owner})" for name, one in held.items()]
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    return Pardon(True, f"forgiven: only tests in quarantine failed: {', '.join(told[:5])}{more}")


# --- what shards are told ----------------------------------------------------------------------------------------


def _first(connection: Connection, run: models.Run) -> models.Run:
    """The run that this one repeats: its shards share their tests with those that are run again."""
    for _ in range(50):
        if run.again_of is None:
            break
        run = runs.by_id(connection, run.again_of)
    return run


def times(context: Context, attempt: models.Attempt) -> Times:
    """What the tests of the job's variant took in the runs before this one: the same for all shards of the run, since
    what was sealed before the run was made does not change."""
    with context.store.reading() as connection:
        job = jobs.by_id(connection, attempt.job_id)
        run = _first(connection, runs.by_id(connection, job.run_id))
        variant = variant_of(job.name, job.spec.get("shard") is not None)
        found = reports.latest(
            connection, run.repository_id, ReportKind.TESTS, variant, sealed_by=run.created_at, limit=400 * TIMES_OF
        )
        wanted = list(dict.fromkeys(report.run_id for report in found))[:TIMES_OF]
        chosen = [report.id for report in found if report.run_id in wanted]
        seconds: dict[int, float] = {}
        pages = reports.pages_of(connection, chosen)
        for report_id in chosen:  # the newest first, and the first that is told counts
            for page in pages[report_id]:
                for test, outcome, took in unpack_results(page).rows():
                    if outcome != "skipped" and len(seconds) < MOST_TIMES:
                        seconds.setdefault(test, took)
        known = reports.known_tests(connection, seconds)
    return Times(
        tests=tuple(
            TimedTest(
                file=known[test].file, class_name=known[test].class_name, name=known[test].name, seconds=seconds[test]
            )
            for test in sorted(seconds)
        )
    )
