"""A commit's run: its jobs, attempts, steps, timings, artifacts, and where the commit is in each lane."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import FarmgateError
from farmgate.models import Answer, Artifact, Attempt, Job, JobKind, Repository, Run, Step
from farmgate.pipeline import FILE_NAME
from farmgate.store import answers, attempts, jobs, lanes, late_reds, nodes, repositories, runs
from scheduler import job_views, outlook, report_reading
from scheduler.context import Context
from scheduler.outlook import Outlook
from scheduler.pages import graph, words
from scheduler.snapshot import rules_of

SHOWN_JOBS = 40
LISTED_JOBS = 120
_PLACE = re.compile(r"^(?P<source>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<text>.*)$")
_BEFORE_STEPS = (
    "claim",
    "folder",
    "mirror",
    "checkout",
    "fetch",
    "caches",
    "scripts",
    "waited",
    "services",
    "container",
)
_BESIDE = ("image", "start_services", "reserve")  # done meanwhile: what they cost the job is `waited`
_AFTER_STEPS = (
    "steps",
    "builds",
    "save_images",
    "push_images",
    "service_logs",
    "reports",
    "artifacts",
    "save_caches",
    "log",
)
_MOMENTS = ("first_step", "total")  # counted from the beginning, so no part of the bar
_PHASES = (*_BEFORE_STEPS, *_BESIDE, *_AFTER_STEPS)
_WORST_FIRST = (
    "failed",
    "error",
    "lost",
    "asking",
    "running",
    "queued",
    "ready",
    "waiting",
    "cancelled",
    "skipped",
    "passed",
)
_TRIGGERS = {"push": "pushed", "tag": "tagged", "pull": "proposed", "person": "asked for"}


def read(
    context: Context, connection: Connection, run_id: int, now: datetime, chosen: tuple[str, int] | None
) -> dict[str, Any]:
    """The values of run.html. `chosen`: the attempt to show of a job, by name and number. Raises NotFound."""
    run = runs.by_id(connection, run_id)
    repository = repositories.by_id(connection, run.repository_id)
    commit = repositories.commit(connection, run.repository_id, run.sha)
    rows = jobs.of_run(connection, run_id)
    waiting = _told(context, connection, run, rows, now)
    tried = attempts.of_jobs(connection, [jobs.told_by(job) for job in rows])
    taken = job_views.reused(connection, rows)
    names = nodes.names(connection)
    by_source: dict[int, list[Attempt]] = {jobs.told_by(job): [] for job in rows}
    for attempt in tried:
        by_source[attempt.job_id].append(attempt)
    by_job = {job.id: by_source[jobs.told_by(job)] for job in rows}
    shown_attempts = {job.id: _choose(job, by_job[job.id], chosen) for job in rows}
    ids = [attempt.id for attempt in shown_attempts.values() if attempt is not None]
    steps, made = (
        attempts.steps_of(connection, ids),
        attempts.some_artifacts_of(connection, ids, job_views.SHOWN_ARTIFACTS),
    )
    told = [_job(job, by_job[job.id], shown_attempts[job.id], steps, made, names, waiting) for job in rows]
    given = answers.of_jobs(connection, [jobs.told_by(job) for job in rows if job.kind is JobKind.APPROVAL])
    for job, one in zip(rows, told, strict=True):
        one |= _more(job, given.get(jobs.told_by(job)))
        one["reused"] = taken.get(job.reused_from or 0)
    _unfold_one(told)
    counts = Counter(str(job.state) for job in rows)
    listed = sorted(told, key=lambda job: _WORST_FIRST.index(job["state"])) if len(told) > graph.MOST_DRAWN else told
    unlisted = listed[LISTED_JOBS:]
    drawn = graph.lay_out({job.name: job.needs for job in rows})
    worth_showing = [job for job in listed if job["attempts"] or job["reason"] or job["why"] or job["question"]]
    first = [
        job for job in worth_showing if job["state"] == "asking" or (chosen is not None and job["name"] == chosen[0])
    ]
    return {
        "here": "/runs",
        "run": {
            "id": run.id,
            "repository": repository.name,
            "ordinal": run.ordinal,
            "title": commit.title if commit else "",
            "author": commit.author_name if commit else "",
            "state": run.state,
            "sha": run.sha,
            "ref": run.ref,
            "trust": run.trust,
            "templates": run.origin.get("templates", []),
            "trigger_words": _TRIGGERS.get(str(run.trigger), "seen"),
            "created_at": run.created_at,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "open": not states.is_final(run.state),
            "problems": problems(context, repository, run) if run.state is states.Run.ERROR else [],
            "reason": run.reason,
            "hold": run.hold if not states.is_final(run.state) else None,
            "again_of": run.again_of,
            "reuse": run.reuse,
        },
        "results": report_reading.of_run(connection, run_id, now),
        "lanes": where(connection, run.repository_id, run.sha),
        "turned_red": late_reds.standing(connection, run.repository_id, [run.sha]),
        "jobs": told,
        "shown": (first + [job for job in worth_showing if job not in first])[:SHOWN_JOBS],
        "listed": listed[:LISTED_JOBS],
        "unlisted": len(unlisted),
        "unlisted_words": ", ".join(sorted({job["state"] for job in unlisted})),
        "counts": [(state, counts[state]) for state in _WORST_FIRST if counts[state]],
        "drawn": drawn,
        "by_name": {job["name"]: job for job in told},
    }


def _more(job: Job, given: Answer | None) -> dict[str, Any]:
    """What a person is told of how the job came to be what it is."""
    told = []
    if job.failures:
        told.append(f"failed {words.plural(job.failures, 'time')} before, and tried again")
    if job.losses:
        told.append(f"lost its infrastructure {words.plural(job.losses, 'time')}; that is no failure of the job")
    if job.forgiven and job.state is states.Job.FAILED:
        told.append("its failure is allowed: it counts as passed")
    if job.runs_when != "passed":
        told.append({"failed": "runs when something failed", "always": "runs however it went"}[job.runs_when])
    if job.emitted_by is not None:
        told.append("emitted by a job of this run")
    return {"told": told, "question": job_views.question_body(job, given)}


def where(connection: Connection, repository_id: int, sha: str) -> list[dict[str, Any]]:
    """The commit in every lane that it can come to."""
    looks = {"live": "live", "delivering": "running", "waiting": "waiting", "taken back": "back"}
    found = []
    for place in lanes.where_is(connection, repository_id, sha):
        if place.state == "elsewhere":
            continue
        application, _, environment = place.lane.partition("/")
        anchor = f"#rollout-{place.rollout}" if place.state in ("live", "taken back") else f"#c-{words.short(sha)}"
        found.append(
            {
                "application": application,
                "environment": environment,
                "href": f"/lanes/{place.lane}{anchor if place.state != 'delivering' else '#rollout'}",
                "look": {"back": "sick"}.get(looks.get(place.state, ""), looks.get(place.state, "waiting")),
                "word": place.state,
                "since": place.since,
                "text": f"rollout #{place.rollout}" if place.rollout else "",
            }
        )
    return found


def problems(context: Context, repository: Repository, run: Run) -> list[dict[str, Any]]:
    """A bad pipeline file's problems, each with the lines around it where the commit still has them."""
    found: list[dict[str, Any]] = []
    files: dict[str, list[str]] = {}
    for told in (run.reason or "").splitlines():
        match = _PLACE.match(told)
        if match is None:
            if found:
                found[-1]["more"].append(told)
            continue
        if match["source"] not in files:
            files[match["source"]] = _file(context, repository, run.sha, match["source"])
        lines = files[match["source"]]
        line = int(match["line"])
        around = [(n, lines[n - 1][:400]) for n in range(max(1, line - 2), line + 3) if n <= len(lines)]
        where = f"{match['source']}:{line}:{match['column']}"
        found.append({"where": where, "text": match["text"], "line": line, "around": around, "more": []})
    return found


