"""`farmgate audit ...`: who changed what, and whether the record of it still holds.

Rules:
1. `verify` walks the chain itself, entry by entry: it believes neither the server's word nor the head's row.
2. An export verifies without a farm, on any machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from farmgate import audit as rules
from farmgate.audit import Anchor, Verified
from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import NotFound, Refused
from farmgate.models import AuditEntry

app = typer.Typer(no_args_is_help=True, help="Who changed what, as a record that cannot be edited unseen.")


@app.command("list")
def list_(
    subject: Annotated[str, typer.Option(help="Only of this, or what begins so: lane/shop/production, token/.")] = "",
    actor: Annotated[str, typer.Option(help="Only by this person, tool or loop.", show_default=False)] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind, or what begins so: lane., token.made.")] = "",
    before: Annotated[int | None, typer.Option(help="Older than this number.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 50,
    json: Json = False,
) -> None:
    """The newest acts first."""
    with door.connect() as farm:
        rows = farm.audit(subject=subject, actor=actor, kind=kind, before=before, limit=limit)
    if json:
        return show.as_json(rows)
    show.table(
        ("number", "when", "who", "kind", "subject", "why"),
        (
            (row["number"], show.ago(row["at"]), row["actor"], row["kind"], row["subject"], row["text"].split("\n")[0])
            for row in rows
        ),
        spare=("kind",),
        empty="no such act is recorded",
    )
    return None


@app.command()
def export(
    after: Annotated[int, typer.Option(help="Only what came after this number.", min=0)] = 0,
) -> None:
    """Every act, oldest first, as lines of JSON on standard output."""
    with door.connect() as farm:
        for line in farm.audit_lines(after):
            sys.stdout.write(f"{line}\n")


@app.command()
def head(json: Json = False) -> None:
    """The last entry's number and hash, as one word: keep it elsewhere, and give it to `verify --anchor` later."""
    with door.connect() as farm:
        row = farm.audit_head()
    return show.as_json(row) if json else show.whole(f"{row['number']}:{row['hash']}")


@app.command()
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER:HASH", help="What `farmgate audit head` said before; several are fine."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Verify an export instead of a farm; - reads standard input.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Walk the chain from its beginning; exit code 1 and the first bad entry, if one was edited, dropped or put in."""
    anchors = [_anchor(text) for text in anchor or ()]
    if file is not None:
        found = rules.verify(_entries(_read(file)), anchors=anchors)
    else:
        with door.connect() as farm:
            # The head is asked first: what is written meanwhile only makes the chain longer.
            said = farm.audit_head()
            head_then = Anchor(int(said["number"]), str(said["hash"]))
            kept = anchors + ([head_then] if head_then.number else [])
            found = rules.verify(_entries(farm.audit_lines()), anchors=kept)
    _tell(found, json)


def _tell(found: Verified, json: bool) -> None:
    if json:
        show.as_json(
            {
                "entries": found.entries,
                "head": {"number": found.head.number, "hash": found.head.hash},
                "bad": found.bad,
                "problem": found.problem,
            }
        )
    elif found.bad is None:
        show.console().print(f"{found.entries} entries, and every one follows from the one before it")
        show.whole(f"head {found.head.number}:{found.head.hash}")
    else:
        show.console().print(
            f"entry {found.bad}: {found.problem} ({found.entries} entries before it hold)", style="red"
        )
    leave(Exit.OK if found.bad is None else Exit.FAILED)


def _anchor(text: str) -> Anchor:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("say NUMBER:HASH, as `farmgate audit head` prints it", param_hint="--anchor")
    number, _, kept = text.partition(":")
    return Anchor(int(number), kept.lower())


def _entries(lines: Iterable[str]) -> Iterator[AuditEntry]:
    """Raises Refused for a line that is no entry."""
    for number, line in enumerate(lines, 1):
        try:
            yield rules.from_line(line)
        except ValueError as error:
            raise Refused(f"line {number}: {error}: export it again with `farmgate audit export`") from None


def _read(file: Path) -> Iterator[str]:
    if str(file) == "-":
        yield from (line for line in sys.stdin if line.strip())
        return
    try:
        with file.open(encoding="utf-8") as lines:
            yield from (line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
