"""`farmgate template ...`: templates of the server, which pipeline files use by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.pipelines import read_text
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="Templates that pipeline files use.")

Name = Annotated[str, typer.Argument(help="The template's name.", show_default=False)]


@app.command("list")
def every(json: Json = False) -> None:
    """The templates of this server, and those that come with Farmgate."""
    with door.connect() as farm:
        rows = farm.templates()
    if json:
        return show.as_json(rows)
    show.table(
        ("template", "version", "changed", "by"),
        (
            (row["name"], row["version"] or "built in", show.ago(row.get("changed_at")), row.get("changed_by"))
            for row in rows
        ),
        empty="no template yet: `farmgate template apply NAME FILE` puts one there",
    )
    return None


@app.command("show")
def one(
    name: Name,
    version: Annotated[int | None, typer.Option(help="A version; default: the newest.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Who changed it, instead of its text.")] = False,
    json: Json = False,
) -> None:
    """A template's text, or who changed it."""
    with door.connect() as farm:
        if history:
            rows = farm.template_versions(name)
            if json:
                return show.as_json(rows)
            show.table(
                ("version", "what", "changed", "by"),
                (
                    (
                        row["version"],
                        "removed" if row["removed"] else "",
                        show.ago(row["changed_at"]),
                        row["changed_by"],
                    )
                    for row in rows
                ),
                empty=f"nobody has changed {name} yet",
            )
            return None
        row = farm.template(name, version)
    if json:
        return show.as_json(row)
    sys.stdout.write(row["text"])
    return None


@app.command()
def apply(
    name: Name, file: Annotated[Path, typer.Argument(help="Its text; - reads standard input.")], json: Json = False
) -> None:
    """Make a file the newest version of a template; the same text again makes none."""
    with door.connect() as farm:
        row = farm.apply_template(name, read_text(file))
    if json:
        return show.as_json(row)
    show.console().print(f"template {name} is at version {row['version']}: use: {name}, or {name}@{row['version']}")
    return None


@app.command()
def remove(name: Name, json: Json = False) -> None:
    """Take a template away: files that use it are told so; its versions stay as a record."""
    with door.connect() as farm:
        farm.remove_template(name)
    return show.as_json({"removed": name}) if json else show.console().print(f"template {name} is removed")
