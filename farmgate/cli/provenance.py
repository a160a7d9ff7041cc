"""`farmgate provenance ...`: what was signed, verified here or by any tool for DSSE and in-toto."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import NotFound
from farmgate.provenance.dsse import NotGenuine, verified

app = typer.Typer(no_args_is_help=True, help="What was signed of candidates and rollouts.")

What = Annotated[
    str,
    typer.Argument(metavar="WHAT", help="REPOSITORY of a commit, or the lane of a rollout.", show_default=False),
]
Which = Annotated[str, typer.Argument(metavar="WHICH", help="The commit, or the rollout's number.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write it there. Default: print it.", show_default=False)]


@app.command()
def get(what: What, which: Which, out: Out = None) -> None:
    """The envelope (DSSE) as it was signed: of a candidate, or the release record of a rollout."""
    text = _envelope(what, which)
    if out is None:
        print(text)
        return
    try:
        out.write_text(text + "\n")
    except OSError as error:
        raise NotFound(f"{out} cannot be written: {error.strerror or error}") from None
    show.console(err=True).print(f"written to {out}")


@app.command()
def verify(
    what: What,
    which: Which,
    key: Annotated[Path | None, typer.Option(help="Verify by this public key, and not by the farm's.")] = None,
) -> None:
    """Verify an envelope, and say what it says."""
    text = _envelope(what, which)
    with door.connect() as farm:
        keys = [key.read_text()] if key is not None else [each["public"] for each in farm.provenance_keys()]
    try:
        statement = verified(text, keys)
    except NotGenuine as error:
        show.console().print(show.clean(f"it does not hold: {error}"))
        leave(Exit.FAILED)
    show.as_json(statement)
    leave(Exit.OK)


@app.command()
def keys(
    pem: Annotated[bool, typer.Option("--pem", help="Only the public keys, for other tools.")] = False,
    json: Json = False,
) -> None:
    """The keys that sign, the newest first; what older ones signed holds."""
    with door.connect() as farm:
        rows = farm.provenance_keys()
    if json:
        return show.as_json(rows)
    if pem:
        for each in rows:
            print(each["public"], end="")
        return None
    show.table(
        ("key", "signs", "made by", "since"),
        (
            (each["kid"], "now" if each["signs"] else "", each["created_by"], show.ago(each["created_at"]))
            for each in rows
        ),
        empty="no key yet",
    )
    return None


@app.command()
def rotate(json: Json = False) -> None:
    """Sign with a new key from now on."""
    with door.connect() as farm:
        rows = farm.rotate_provenance()
    if json:
        return show.as_json(rows)
    show.console().print(f"key {rows[0]['kid']} signs from now on; {len(rows) - 1} older ones stay published")
    return None


def _envelope(what: str, which: str) -> str:
    with door.connect() as farm:
        if "/" in what:
            application, _, environment = what.partition("/")
            if not which.isdigit():
                raise typer.BadParameter(f"{which!r} is not the number of a rollout")
            return str(farm.release_record(application, environment, int(which))["envelope"])
        found = farm.provenance_of(what, which)
        for each in found:
            if each["problem"]:
                show.console(err=True).print(show.clean(each["problem"]))
        return str(found[0]["envelope"])
