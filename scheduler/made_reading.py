"""From rows and rules to the API's answers about commits that Farmgate makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate.lanes import LaneView
from farmgate.models import Commit, Lane, Made, MadeKind
from farmgate.store import lane_views, lanes, made, repositories, reverts, rollouts
from scheduler.made_bodies import BroughtBody, MadeBody, PickBody


def body(connection: Connection, row: Made, view: LaneView) -> MadeBody:
    """A made commit as the API tells it."""
    known = repositories.commits_of(connection, row.repository_id, row.picks)
    reasons: list[str] = []
    if view.hotfix is not None and view.hotfix.id == row.id:
        reasons = [each.words for each in rules.hotfix_waits_for(view)]
    if view.revert is not None and view.revert.id == row.id:
        reasons = [each.words for each in rules.revert_waits_for(view)]
    return MadeBody(
        id=row.id,
        kind=row.kind,
        state=row.state,
        picks=[
            PickBody(
                sha=sha,
                title=known[sha].title if sha in known else "",
                author=known[sha].author_name if sha in known else "",
            )
            for sha in row.picks
        ],
        onto=row.onto,
        sha=row.sha,
        ref=row.ref,
        run_id=row.run_id,
        rollout=rollouts.by_id(connection, row.rollout_id).number if row.rollout_id is not None else None,
        reason=row.reason,
        asked_by=row.asked_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        problem=row.problem,
        reasons=reasons,
    )


def _taken_back(connection: Connection, row: Made, branch: str, known: Mapping[str, Commit]) -> Iterator[BroughtBody]:
    """What a live made commit took back, and whether the branch has answered that."""
    answered = reverts.answered(connection, row, branch)
    for pick in row.picks:
        by, how = answered.get(pick, (None, ""))
        yield BroughtBody(
            made_id=row.id,
            kind=row.kind,
            sha=pick,
            title=known[pick].title if pick in known else "",
            contained_by=by,
            contained_how=how,
        )


def brought(connection: Connection, lane: Lane) -> list[BroughtBody]:
    """What live made commits brought, and what of it the branch contains."""
    policy = lanes.policy_of(lane)
    live = lane_views.live_of(connection, lane, policy)
    if live is None:
        return []
    found: list[BroughtBody] = []
    for row in made.chain(connection, lane.repository_id, live.sha):
        known = repositories.commits_of(connection, lane.repository_id, row.picks)
        if row.kind is MadeKind.REVERT:
            found += _taken_back(connection, row, policy.branch, known)
            continue
        said = made.said(connection, row.id)
        for pick, sha in zip(row.picks, row.shas, strict=True):
            at = made.contained_at(connection, row, policy.branch, pick, sha)
            by = repositories.sha_at(connection, lane.repository_id, policy.branch, at) if at is not None else None
            word = next((each for each in said if each.sha == by and each.pick == pick), None)
            how = "" if by is None else "it is the commit itself" if by in (pick, sha) else "it changes the same"
            if word is not None:
                how = f"{word.said_by} says so: {word.reason}" if word.said_by else word.reason
            found.append(
                BroughtBody(
                    made_id=row.id,
                    kind=row.kind,
                    sha=pick,
                    title=known[pick].title if pick in known else "",
                    contained_by=by,
                    contained_how=how,
                )
            )
    return found
