"""`farmgate show`, `farmgate lane diff`, `farmgate where`: what was delivered, what differs, where something is."""

from __future__ import annotations

import json as plain_json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.cli import door, lane_report, show
from farmgate.cli.lanes import Lane, split
from farmgate.cli.show import Json

if TYPE_CHECKING:
    from rich.console import Console

    Row = dict[str, Any]

PATHS = 40
WIDEST = 240
OWN_PATHS = 5
_NUMBER = "A rollout's number."


def rollout(
    lane: Lane,
    number: Annotated[int, typer.Argument(metavar="ROLLOUT", help=_NUMBER, show_default=False)],
    json: Json = False,
) -> None:
    """A rollout as the ledger has it: commits, artifacts, configuration, checks, who and when."""
    with door.connect() as farm:
        row = farm.ledger_rollout(*split(lane), number)
    if json:
        return show.as_json(row)
    out = show.console()
    _say(out, f"{lane} rollout {number} ({row['kind']}), {row['state']}: {show.short(row['until_sha'])}")
    _say(out, f"  asked by {row['asked_by']}, {show.ago(row['created_at'])}, policy version {row['policy_version']}")
    if row["reason"]:
        _say(out, f"  {row['reason']}")
    built = f"run {row['run_id']}" if row["run_id"] else row["source"]
    _say(out, f"  built and tested by {built}")
    for check in (row["outside"] or {}).get("checks", ()):
        _say(out, f"    {check['name']}: {check['result']}")
    lane_report.questions(out, row)
    for wave in row["waves"]:
        _say(out, f"  wave {wave['number']}: {wave['share']} %, {wave['state']}")
        for check in wave["checks"]:
            said = f"{check['check']}: {check['outcome'] or 'asking'}, {check['healthy']} of {check['asked']} healthy"
            _say(out, f"    {said} {check['words']}".rstrip())
    _say(out, "artifacts:" if row["artifacts"] else "no artifacts")
    for name, digest in sorted(row["artifacts"].items()):
        show.whole(show.clean(f"  {name} {digest}"))
    compared = f"rollout {row['compared_with']}" if row["compared_with"] else "nothing"
    _changes(out, f"configuration, against {compared}", row["config_changes"])
    _commits(out, row["carried"], row["commit_count"], row["authors"])
    _paths(out, row["changed_paths"], row["paths_cut"])
    return None


def diff(
    lane: Lane,
    since: Annotated[int, typer.Argument(help=_NUMBER, show_default=False)],
    until: Annotated[int, typer.Argument(help=_NUMBER, show_default=False)],
    json: Json = False,
) -> None:
    """What differs between what two rollouts left live: commits, artifacts, configuration, paths."""
    with door.connect() as farm:
        row = farm.lane_diff(*split(lane), since, until)
    if json:
        return show.as_json(row)
    out = show.console()
    way = "takes back" if row["backward"] else "brings"
    ends = f"{show.short(row['since_sha'])} -> {show.short(row['until_sha'])}"
    _say(out, f"{lane}: rollout {since} -> {until}, {ends} {way} {row['commit_count']} commits")
    _changes(out, "artifacts", row["artifact_changes"])
    _changes(out, "configuration", row["config_changes"])
    _commits(out, row["commits"], row["commit_count"], row["authors"])
    _paths(out, row["changed_paths"], row["paths_cut"])
    return None


def where(
    what: Annotated[
        str | None, typer.Argument(help="A commit's hash, or the digest of an artifact or image.", show_default=False)
    ] = None,
    package: Annotated[
        str | None, typer.Option(metavar="NAME[@VERSION]", help="A package instead, or its package URL.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="A digest, as the argument says it.", show_default=False)] = None,
    ecosystem: Annotated[
        str | None, typer.Option(help="Only packages of this one: PyPI, npm, Debian.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Where a commit, an artifact, an image or a package is live, since when, by which rollout, at which share."""
    if sum(each is not None for each in (what, package, digest)) != 1:
        raise typer.BadParameter("say one: a commit or a digest, or --package, or --digest")
    with door.connect() as farm:
        row = farm.where_package(package, ecosystem) if package is not None else farm.where(what or digest or "")
    if json:
        return show.as_json(row)
    show.table(
        ("lane", "state", "share", "rollout", "since", "until", "title"),
        (
            (
                each["lane"],
                show.state(each["state"]),
                f"{each['share']} %",
                each["rollout"],
                show.ago(each["since"]),
                show.ago(each["until"]),
                each["what"],
            )
            for each in row["places"]
        ),
        spare=("until",),
        empty="in no lane",
    )
    if row.get("blind"):
        show.console().print(f"cannot be told of {', '.join(row['blind'])}: what is live there has no component list")
    return None


def _commits(out: Console, commits: Sequence[Row], count: int, authors: Sequence[str]) -> None:
    _say(out, f"{count} commits by {', '.join(authors) or 'nobody'}, the newest first:")
    for each in commits:
        back = ", taken back in it" if each.get("taken_back") else ""
        _say(out, f"  {show.short(each['sha'])} {each['title']} ({each['author']}){back}")
        if each.get("paths"):
            more = each["path_count"] - OWN_PATHS
            told = ", ".join(each["paths"][:OWN_PATHS]) + (f" and {more} more" if more > 0 else "")
            _say(out, f"    {told}")
        if each["url"]:
            show.whole(f"    {each['url']}")
    if count > len(commits):
        _say(out, f"  ... and {count - len(commits)} more")


def _changes(out: Console, what: str, changes: Sequence[Row]) -> None:
    _say(out, f"{what}:" if changes else f"{what}: nothing differs")
    for each in changes:
        _say(out, f"  {each['path']}: {_value(each['before'])} -> {_value(each['after'])}")


def _paths(out: Console, paths: Sequence[str], cut: bool) -> None:
    if paths:
        _say(out, f"{len(paths)}{' and more' if cut else ''} changed paths:")
        for path in paths[:PATHS]:
            _say(out, f"  {path}")
        if len(paths) > PATHS:
            _say(out, f"  ... and {len(paths) - PATHS} more (--json has them)")


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    text = plain_json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDEST else f"{text[:WIDEST]} ... (--json has it whole)"


def _say(out: Console, text: str) -> None:
    out.print(show.clean(text))
