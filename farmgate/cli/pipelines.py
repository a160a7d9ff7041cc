"""`farmgate pipeline ...`: the pipeline file, checked without a farm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from farmgate.cli import show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import BadDocument, NotFound

app = typer.Typer(no_args_is_help=True, help="The pipeline file.")


@app.callback()
def _group() -> None:
    """Keeps `lint` a subcommand although it is the only one."""


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(help="The file; - reads standard input.")] = Path(".farmgate.yml"),
    json: Json = False,
) -> None:
    """Check a pipeline file: every problem at file:line:column; exit code 1 if there is one."""
    from farmgate import pipeline

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_bytes().decode()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NotFound(f"{file} is not a text in UTF-8") from None
    try:
        parsed = pipeline.parse(text, source=str(file))
    except BadDocument as error:
        if not json:
            show.console().print(str(error))
        else:
            keys = ("source", "line", "column", "message", "suggestion")
            show.as_json({"problems": [{key: getattr(p, key) for key in keys} for p in error.problems]})
        leave(Exit.FAILED)
    if json:
        return show.as_json({"problems": [], "pipeline": parsed.model_dump(mode="json")})
    jobs = ", ".join(parsed.jobs)
    show.console().print(f"{file} is well: {len(parsed.jobs)} job{'s' if len(parsed.jobs) != 1 else ''}: {jobs}")
    return None
