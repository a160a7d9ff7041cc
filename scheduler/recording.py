"""What was read, written down: commits, places, runs, and the end of a change.

Rules:
1. Commits go in with their places and their runs, oldest first, a few at a time; who dies half way is followed by one
   that goes on.
2. The newest `push_limit` commits of a push get a run; older ones are recorded without.
3. What strangers wrote is made storable first.
4. What each commit changes, and what would take it back, is kept as ids: so a revert is known whatever it says.
5. A run of a fork, where the repository's maintainers want to be asked, is held until one allows exactly this commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection

from farmgate.errors import FarmgateError
from farmgate.git import GitCommit, History
from farmgate.models import ForkPolicy, IntakeRow, Repository, Trigger, Trust
from farmgate.refs import HEADS
from farmgate.store import events, fixes, intakes, repositories, runs
from farmgate.store.runs import NewRun
from scheduler import supersede
from scheduler.compared import Place
from scheduler.context import Context
from scheduler.pipelines import run_of
from scheduler.reading import Placed
from scheduler.templates import FarmTemplates

log = structlog.get_logger("farmgate.intake")
LONGEST_NAME, LONGEST_TITLE, LONGEST_MESSAGE = 200, 500, 64_000  # characters
AT_ONCE = 50
"""Commits that are stored in one transaction."""
PATCHES_AT_FIRST = 100
"""Of the commits that are there already at the first look, so many of the newest may be found to be taken back."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One repository being read."""

    context: Context
    repository: Repository
    history: History
    tips: Mapping[str, str]  # every ref, as it was fetched

    @property
    def now(self) -> datetime:
        return self.context.clock.now()


def record(reader: Reader, intake: IntakeRow, branch: str, new: Sequence[Placed], *, tip_only: bool) -> int:
    """Rule 1: places, commits and runs, oldest first, a few at a time. How many runs were made."""
    made = 0
    unrun = len(new) - reader.context.settings.push_limit
    for start in range(0, len(new), AT_ONCE):
        part = new[start : start + AT_ONCE]
        wanted = [
            run_for(reader, placed.commit.sha, _place(new, at, unrun, branch, tip_only), intake)
            for at, placed in enumerate(part, start)
            if at >= unrun
        ]
        patches = patches_of(reader, [placed.commit.sha for placed in part])
        with reader.context.store.writing() as connection:
            keep(connection, reader, branch, part)
            fixes.keep_patches(connection, reader.repository.id, patches)
            for run in wanted:
                if tip_only and runs.of_commit(connection, run.repository_id, run.sha):
                    continue
                made += runs.create(connection, run, reader.now) is not None
        reader.context.wake()
    return made


def _place(new: Sequence[Placed], at: int, unrun: int, branch: str, tip_only: bool) -> Place:
    """The first that is run is compared with what stood before all that is not."""
    unseen = at > 0 and at == unrun
    before = next(iter(new[0].commit.parents), None) if unseen else None
    return Place(HEADS + branch, Trigger.PUSH, before=before, tip_only=tip_only or (unseen and before is None))


def run_for(reader: Reader, sha: str, place: Place, intake: IntakeRow) -> NewRun:
    from_fork = bool(intake.details.get("from_fork"))
    asked_by = str(intake.details.get("author") or ("webhook" if intake.delivery_id else "poll"))
    trust = Trust.UNTRUSTED if from_fork else Trust.TRUSTED
    templates = FarmTemplates(reader.context, reader.repository, trust)
    hold = None
    if from_fork and reader.repository.fork_policy is ForkPolicy.ASK:
        hold = f"held: a maintainer must allow commit {sha[:10]} first, since it comes from a fork"
    run = run_of(
        reader.history,
        reader.repository.id,
        sha,
        place,
        trust,
        asked_by,
        intake.created_at,
        templates=templates,
        hold=hold,
    )
    default, said = reader.repository.default_branch, run.cancel_superseded
    ends = supersede.ends_older(place.ref, default, place.trigger, said, again=False)
    return replace(run, ends_older=ends)


def keep(connection: Connection, reader: Reader, branch: str, new: Sequence[Placed]) -> None:
    repositories.see(connection, [commit_values(reader, placed.commit) for placed in new])
    for placed in new:
        if placed.position is not None:
            repositories.place(connection, reader.repository.id, branch, placed.position, placed.commit.sha)


def patches_of(reader: Reader, shas: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The ids of what commits change and of what would take it back. What git cannot say stops no reading."""
    try:
        found = reader.history.patches(shas)
    except FarmgateError as error:
        log.warning("patches could not be computed", repository=reader.repository.name, error=str(error))
        return {}
    return {sha: (patch.id, patch.inverse) for sha, patch in found.items()}


def commit_values(reader: Reader, commit: GitCommit) -> dict[str, object]:
    return {
        "repository_id": reader.repository.id,
        "sha": commit.sha,
        "parents": list(commit.parents),
        "tree": commit.tree,
        "author_name": _shortened(commit.author_name, LONGEST_NAME),
        "author_email": _shortened(commit.author_email, LONGEST_NAME),
        "title": _shortened(commit.title, LONGEST_TITLE),
        "message": _shortened(commit.message, LONGEST_MESSAGE),
        "committed_at": commit.committed_at,
        "seen_at": reader.now,
    }


def _shortened(text: str, limit: int) -> str:
    """For people: a title of 100 kB would fill every list and page. Git has the whole."""
    kept = intakes.storable(text)
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def end(reader: Reader, intake: IntakeRow, reason: str, *, refused: bool = False) -> None:
    with reader.context.store.writing() as connection:
        (rejected if refused else done)(connection, reader, intake, reason)


def done(connection: Connection, reader: Reader, intake: IntakeRow, reason: str) -> None:
    intakes.done(connection, intake.id, reason)
    subject = f"repository/{reader.repository.name}"
    events.record(connection, reader.now, "intake.done", subject, "git", f"{intake.kind} {intake.ref}: {reason}")


def rejected(connection: Connection, reader: Reader, intake: IntakeRow, reason: str) -> None:
    intakes.reject(connection, intake.id, reason)
    subject = f"repository/{reader.repository.name}"
    events.record(connection, reader.now, "intake.rejected", subject, "git", f"{intake.kind} {intake.ref}: {reason}")
