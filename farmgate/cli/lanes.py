"""`farmgate lanes`, `farmgate lane ...`, `farmgate rollback`: what runs where, what waits, and a person's word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.lane_report import coming, report
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
        spare=("since", "title"),
        empty="no lane yet: farmgate lane apply -f delivery.yml",
    )
    return None


def rollback(
    lane: Lane,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="The rollout to go back to. Default: the last good one.")] = None,
    together: Annotated[
        bool | None,
        typer.Option("--together/--alone", help="With the lanes of its group, or not; to be said where there are any."),
    ] = None,
    json: Json = False,
) -> None:
    """Go back to an earlier good release; what is taken back may not ship again until it is fixed."""
    with door.connect() as farm:
        answer = farm.roll_back(*split(lane), reason, to, together)
    if json:
        return show.as_json(answer)
    out = show.console()
    out.print(f"{lane} goes back to {show.short(answer['to_sha'])} of rollout {answer['to_rollout']}. It takes back:")
    for commit in answer["takes_back"]:
        out.print(show.clean(f"  {show.short(commit['sha'])} {commit['title']} ({commit['author']})"))
    for other in answer.get("together", ()):
        out.print(f"With it, {other['lane']} goes back to {show.short(other['to_sha'])}")
    return None


@app.command("show")
def show_(lane: Lane, json: Json = False) -> None:
    """A lane: what is live, what is under way, every waiting commit with its reasons, the history."""
    with door.connect() as farm:
        row = farm.lane(*split(lane))
    return show.as_json(row) if json else report(row)


@app.command()
def preview(lane: Lane, json: Json = False) -> None:
    """The batch that would be cut next, when, and what still keeps it. While a rollout is under way it is counted from
    what will be live if that ends good."""
    with door.connect() as farm:
        row = farm.preview(*split(lane))
    return show.as_json(row) if json else coming(lane, row)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The policy file.", show_default=False)],
    json: Json = False,
) -> None:
    """Give the lanes of an application their policy: all of the file or nothing."""
    with door.connect() as farm:
        answer = farm.apply_policy(text_of(file), str(file))
    if json:
        return show.as_json(answer)
    out = show.console()
    for row in answer["lanes"]:
        out.print(f"{name_of(row)}: policy {row['change']}, version {row['version']}")
    return None


@app.command()
def replay(
    lane: Lane,
    policy: Annotated[Path, typer.Option("--policy", "-p", help="A policy file that names it.", show_default=False)],
    since: Annotated[str, typer.Option(help="How far back: 12h, 30d.")] = "30d",
    json: Json = False,
) -> None:
    """The recorded history under another policy, beside this one's; nothing is changed."""
    with door.connect() as farm:
        answer = farm.replay(*split(lane), text_of(policy), str(policy), since)
    if json:
        return show.as_json(answer)
    out = show.console()
    out.print(f"{lane} since {answer['since'][:16]}: {answer['commits']} commits")
    columns = [answer[name] for name in ("recorded", "current", "proposed")]
    show.table(
        ("", "as it was", "under its policy", f"under {policy.name}"),
        [
            ("rollouts", *(_told(row["rollouts"]) for row in columns)),
            ("of them sick", *(_told(row["sick"]) for row in columns)),
            ("commits delivered", *(_told(row["delivered"]) for row in columns)),
            ("green and not live", "", *(_told(row["left"]) for row in columns[1:])),
            ("delay p50, minutes", *(_minutes(row["delay_p50_seconds"]) for row in columns)),
            ("delay p95, minutes", *(_minutes(row["delay_p95_seconds"]) for row in columns)),
            ("exposure, commits x minutes", *(_told(row["exposure_commit_minutes"]) for row in columns)),
        ],
        empty="nothing to compare",
    )
    for words in answer["leaves_out"]:
        out.print(show.clean(f"  left out: {words}"), style="yellow")
    return None


def _told(value: float) -> str:
    return f"{value:g}"


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def text_of(file: Path) -> str:
    """Raises NotFound."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


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
    return show.as_json(answer) if json else show.console().print(f"{lane} is held until {answer['until']}")


@app.command()
def freeze(
    lane: Lane,
    begins: Annotated[str, typer.Option("--from", help="When, with its zone: 2026-12-20T18:00+01:00.")],
    until: Annotated[str, typer.Option(help="When it ends, written alike.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Plan a time without rollouts. Freezes that come again every year belong into the policy."""
    with door.connect() as farm:
        answer = farm.freeze(*split(lane), reason, begins, until)
    told = f"{lane} is frozen from {answer['begins']} until {answer['until']}"
    return show.as_json(answer) if json else show.console().print(told)


