"""`farmgate repo ...`: which repositories the farm builds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="Which repositories the farm builds.")

_HOSTS = (
    ("github.com", "github"),
    ("gitlab.com", "gitlab"),
    ("bitbucket.org", "bitbucket"),
    ("codeberg.org", "forgejo"),
    ("gitea.com", "gitea"),
)

Name = Annotated[str, typer.Argument(help="The repository's name in this farm.", show_default=False)]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A short name, used in commands and pages.", show_default=False)],
    url: Annotated[str, typer.Argument(help="What git fetches: https, ssh, or a path.", show_default=False)],
    forge: Annotated[
        str | None,
        typer.Option(
            help="Who sends the webhooks: github, gitlab, gitea, forgejo, bitbucket, bitbucket-dc, git. "
            "Default: told from the URL, else git."
        ),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="The default branch. Default: main.")] = None,
    json: Json = False,
) -> None:
    """Connect a repository; prints the webhook to set up, its secret shown this once."""
    with door.connect() as farm:
        made = farm.add_repository(name, url, forge=forge or forge_of(url), branch=branch)
    if json:
        return show.as_json(made)
    out = show.console()
    out.print(f"{name} is connected. Commits pushed from now on are built.\n")
    connection(made)
    return None


@app.command("list")
def list_(json: Json = False) -> None:
    """All repositories."""
    with door.connect() as farm:
        rows = farm.repositories()
    if json:
        return show.as_json(rows)
    show.table(
        ("name", "forge", "branch", "asked", "url", "problem"),
        (
            (
                row["name"],
                row.get("forge"),
                row.get("default_branch"),
                show.ago(row.get("polled_at")),
                row.get("url"),
                row.get("poll_error"),
            )
            for row in rows
        ),
        spare=("asked", "branch"),
        empty="no repository yet: farmgate repo add NAME URL",
    )
    return None


@app.command("show")
def show_(name: Name, json: Json = False) -> None:
    """One repository and how to connect it."""
    with door.connect() as farm:
        row = farm.repository(name)
    if json:
        return show.as_json(row)
    out = show.console()
    for heading in ("name", "url", "forge", "default_branch", "weight", "forks"):
        out.print(f"{heading.replace('_', ' '):16}{row.get(heading) or '-'}")
    out.print(f"{'asked':16}{show.ago(row.get('polled_at'))}")
    if row.get("poll_error"):
        out.print(f"{'problem':16}{show.clean(str(row['poll_error']))}")
    connection(row)
    changes(row)
    return None


@app.command("set")
def set_(
    name: Name,
    weight: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Its share of the slots: with 3 it gets three times what one with 1 gets."),
    ] = None,
    forks: Annotated[
        str | None, typer.Option(help="Runs of forks: run, ask (a maintainer allows each commit), refuse.")
    ] = None,
    json: Json = False,
) -> None:
    """Change how a repository is treated."""
    wanted = {"weight": weight, "forks": forks}
    given = {key: value for key, value in wanted.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what to change, such as --weight 3 or --forks ask")
    with door.connect() as farm:
        answer = farm.change_repository(name, given)
    if json:
        return show.as_json(answer)
    show.console().print(f"{name}: " + ", ".join(f"{key} {answer.get(key)}" for key in given))
    return None


@app.command()
def poll(name: Name, json: Json = False) -> None:
    """Ask the repository now for what a webhook may have missed."""
    with door.connect() as farm:
        answer = farm.poll_repository(name)
    if json:
        return show.as_json(answer)
    show.console().print(f"{name} is being asked for what is new.")
    return None


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Disconnect a repository: its webhooks are refused from now on."""
    if not yes:
        typer.confirm(f"Disconnect {name}?", abort=True, err=True)
    with door.connect() as farm:
        farm.remove_repository(name)
    if json:
        return show.as_json({"removed": name})
    show.console().print(f"{name} is disconnected.")
    return None


def forge_of(url: str) -> str:
    """Who hosts this address, where the host's name says it."""
    return next((forge for host, forge in _HOSTS if host in url), "git")


def changes(row: dict[str, Any]) -> None:
    """What was pushed lately and did not become runs: what still waits to be read, and what was rejected, with why."""
    told = [one for one in row.get("intakes") or [] if one["state"] != "done"]
    if told:
        show.console().print("\nChanges without runs:\n")
        show.table(
            ("ref", "commit", "state", "reported", "why"),
            (
                (
                    one["ref"],
                    show.short(one.get("after")),
                    show.state(one["state"]),
                    show.ago(one.get("created_at")),
                    one.get("reason") or "is being read",
                )
                for one in told
            ),
            empty="",
        )


def connection(row: dict[str, Any]) -> None:
    """How the forge reaches us, as far as the answer says it."""
    out = show.console()
    for key, heading in (("webhook_url", "webhook"), ("secret", "secret")):
        if row.get(key):
            out.print(f"{heading:16}{row[key]}")
    if row.get("secret"):
        out.print("                (the secret is not shown again)")
    if row.get("post_receive"):
        out.print("\nFor a plain git repository, as hooks/post-receive (chmod +x it):\n")
        show.whole(f"#!/bin/sh\n{row['post_receive']}")
