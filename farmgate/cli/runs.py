"""`farmgate runs`, `farmgate run ...`: a commit's answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate import states
from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.clock import SystemClock
from farmgate.errors import NotFound

if TYPE_CHECKING:
    from farmgate.client.api import Api

app = typer.Typer(help="One commit's run.")

Number = Annotated[str, typer.Argument(metavar="ID|SHA", help="A run's number, or a commit.", show_default=False)]
LOOK_AGAIN = timedelta(milliseconds=500)
OVER = frozenset(str(state) for state in states.Run if states.is_final(state))
JOB_OVER = frozenset(str(state) for state in states.Job if states.is_final(state))


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    local: Annotated[
        bool, typer.Option("--local", help="Run the pipeline on this working tree as it stands, without a server.")
    ] = False,
    job: Annotated[
        list[str] | None, typer.Option("--job", help="With --local: only this job and what it needs; several times.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="With --local: put the artifacts into this folder.")] = None,
    engine: Annotated[str | None, typer.Option(help="With --local: docker or process.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=256, help="With --local: jobs at a time.")] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret", metavar="NAME", help="With --local: a secret, from the variable of this name; several times."
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option("--secrets", metavar="FILE", help="With --local: secrets, each line of the file NAME=VALUE."),
    ] = None,
    json: Json = False,
) -> None:
    """One commit's run. With --local: that of the working tree; exit code 0 if it passed, 1 if not."""
    if context.invoked_subcommand is None and not local:
        typer.echo(context.get_help())
        leave(Exit.USAGE)
    if local:
        from farmgate.cli.local import run_locally
        from farmgate.cli.up import check_engine

        check_engine(engine)
        run_locally(Path.cwd(), job, output, engine, slots, json, secret, secrets)


