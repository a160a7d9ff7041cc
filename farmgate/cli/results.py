"""`farmgate tests`, `farmgate test ...`: what a run's tests say, a test's history, quarantine."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any

import typer

from farmgate.cli import door, runs, show
from farmgate.cli.show import Json
from farmgate.errors import FarmgateError

app = typer.Typer(no_args_is_help=True, help="One test: its history, quarantine.")

Repo = Annotated[str, typer.Argument(metavar="REPO", help="The repository.", show_default=False)]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The test's class and name, as a run shows them.", show_default=False)
]
MARKS = {"passed": ".", "failed": "F", "error": "E", "skipped": "s"}


def of_run(run: runs.Number, json: Json = False) -> None:
    """What a run's tests say: what failed first, and who broke it."""
    with door.connect() as farm:
        row = farm.run_reports(int(runs.found(farm, run)["id"]))
    if json:
        return show.as_json(row)
    out = show.console()
    sums = row["sums"]
    counts = [
        f"{int(sums.get(key, 0))} {word}"
        for key, word in (("passed", "passed"), ("skipped", "skipped"), ("flaky", "flaky"))
    ]
    failed = int(sums.get("failed", 0) + sums.get("errors", 0))
    out.print(f"run {row['run']} of {row['repository']}: {failed} failed, {', '.join(counts)}")
    for job in row["tests"]:
        for file in job["files"]:
            if file["problem"]:
                out.print(f"  {show.clean(file['path'])}: {show.clean(file['problem'])}")
    for failure in row["failures"]:
        out.print()
        ended = "flaky" if failure["outcome"] == "passed" else failure["outcome"]
        out.print(f"{ended}  {show.clean(failure['test'])}  ({show.clean(failure['job'])})")
        for line in notes(failure):
            out.print(f"  {line}")
        for line in (failure["text"] or failure["message"]).splitlines()[:20]:
            out.print(f"    {show.clean(line)}")
    if row["more"]:
        out.print(f"and {row['more']} more")
    return None


@app.command("show")
def show_(
    repo: Repo, name: Name, ref: Annotated[str | None, typer.Option(help="Of this branch.")] = None, json: Json = False
) -> None:
    """A test's history on a branch: each commit, and since when it fails."""
    with door.connect() as farm:
        row = farm.test(repo, name, ref)
    if json:
        return show.as_json(row)
    report(row)
    return None


@app.command()
def quarantine(
    repo: Repo,
    name: Name,
    owner: Annotated[str, typer.Option(help="Who looks after it.", show_default=False)],
    until: Annotated[str, typer.Option(metavar="DATE", help="Until this day, such as 2026-12-01.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why.", show_default=False)],
    json: Json = False,
) -> None:
    """Let a test run without deciding, for at most 30 days."""
    try:
        day = datetime.combine(date.fromisoformat(until), time(), UTC)
    except ValueError:
        raise FarmgateError(f"--until: {until!r} is not a day: write it as 2026-12-01") from None
    with door.connect() as farm:
        row = farm.quarantine(repo, name, owner=owner, until=day.isoformat(), reason=reason)
    if json:
        return show.as_json(row)
    report(row)
    return None


@app.command()
def release(repo: Repo, name: Name) -> None:
    """End a quarantine: the test decides again."""
    with door.connect() as farm:
        farm.release_test(repo, name)
    show.console().print(f"{show.clean(name)} decides again")


@app.command("list")
def list_(
    repo: Repo, ref: Annotated[str | None, typer.Option(help="Of this branch.")] = None, json: Json = False
) -> None:
    """A repository's tests: what is red, flaky, slow, in quarantine."""
    with door.connect() as farm:
        row = farm.repository_tests(repo, ref)
    if json:
        return show.as_json(row)
    found = [("red", one["test"], one["variant"], since(one["red"])) for one in row["red"]]
    found += [
        (
            "flaky",
            one["test"],
            one["variant"],
            f"{one['times']} times, {one['rate']:.0%} of runs, last {show.ago(one['last_seen'])}",
        )
        for one in row["flaky"]
    ]
    found += [("slow", one["test"], one["variant"], f"{one['seconds']:.1f} s") for one in row["slowest"]]
    found += [("quarantine", one["test"], "", held(one)) for one in row["quarantined"]]
    show.table(
        ("what", "test", "job", "why"),
        found,
        spare=("job",),
        empty="no tests yet: name JUnit files under 'reports' of a job",
    )
    return None


def report(row: dict[str, Any]) -> None:
    """A test for a person."""
    out = show.console()
    out.print(f"{show.clean(row['test'])} of {row['repository']} on {runs.branch(row['ref'])}")
    if row["quarantine"]:
        out.print(f"  {held(row['quarantine'])}")
    for variant in row["variants"]:
        strip = "".join("~" if one["flaky"] else MARKS.get(one["outcome"], "?") for one in reversed(variant["points"]))
        out.print(f"  {show.clean(variant['variant'])}: {strip or 'no result on this branch'}")
        if variant["points"]:
            out.print(f"    {variant['points'][0]['seconds']:.2f} s at {show.short(variant['points'][0]['sha'])}")
        if variant["red"]:
            out.print(f"    {since(variant['red'])}")
        if variant["flakes"]:
            last = variant["flakes"][0]
            out.print(
                f"    flaky: the same tree failed in run {last['failed_run']} and passed in run {last['passed_run']}"
            )


def notes(failure: dict[str, Any]) -> list[str]:
    """What is known of a failure."""
    told = [since(failure["red"])] if failure["red"] else []
    if failure["outcome"] == "passed":
        told.append(f"passed after {failure['failed_tries']} tries that failed")
    elif failure["flaky"]:
        told.append("known to be flaky")
    return told + ([held(failure["quarantine"])] if failure["quarantine"] else [])


def since(red: dict[str, Any]) -> str:
    """`red since 3 commits, first in abc1234567 by Ada: Title`."""
    commits = (
        f"{red['commits']} commits" if red["commits"] > 1 else "this commit" if red["known"] else "the first result"
    )
    title, author = show.clean(red["title"]), show.clean(red["author"] or "?")
    told = f"red since {commits}, first in {show.short(red['sha'])} by {author}: {title!r}"
    return f"{told}; or in one of {red['untested']} commits before it that were not tested" if red["untested"] else told


def held(one: dict[str, Any]) -> str:
    """A quarantine in words."""
    day = str(one["until"])[:10]
    if one["ended"]:
        return f"its quarantine ended on {day}: it decides again (owner {show.clean(one['owner'])})"
    return f"in quarantine until {day}, owner {show.clean(one['owner'])}: {show.clean(one['reason'])}"
