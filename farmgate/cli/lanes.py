"""`farmgate lanes`, `farmgate lane ...`, `farmgate rollback`: what runs where, what waits, and a person's word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.lane_report import report
from farmgate.cli.show import Json
from farmgate.errors import NotFound

app = typer.Typer(no_args_is_help=True, help="One application in one environment.")

Lane = Annotated[str, typer.Argument(metavar="APP/ENV", help="The lane, as shop/production.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is shown to everyone who looks.", show_default=False)]


def lanes(json: Json = False) -> None:
    """What runs where."""
    with door.connect() as farm:
        rows = farm.lanes()
    if json:
        return show.as_json(rows)
    show.table(
        ("lane", "state", "live", "title", "since", "waiting", "rollout", "why"),
        (_row(row) for row in rows),
        empty="no lane yet: farmgate lane apply -f delivery.yml",
    )
    return None


def rollback(
    lane: Lane,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="The rollout to go back to. Default: the last good one.")] = None,
    json: Json = False,
) -> None:
    """Go back to an earlier good release; what is taken back may not ship again until it is fixed."""
    with door.connect() as farm:
        answer = farm.roll_back(*split(lane), reason, to)
    return show.as_json(answer) if json else show.console().print(f"{lane} goes back: {_of_rollout(answer)}")


@app.command("show")
def show_(lane: Lane, json: Json = False) -> None:
    """A lane: what is live, what is under way, every waiting commit with its reasons, the history."""
    with door.connect() as farm:
        row = farm.lane(*split(lane))
    return show.as_json(row) if json else report(row)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The policy file.", show_default=False)],
    json: Json = False,
) -> None:
    """Give the lanes of an application their policy: all of the file or nothing."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read: {error}") from None
    with door.connect() as farm:
        answer = farm.apply_policy(text, str(file))
    if json:
        return show.as_json(answer)
    out = show.console()
    for row in answer.get("lanes", ()):
        name = row if isinstance(row, str) else name_of(row)
        version = "" if isinstance(row, str) else f", version {row.get('policy_version') or row.get('version')}"
        out.print(f"{name} has its policy{version}")
    return None


@app.command()
def hold(
    lane: Lane,
    reason: Reason,
    span: Annotated[str | None, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = None,
    json: Json = False,
) -> None:
    """Stop a lane: nothing new is rolled out until the hold ends or is lifted."""
    with door.connect() as farm:
        answer = farm.hold(*split(lane), reason, span)
    until = answer.get("until")
    return show.as_json(answer) if json else show.console().print(f"{lane} is held{f' until {until}' if until else ''}")


@app.command()
def unhold(lane: Lane, json: Json = False) -> None:
    """Let a held lane go on."""
    with door.connect() as farm:
        answer = farm.unhold(*split(lane))
    return show.as_json(answer) if json else show.console().print(f"{lane} goes on")


@app.command()
def decide(
    lane: Lane,
    verdict: Annotated[str, typer.Argument(metavar="good|sick", help="What you saw.", show_default=False)],
    reason: Reason,
    json: Json = False,
) -> None:
    """Answer a rollout that asks, because its checks could not tell."""
    if verdict not in ("good", "sick"):
        raise typer.BadParameter("say good or sick", param_hint="verdict")
    with door.connect() as farm:
        answer = farm.decide(*split(lane), verdict, reason)
    return show.as_json(answer) if json else show.console().print(f"{lane}: {verdict}, {_of_rollout(answer)}")


@app.command()
def unban(
    lane: Lane,
    sha: Annotated[str, typer.Argument(help="The banned commit; a beginning is enough.", show_default=False)],
    reason: Reason,
    json: Json = False,
) -> None:
    """Let a banned commit ship again, on your word."""
    with door.connect() as farm:
        answer = farm.lift_ban(*split(lane), sha, reason)
    return show.as_json(answer) if json else show.console().print(f"{lane}: {sha} may ship again")


def split(lane: str) -> tuple[str, str]:
    """`shop/production` as its two words. Raises NotFound."""
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", lane):
        raise NotFound(f"{lane!r} names no lane: say APPLICATION/ENVIRONMENT, as in shop/production")
    application, environment = lane.split("/")
    return application, environment


def name_of(row: dict[str, Any]) -> str:
    """A lane's name from its row."""
    return f"{row.get('application', '?')}/{row.get('environment', '?')}"


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    live = row.get("live") or {}
    rollout = row.get("rollout") or row.get("active") or {}
    problem = row.get("problem")
    hold = row.get("hold") or row.get("held")
    held = hold.get("reason") if isinstance(hold, dict) else ("held" if hold else None)
    word = rollout.get("state") if rollout else ("held" if held else ("ready" if live else "waiting"))
    return (
        name_of(row),
        show.state(word),
        show.short(live.get("sha")),
        live.get("title"),
        show.ago(live.get("since") or live.get("live_from")),
        row.get("waiting"),
        f"{rollout.get('number')}: {show.short(rollout.get('until_sha') or rollout.get('sha'))}" if rollout else None,
        problem or held,
    )


def _of_rollout(answer: dict[str, Any]) -> str:
    rollout = answer.get("rollout") or answer
    number = rollout.get("number") if isinstance(rollout, dict) else rollout
    return f"rollout {number}" if number else "on its way"