def runs(
    repo: Annotated[str | None, typer.Option(help="Of this repository.")] = None,
    ref: Annotated[str | None, typer.Option(help="Of this branch or tag.")] = None,
    state: Annotated[str | None, typer.Option(help="In this state: running, passed, failed...")] = None,
    sha: Annotated[str | None, typer.Option(help="Of this commit; a beginning is enough.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """The latest runs."""
    with door.connect() as farm:
        rows = farm.runs(repository=repo, ref=ref, sha=sha, state=state, limit=limit)
    if json:
        return show.as_json(rows)
    show.table(
        ("run", "state", "repository", "ref", "commit", "title", "author", "pushed", "took", "starts"),
        (
            (
                row["id"],
                show.state(row["state"]),
                row.get("repository"),
                branch(row.get("ref")),
                show.short(row.get("sha")),
                row.get("title"),
                row.get("author"),
                show.ago(row.get("created_at")),
                show.between(row.get("created_at"), row.get("finished_at")),
                row.get("estimate"),
            )
            for row in rows
        ),
        spare=("author", "repository", "ref", "starts"),
        empty="no run yet: push a commit with a .farmgate.yml to a connected repository",
    )
    return None


@app.command("show")
def show_(run: Number, json: Json = False) -> None:
    """A run: its jobs, why they wait, their attempts and artifacts."""
    with door.connect() as farm:
        row = found(farm, run)
    if json:
        return show.as_json(row)
    report(row)
    return None


@app.command()
def watch(run: Number, json: Json = False) -> None:
    """Follow a run until it ends; exit code 0 if it passed, 1 if not."""
    with door.connect() as farm:
        row = found(farm, run)
        if json:
            row = until_over(farm, row, lambda _: None)
            show.as_json(row)
        elif show.console().is_terminal:
            row = _live(farm, row)
        else:
            row = _lines(farm, row)
    leave(Exit.OK if row["state"] == "passed" else Exit.FAILED)


@app.command()
def cancel(
    run: Number,
    reason: Annotated[str, typer.Option(help="Why; shown with the run.")] = "cancelled on the command line",
    json: Json = False,
) -> None:
    """Stop a run. Jobs that clean up after it still run, for a while; stop it once more to end them too."""
    with door.connect() as farm:
        row = farm.cancel_run(int(found(farm, run)["id"]), reason)
    if json:
        return show.as_json(row)
    show.console().print(f"run {row.get('id', run)} is being cancelled: {reason}")
    going = [job["name"] for job in row.get("jobs", ()) if job["state"] not in JOB_OVER and not job.get("cancel_asked")]
    if going:
        show.console().print(f"still cleaning up: {', '.join(going)}; cancel once more to end that too")
    return None


@app.command()
def again(
    run: Number,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed, and what needs it.")] = False,
    job: Annotated[str | None, typer.Option(help="Only this job, and what needs it.")] = None,
    no_reuse: Annotated[bool, typer.Option("--no-reuse", help="Take nothing from earlier results.")] = False,
    json: Json = False,
) -> None:
    """Run the same commit again with the same inputs, as a new run."""
    with door.connect() as farm:
        row = farm.rerun(int(found(farm, run)["id"]), failed=failed, job=job, reuse=not no_reuse)
    if json:
        return show.as_json(row)
    what = f"job {job} of " if job else "what failed of " if failed else ""
    show.console().print(f"run {row.get('id', '-')} runs {what}the same commit again")
    return None


@app.command()
def allow(run: Number, json: Json = False) -> None:
    """Let a run begin that waits for a maintainer: of exactly the commit that it shows."""
    with door.connect() as farm:
        row = found(farm, run)
        row = farm.allow_run(int(row["id"]), str(row["sha"]))
    if json:
        return show.as_json(row)
    show.console().print(f"run {row.get('id', run)} may run: commit {row.get('sha')}, and no other")
    return None


def approve(
    run: Number,
    job: Annotated[str, typer.Argument(help="The job that asks.", show_default=False)],
    text: Annotated[str, typer.Option(help="What to say with it; kept with the answer.")] = "",
    json: Json = False,
) -> None:
    """Say yes to a job that asks."""
    return _answer(run, job, "approve", text, json)


def decline(
    run: Number,
    job: Annotated[str, typer.Argument(help="The job that asks.", show_default=False)],
    text: Annotated[str, typer.Option(help="What to say with it; kept with the answer.")] = "",
    json: Json = False,
) -> None:
    """Say no to a job that asks."""
    return _answer(run, job, "decline", text, json)


def _answer(run: str, job: str, verdict: str, text: str, json: bool) -> None:
    with door.connect() as farm:
        row = found(farm, run)
        names = {str(each["name"]): int(each["id"]) for each in row.get("jobs", ())}
        if job not in names:
            raise NotFound(f"run {row['id']} has no job {job}: it has {', '.join(names) or 'none'}")
        row = farm.answer_job(names[job], verdict, text)
    if json:
        return show.as_json(row)
    show.console().print(f"job {job} of run {row.get('id', run)} is {verdict}d")
    return None


def found(farm: Api, given: str) -> dict[str, Any]:
    """The run that a number or the beginning of a sha names, the newest of several. Raises NotFound."""
    if given.isdigit() and len(given) < 7:
        return farm.run(int(given))
    wanted = given.lower()
    shas = {row["sha"]: row for row in reversed(farm.runs(sha=wanted, limit=100)) if row["sha"].startswith(wanted)}
    match list(shas.values()):
        case []:
            raise NotFound(f"no run of a commit {given}: see `farmgate runs`")
        case [row]:
            return farm.run(int(row["id"]))
        case several:
            raise NotFound(f"{given} is the beginning of {len(several)} commits: give more of the sha")


def until_over(farm: Api, row: dict[str, Any], seen: Any) -> dict[str, Any]:
    """Look at the run until it is over; `seen` is called with each look."""
    clock = SystemClock()
    while True:
        seen(row)
        if row["state"] in OVER:
            return row
        clock.sleep(LOOK_AGAIN)
        row = farm.run(int(row["id"]))


def _live(farm: Api, row: dict[str, Any]) -> dict[str, Any]:
    from rich.live import Live

    with Live(_grid(row), console=show.console(), refresh_per_second=4, transient=True) as live:
        row = until_over(farm, row, lambda now: live.update(_grid(now)))
    report(row)
    return row


def _lines(farm: Api, row: dict[str, Any]) -> dict[str, Any]:
    out, told = show.console(), dict[str, str]()
    out.print(headline(row))

    def tell(now: dict[str, Any]) -> None:
        for job in now.get("jobs", ()):
            if told.get(job["name"]) != job["state"]:
                told[job["name"]] = job["state"]
                out.print(f"  {job['name']}: {job['state']}{_because(job)}")

    row = until_over(farm, row, tell)
    out.print(f"run {row['id']} {row['state']} in {show.between(row.get('created_at'), row.get('finished_at'))}")
    return row


def report(row: dict[str, Any]) -> None:
    """A run for a person."""
    out = show.console()
    out.print(headline(row))
    if row.get("reason"):
        for line in str(row["reason"]).splitlines():
            out.print(f"  {show.clean(line)}")
    if row.get("jobs"):
        out.print(_grid(row))
    for job in row.get("jobs", ()):
        for artifact in job.get("artifacts", ()):
            out.print(f"  {artifact['path']}  {artifact.get('size_bytes', '?')} bytes  sha256:{artifact['sha256']}")
        more = int(job.get("artifacts_total", 0)) - len(job.get("artifacts", ()))
        if more > 0:
            out.print(f"  and {more} more: farmgate artifacts list {row['id']}/{job['name']}")


def headline(row: dict[str, Any]) -> str:
    """One line: which run of what, and how it stands."""
    title = show.clean(str(row.get("title") or ""))
    who = show.clean(str(row.get("author") or ""))
    took = show.between(row.get("created_at"), row.get("finished_at"))
    where = f"{row.get('repository', '?')} {branch(row.get('ref'))} {show.short(row.get('sha'))}"
    return f"run {row['id']} {row['state']}: {where} {title!r} by {who}, {took} after the push"


def _grid(row: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("job", "id", "state", "attempt", "took", "why"):
        grid.add_column(heading, no_wrap=heading != "why")
    for job in row.get("jobs", ()):
        grid.add_row(
            Text(job["name"]),
            str(job.get("id", "-")),
            show.state(job["state"]),
            str(job.get("attempt", "-")),
            show.between(job.get("started_at"), job.get("finished_at")),
            Text(_because(job).removeprefix(": ")),
        )
    return grid


def _because(job: dict[str, Any]) -> str:
    over = job["state"] in JOB_OVER
    why = job.get("reason") if over else job.get("why") or job.get("reason")
    if why and not over and job.get("estimate"):
        why = f"{why}; {job['estimate']}"
    if job.get("forgiven") and job["state"] == "failed":
        why = f"allowed to fail: {why or 'not told why'}"
    return f": {show.clean(str(why))}" if why else ""


def branch(ref: object) -> str:
    """A ref as people write it."""
    return str(ref or "-").removeprefix("refs/heads/").removeprefix("refs/")
