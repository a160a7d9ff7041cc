"""`farmgate pipeline ...`: the pipeline file, checked and changed on this machine.

Rules:
1. What a file needs is looked up without a farm where that is possible; a template of a server or a repository is asked
   for at the farm that `--server`, FARMGATE_SERVER or the data folder names.
2. Nothing is written over that git does not have, unless one forces it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import BadDocument, Conflict, NotFound

if TYPE_CHECKING:
    from farmgate.pipeline import Pipeline
    from farmgate.pipeline.templates import Found
    from farmgate.pipeline.use import UseFile

app = typer.Typer(no_args_is_help=True, help="The pipeline file.")

File = Annotated[Path, typer.Argument(help="The file; - reads standard input.")]
DEFAULT = Path(".farmgate.yml")


class Lookup:
    """Rule 1."""

    def find(self, use: UseFile, *, nested: bool) -> Found:
        from farmgate.pipeline.builtin import BUILT_IN, NAMES
        from farmgate.pipeline.templates import Found

        if (use.template in NAMES and use.version is None) or not _knows_a_farm():
            return BUILT_IN.find(use, nested=nested)
        with door.connect() as farm:
            row = farm.find_template(use.model_dump(exclude_none=True))
        return Found(row["text"], row["source"], row["origin"])


def _knows_a_farm() -> bool:
    chosen = door.settings()
    return "server" in chosen.model_fields_set or door.address_in(chosen.data) is not None


@app.command()
def lint(file: File = DEFAULT, json: Json = False) -> None:
    """Check a pipeline file: every problem at file:line:column; exit code 1 if there is one."""
    parsed = _parse(file, json=json)
    if json:
        return show.as_json({"problems": [], "pipeline": parsed.model_dump(mode="json")})
    jobs = ", ".join(list(parsed.jobs)[:20]) + (" ..." if len(parsed.jobs) > 20 else "")
    show.console().print(f"{file} is well: {len(parsed.jobs)} job{'s' if len(parsed.jobs) != 1 else ''}: {jobs}")
    return None


@app.command()
def expand(
    file: File = DEFAULT,
    matrices: Annotated[bool, typer.Option("--matrices", help="Write each cell of a matrix out as a job.")] = False,
    json: Json = False,
) -> None:
    """Print what the file becomes: a template's jobs put in, as a file that says the same."""
    from farmgate.documents import read
    from farmgate.pipeline.expanding import expanded

    text = read_text(file)
    try:
        made = expanded(text, str(file), Lookup(), matrices=matrices)
    except BadDocument as error:
        tell(error, json=json)
    if json:
        return show.as_json(read(made, str(file)).data)
    sys.stdout.write(made)
    return None


@app.command()
def eject(
    file: File = DEFAULT,
    out: Annotated[bool, typer.Option("--print", help="Print the new file instead of writing it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over changes that git does not have.")] = False,
    json: Json = False,
) -> None:
    """Write a template's jobs into the file: it says the same, and needs the template no more."""
    from farmgate.pipeline.expanding import ejected

    text = read_text(file)
    try:
        made = ejected(text, str(file), Lookup())
    except BadDocument as error:
        tell(error, json=json)
    if made.text == text:
        return show.as_json({"changed": False}) if json else show.console().print(f"{file} uses no template")
    if out or str(file) == "-":
        sys.stdout.write(made.text)
        return None
    if not force and (why := _unsaved(file)):
        raise Conflict(f"{file} {why}: commit it first, or say --force")
    _write(file, made.text)
    if json:
        return show.as_json({"changed": True, "comments_kept": not made.anew})
    note = " (written anew: its comments could not be kept)" if made.anew else ""
    show.console().print(f"{file} has the template's jobs now{note}")
    return None


@app.command()
def graph(
    file: File = DEFAULT,
    dot: Annotated[bool, typer.Option("--dot", help="For Graphviz.")] = False,
    json: Json = False,
) -> None:
    """Show what runs after what, beside what, and under which conditions."""
    from farmgate.pipeline import drawing

    parsed = _parse(file, json=json)
    if json:
        return show.as_json(drawing.as_data(parsed))
    sys.stdout.write(drawing.as_dot(parsed) if dot else drawing.as_text(parsed))
    return None


@app.command()
def init(
    template: Annotated[str | None, typer.Option(help="A template's name; default: by what stands here.")] = None,
    file: Annotated[Path, typer.Argument(help="The file to write.")] = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Write a first pipeline file, by what stands in this folder: Python, Node, Go, a site, a Dockerfile."""
    from farmgate.pipeline import parse, scaffold, schema

    if file.exists() and not force:
        raise Conflict(f"{file} is there already: say --force to write over it")
    folder = file.resolve().parent
    chosen = template or scaffold.detected({path.name for path in folder.iterdir()})
    server = door.settings()
    address = (door.address_in(server.data) if "server" not in server.model_fields_set else None) or server.server
    text = scaffold.scaffold(chosen, address.rstrip("/") + schema.ADDRESS, folder.name)
    try:
        jobs = list(parse(text, str(file), Lookup()).jobs)
    except BadDocument as error:
        tell(error, json=json)
    _write(file, text)
    if json:
        return show.as_json({"file": str(file), "template": chosen, "jobs": jobs})
    by = f"uses template {chosen}" if chosen else "has one job to be changed: nothing known stands in this folder"
    show.console().print(f"{file} {by}; jobs: {', '.join(jobs)}")
    return None


def _parse(file: Path, *, json: bool) -> Pipeline:
    from farmgate import pipeline

    text = read_text(file)
    try:
        return pipeline.parse(text, str(file), Lookup())
    except BadDocument as error:
        tell(error, json=json)


def read_text(file: Path) -> str:
    """Raises NotFound."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_bytes().decode()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NotFound(f"{file} is not a text in UTF-8") from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode())
    except OSError as error:
        raise NotFound(f"{file} cannot be written: {error.strerror}") from None


def tell(error: BadDocument, *, json: bool) -> NoReturn:
    """Every problem, and exit code 1."""
    if not json:
        show.console().print(str(error))
    else:
        keys = ("source", "line", "column", "message", "suggestion")
        show.as_json({"problems": [{key: getattr(p, key) for key in keys} for p in error.problems]})
    leave(Exit.FAILED)


def _unsaved(file: Path) -> str | None:
    """Why the file as it stands would be lost; None: git has it."""
    where = file.resolve()
    line = ["git", "-C", str(where.parent), "status", "--porcelain", "--ignored", "--", where.name]
    try:
        said = subprocess.run(line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return "may have changes that nobody kept (git is not on this machine)"
    if said.returncode != 0:
        return "is not kept by git"
    return "has changes that git does not have" if said.stdout.strip() else None
