"""`farmgate nodes`, `farmgate node ...`, `farmgate agent`: the machines that run jobs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="One machine that runs jobs.")

Name = Annotated[str, typer.Argument(help="The node's name.", show_default=False)]


def nodes(json: Json = False) -> None:
    """The machines that run jobs."""
    with door.connect() as farm:
        rows = farm.nodes()
    if json:
        return show.as_json(rows)
    show.table(
        ("node", "state", "pool", "slots", "holds", "engine", "heard", "version", "problem"),
        (
            (
                row["name"],
                show.state(row["state"]),
                row.get("pool"),
                row.get("slots"),
                len(row.get("holding") or ()),
                row.get("engine"),
                show.ago(row.get("seen_at")),
                row.get("version"),
                row.get("problem"),
            )
            for row in rows
        ),
        empty="no node yet: `farmgate node enrol` says how to add one",
    )
    return None


@app.command()
def enrol(json: Json = False) -> None:
    """Draw a one-time token and print the command that adds a machine."""
    with door.connect() as farm:
        made = farm.enrol_node()
    if json:
        return show.as_json(made)
    show.console().print(f"On the new machine, once, {show.ahead(made.get('expires_at'))} at the latest:\n")
    show.whole(f"  {made.get('command') or 'FARMGATE_JOIN_TOKEN=' + str(made.get('token')) + ' farmgate agent'}")
    return None


@app.command()
def drain(name: Name, json: Json = False) -> None:
    """Let a node finish what it holds and take nothing new."""
    with door.connect() as farm:
        answer = farm.drain_node(name)
    return show.as_json(answer) if json else show.console().print(f"{name} finishes what it holds, takes nothing new")


@app.command()
def resume(name: Name, json: Json = False) -> None:
    """Let a drained node take work again."""
    with door.connect() as farm:
        answer = farm.resume_node(name)
    return show.as_json(answer) if json else show.console().print(f"{name} takes work again")


@app.command()
def remove(name: Name, json: Json = False) -> None:
    """Take a node out of the farm: its credential ends, what it held gets a new attempt elsewhere."""
    with door.connect() as farm:
        answer = farm.remove_node(name)
    return show.as_json(answer) if json else show.console().print(f"{name} is no longer part of the farm")


def agent(json: Json = False) -> None:
    """Start this machine's agent: joins with FARMGATE_JOIN_TOKEN, then serves the farm at FARMGATE_SERVER."""
    from farmgate.settings import NodeSettings, environment_for_child, read

    # The agent reads its own settings; reading them here first gives a bad one our error line and exit code.
    extra = {"FARMGATE_LOG_FORMAT": "json"} if json else {}
    if door.given.server:
        extra["FARMGATE_SERVER"] = door.given.server
    read(NodeSettings)
    environment = environment_for_child(None, **extra)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "agents"], environment)  # noqa: S606 - the point of the command
