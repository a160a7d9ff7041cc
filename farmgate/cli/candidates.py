"""`farmgate candidate ...`: commits that may be delivered, those of other systems too.

Rules:
1. What a red check says is passed on as it is: the exit code is then 1, and no candidate is made.
2. It may be called again with the same: nothing is doubled, and what was uploaded is not needed twice.
"""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.errors import NotFound

if TYPE_CHECKING:
    from farmgate.client.api import Api

app = typer.Typer(no_args_is_help=True, help="Commits that may be delivered.")

PIECE = 1 << 20
Repo = Annotated[str, typer.Argument(metavar="REPOSITORY", help="The repository's name.", show_default=False)]


@app.command("list")
def list_(repository: Repo, json: Json = False) -> None:
    """The newest candidates, and what was submitted lately."""
    with door.connect() as farm:
        row = farm.candidates(repository)
    if json:
        return show.as_json(row)
    show.table(
        ("id", "commit", "from", "run", "artifacts", "since"),
        (
            (
                each["id"],
                show.short(each["sha"]),
                each["source"],
                each["run"],
                len(each["artifacts"]),
                show.ago(each["created_at"]),
            )
            for each in row["candidates"]
        ),
        empty=f"{repository} has no candidate yet",
    )
    others = [each for each in row["submissions"] if each["state"] != "accepted"]
    if others:
        show.console().print("\nsubmitted, and no candidate:")
        show.table(
            ("id", "commit", "from", "state", "by", "why"),
            (
                (
                    each["id"],
                    show.short(each["sha"]),
                    each["source"],
                    show.state(each["state"]),
                    each["submitted_by"],
                    each["reason"],
                )
                for each in others
            ),
            empty="",
        )
    return None


@app.command()
def submit(
    repository: Repo,
    sha: Annotated[str, typer.Argument(help="The commit's whole hash.", show_default=False)],
    source: Annotated[str, typer.Option(help="The system that ran the checks: jenkins, circleci, github.")],
    check: Annotated[
        list[str],
        typer.Option(metavar="NAME=RESULT", help="A check: passed, failed, error, cancelled or skipped. Several."),
    ],
    artifact: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="What was built; its bytes are uploaded. Several.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IMAGE@DIGEST", help="An image by digest that a registry keeps. Several."),
    ] = None,
    provenance: Annotated[
        Path | None, typer.Option(help="Its signed provenance, a DSSE envelope in a file.", show_default=False)
    ] = None,
    url: Annotated[str, typer.Option(help="Where it was built, for people.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Hand over a commit that another system built and tested. Its token needs just the right candidates:REPOSITORY."""
    checks = [dict(zip(("name", "result"), _pair(text, "--check"), strict=True)) for text in check]
    files = [_pair(text, "--artifact") for text in artifact or ()]
    artifacts = dict(_pair(text, "--image") for text in image or ())
    with door.connect() as farm:
        for name, path in files:
            artifacts[name] = f"sha256:{_upload(farm, repository, Path(path))}"
        if provenance is not None:
            farm.bring_provenance(repository, sha.lower(), source, _envelope(provenance))
        body: dict[str, Any] = {"sha": sha.lower(), "source": source, "checks": checks, "artifacts": artifacts}
        row = farm.submit_candidate(repository, {**body, "url": url} if url else body)
    if json:
        show.as_json(row)
    else:
        why = f": {row['reason']}" if row["reason"] else ""
        number = f" {row['candidate']}" if row["candidate"] else ""
        said = {"accepted": f"is candidate{number}", "waiting": "waits", "refused": "is no candidate"}
        text = f"{show.short(row['sha'])} of {repository} {said.get(row['state'], row['state'])}{why}"
        show.console().print(show.clean(text))
    leave(Exit.FAILED if row["state"] in ("refused", "expired") else Exit.OK)


Commit = Annotated[str, typer.Argument(metavar="COMMIT", help="A commit, or its first digits.", show_default=False)]
Why = Annotated[str, typer.Option(help="Why. It is kept.", show_default=False)]


@app.command()
def red(
    repository: Repo,
    commit: Commit,
    check: Annotated[str, typer.Option(help="The check that says no: nightly, load-test.", show_default=False)],
    reason: Why,
    source: Annotated[str, typer.Option(help="The system that ran it.")] = "a person",
    json: Json = False,
) -> None:
    """Say that a candidate turned red: a check that ended late, a nightly. Lanes where it is live say so."""
    with door.connect() as farm:
        rows = farm.turned_red(repository, commit, {"check": check, "reason": reason, "source": source})
    if json:
        return show.as_json(rows)
    standing = [each for each in rows if each["over_at"] is None]
    told = ", ".join(each["check"] for each in standing) if standing else "it is no candidate: nothing to take back"
    return show.console().print(
        show.clean(f"{repository} {commit}: red by {told}" if standing else f"{commit}: {told}")
    )


@app.command()
def green(
    repository: Repo,
    commit: Commit,
    reason: Why,
    check: Annotated[str | None, typer.Option(help="Only this check. Default: all that say no.")] = None,
    json: Json = False,
) -> None:
    """Say that a candidate that turned red is good again, on your word."""
    with door.connect() as farm:
        rows = farm.green_again(repository, commit, {"check": check, "reason": reason})
    left = [each["check"] for each in rows if each["over_at"] is None]
    told = f"still red by {', '.join(left)}" if left else "a candidate again"
    return show.as_json(rows) if json else show.console().print(show.clean(f"{repository} {commit}: {told}"))


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=") if option == "--check" else text.partition("=")
    if not (name and equals and value) or re.search(r"[\r\n]", text):
        raise typer.BadParameter(f"say NAME=VALUE, not {text!r}", param_hint=option)
    return name, value


def _envelope(path: Path) -> dict[str, Any]:
    try:
        value = plain_json.loads(path.read_bytes())
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--provenance") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{path} is no envelope", param_hint="--provenance")
    return value


def _upload(farm: Api, repository: str, path: Path) -> str:
    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    try:
        return str(farm.put_bytes(repository, pieces())["sha256"])
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}") from None