def _file(context: Context, repository: Repository, sha: str, source: str) -> list[str]:
    if source != FILE_NAME:
        return []
    try:
        content = context.mirrors.of(repository).read(sha, source)
    except (FarmgateError, OSError):
        return []
    return content.decode(errors="replace").splitlines() if content else []


def _told(context: Context, connection: Connection, run: Run, found: Iterable[Job], now: datetime) -> Outlook:
    """Why each job waits, and for about how long; only an open run has any that do."""
    if states.is_final(run.state):
        return outlook.NOTHING
    waiting = [job.id for job in found if job.state in outlook.WAITS]
    return outlook.of_jobs(connection, rules_of(context.settings), waiting, now) if waiting else outlook.NOTHING


def _choose(job: Job, tried: list[Attempt], chosen: tuple[str, int] | None) -> Attempt | None:
    if chosen is not None and chosen[0] == job.name:
        return next((attempt for attempt in tried if attempt.number == chosen[1]), tried[-1] if tried else None)
    return tried[-1] if tried else None


def _job(
    job: Job,
    tried: list[Attempt],
    shown: Attempt | None,
    steps: Iterable[Step],
    made: tuple[Sequence[Artifact], Mapping[int, int]],
    names: Mapping[int, str],
    waiting: Outlook,
) -> dict[str, Any]:
    ended = states.is_final(job.state)
    return {
        "id": job.id,
        "name": job.name,
        "needs": job.needs,
        "state": str(job.state),
        "why": waiting.why.get(job.id),
        "estimate": waiting.words.get(job.id),
        "reason": job.reason if ended else None,
        "image": job.spec.get("image"),
        "node": names.get(shown.node_id) if shown else None,
        "attempts": [{"number": attempt.number, "state": attempt.state} for attempt in tried],
        "attempt_shown": shown.number if shown else None,
        "attempt_reason": shown.reason if shown else None,
        "started_at": job.started_at,
        "finished_at": job.finished_at if ended else None,
        "timing": timing(shown.timings) if shown else None,
        "steps": [step for step in steps if shown and step.attempt_id == shown.id],
        "artifacts": [artifact for artifact in made[0] if shown and artifact.attempt_id == shown.id],
        "artifact_count": made[1].get(shown.id, 0) if shown else 0,
        "has_log": shown is not None,
        "open": shown is not None and shown.state is states.Attempt.RUNNING,
        "unfold": False,
    }


