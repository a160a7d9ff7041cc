"""`farmgate identity ...`: who signs the identity tokens of jobs, with which keys, and who was given which."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="Who signs identity tokens of jobs, and who was given which.")


@app.command("show")
def show_(json: Json = False) -> None:
    """The issuer, where its keys are, and what each key is for."""
    with door.connect() as farm:
        row = farm.identity()
    if json:
        return show.as_json(row)
    return _shown(row)


@app.command()
def tokens(
    run: Annotated[int | None, typer.Option(help="Only those of this run.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, the newest first.")] = 50,
    json: Json = False,
) -> None:
    """Identity tokens that were given: never the tokens themselves."""
    with door.connect() as farm:
        rows = farm.identity_tokens(run, limit)
    if json:
        return show.as_json(rows)
    show.table(
        ("given", "run", "job", "subject", "audience", "ends", "key"),
        (
            (
                show.ago(row["issued_at"]),
                str(row["run"]),
                row["job"],
                row["subject"],
                row["audience"],
                row["expires_at"][:16].replace("T", " "),
                row["key"][:8],
            )
            for row in rows
        ),
        spare=("key", "ends"),
        empty="no identity token was given yet: jobs name them under `identity`",
    )
    return None


@app.command()
def rotate(
    leaked: Annotated[
        bool,
        typer.Option("--leaked", help="The new key signs at once; the older ones, and what they signed, are void."),
    ] = False,
    json: Json = False,
) -> None:
    """A new signing key. It is published now and signs later, when verifiers have fetched it.

    The older key stays published until every token that it signed has ended.
    """
    with door.connect() as farm:
        row = farm.rotate_identity(leaked)
    if json:
        return show.as_json(row)
    return _shown(row)


def _shown(row: dict[str, Any]) -> None:
    console = show.console()
    console.print(f"issuer         {row['issuer']}")
    console.print(f"configuration  {row['configuration']}")
    console.print(f"keys           {row['keys_at']}\n")
    show.table(
        ("key", "use", "signs from", "until", "made by"),
        (
            (
                key["kid"],
                key["use"],
                key["signs_from"][:16].replace("T", " "),
                (key["until"] or key["withdrawn_at"] or "")[:16].replace("T", " "),
                key["created_by"],
            )
            for key in row["keys"]
        ),
        spare=("made by",),
        empty="no key yet: the first one is made when somebody asks for it",
    )
    if row["problem"]:
        console.print(f"\n{row['problem']}")
