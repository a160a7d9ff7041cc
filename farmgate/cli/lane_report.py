"""A lane for a person: what is live, what is under way, what waits and why, what was.

Reads the answer of `GET /api/lanes/{application}/{environment}` and prints it from the most urgent to the oldest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farmgate.cli import show

if TYPE_CHECKING:
    from rich.console import Console

HISTORY = 10
WAITING = 30


def report(row: dict[str, Any]) -> None:
    """Print the whole lane."""
    out = show.console()
    _head(out, row)
    _rollout(out, row.get("rollout") or row.get("active"))
    _search(out, row.get("search"))
    _waiting(out, row)
    _bans(out, row.get("bans") or ())
    _history(out, row.get("history") or row.get("rollouts") or ())


def _head(out: Console, row: dict[str, Any]) -> None:
    name = f"{row.get('application')}/{row.get('environment')}"
    live = row.get("live")
    if live:
        since = show.ago(live.get("since") or live.get("live_from"))
        out.print(
            f"{name}: {show.short(live.get('sha'))} {show.clean(str(live.get('title') or ''))!r} live since {since}"
        )
    else:
        out.print(f"{name}: nothing live yet")
    if row.get("problem"):
        out.print(f"  problem: {show.clean(str(row['problem']))}", style="red")
    holds = row.get("holds") or ([row["hold"]] if row.get("hold") else ())
    for hold in holds:
        text = f"  held by {hold.get('created_by')} until {hold.get('until')}: {hold.get('reason')}"
        out.print(show.clean(text), style="yellow")


def _rollout(out: Console, rollout: dict[str, Any] | None) -> None:
    if not rollout:
        return
    out.print(
        f"\nrollout {rollout.get('number')} ({rollout.get('kind', 'forward')}) {rollout.get('state')}: "
        f"{show.short(rollout.get('until_sha'))}, wave {int(rollout.get('wave') or 0) + 1}, "
        f"{show.between(rollout.get('created_at'), None)} under way"
    )
    if rollout.get("reason"):
        out.print(f"  {show.clean(str(rollout['reason']))}")
    _commits(out, rollout.get("commits") or ())


def _search(out: Console, search: dict[str, Any] | None) -> None:
    if search:
        between = f"positions {search.get('since_position')} to {search.get('until_position')}"
        out.print(
            f"\nsearch for the culprit: {search.get('state')}, {between}, {search.get('rollouts')} rollouts so far"
        )


def _waiting(out: Console, row: dict[str, Any]) -> None:
    waiting = row.get("waiting_commits") or row.get("waiting") or ()
    if not isinstance(waiting, list) or not waiting:
        return
    out.print(f"\nwaiting ({len(waiting)}):")
    for commit in waiting[:WAITING]:
        reasons = commit.get("reasons") or ()
        why = "; ".join(map(str, reasons)) if isinstance(reasons, list | tuple) else str(reasons)
        when = commit.get("estimate") or commit.get("live_at")
        expected = f" (expected {when})" if when else ""
        out.print(
            show.clean(f"  {show.short(commit.get('sha'))} {commit.get('title') or ''}: {why or 'next'}{expected}")
        )
    if len(waiting) > WAITING:
        out.print(f"  ... and {len(waiting) - WAITING} more")


def _bans(out: Console, bans: Any) -> None:
    standing = [ban for ban in bans if not ban.get("lifted_at")]
    if standing:
        out.print("\nbanned:")
    for ban in standing:
        out.print(show.clean(f"  {show.short(ban.get('sha'))}: {ban.get('reason')} (by {ban.get('created_by')})"))


def _history(out: Console, history: Any) -> None:
    if history:
        out.print("\nhistory:")
    for rollout in list(history)[:HISTORY]:
        took = show.between(rollout.get("created_at"), rollout.get("finished_at"))
        count = len(rollout.get("commits") or ())
        carried = f"{count} commit{'s' if count != 1 else ''}"
        out.print(
            show.clean(
                f"  {rollout.get('number')} {rollout.get('kind', 'forward')} {rollout.get('state')}: "
                f"{show.short(rollout.get('until_sha'))}, {carried}, {took}"
                f"{': ' + str(rollout['reason']) if rollout.get('reason') else ''}"
            )
        )


def _commits(out: Console, commits: Any) -> None:
    for commit in commits:
        out.print(show.clean(f"    {show.short(commit.get('sha'))} {commit.get('title') or ''}"))
