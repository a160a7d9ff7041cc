"""Commits without a culprit, read as a lane's rules want them.

Rules:
1. A live one took its picks back: what of them the branch has not answered by the place where the lane's queue begins
   comes back with any batch after it.
2. The branch answers a pick by what says so (`farmgate.store.fixes`), by a commit whose patch is that of the made
   commit or the inverse of the pick's, and by one that has the made commit as an ancestor (its carrier).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, or_, select

from farmgate import states
from farmgate.lanes import OpenRevert, PastRevert, fell_words
from farmgate.models import Ban, BranchCommit, Lane, Made, MadeKind, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.store import approvals, bans, fixes, holds, made, repositories
from farmgate.store import candidates as candidate_rows
from farmgate.store.database import many
from farmgate.store.schema import branch_commits, carriers, patches, rollouts


def taken_back(
    connection: Connection, lane: Lane, branch: str, base: int, chained: Sequence[Made]
) -> dict[str, BranchCommit]:
    """Rule 1: picks of live ones (`made.chain`), with their places on the branch."""
    open_picks = [
        pick
        for row in chained
        if row.kind is MadeKind.REVERT
        for pick, sha in zip(row.picks, row.shas, strict=True)
        if (made.contained_at(connection, row, branch, pick, sha) or base + 1) > base
    ]
    if not open_picks:
        return {}
    statement = select(branch_commits).where(
        branch_commits.c.repository_id == lane.repository_id,
        branch_commits.c.branch == branch,
        branch_commits.c.sha.in_(open_picks),
    )
    return {place.sha: place for place in many(connection, BranchCommit, statement)}


def answers(connection: Connection, chained: Sequence[Made]) -> dict[str, list[str]]:
    """Rule 2, but for what says so: which picks of live ones each commit answers, wherever it is."""
    found: dict[str, list[str]] = {}
    for row in chained:
        if row.kind is not MadeKind.REVERT:
            continue
        for carrier in connection.execute(select(carriers).where(carriers.c.made_id == row.id)):
            found.setdefault(carrier.sha, []).append(carrier.pick)
        for pick, sha in zip(row.picks, row.shas, strict=True):
            same, other = patches.alias("same"), patches.alias("other")
            alike = or_(
                (same.c.sha == sha) & (other.c.patch_id == same.c.patch_id),
                (same.c.sha == pick) & (other.c.patch_id == same.c.inverse_id),
            )
            of = (same.c.repository_id == row.repository_id, other.c.repository_id == row.repository_id)
            for answer in connection.execute(select(other.c.sha).where(*of, alike)).scalars():
                found.setdefault(answer, []).append(pick)
    return found


def answered(connection: Connection, row: Made, branch: str) -> dict[str, tuple[str, str]]:
    """For each pick of a made commit that the branch has answered: by which commit first, and how. What one ban covers
    is answered together."""
    named = {sha: list(picks) for sha, picks in answers(connection, [row]).items()}
    for sha, said in fixes.of_queue(connection, row.repository_id, branch, row.onto_position).items():
        named.setdefault(sha, []).extend(said)
    if not named:
        return {}
    together = [{ban.sha, *ban.covers} for ban in bans.every(connection, row.lane_id)]
    found: dict[str, tuple[str, str]] = {}
    for place in repositories.places(connection, row.repository_id, branch):
        prefixes = named.get(place.sha, []) if place.position > row.onto_position else []
        how = "it is that commit" if place.sha in row.shas else "it says so, or changes the same, or merges it"
        for pick in row.picks:
            alike = {pick}.union(*(covers for covers in together if pick in covers))
            if any(sha.startswith(prefix) for sha in alike for prefix in prefixes):
                found.setdefault(pick, (place.sha, how))
    return found


def culprits(connection: Connection, found: Sequence[Ban]) -> set[int]:
    """Which bans are of culprits: automation's, and not of what was rolled back."""
    own = [ban for ban in found if ban.created_by == "farmgate"]
    evidence = [ban.rollout_id for ban in own if ban.rollout_id is not None]
    back = select(rollouts.c.id).where(rollouts.c.id.in_(evidence), rollouts.c.kind == RolloutKind.ROLLBACK)
    rolled_back = set(connection.execute(back).scalars()) if evidence else set()
    return {ban.id for ban in own if ban.rollout_id not in rolled_back}


def came_back(connection: Connection, lane: Lane, live: str | None) -> list[str]:
    """What made commits took back in what is live and no ban keeps away: any batch after it brings it back."""
    chained = made.chain(connection, lane.repository_id, live) if live is not None else []
    picks = [pick for row in chained if row.kind is MadeKind.REVERT for pick in row.picks]
    if not picks:
        return []
    kept = {sha for ban in bans.standing(connection, lane.id) for sha in (ban.sha, *ban.covers)}
    return [pick for pick in picks if pick not in kept]


def of_lane(
    connection: Connection, lane: Lane, policy: LanePolicy, base: int, now: datetime
) -> tuple[OpenRevert | None, tuple[PastRevert, ...]]:
    """The one that is open before its delivery, and those that are over. One that is delivered is a rollout."""
    rows = made.reverts(connection, lane.id)
    before = next((row for row in rows if row.state in made.BEFORE_DELIVERY), None)
    past = tuple(_past(connection, row) for row in rows if states.is_final(row.state))
    return (_open(connection, lane, policy, base, before, now) if before is not None else None), past


def _past(connection: Connection, row: Made) -> PastRevert:
    found = PastRevert(row.id, row.state, row.onto, tuple(row.picks), row.problem)
    if row.state not in (states.Made.FAILED, states.Made.SICK):
        return found
    return replace(found, settled=holds.was_lifted(connection, row.lane_id, fell_words(found)))


def _open(connection: Connection, lane: Lane, policy: LanePolicy, base: int, row: Made, now: datetime) -> OpenRevert:
    candidate = candidate_rows.of_commit(connection, lane.repository_id, row.sha) if row.sha is not None else None
    return OpenRevert(
        id=row.id,
        state=row.state,
        sha=row.sha,
        candidate_id=candidate.id if candidate is not None else None,
        run_id=row.run_id,
        onto=row.onto,
        position=row.onto_position,
        picks=tuple(row.picks),
        stands=approvals.place(connection, lane, policy, row.onto) == row.onto_position,
        agreed=_agreed(connection, lane, policy, base, row, now),
    )


def _agreed(connection: Connection, lane: Lane, policy: LanePolicy, base: int, row: Made, now: datetime) -> bool:
    """True if enough people approved exactly this commit, and each that it brings: nobody counts for their own."""
    rules = policy.approvals
    if rules is None or row.sha is None:
        return rules is None
    people = approvals.of_commit(connection, lane, policy, (), row.sha, now)
    if len(people) < rules.count or not rules.not_author:
        return len(people) >= rules.count
    brings = [each.sha for each in bans.between(connection, lane.repository_id, policy.branch, base, row.onto_position)]
    own = approvals.written_by(connection, lane, people, brings)
    return all(len(people - own.get(sha, frozenset())) >= rules.count for sha in brings)


def places_of(taken: Mapping[str, BranchCommit], covers: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """What of a ban is taken back in what is live."""
    return tuple((sha, taken[sha].position) for sha in covers if sha in taken)
