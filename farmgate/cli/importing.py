"""`farmgate pipeline import`: other systems' pipeline files, as ours.

Rules:
1. What is left is listed on stderr at file:line:column, with why and what to do; it is in the result as comments, too.
2. The result goes to the standard output, or to `--output`; an existing file is not overwritten without `--force`.
3. The exit code says whether something was left: 0 for nothing, 1 for something.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farmgate.cli import show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import BadDocument, Conflict, NotFound

if TYPE_CHECKING:
    from farmgate.importing import Format, Source

_PLACES = (
    ".travis.yml",
    ".circleci/config.yml",
    ".gitlab-ci.yml",
    ".github/workflows",
    ".woodpecker.yml",
    ".woodpecker",
)


def convert(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files, or a repository's folder; - reads standard input (say --from). Default: this folder."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, such as .farmgate.yml. Default: standard output."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="travis, circleci, gitlab, github or woodpecker. Default: known by the path."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; only list what would be left.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that --output names.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list what is needless here.")] = False,
    json: Json = False,
) -> None:
    """Convert another system's pipeline file; what does not convert is listed, exit code 1 if there is such."""
    from farmgate import importing

    sources, of = _sources(paths or [Path()], source)
    if output is not None and output.exists() and not force and not check:
        raise Conflict(f"{output} exists: say --force to overwrite it")
    try:
        made = importing.convert(sources, of)
    except BadDocument as error:
        if json:
            show.as_json({"problems": [_problem(problem) for problem in error.problems]})
        else:
            print(str(error), file=sys.stderr)
        leave(Exit.FAILED)
    left, look = made.of(importing.Kind.LEFT), made.of(importing.Kind.LOOK)
    if json:
        show.as_json(
            {
                "format": str(of),
                "pipeline": made.text,
                "remarks": [{"kind": str(remark.kind), **_problem(remark.problem)} for remark in made.remarks],
                "steps": {"converted": made.steps_converted, "left": len(made.steps_left)},
            }
        )
    else:
        shown = made.remarks if verbose else (*left, *look)
        for remark in sorted(shown, key=lambda one: (one.problem.source, one.problem.line, one.problem.column)):
            print(f"{remark.problem} [{remark.kind}]", file=sys.stderr)
        print(_summary(made.steps_converted, len(made.steps_left), len(left), len(look)), file=sys.stderr)
        if made.text is not None and output is None and not check:
            print(made.text, end="")
    if made.text is not None and output is not None and not check:
        output.write_text(made.text, encoding="utf-8")
    if made.text is None or left:
        leave(Exit.FAILED)


def _problem(problem: object) -> dict[str, object]:
    return {key: getattr(problem, key) for key in ("source", "line", "column", "message", "suggestion")}


def _summary(converted: int, left_steps: int, left: int, look: int) -> str:
    steps = f"{converted} of {converted + left_steps} steps converted"
    return f"{steps}; {left} left to do, {look} to look at" if left or look else f"{steps}; nothing is left"


def _sources(paths: list[Path], named: str | None) -> tuple[list[Source], Format]:
    """The files and their one format. Raises NotFound, Conflict."""
    from farmgate.importing import Format, Source, format_of

    try:
        wanted = Format(named) if named else None
    except ValueError:
        raise NotFound(f"--from {named}: there are {', '.join(Format)}") from None
    if [str(path) for path in paths] == ["-"]:
        if wanted is None:
            raise NotFound("- needs --from: nothing else says which format it is")
        return [Source("-", sys.stdin.read())], wanted
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            for place in _PLACES:
                inside = path / place
                files = sorted(inside.rglob("*.y*ml")) if inside.is_dir() else [inside] if inside.is_file() else []
                found.update({file: file.relative_to(path).as_posix() for file in files})
            if format_of(str(path / "x.yml")) is not None:  # .github/workflows itself
                found.update({file: file.as_posix() for file in sorted(path.glob("*.y*ml"))})
        else:
            found[path] = path.as_posix()
    kinds = {path: wanted or format_of(path.absolute().as_posix()) for path in found}
    formats = sorted({kind for kind in kinds.values() if kind is not None})
    if not formats:
        places = ", ".join(str(path) for path in paths)
        raise NotFound(f"{places}: no file of another system is known by its path here: name it, and say --from")
    if len(formats) > 1:
        raise Conflict(f"files of {' and '.join(formats)}: name the files of one of them, or say --from")
    of = formats[0]
    sources = [Source(name, _read(path)) for path, name in found.items() if kinds[path] in (of, None)]
    return sources, of


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
