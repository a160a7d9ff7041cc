"""`farmgate groups`, `farmgate group ...`: lanes that go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.lanes import text_of
from farmgate.cli.show import Json

if TYPE_CHECKING:
    from rich.console import Console

    Row = dict[str, Any]

app = typer.Typer(
    no_args_is_help=True, help="Lanes that go together: in order, finished at once, taken back in reverse."
)

Name = Annotated[str, typer.Argument(help="The group.", show_default=False)]
HISTORY = 10


def groups(json: Json = False) -> None:
    """Which lanes go together."""
    with door.connect() as farm:
        rows = farm.groups()
    if json:
        return show.as_json(rows)
    show.table(
        ("group", "state", "lanes, in order", "joint rollout"),
        (_row(row) for row in rows),
        empty="no group yet: farmgate group apply -f together.yml",
    )
    return None


@app.command("show")
def show_(name: Name, json: Json = False) -> None:
    """A group: its lanes, the joint rollout under way, why nothing is cut, the search, the history."""
    with door.connect() as farm:
        row = farm.group(name)
    return show.as_json(row) if json else _report(row)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The group's file.", show_default=False)],
    json: Json = False,
) -> None:
    """Let lanes go together, in the order of the file; it counts from the next cut."""
    with door.connect() as farm:
        answer = farm.apply_group(text_of(file), str(file))
    told = f"group {answer['name']}: {answer['change']}, version {answer['version']}"
    return show.as_json(answer) if json else show.console().print(told)


@app.command()
def dissolve(name: Name, json: Json = False) -> None:
    """Let each of its lanes go by itself again."""
    with door.connect() as farm:
        answer = farm.dissolve_group(name)
    return show.as_json(answer) if json else show.console().print(f"group {name}: its lanes go by themselves")


def _row(row: Row) -> tuple[Any, ...]:
    active = row["active"]
    told = f"{active['number']} ({active['kind']})" if active else None
    return row["name"], show.state(active["state"] if active else "ready"), ", ".join(row["lanes"]), told


def _report(row: Row) -> None:
    out = show.console()
    out.print(f"group {row['name']}, version {row['version']}: {', '.join(row['lanes']) or 'dissolved'}")
    show.table(
        ("lane", "live", "title", "why"),
        ((each["lane"], show.short(each["live_sha"]), each["live_title"], each["problem"]) for each in row["members"]),
        spare=("title",),
        empty="",
    )
    if row["active"]:
        _joint(out, row["active"])
    search = row["search"]
    if search and (search["state"] == "open" or not search["closed_at"]):
        most = search["most_rollouts"]
        out.print(f"\nthe culprit is searched: {search['rollouts']} of at most {most} further joint rollouts")
        for point in search["points"]:
            told = f"  {point['repository']} {show.short(point['sha'])} {point['title']}: {point['word']}"
            out.print(show.clean(told))
    after = f", {row['after']}" if row["after"] else ""
    for each in row["next"]:
        out.print(show.clean(f"  next{after}: {each['lane']} up to {show.short(each['sha'])} {each['title']}"))
    for reason in row["reasons"] if not row["active"] else []:
        out.print(show.clean(f"  waits: {reason}"))
    over = [joint for joint in row["history"] if joint["finished_at"]]
    if over:
        out.print("\nhistory")
    for joint in over[:HISTORY]:
        took = ", ".join(f"{part['lane']} to {show.short(part['until_sha'])}" for part in joint["parts"])
        out.print(show.clean(f"  {joint['number']} ({joint['kind']}) {joint['state']}: {took}"))


def _joint(out: Console, joint: Row) -> None:
    out.print(f"\njoint rollout {joint['number']} ({joint['kind']}) {joint['state']}")
    show.table(
        ("lane", "state", "wave", "up to", "commits", "what"),
        (
            (
                f"{part['lane']} {part['number']}",
                show.state(part["state"]),
                f"{part['wave'] + 1} of {len(part['waves'])}",
                show.short(part["until_sha"]),
                part["commit_count"],
                part["waits"] or part["reason"],
            )
            for part in joint["parts"]
        ),
        empty="",
    )
