"""`farmgate lane reverts`, `revert-text`: commits without a culprit, and what to make a pull request of."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.lanes import Lane, split
from farmgate.cli.made_words import tell
from farmgate.cli.show import Json


def reverts(lane: Lane, json: Json = False) -> None:
    """The commits without a culprit that were made for a lane, newest first, and why the open one does not go yet."""
    with door.connect() as farm:
        rows = farm.reverts(*split(lane))
    if json:
        return show.as_json(rows)
    if not rows:
        show.console().print(f"{lane}: none was made; a lane whose policy says 'on_culprit: revert' asks for them")
    for row in rows:
        tell(lane, row)
    return None


def revert_text(
    lane: Lane,
    number: Annotated[int | None, typer.Argument(help="The revert's number; without it the newest.")] = None,
    patch: Annotated[bool, typer.Option("--patch", help="Print its commits instead, for `git am -3`.")] = False,
    json: Json = False,
) -> None:
    """What to make a pull request of: a title and a text with the evidence."""
    with door.connect() as farm:
        answer = farm.revert(*split(lane), number)
        if patch:
            sys.stdout.buffer.write(farm.revert_patch(*split(lane), answer["id"]))
            sys.stdout.flush()
            return None
    if json:
        return show.as_json(answer)
    out = show.console()
    out.print(show.clean(answer["title"]), markup=False, highlight=False)
    out.print()
    for line in answer["body"].splitlines():
        out.print(show.clean(line), markup=False, highlight=False)
    return None
