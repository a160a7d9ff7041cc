"""What else people and other systems say in a story: approvals, the stop, planned freezes, candidates, the clock.

{approve: production, by: alice} {look: production, by: alice}        who looked approves later what they saw then
{withdraw: production, by: alice} {loses_right: alice} {gets_right: alice}
{stop: all, minutes: 5} {go_on: all} {freeze: production, in: 60, minutes: 5}
{outside: a}                                                          another system hands it over; `red`: as not green
{jump: -90}                                                           the machine's clock is set, in seconds
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import insert, update

from farmgate.models import TokenKind
from farmgate.store import tokens
from farmgate.store.schema import tokens as token_table
from scheduler import approvals_api, holds_api
from scheduler.approval_bodies import ApproveAsked, ToApproveBody
from scheduler.submitting import submit
from tests.simulation.doors import WHO, Line, Refused, door, sha_of
from tests.simulation.farm import Farm

IMAGE = "registry.example/app@sha256:"


def approve(farm: Farm, line: Line) -> None:
    """The next batch, by who did not approve it yet: as they see it now, or as they saw it when they looked."""
    lane, who = line["approve"], line["by"]
    seen = farm.looked.pop((lane, who), None) or _looks(farm, lane, who)
    if seen.until_sha is None:
        raise Refused
    if not _has_right(farm, who):
        raise Refused  # the door is closed
    asked = ApproveAsked(since_sha=seen.since_sha, until_sha=seen.until_sha, reason="")
    approvals_api.approve(door(farm), "shop", lane, asked, who)


def look(farm: Farm, line: Line) -> None:
    farm.looked[line["look"], line["by"]] = _looks(farm, line["look"], line["by"])


def _looks(farm: Farm, lane: str, who: str) -> ToApproveBody:
    with farm.store.reading() as connection:
        return approvals_api.to_approve(connection, farm.lane(connection, lane), who, farm.clock.now())


def withdraw(farm: Farm, line: Line) -> None:
    approvals_api.withdraw(door(farm), "shop", line["withdraw"], line["by"])


def loses_right(farm: Farm, line: Line) -> None:
    """Every way in is closed; what they approved before counts no more."""
    gone = update(token_table).where(token_table.c.name == line["loses_right"], token_table.c.revoked_at.is_(None))
    with farm.store.writing() as connection:
        connection.execute(gone.values(revoked_at=farm.clock.now()))


def gets_right(farm: Farm, line: Line) -> None:
    who = line["gets_right"]
    if _has_right(farm, who):
        raise Refused
    row = {
        "kind": TokenKind.API,
        "name": who,
        "hash": f"{who} {farm.clock.now().isoformat()}",  # nobody comes in by it: whose it is is all that matters
        "rights": ["write"],
        "created_at": farm.clock.now(),
    }
    with farm.store.writing() as connection:
        connection.execute(insert(token_table).values(**row))


def _has_right(farm: Farm, who: str) -> bool:
    with farm.store.reading() as connection:
        found = tokens.all(connection, (TokenKind.API,))
    return any(each.name == who and each.revoked_at is None for each in found)


def stop(farm: Farm, line: Line) -> None:
    until = farm.clock.now() + timedelta(minutes=line["minutes"]) if "minutes" in line else None
    holds_api.stop(door(farm), until, "something burns", WHO)


def go_on(farm: Farm, line: Line) -> None:
    holds_api.go_on(door(farm), WHO)


def freeze(farm: Farm, line: Line) -> None:
    begins = farm.clock.now() + timedelta(seconds=line["in"])
    ends = begins + timedelta(minutes=line["minutes"])
    holds_api.freeze(door(farm), "shop", line["freeze"], begins, ends, "the fair", WHO)


def outside(farm: Farm, line: Line) -> None:
    name = line["outside"]
    sha = sha_of(farm, name)
    red = bool(line.get("red"))
    checks = [{"name": "test", "result": "failed" if red else "passed"}]
    submit(door(farm), "shop", sha, "jenkins", "", checks, {"app": IMAGE + sha.ljust(64, "0")}, WHO)
    if red:
        farm.late_red.add(name)  # if it was a candidate before
    else:
        farm.known[name] = farm.by_sha[sha] = replace(farm.known[name], red=False)


def jump(farm: Farm, line: Line) -> None:
    farm.clock.jump(timedelta(seconds=line["jump"]))
    if line["jump"] < 0:
        farm.times_tell = False
