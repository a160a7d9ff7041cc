"""`farmgate vulnerabilities ...`: of what is live, and the import of what is known.

Rules:
1. What an import holds is all that is known afterwards: name every file at once.
2. A decision has an end and a reason; it may be withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.cli import door, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.osv_files import compressed
from farmgate.cli.show import Json
from farmgate.clock import SystemClock

if TYPE_CHECKING:
    from farmgate.client.api import Row

if TYPE_CHECKING:
    from farmgate.client.api import Row

app = typer.Typer(no_args_is_help=True, help="Vulnerabilities of what is live.")
LOOK: timedelta = timedelta(seconds=0.5)
Id = Annotated[str, typer.Argument(metavar="ID", help="A CVE, or any other of its ids.", show_default=False)]
Until = Annotated[
    str, typer.Option(help="When it ends: 2026-12-24, 2026-12-24T18:00Z, or a time from now on, such as 14d.")
]
Scope = Annotated[
    str, typer.Option("--in", help="Where it holds: an application or a lane. Default: everywhere.", show_default=False)
]
Because = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]


@app.command("list")
def list_(
    lane: Annotated[str | None, typer.Option(help="Only of this lane.", show_default=False)] = None,
    severity: Annotated[str | None, typer.Option(help="From this on: low, medium, high, critical.")] = None,
    package: Annotated[str | None, typer.Option(help="Only in this package.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Those too that were decided to be borne.")] = False,
    json: Json = False,
) -> None:
    """What is live and vulnerable, the worst first: in which lanes, since when, what the next batch does about it."""
    with door.connect() as farm:
        row = farm.vulnerabilities(lane=lane, severity=severity, package=package)
    if json:
        return show.as_json(row)
    rows = [(one, place) for one in row["vulnerabilities"] for place in one["lanes"] if all_ or not place["decision"]]
    show.table(
        ("id", "severity", "lane", "rollout", "since", "package", "fixed in", "next batch"),
        (
            (
                one["id"],
                one["severity"],
                place["lane"],
                place["rollout"] if place["state"] == "live" else "waiting",
                show.ago(place["since"]),
                _packages(place["packages"]),
                ", ".join(dict.fromkeys(each["fixed"] for each in place["packages"] if each["fixed"])),
                place["decision"]["verdict"].replace("_", " ") if place["decision"] else place["next"],
            )
            for one, place in rows
        ),
        spare=("since", "fixed in", "rollout"),
        empty="no vulnerability is known in what is live",
    )
    return _judged_by(row)


@app.command("show")
def show_(vulnerability: Id, json: Json = False) -> None:
    """One vulnerability: where it is live, since when, in which packages, and what was decided."""
    with door.connect() as farm:
        row = farm.vulnerability(vulnerability)
    if json:
        return show.as_json(row)
    out = show.console()
    score = f", {row['score']}" if row["score"] is not None else ""
    out.print(show.clean(f"{row['id']} ({row['severity']}{score}): {row['summary']}"))
    out.print(show.clean(f"{row['words']}."))
    if len(row["ids"]) > 1:
        out.print(f"also {', '.join(each for each in row['ids'] if each != row['id'])}")
    show.whole(show.clean(row["url"]))
    for place in row["lanes"]:
        since = f" since rollout {place['rollout']}" if place["rollout"] else ""
        out.print(f"\n{place['lane']}: {place['state']}{since}; the next batch: {place['next']}")
        for each in place["packages"]:
            fixed = f", fixed in {each['fixed']}" if each["fixed"] else ""
            out.print(show.clean(f"  {each['package']} {each['version']} ({each['ecosystem']}){fixed}"))
        if place["fixed_by"]:
            out.print(f"  the first waiting commit without it: {show.short(place['fixed_by'])}")
    for each in row["decisions"]:
        end = f"withdrawn by {each['withdrawn_by']}" if each["withdrawn_at"] else f"until {each['until'][:16]}"
        said = f"\ndecision {each['id']}: {each['verdict'].replace('_', ' ')} in {each['scope'] or 'any lane'}, {end}"
        out.print(show.clean(f"{said}, {each['by']}: {each['reason']}"))
    return None


@app.command("import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="all.zip, zips of ecosystems, or folders of them.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="ECOSYSTEM", help="Only these: PyPI, npm, Debian. Several.")
    ] = None,
    without: Annotated[
        bool, typer.Option("--without", help="Ecosystems of the last import may be missing in this one.")
    ] = False,
    json: Json = False,
) -> None:
    """Import OSV documents: all that is known afterwards. Nothing changes until all of it was read and compared."""
    clock, out = SystemClock(), show.console(err=True)

    def told(count: int) -> None:
        if not json and count % 20_000 == 0:
            out.print(f"sent {count} documents")

    with door.connect() as farm:
        wanted = frozenset(each.lower() for each in only or ())
        row = farm.import_vulnerabilities(compressed(paths, wanted, told), without=without)
        number, said = row["id"], ""
        while row["state"] in ("waiting", "reading", "matching"):
            clock.sleep(LOOK)
            row = next(each for each in farm.vulnerability_imports() if each["id"] == number)
            words = _progress(row)
            if words != said and not json:
                out.print(words)
                said = words
    if json:
        show.as_json(row)
    else:
        _import(row)
    leave(Exit.OK if row["state"] == "done" else Exit.FAILED)


@app.command()
def status(json: Json = False) -> None:
    """The last imports, what each lane is made of, and how much of it can be judged."""
    with door.connect() as farm:
        rows, row, untold = farm.vulnerability_imports(), farm.vulnerabilities(), farm.untold_packages()
    if json:
        return show.as_json({"imports": rows, "lanes": row["lanes"], "untold": untold["count"]})
    show.table(
        ("import", "state", "documents", "ecosystems", "not read", "since", "by", "why"),
        (
            (
                each["id"],
                show.state(each["state"]),
                each["documents"],
                len({name.partition(":")[0] for name in each["ecosystems"]}),
                each["bad"],
                show.ago(each["created_at"]),
                each["asked_by"],
                each["reason"] or (each["problems"] or [""])[0],
            )
            for each in rows
        ),
        spare=("by", "ecosystems"),
        empty="nothing was imported: `farmgate vulnerabilities import all.zip`",
    )
    show.console().print()
    show.table(
        ("lane", "live", "list", "packages", "cannot tell", "no name", "found", "refuses"),
        (
            (
                each["lane"],
                each["rollout"],
                each["listing"] or "nothing is live",
                each["packages"],
                each["untold"],
                each["unnamed"],
                ", ".join(f"{count} {name}" for name, count in each["counts"].items()) or "-",
                each["refuses"] or "-",
            )
            for each in row["lanes"]
        ),
        spare=("no name", "live"),
        empty="no lane yet",
    )
    return None


@app.command()
def untold(json: Json = False) -> None:
    """Packages of which not everything could be told, and why."""
    with door.connect() as farm:
        row = farm.untold_packages()
    if json:
        return show.as_json(row)
    show.table(
        ("package", "version", "ecosystem", "why"),
        ((each["package"], each["version"], each["ecosystem"] or "-", each["why"]) for each in row["packages"]),
        empty="everything could be told",
    )
    if row["count"] > len(row["packages"]):
        show.console().print(f"... and {row['count'] - len(row['packages'])} more")
    return None


@app.command()
def accept(vulnerability: Id, until: Until, because: Because, scope: Scope = "", json: Json = False) -> None:
    """It is there, and that is borne until a day: no lane refuses a candidate for it, and lists leave it out."""
    _decide(vulnerability, "accepted", until, because, scope, json)


@app.command("not-affected")
def not_affected(vulnerability: Id, until: Until, because: Because, scope: Scope = "", json: Json = False) -> None:
    """What is vulnerable in it is never reached here, until a day on which somebody looks again."""
    _decide(vulnerability, "not_affected", until, because, scope, json)


@app.command()
def withdraw(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The decision's.", show_default=False)],
    json: Json = False,
) -> None:
    """Withdraw a decision: it counts again."""
    with door.connect() as farm:
        row = farm.withdraw_decision(number)
    if json:
        return show.as_json(row)
    show.console().print(f"decision {number} about {row['vulnerability']} is withdrawn")
    return None


def _decide(vulnerability: str, verdict: str, until: str, because: str, scope: str, json: bool) -> None:
    body = {"verdict": verdict, "until": _moment(until).isoformat(), "reason": because, "scope": scope}
    with door.connect() as farm:
        row = farm.decide_vulnerability(vulnerability, body)
    if json:
        return show.as_json(row)
    where = row["scope"] or "any lane"
    said = f"{row['vulnerability']} is {verdict.replace('_', ' ')} in {where} until {row['until'][:16]}"
    show.console().print(show.clean(f"{said} (decision {row['id']})"))
    return None


def _moment(text: str) -> datetime:
    try:
        from farmgate.quantities import duration

        return SystemClock().now() + duration(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment and no span of time", param_hint="--until") from None
    return found if found.tzinfo else found.astimezone()


def _packages(packages: Sequence[Row]) -> str:
    told = [f"{each['package']} {each['version']}" for each in packages[:2]]
    return ", ".join(told) + (f" and {len(packages) - 2} more" if len(packages) > 2 else "")


def _progress(row: Row) -> str:
    share = 10 * (10 * row["read_bytes"] // max(1, row["size_bytes"]))  # in tens: a line for each change
    said = {"waiting": "waits", "reading": f"read {share} %"}
    return said.get(row["state"], f"{row['state']} the farm's packages" if row["state"] == "matching" else row["state"])


def _import(row: dict[str, Any]) -> None:
    out = show.console()
    if row["state"] != "done":
        out.print(show.clean(f"import {row['id']} failed, what was known before still counts: {row['reason']}"))
    else:
        names = sorted({name.partition(":")[0] for name in row["ecosystems"]})
        out.print(f"{row['documents']} documents of {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}")
        out.print(f"{row['matched']} packages of this farm were compared; {row['withdrawn']} documents were withdrawn")
    if row["bad"]:
        out.print(f"{row['bad']} documents could not be read:")
        for each in row["problems"]:
            out.print(show.clean(f"  {each}"))


def _judged_by(row: Row) -> None:
    out = show.console()
    if row["imported"] is None:
        out.print("\nnothing was imported, so nothing is known: `farmgate vulnerabilities import all.zip`")
        return
    unsure = [each for each in row["lanes"] if each["listing"] not in (None, "listed")]
    for each in unsure:
        out.print(f"{each['lane']}: what is live has no list of what it is made of ({each['listing']})")
    odd = sum(each["untold"] for each in row["lanes"])
    if odd:
        out.print(f"of {odd} packages not everything can be told: `farmgate vulnerabilities untold`")
