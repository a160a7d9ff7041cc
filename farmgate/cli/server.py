"""The farm as a whole: how it does, who may talk to it."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from farmgate import __version__
from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import FarmgateError

tokens = typer.Typer(no_args_is_help=True, help="Who may talk to the farm.")


def status(json: Json = False) -> None:
    """How the farm does: what waits, what runs, who is there."""
    with door.connect() as farm:
        row = farm.status()
        server = farm.server
    if json:
        return show.as_json(row)
    out = show.console()
    out.print(f"{'farm':16}{server}")
    for key, value in row.items():
        if isinstance(value, dict):
            text = ", ".join(f"{count} {word}" for word, count in value.items()) or "none"
        elif isinstance(value, list):
            text = ", ".join(_named(item) for item in value) or "none"
        elif show.parsed(value) is not None:
            text = show.ago(value)
        else:
            text = "-" if value is None else str(value)
        out.print(f"{key.replace('_', ' '):16}{show.clean(text)}")
    return None


def doctor(json: Json = False) -> None:
    """Check this machine and the farm; exit code 1 if anything is wrong."""
    from farmgate.client.api import Row

    checks: list[Row] = local_checks()
    try:
        with door.connect() as farm:
            answer = farm.doctor()
            checks.append(_check("farm", True, f"answers at {farm.server}"))
    except FarmgateError as error:
        answer = {}
        checks.append(_check("farm", False, str(error)))
    checks.extend(answer.get("checks", ()))
    checks.extend(
        _check(str(item.get("invariant", "invariant")), False, f"{item.get('subject')}: {item.get('text')}")
        for item in answer.get("violations", ())
    )
    well = all(item.get("ok") is not False for item in checks)
    if json:
        show.as_json({"ok": well, "checks": checks})
    else:
        show.table(
            ("check", "state", "why"),
            (
                (item.get("name"), show.state("ok" if item.get("ok") is not False else "failed"), item.get("text"))
                for item in checks
            ),
            empty="nothing was checked",
        )
    leave(Exit.OK if well else Exit.FAILED)


def local_checks() -> list[dict[str, Any]]:
    """What this machine has of what a farm needs here."""
    from farmgate import embedded
    from farmgate.cli.engine import look_for_docker

    git = shutil.which("git")
    checks = [_check("git", git is not None, git or "no git on this machine: apt-get install git")]
    for name, find in (("redis", embedded.find_redis), ("haproxy", embedded.find_haproxy)):
        try:
            checks.append(_check(name, True, str(find())))
        except FarmgateError as error:
            checks.append(_check(name, False, str(error)))
    missing = look_for_docker()
    # Without an engine the embedded farm runs jobs as processes: worth saying, not wrong.
    checks.append(_check("docker", True, missing or "answers"))
    return checks


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.", show_default=False)],
    right: Annotated[list[str] | None, typer.Option(help="What it may do; may be given several times.")] = None,
    json: Json = False,
) -> None:
    """Draw a token; shown this once."""
    with door.connect() as farm:
        made = farm.create_token(name, tuple(right or ()))
    if json:
        return show.as_json(made)
    show.whole(f"{made.get('token')}\n(not shown again; use it as FARMGATE_TOKEN)")
    return None


@tokens.command("list")
def list_(json: Json = False) -> None:
    """All tokens, without their secrets."""
    with door.connect() as farm:
        rows = farm.tokens()
    if json:
        return show.as_json(rows)
    show.table(
        ("id", "kind", "name", "rights", "made", "used", "ends", "state"),
        (
            (
                row["id"],
                row.get("kind"),
                row.get("name"),
                " ".join(row.get("rights") or ()),
                show.ago(row.get("created_at")),
                show.ago(row.get("used_at")),
                row.get("expires_at"),
                "revoked" if row.get("revoked_at") else "valid",
            )
            for row in rows
        ),
        spare=("ends", "used"),
        empty="no token",
    )
    return None


@tokens.command("revoke")
def revoke(
    number: Annotated[int, typer.Argument(metavar="ID", help="From `farmgate token list`.", show_default=False)],
    json: Json = False,
) -> None:
    """End a token."""
    with door.connect() as farm:
        farm.revoke_token(number)
    return show.as_json({"revoked": number}) if json else show.console().print(f"token {number} has ended")


def signin(json: Json = False) -> None:
    """Print a link that opens the pages, good for one use."""
    with door.connect() as farm:
        made = farm.signin_link()
    return show.as_json(made) if json else show.whole(str(made.get("url")))


def version(json: Json = False) -> None:
    """Which Farmgate this is."""
    return show.as_json({"version": __version__}) if json else show.console().print(f"farmgate {__version__}")


def _check(name: str, ok: bool, text: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "text": text}


def _named(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    name = item.get("name") or "/".join(str(item.get(key, "?")) for key in ("application", "environment"))
    return f"{name} {item.get('state', '')}".strip()
