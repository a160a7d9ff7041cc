"""`farmgate secret ...`: values that jobs of trusted runs may name. They go in, and never come out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="Values that jobs may name.")

Repo = Annotated[str, typer.Argument(metavar="REPOSITORY", help="The repository's name.", show_default=False)]
Name = Annotated[str, typer.Argument(help="The secret's name, such as PYPI_TOKEN.", show_default=False)]
Environment = Annotated[str, typer.Option(help="Only for jobs whose `deploys_to` is this.", show_default=False)]
Branch = Annotated[
    str, typer.Option(help="Only for runs of this branch, or of branches like release/*.", show_default=False)
]


@app.command("set")
def set_(repository: Repo, name: Name, environment: Environment = "", branch: Branch = "") -> None:
    """Keep a value: asked for, or read from standard input. It is no argument, since others can read those.

    Of a value of one line the line break at its end is taken off; one of several lines is kept as it is.
    """
    if sys.stdin.isatty():
        value = str(typer.prompt(f"value of {name}", hide_input=True))
    else:
        value = sys.stdin.read()
        if value.count("\n") == 1:
            value = value.removesuffix("\n").removesuffix("\r")
    with door.connect() as farm:
        farm.set_secret(repository, name, value, environment, branch)
    show.console().print(f"{name} of {repository} is kept, {_scope(environment, branch)}")


@app.command("list")
def list_(repository: Repo, json: Json = False) -> None:
    """The secrets of a repository, without their values."""
    with door.connect() as farm:
        rows = farm.secrets(repository)
    if json:
        return show.as_json(rows)
    show.table(
        ("name", "environment", "branch", "set", "by"),
        (
            (
                row["name"],
                row["environment"] or "any",
                row["branch"] or "any",
                show.ago(row["changed_at"]),
                row["changed_by"],
            )
            for row in rows
        ),
        empty=f"no secret of {repository} yet: `farmgate secret set {repository} NAME` keeps one",
    )
    return None


@app.command()
def remove(repository: Repo, name: Name, environment: Environment = "", branch: Branch = "") -> None:
    """Take a secret away: jobs that name it end in error from now on."""
    with door.connect() as farm:
        farm.remove_secret(repository, name, environment, branch)
    show.console().print(f"{name} of {repository} is removed, {_scope(environment, branch)}")


@app.command()
def rotate(json: Json = False) -> None:
    """Seal every secret with a new key; the values stay as they are. May be called again if it was cut off."""
    with door.connect() as farm:
        row = farm.rotate_secrets()
    if json:
        return show.as_json(row)
    show.console().print(f"{row['secrets']} secrets are sealed with key {row['key']} now")
    return None


def _scope(environment: str, branch: str) -> str:
    of_environment = f"for jobs that deploy to {environment}" if environment else "for any job"
    return f"{of_environment} of {branch}" if branch else of_environment
