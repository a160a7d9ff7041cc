"""`farmgate lane hotfix`, `hotfixes`, `cancel-hotfix`, `contains`: commits on what is live, ahead of the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.lanes import Lane, Reason, split
from farmgate.cli.made_words import brought_words, tell
from farmgate.cli.show import Json

Number = Annotated[int, typer.Argument(help="The hotfix's number.", show_default=False)]


def hotfix(
    lane: Lane,
    commits: Annotated[
        list[str],
        typer.Argument(help="What to pick, in this order; the beginning of a hash is enough.", show_default=False),
    ],
    reason: Reason,
    json: Json = False,
) -> None:
    """Pick commits onto what is live, test that, and deliver it ahead of the queue."""
    with door.connect() as farm:
        answer = farm.hotfix(*split(lane), commits, reason)
    if json:
        return show.as_json(answer)
    tell(lane, answer)
    return None


def hotfixes(lane: Lane, json: Json = False) -> None:
    """The hotfixes of a lane, newest first, and why the open one does not go yet."""
    with door.connect() as farm:
        rows = farm.hotfixes(*split(lane))
    if json:
        return show.as_json(rows)
    if not rows:
        show.console().print(f"{lane}: no hotfix yet: farmgate lane hotfix {lane} COMMIT --reason '...'")
    for row in rows:
        tell(lane, row)
    return None


def cancel_hotfix(lane: Lane, number: Number, reason: Reason, json: Json = False) -> None:
    """End a hotfix before its rollout begins."""
    with door.connect() as farm:
        answer = farm.cancel_hotfix(*split(lane), number, reason)
    return show.as_json(answer) if json else tell(lane, answer)


def contains(
    lane: Lane,
    number: Number,
    by: Annotated[str, typer.Option(help="The commit of the branch that contains it.", show_default=False)],
    reason: Reason,
    json: Json = False,
) -> None:
    """Say which commit of the branch contains a hotfix that is live, where git cannot tell."""
    with door.connect() as farm:
        rows = farm.say_contained(*split(lane), number, by, reason)
    if json:
        return show.as_json(rows)
    for row in rows:
        show.console().print(show.clean(brought_words(row)))
    return None
