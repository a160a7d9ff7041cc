"""`farmgate log`: what a job printed.

A job is named by its id or as RUN/JOB. The bytes go out as the job wrote them, colours included.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.runs import found
from farmgate.cli.show import Json
from farmgate.errors import NotFound

if TYPE_CHECKING:
    from farmgate.client.api import Api

# A job may colour its log; it may not move our cursor, set our title or answer our terminal's questions.
_UNTOLD = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[^\[\]]|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f]"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def log(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or RUN/JOB.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="An earlier attempt. Default: the latest.")] = None,
    search: Annotated[str | None, typer.Option(help="Only the lines that hold this text, with their numbers.")] = None,
    json: Json = False,
) -> None:
    """What a job printed; with -f as it prints it. With -f the exit code is 0 if it passed, 1 if not.

    With --search it is 1 if nothing was found.
    """
    with door.connect() as farm:
        number = job_number(farm, job)
        if search is not None:
            return _search(farm, number, attempt, search, json)
        if follow and not json:
            leave(_follow(farm, number, attempt))
        if json:
            data, ended = farm.log(number, attempt=attempt)
            return show.as_json({"job": number, "complete": ended, "text": data.decode(errors="replace")})
        _write(farm.log_pieces(number, attempt=attempt))
    return None


def _write(pieces: Iterator[bytes]) -> None:
    """Whole for a file or a filter; tamed for a terminal, line by line."""
    rest = b""
    for piece in pieces:
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(piece)
            continue
        lines, end, rest = (rest + piece).rpartition(b"\n")
        sys.stdout.write(tame((lines + end).decode(errors="replace"), colour=True))
    if rest:
        sys.stdout.write(tame(rest.decode(errors="replace"), colour=True))
    sys.stdout.flush()


def _search(farm: Api, number: int, attempt: int | None, text: str, json: bool) -> None:
    found = False
    rows = farm.search_log(number, text, attempt=attempt)
    if json:
        listed = list(rows)
        show.as_json({"job": number, "matches": listed})
        found = bool(listed)
    else:
        for row in rows:
            found = True
            sys.stdout.write(f"{row['line']:>7}  {tame(row['text'], colour=False)}\n")
    if not found:
        leave(Exit.FAILED)


def job_number(farm: Api, given: str) -> int:
    """The id of the job that `given` names. Raises NotFound."""
    if given.isdigit():
        return int(given)
    run, _, name = given.partition("/")
    jobs = {row["name"]: row for row in found(farm, run).get("jobs", ())}
    if name not in jobs:
        raise NotFound(f"run {run} has no job {name!r}; it has {', '.join(jobs) or 'none'}")
    return int(jobs[name]["id"])


def _follow(farm: Api, number: int, attempt: int | None) -> Exit:
    from farmgate.client.api import LogAgain, LogEnd, LogPiece

    for piece in farm.follow_log(number, attempt=attempt):
        match piece:
            case LogPiece(text=text):
                sys.stdout.write(tame(text, colour=sys.stdout.isatty()))
                sys.stdout.flush()
            case LogAgain(attempt=number_of_next, reason=reason):
                show.console(err=True).print(f"--- {show.clean(reason)}; this is attempt {number_of_next} ---")
            case LogEnd(state=state):
                return Exit.OK if state == "passed" else Exit.FAILED
    return Exit.FAILED


def tame(text: str, *, colour: bool) -> str:
    """A log fit for a terminal: colours at most."""
    plain = _UNTOLD.sub("", text)
    return plain if colour else _COLOUR.sub("", plain)
