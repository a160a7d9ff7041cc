"""A lane for a person: what is live, what is under way, what waits and why, what was.

Reads the answer of `GET /api/lanes/{application}/{environment}` and prints it from the most urgent to the oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farmgate.cli import made_words, show

if TYPE_CHECKING:
    from rich.console import Console

    Row = dict[str, Any]

HISTORY = 10
WAITING = 30


def report(row: Row) -> None:
    """Print the whole lane."""
    out = show.console()
    _head(out, row)
    if row["active"]:
        _active(out, row["active"])
    _made(out, row)
    if row["search"]:
        _search(out, row["search"])
    _waiting(out, row)
    _approvals(out, row["approvals"])
    _bans(out, [ban for ban in row["bans"] if not ban["lifted_at"]])
    _history(out, row["history"])


def _made(out: Console, row: Row) -> None:
    lane = f"{row['application']}/{row['environment']}"
    if row["hotfix"]:
        out.print()
        made_words.tell(lane, row["hotfix"])
    for each in row["brought"]:
        out.print(show.clean(f"  {made_words.brought_words(each)}"))


def _approvals(out: Console, given: Sequence[Row]) -> None:
    for each in given:
        said = f": {each['reason']}" if each["reason"] else ""
        told = f"  approved by {each['approved_by']} up to {show.short(each['until_sha'])}{said}"
        out.print(show.clean(told))


def _head(out: Console, row: Row) -> None:
    name, live = f"{row['application']}/{row['environment']}", row["live"]
    if live:
        title = show.clean(live["title"])
        out.print(
            f"{name}: {show.short(live['sha'])} {title!r} of rollout {live['rollout']}, {show.ago(live['since'])}"
        )
    else:
        out.print(f"{name}: nothing live yet")
    if row["group"]:
        out.print(f"  goes together with the lanes of group {row['group']}: farmgate group show {row['group']}")
    if row["listen"]:
        out.print(f"  answers at {row['listen']}")
    if row["problem"]:
        out.print(f"  {show.clean(row['problem'])}", style="yellow")
    if row["advice"]:
        out.print(f"  {show.clean(row['advice'])}", style="yellow")
    for hold in row["holds"]:
        word = {"hold": "held", "freeze": "frozen", "stop": "every lane is stopped"}[hold["kind"]]
        begins = f" from {hold['begins']}" if hold["kind"] == "freeze" else ""
        told = f"  {word} by {hold['created_by']}{begins} until {hold['until']}: {hold['reason']}"
        out.print(show.clean(told), style="yellow")
    for hold in row["ended_holds"]:
        told = (
            f"  the {hold['kind']} of {hold['created_by']} ended by itself {show.ago(hold['until'])}: {hold['reason']}"
        )
        out.print(show.clean(told))


def _active(out: Console, rollout: Row) -> None:
    under_way = show.between(rollout["created_at"], None)
    out.print(f"\nrollout {rollout['number']} ({rollout['kind']}) {rollout['state']}, {under_way} under way")
    questions(out, rollout)
    for wave in rollout["waves"]:
        out.print(f"  wave {wave['number']}: {wave['share']} %, {wave['state']}")
        for check in wave["checks"]:
            told = (
                f"    {check['check']}: {check['outcome'] or 'asking'}, {check['healthy']} of {check['asked']} healthy"
            )
            out.print(show.clean(f"{told} {check['words']}".rstrip()))
    for each in rollout["handovers"][-1:]:
        share = f", {each['share']} %" if each["share"] is not None else ""
        said = f": {each['text']}" if each["text"] else ""
        out.print(show.clean(f"  {each['step']} is in the hands of another tool: {each['state']}{share}{said}"))
        if each["link"]:
            out.print(show.clean(f"    {each['link']}"))
    if rollout["commit_count"] > len(rollout["commits"]):
        out.print(f"  {rollout['commit_count']} commits; the newest:")
    for commit in rollout["commits"]:
        out.print(show.clean(f"    {show.short(commit['sha'])} {commit['title']}"))


def _search(out: Console, search: Row) -> None:
    left = len(search["points"])
    tried = f"{search['rollouts']} of at most {search['most_rollouts']} further rollouts so far"
    out.print(f"\nsearch for the culprit: {left} candidates left, {tried}")


def coming(lane: str, row: Row) -> None:
    """The next batch."""
    out = show.console()
    after = f", {row['after']}" if row["after"] else ""
    if row["sha"] is None:
        out.print(f"{lane}: no next batch as things stand{after}")
    else:
        count = row["commit_count"]
        when = f", to be cut {show.ahead(row['at'])}" if row["at"] else ""
        out.print(f"{lane}: the next batch{after}{when}")
        told = f"  {count} commit{'s' if count != 1 else ''} up to {show.short(row['sha'])} {row['title']}"
        out.print(show.clean(told))
    for reason in row["reasons"]:
        out.print(show.clean(f"  waits: {reason}"), style="yellow" if row["sha"] is None else None)
    for commit in reversed(row["commits"]):
        out.print(show.clean(f"    {show.short(commit['sha'])} {commit['title']} ({commit['author']})"))
    if row["commit_count"] > len(row["commits"]):
        out.print(f"    ... and {row['commit_count'] - len(row['commits'])} older")


def _waiting(out: Console, row: Row) -> None:
    waiting = row["waiting"]
    if not waiting:
        return
    after = f" {row['next']['after']}" if row["next"]["after"] else ""
    out.print(f"\nwaiting{after} ({row['waiting_count']}), the newest first:")
    for commit in waiting[:WAITING]:
        expected = f" (live {show.ahead(commit['estimate'])})" if commit["estimate"] else ""
        why = "; ".join(commit["reasons"]) or "goes next"
        out.print(show.clean(f"  {show.short(commit['sha'])} {commit['title']}: {why}{expected}"))
    if len(waiting) > WAITING:
        out.print(f"  ... and {max(row['waiting_count'], len(waiting)) - WAITING} more")


def _bans(out: Console, bans: Sequence[Row]) -> None:
    if bans:
        out.print("\nbanned until a fix or a revert comes along:")
    for ban in bans:
        out.print(show.clean(f"  {show.short(ban['sha'])}: {ban['reason']} (by {ban['created_by']})"))


def _history(out: Console, history: Sequence[Row]) -> None:
    if history:
        out.print("\nhistory:")
    for rollout in history[:HISTORY]:
        took = show.between(rollout["created_at"], rollout["finished_at"])
        count = rollout["commit_count"]
        carried = f"{count} commit{'s' if count != 1 else ''}"
        why = f": {rollout['reason']}" if rollout["reason"] else ""
        head = f"{rollout['number']:4} {rollout['kind']} {rollout['state']}"
        out.print(show.clean(f"{head}: {show.short(rollout['until_sha'])}, {carried}, {took}{why}"))


_ASKED = {"start": "before its start", "back": "whether to take it back", "wave": "of a wave"}


def questions(out: Console, rollout: Row) -> None:
    """Who approved, what was asked, who answered what, when."""
    for words in rollout["carries"]:
        out.print(show.clean(f"  found before its start: {words}"))
    for each in rollout["approvals"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        when = f"{show.short(each['until_sha'])}, {show.ago(each['created_at'])}"
        back = ", taken back since" if each["withdrawn_at"] else ""
        out.print(show.clean(f"  {each['approved_by']} approved up to {when}{back}{reason}"))
    for each in rollout["questions"]:
        out.print(
            show.clean(f"  asked {_ASKED[each['kind']]}: {each['words']}"), style=None if each["answer"] else "yellow"
        )
        if each["by"]:
            out.print(show.clean(f"    {each['by']} said {each['answer']}, {show.ago(each['at'])}: {each['reason']}"))
        else:
            out.print("    nobody answered" + ("" if each["answer"] else " yet"))