@app.command()
def approve(
    lane: Lane,
    until: Annotated[str | None, typer.Option(help="The commit the batch ends with. Default: the next batch.")] = None,
    reason: Annotated[str, typer.Option(help="What you looked at.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again after showing it.")] = False,
    json: Json = False,
) -> None:
    """Approve a batch: shows the commits that you have not approved yet, and their digests; then asks."""
    out = show.console()
    with door.connect() as farm:
        batch = farm.to_approve(*split(lane), until)
        if batch["until_sha"] is None:
            raise NotFound(f"{lane}: {batch['words']}")
        if not json:
            _batch(lane, batch)
        if not yes and not typer.confirm("Approve exactly this?"):
            raise typer.Exit(1)
        answer = farm.approve_batch(*split(lane), batch["since_sha"], batch["until_sha"], reason)
    return show.as_json(answer) if json else out.print(f"{lane}: approved up to {show.short(answer['until_sha'])}")


@app.command()
def withdraw(lane: Lane, json: Json = False) -> None:
    """Take back your approvals of what has not been cut yet."""
    with door.connect() as farm:
        answer = farm.withdraw_approval(*split(lane))
    return show.as_json(answer) if json else show.console().print(f"{lane}: {answer['lifted']} approvals taken back")


def _batch(lane: str, batch: dict[str, Any]) -> None:
    out = show.console()
    count = batch["commit_count"]
    out.print(f"{lane}: {count} commit{'s' if count != 1 else ''} up to {show.short(batch['until_sha'])}")
    for commit in batch["commits"]:
        out.print(show.clean(f"  {show.short(commit['sha'])} {commit['title']} ({commit['author']})"))
    for name, digest in batch["artifacts"].items():
        out.print(show.clean(f"  {name} {digest}"))
    if batch["own"]:
        out.print(f"  {batch['own']} of them are yours: for these somebody else must agree")
    for each in batch["given"]:
        out.print(show.clean(f"  approved by {each['approved_by']} up to {show.short(each['until_sha'])}"))


@app.command("stop-all")
def stop_all(
    reason: Reason,
    span: Annotated[str | None, typer.Option("--for", help="How long: 30m, 2h, 1d. Default: until go-on.")] = None,
    json: Json = False,
) -> None:
    """Stop every lane at once: nothing begins, and nothing under way goes to its next wave."""
    with door.connect() as farm:
        answer = farm.stop_lanes(reason, span)
    told = f"every lane is stopped until {answer['until']}; farmgate lane go-on lets them go on"
    return show.as_json(answer) if json else show.console().print(told)


@app.command("go-on")
def go_on(json: Json = False) -> None:
    """Let all lanes go on after stop-all; holds of single lanes stay."""
    with door.connect() as farm:
        answer = farm.let_lanes_go_on()
    told = "the lanes go on" if answer["lifted"] else "no stop was standing"
    return show.as_json(answer) if json else show.console().print(told)


@app.command()
def unhold(lane: Lane, json: Json = False) -> None:
    """Let a held lane go on."""
    with door.connect() as farm:
        answer = farm.unhold(*split(lane))
    return show.as_json(answer) if json else show.console().print(f"{lane} goes on")


@app.command()
def decide(
    lane: Lane,
    verdict: Annotated[
        str,
        typer.Argument(
            metavar="good|sick",
            help="good: let it start, go on. sick: do not start it, take it back.",
            show_default=False,
        ),
    ],
    reason: Reason,
    json: Json = False,
) -> None:
    """Answer a rollout that asks: before its start, of a wave, or whether to take back what cannot be."""
    if verdict not in ("good", "sick"):
        raise typer.BadParameter("say good or sick", param_hint="verdict")
    with door.connect() as farm:
        answer = farm.decide(*split(lane), verdict, reason)
    told = f"{lane}: rollout {answer['number']} was answered: {verdict}"
    return show.as_json(answer) if json else show.console().print(told)


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
    return (
        show.as_json(answer)
        if json
        else show.console().print(f"{lane}: {', '.join(show.short(ban['sha']) for ban in answer)} may ship again")
    )


@app.command()
def fixed(
    lane: Lane,
    sha: Annotated[str, typer.Argument(help="The banned commit; a beginning is enough.", show_default=False)],
    by: Annotated[str, typer.Option(help="The commit that fixes it, later on the branch.", show_default=False)],
    reason: Reason,
    json: Json = False,
) -> None:
    """Say which commit fixes a banned one, where it does not say so itself: batches with both may go."""
    with door.connect() as farm:
        answer = farm.say_fixed(*split(lane), sha, by, reason)
    if json:
        return show.as_json(answer)
    banned, fix = show.short(answer["banned"]), show.short(answer["fix"])
    show.console().print(show.clean(f"{lane}: {banned} is fixed by {fix} {answer['title']}"))
    return None


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
    live, active, held = row["live"] or {}, row["active"], row["held"]
    word = active["state"] if active else ("held" if held else ("ready" if live else "waiting"))
    return (
        name_of(row),
        show.state(word),
        show.short(live.get("sha")),
        live.get("title"),
        show.ago(live.get("since")),
        row["waiting"],
        f"{active['number']}: {show.short(active['until_sha'])}" if active else None,
        row["problem"],
    )
