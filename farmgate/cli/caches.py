"""`farmgate cache ...`: what jobs of a repository left for later ones."""

from __future__ import annotations

from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="What jobs left for later ones.")

Repo = Annotated[str, typer.Argument(metavar="REPOSITORY", help="The repository's name.", show_default=False)]


@app.command("list")
def list_(repository: Repo, json: Json = False) -> None:
    """The caches of a repository, what was used last first."""
    with door.connect() as farm:
        row = farm.caches(repository)
    if json:
        return show.as_json(row)
    show.table(
        ("key", "size", "used", "saved", "by job"),
        (
            (one["key"], size(one["size_bytes"]), show.ago(one["used_at"]), show.ago(one["created_at"]), one["job"])
            for one in row["caches"]
        ),
        spare=("by job", "saved"),
        empty=f"no cache of {repository} yet: a job with `caches` saves one when it passes",
    )
    if row["caches"]:
        show.console().print(f"\n{size(row['size_bytes'])} of {size(row['limit_bytes'])}")
    return None


@app.command()
def clear(
    repository: Repo,
    beginning: Annotated[str, typer.Option(help="Only those whose key begins so. Default: all.")] = "",
    json: Json = False,
) -> None:
    """Forget caches; the next jobs make them anew."""
    with door.connect() as farm:
        row = farm.clear_caches(repository, beginning)
    if json:
        return show.as_json(row)
    show.console().print(f"{row['cleared']} caches of {repository} are forgotten")
    return None


def size(size_bytes: int) -> str:
    """For people, in powers of 1024."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
