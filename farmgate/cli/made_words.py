"""Commits that Farmgate makes, for a person."""

from __future__ import annotations

from typing import Any

from farmgate.cli import show


def tell(lane: str, row: dict[str, Any]) -> None:
    """A hotfix, or a commit without a culprit, for a person."""
    out = show.console()
    made = f" as {show.short(row['sha'])}, run {row['run_id']}" if row["sha"] else ""
    out.print(
        show.clean(f"{lane}: {row['kind']} {row['id']} is {row['state']}{made}: {row['reason']} ({row['asked_by']})")
    )
    for pick in row["picks"]:
        out.print(show.clean(f"  {show.short(pick['sha'])} {pick['title']} ({pick['author']})"))
    if row["problem"]:
        out.print(show.clean(f"  {row['problem']}"), style="yellow")
    for why in row["reasons"]:
        out.print(show.clean(f"  {why}"))
    if row["kind"] == "revert" and row["sha"]:
        out.print(f"  as a pull request: farmgate lane revert-text {lane} {row['id']}")


def brought_words(row: dict[str, Any]) -> str:
    """What a live made commit brought, and whether the branch contains it."""
    name = f"{row['kind']} {row['made_id']}: {show.short(row['sha'])} {row['title']}"
    if row["kind"] == "revert":
        if row["contained_by"] is None:
            return f"{name}: taken back in what is live; later batches wait until the branch fixes or reverts it"
        return f"{name}: the branch answers it from {show.short(row['contained_by'])} on: {row['contained_how']}"
    if row["contained_by"] is None:
        return f"{name}: the branch does not contain it yet; batches without it wait"
    return f"{name}: contained from {show.short(row['contained_by'])} on: {row['contained_how']}"