def _unfold_one(told: list[dict[str, Any]]) -> None:
    """Open the one log that its reader came for: what failed, else what runs, else the only one."""
    with_log = [job for job in told if job["has_log"]]
    for wanted in (("failed", "error", "lost"), ("running",)):
        for job in with_log:
            if job["state"] in wanted:
                job["unfold"] = True
                return
    if len(with_log) == 1:
        with_log[0]["unfold"] = True


def timing(phases: Mapping[str, float]) -> dict[str, Any] | None:
    """What each part of the way to the first step took, as a bar of 1000; None before anything was measured."""
    start = [(name, phases[name]) for name in _BEFORE_STEPS if phases.get(name, 0) > 0]
    start += [(name, seconds) for name, seconds in phases.items() if name not in (*_PHASES, *_MOMENTS) and seconds > 0]
    if "waited" not in phases:  # of a worker that did not tell them apart
        start += [(name, phases[name]) for name in _BESIDE if phases.get(name, 0) > 0]
    whole = sum(seconds for _, seconds in start)
    if whole <= 0:
        return None
    parts, x = [], 0.0
    for name, seconds in start:
        width = seconds / whole * 1000
        parts.append({"name": name.replace("_", " "), "seconds": seconds, "x": round(x, 1), "width": round(width, 1)})
        x += width
    told = ", ".join(f"{part['name']} {words.span(float(str(part['seconds'])))}" for part in parts)
    total = phases.get("total") or whole + sum(phases.get(name, 0) for name in _AFTER_STEPS)
    return {"total": total, "start": phases.get("first_step") or whole, "words": told, "parts": parts}
