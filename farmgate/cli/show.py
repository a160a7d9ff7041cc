"""What is printed and how.

Rules:
1. JSON goes to stdout alone and whole; words for people go through one console.
2. A state is always a word; colour only repeats it.
3. A table on a terminal fits it: what a person copies stays whole, long words end in an ellipsis, and columns that can
   be spared are left out. Without a terminal it is tab-free columns at their natural width.
4. What a person copies (a link, a token, a command) is never broken into lines by us.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.clock import SystemClock

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print what the server said, as JSON.", show_default=False)]

FOLDED = ("why", "problem")  # told whole, in as many lines as it takes
CUT = ("title", "author", "url")
ROOM = 16  # what such a column is worth

STYLES = {
    "passed": "green",
    "good": "green",
    "ready": "green",
    "healthy": "green",
    "ok": "green",
    "failed": "red",
    "error": "red",
    "sick": "red",
    "stuck": "bold red",
    "lost": "magenta",
    "silent": "magenta",
    "asking": "bold yellow",
    "held": "yellow",
    "cancelled": "yellow",
    "skipped": "dim",
    "removed": "dim",
    "running": "cyan",
    "restoring": "yellow",
    "finishing": "cyan",
    "queued": "blue",
    "pending": "blue",
    "waiting": "blue",
}


def console(*, err: bool = False) -> Console:
    """Colour only where a person looks; never wraps a line that goes into a file or a pipe."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(
        stderr=err,
        highlight=False,
        soft_wrap=not stream.isatty(),
        width=None if stream.isatty() else 200,
        emoji=False,
        markup=False,
    )


def as_json(value: Any) -> None:
    """The value on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def state(word: object) -> Text:
    """A state's word in its colour."""
    from rich.text import Text

    text = str(word or "-")
    return Text(text, style=STYLES.get(text, ""))


def whole(text: str, *, err: bool = False) -> None:
    """Lines to be copied: the terminal wraps them, so that they are still one line when pasted."""
    console(err=err).print(text, soft_wrap=True)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, spare: Sequence[str] = ("version",)
) -> None:
    """Columns, or one line that says that there is nothing and what to do about it.

    On a narrow terminal the columns `spare` are left out, the first first.
    """
    from rich.table import Table

    made = list(rows)
    if not made:
        console().print(empty)
        return
    cells = [[_cell(value) for value in row] for row in made]
    if not sys.stdout.isatty():  # a pipe gets every character
        widths = [_width(heading, at, cells) for at, heading in enumerate(headings)]
        for line in (headings, *([cell.plain for cell in row] for row in cells)):
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
        return
    out = console()
    shown = fitting(headings, cells, spare, out.width)
    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    # Rich shrinks no column that must not wrap, so the room of those that are cut is reckoned here.
    wide = {at: _width(headings[at], at, cells) for at in shown}
    cut = [at for at in shown if headings[at] in CUT]
    kept = sum(min(ROOM, width) if headings[at] in FOLDED else width for at, width in wide.items() if at not in cut)
    room = max(8, (out.width - kept - 2 * (len(shown) - 1)) // max(1, len(cut)))
    for at in shown:
        heading = headings[at]
        if heading in FOLDED:
            grid.add_column(heading, overflow="fold")
        elif heading in CUT:
            grid.add_column(heading, overflow="ellipsis", no_wrap=True, max_width=room)
        else:
            grid.add_column(heading, no_wrap=True, min_width=_width(heading, at, cells))
    for row in cells:
        grid.add_row(*(row[at] for at in shown))
    out.print(grid)


def fitting(headings: Sequence[str], rows: Sequence[Sequence[Text]], spare: Sequence[str], width: int) -> list[int]:
    """The columns that fit, by position."""
    least = [
        min(ROOM, _width(heading, at, rows)) if heading in FOLDED or heading in CUT else _width(heading, at, rows)
        for at, heading in enumerate(headings)
    ]
    shown = list(range(len(headings)))
    for heading in spare:
        if heading in headings and sum(least[at] + 2 for at in shown) - 2 > width:
            shown.remove(headings.index(heading))
    return shown


def _width(heading: str, at: int, rows: Sequence[Sequence[Text]]) -> int:
    return max(len(heading), *(row[at].cell_len for row in rows))


def _cell(value: Any) -> Text:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if value is None or value == "":
        return Text("-", style="dim")
    return Text(clean(str(value)))


def clean(text: str) -> str:
    """Text of others without control characters, so that a commit's title cannot drive the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def short(sha: object) -> str:
    """The first ten characters of a commit's sha."""
    return str(sha)[:10] if sha else "-"


def ago(moment: object) -> str:
    """How long ago, in one unit."""
    when = parsed(moment)
    return "-" if when is None else f"{span(SystemClock().now() - when)} ago"


def ahead(moment: object) -> str:
    """In how long, in one unit."""
    when = parsed(moment)
    return "-" if when is None else f"in {span(when - SystemClock().now())}"


def between(start: object, end: object) -> str:
    """How long it took, or has taken until now."""
    began = parsed(start)
    if began is None:
        return "-"
    return span((parsed(end) or SystemClock().now()) - began)


def parsed(moment: object) -> datetime | None:
    """An ISO 8601 time of the API as an aware datetime."""
    if not isinstance(moment, str) or not moment:
        return None
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return None


def span(length: timedelta) -> str:
    """`340 ms`, `2.1 s`, `48 s`, `12 min`, `3.5 h`, `4 d`."""
    seconds = max(0.0, length.total_seconds())
    match seconds:
        case _ if seconds < 0.9995:
            return f"{seconds * 1000:.0f} ms"
        case _ if seconds < 10:
            return f"{seconds:.1f} s"
        case _ if seconds < 120:
            return f"{seconds:.0f} s"
        case _ if seconds < 7200:
            return f"{seconds / 60:.0f} min"
        case _ if seconds < 172_800:
            return f"{seconds / 3600:.1f} h"
        case _:
            return f"{seconds / 86_400:.0f} d"
