"""`farmgate artifacts ...`: what the jobs of a run left.

Rules:
1. A file is written aside, checked against its hash, then put in its place: there is no half a file, and no other one.
2. A path is the server's word: nothing is written outside of the folder that was named, nor through a link in it.
3. Nothing is held in memory, however large it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.artifact_folders import folder_of
from farmgate.cli import door, show
from farmgate.cli.caches import size
from farmgate.cli.runs import found
from farmgate.cli.show import Json
from farmgate.errors import BadPayload, Conflict, NoSpace, NotFound, ServerUnreachable

if TYPE_CHECKING:
    from farmgate.client.api import Api

Row = dict[str, Any]
app = typer.Typer(no_args_is_help=True, help="What the jobs of a run left.")

OfRun = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or RUN/JOB.", show_default=False)]
Patterns = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATTERN]...", help="Only what fits one of them: dist, '**/*.whl'.", show_default=False),
]


@app.command("list")
def list_(run: OfRun, patterns: Patterns = None, json: Json = False) -> None:
    """The artifacts of a run, by job, with their sizes and hashes."""
    with door.connect() as farm:
        number, job = _named(farm, run)
        rows = list(farm.artifacts(number, job=job, paths=patterns or ()))
    if json:
        return show.as_json(rows)
    show.table(
        ("job", "path", "size", "kept until", "sha256"),
        ((row["job"], row["path"], size(row["size_bytes"]), _until(row), row["sha256"]) for row in rows),
        spare=("kept until", "job"),
        empty=f"run {number} keeps no such artifact: `artifacts` in the pipeline file says what a job keeps",
    )
    return None


@app.command()
def get(
    run: OfRun,
    patterns: Patterns = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to put them into.")] = Path(),
    archive: Annotated[
        Path | None, typer.Option(help="Write one tar archive instead, to this file; - is standard output.")
    ] = None,
) -> None:
    """Fetch artifacts: those of RUN/JOB as they lay in its workspace, those of RUN in a folder for each job."""
    out = show.console(err=True)
    with door.connect() as farm:
        number, job = _named(farm, run)
        if archive is not None:
            _keep(farm.artifact_archive(number, job=job, paths=patterns or ()), archive)
            return
        rows = [row for row in farm.artifacts(number, job=job, paths=patterns or ()) if row["url"]]
        if not rows:
            raise NotFound(f"run {number} has no such artifact: `farmgate artifacts list {run}` shows what it has")
        for target, row in targets(rows, output, one_job=job is not None):
            fetch(farm, row, output, target)
            out.print(f"{output / target} ({size(row['size_bytes'])})")


def fetch(farm: Api, row: Row, folder: Path, target: PurePosixPath) -> None:
    """One artifact, as `target` below the folder. Raises ServerUnreachable where it did not arrive as it was."""

    def checked(pieces: Iterable[bytes]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            yield piece
        if digest.hexdigest() != row["sha256"]:
            raise ServerUnreachable(f"{row['path']} did not arrive as it was sent: try again")

    where = _inside(folder, target)
    write(where, checked(farm.artifact(row["sha256"])), 0o777 if row.get("executable") else 0o666)


def targets(rows: Iterable[Row], folder: Path, *, one_job: bool) -> Iterator[tuple[PurePosixPath, Row]]:
    """Where each goes, as in the archive. Raises BadPayload for a path that leads elsewhere (rule 2)."""
    called: dict[str, str] = {}
    for row in rows:
        if row["job"] not in called:
            called[row["job"]] = folder_of(row["job"], called.values())
        path = PurePosixPath(row["path"])
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise BadPayload(f"the farm names an artifact {row['path'][:200]!r}, which is no path inside {folder}")
        yield (path if one_job else PurePosixPath(called[row["job"]]) / path), row


def _inside(folder: Path, target: PurePosixPath) -> Path:
    """The place, its folders made. Raises Conflict where a link or a file stands in the way."""
    at = folder
    try:
        at.mkdir(parents=True, exist_ok=True)
        for part in target.parts[:-1]:
            at = at / part
            if at.is_symlink():
                raise Conflict(f"{at} is a link: remove it, or name another folder by --output")
            at.mkdir(exist_ok=True)
    except FileExistsError:
        raise Conflict(f"{at} is there and no folder: remove it, or name another folder by --output") from None
    return at / target.name


def write(target: Path, pieces: Iterable[bytes], mode: int = 0o666) -> None:
    """Rule 1. Raises NoSpace, Conflict, and what `pieces` raises."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(mode & ~mask)
        Path(name).replace(target)
    except IsADirectoryError:
        raise Conflict(f"{target} is a folder: remove it, or name another folder by --output") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left for {target}") from None
        raise
    finally:
        Path(name).unlink(missing_ok=True)


def _keep(pieces: Iterator[bytes], archive: Path) -> None:
    if str(archive) != "-":
        archive.parent.mkdir(parents=True, exist_ok=True)
        return write(archive, pieces)
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return None


def _named(farm: Api, given: str) -> tuple[int, str | None]:
    """The run and, if it is named, the job."""
    run, _, job = given.partition("/")
    return int(found(farm, run)["id"]), job or None


def _until(row: Row) -> str:
    return "over" if row["removed_at"] else str(row["expires_at"])[:10]
