"""A run's artifacts: each job's files and folders, to look through and to take.

Rules:
1. A folder is opened by its address; only one level is shown, so that ten thousand files are a page like any other.
2. Of a run that keeps very much the jobs are listed with their sums, each with a page of its own.
3. Nothing of an artifact is shown inside a page: it is a stranger's file, and it is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from farmgate.errors import NotFound
from farmgate.models import Artifact
from farmgate.store import kept, repositories, runs
from farmgate.store.kept import Kept
from scheduler.artifacts_api import MOST_IN_ARCHIVE
from scheduler.context import Context
from scheduler.retention import ends_of

SHOWN_WHOLE = 2_000
"""Files of a run up to which its own page lists them."""
MOST_SHOWN = 500
"""Files and folders of one level; the archive and the command line give the rest."""


@dataclass(slots=True)
class Folder:
    """What lies below a name."""

    name: str
    path: str
    files: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Level:
    """One level of a job's artifacts."""

    folders: list[Folder] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    unlisted: int = 0


def read(context: Context, connection: Connection, run_id: int, job: str, under: str) -> dict[str, Any]:
    """The values of artifacts.html. Raises NotFound."""
    run = runs.by_id(connection, run_id)
    commit = repositories.commit(connection, run.repository_id, run.sha)
    sums = kept.sums(connection, run_id)
    chosen = [one for one in sums if not job or one.job == job]
    if job and not chosen:
        raise NotFound(f"run {run_id} keeps nothing of a job {job[:200]!r}")
    whole = bool(job) or sum(one.files + one.ended for one in chosen) <= SHOWN_WHOLE
    keep = context.settings.artifact_keep
    levels = [
        level(kept.of_run(connection, run_id, MOST_IN_ARCHIVE, one.job_id), under if job else "", keep)
        for one in (chosen if whole else ())
    ]
    if under and not any(one.folders or one.files for one in levels):
        raise NotFound(f"job {job[:200]!r} of run {run_id} keeps nothing below {under[:200]!r}")
    return {
        "here": "/runs",
        "live": False,
        "run": {
            "id": run.id,
            "repository": repositories.by_id(connection, run.repository_id).name,
            "title": commit.title if commit else "",
            "sha": run.sha,
        },
        "job": job,
        "trail": trail(under),
        "parts": [{"sum": one, "level": levels[at] if whole else None} for at, one in enumerate(chosen)],
        "files": sum(one.files for one in chosen),
        "size_bytes": sum(one.size_bytes for one in chosen),
        "too_many": sum(one.files for one in chosen) > MOST_IN_ARCHIVE,
    }


def level(found: Iterable[Kept], under: str, keep: timedelta) -> Level:
    """What lies directly below the folder `under`: folders first, by name."""
    shown, folders = Level(), dict[str, Folder]()
    beginning = f"{under.strip('/')}/" if under.strip("/") else ""
    for one in sorted(found, key=lambda one: one.artifact.path):
        artifact = one.artifact
        if not artifact.path.startswith(beginning):
            continue
        name, slash, _ = artifact.path[len(beginning) :].partition("/")
        if slash:
            folder = folders.setdefault(name, Folder(name, beginning + name))
            if not artifact.removed_at:
                folder.files, folder.size_bytes = folder.files + 1, folder.size_bytes + artifact.size_bytes
        else:
            shown.files.append(_file(artifact, name, ends_of(artifact, keep)))
    shown.folders = list(folders.values())
    shown.unlisted = max(0, len(shown.folders) + len(shown.files) - MOST_SHOWN)
    shown.folders = shown.folders[:MOST_SHOWN]
    shown.files = shown.files[: MOST_SHOWN - len(shown.folders)]
    return shown


def _file(artifact: Artifact, name: str, until: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "path": artifact.path,
        "kind": str(artifact.kind),
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "executable": artifact.executable,
        "until": until,
        "removed_at": artifact.removed_at,
    }


def trail(under: str) -> list[tuple[str, str]]:
    """The folders on the way, each with its path."""
    names = [name for name in under.split("/") if name]
    return [(name, "/".join(names[: at + 1])) for at, name in enumerate(names)]
