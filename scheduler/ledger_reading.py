"""From rows to the ledger's answers.

Rules:
1. What was delivered is told from rows alone; git is asked just for the paths that changed, and what it cannot tell is
   empty.
2. Of a long batch or a long list of paths the beginning is told, with how many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import FarmgateError, NotFound
from farmgate.ledger import commit_link, differences
from farmgate.models import Commit, Lane, MadeKind, Release, Repository, Rollout
from farmgate.policy.targets import with_digests
from farmgate.store import bans, candidates, lanes, made, releases, repositories, rollouts, submissions
from farmgate.store.database import many, newest
from farmgate.store.schema import releases as releases_table
from scheduler import lane_reading
from scheduler.context import Context
from scheduler.ledger_bodies import (
    DifferenceBody,
    LaneDiff,
    LedgerCommit,
    LedgerRollout,
    OutsideBody,
    PlaceBody,
    WhereBody,
)

MOST_COMMITS: Final = 500
MOST_PATHS: Final = 1000
MOST_OWN_PATHS: Final = 50
"""Of one commit."""
MOST_PAST: Final = 200
LEAST_DIGITS: Final = 7


def rollout(context: Context, connection: Connection, lane: Lane, number: int) -> LedgerRollout:
    """All of a rollout. Raises NotFound."""
    row = by_number(connection, lane, number)
    of = repositories.by_id(connection, lane.repository_id)
    batch = rollouts.commits_of(connection, [row.id])[::-1]
    carried = _described(connection, of, [(each.sha, each.position) for each in batch])
    own = made.of_rollout(connection, row.id)
    if own is not None and own.kind is MadeKind.REVERT:
        carried = [each.model_copy(update={"taken_back": each.sha in own.picks}) for each in carried]
    candidate = candidates.by_id(connection, row.candidate_id)
    came_from = releases.by_id(connection, row.from_release_id) if row.from_release_id is not None else None
    prepared = {each.key: each for each in rollouts.entries(connection, row.id)}.get("prepare")
    digests = prepared.detail.get("secrets", {}) if prepared is not None else {}
    config = with_digests(row.policy.get("target", {}), digests)
    artifacts = candidate.artifacts if candidate is not None else {}
    paths, cut = changed_paths(context, of, row.since_sha, row.until_sha)
    return LedgerRollout(
        **lane_reading.rollout_detail(connection, lane, row).model_dump(),
        compared_with=rollouts.by_id(connection, came_from.rollout_id).number if came_from is not None else None,
        carried=_with_paths(context, of, carried[:MOST_COMMITS]),
        authors=_authors(carried),
        changed_paths=paths,
        paths_cut=cut,
        config=config,
        config_changes=_changes(came_from.config if came_from is not None else {}, config),
        artifact_changes=_changes(came_from.artifacts if came_from is not None else {}, artifacts),
        source=candidate.source if candidate is not None else "",
        run_id=candidate.run_id if candidate is not None else None,
        outside=_outside(connection, lane, row, candidate.source) if candidate is not None else None,
    )


def difference(context: Context, connection: Connection, lane: Lane, since: int, until: int) -> LaneDiff:
    """Between what two good rollouts left live. Raises NotFound."""
    first = releases.by_rollout_number(connection, lane.id, since)
    second = releases.by_rollout_number(connection, lane.id, until)
    of = repositories.by_id(connection, lane.repository_id)
    low, high = sorted((first, second), key=lambda release: release.position)
    branch = lanes.policy_of(lane).branch
    between = bans.between(connection, lane.repository_id, branch, low.position, high.position)
    commits = _described(connection, of, [(each.sha, each.position) for each in reversed(between)])
    paths, cut = changed_paths(context, of, first.sha, second.sha)
    return LaneDiff(
        lane=f"{lane.application}/{lane.environment}",
        since=since,
        until=until,
        since_sha=first.sha,
        until_sha=second.sha,
        backward=second.position < first.position,
        commits=_with_paths(context, of, commits[:MOST_COMMITS]),
        commit_count=len(commits),
        authors=_authors(commits),
        changed_paths=paths,
        paths_cut=cut,
        config_changes=_changes(first.config, second.config),
        artifact_changes=_changes(first.artifacts, second.artifacts),
    )


def where(connection: Connection, asked: str) -> WhereBody:
    """Where a commit or an artifact's digest is live, was live, or is on its way. Raises NotFound."""
    wanted = asked.lower().rpartition("sha256:")[2] if "sha256:" in asked.lower() else asked.lower()
    if len(wanted) < LEAST_DIGITS or set(wanted) - set("0123456789abcdef"):
        raise NotFound(f"{asked[:100]!r} is no commit and no digest: give at least {LEAST_DIGITS} hex digits of one")
    found = [] if "sha256:" in asked.lower() else _of_commit(connection, wanted)
    if found:
        return WhereBody(asked=asked, kind="commit", places=found)
    found = [place for lane in lanes.every(connection) for place in _of_digest(connection, lane, wanted)]
    if not found:
        raise NotFound(f"nothing that lanes delivered has {asked[:100]!r}: no commit and no artifact begins so")
    return WhereBody(asked=asked, kind="digest", places=found)


def _of_commit(connection: Connection, sha: str) -> list[PlaceBody]:
    found = []
    for of in repositories.all_connected(connection):
        try:
            commit = repositories.by_prefix(connection, of.id, sha)
        except NotFound:
            continue
        for lane in lanes.every(connection, of.id):
            place = next(p for p in lanes.where_is(connection, of.id, commit.sha) if p.lane == _name(lane))
            if place.state == "elsewhere":
                continue
            share = {"live": 100, "delivering": _share(connection, lane)}.get(place.state, 0)
            found.append(
                PlaceBody(
                    lane=place.lane,
                    state=place.state,
                    share=share,
                    rollout=place.rollout,
                    since=place.since,
                    until=None,
                    what=f"{commit.sha[:12]} {commit.title}",
                )
            )
    return found


def _of_digest(connection: Connection, lane: Lane, digits: str) -> Iterable[PlaceBody]:
    statement = newest(releases_table).where(releases_table.c.lane_id == lane.id).limit(MOST_PAST)
    for release in many(connection, Release, statement):
        names = sorted(name for name, value in release.artifacts.items() if _begins(value, digits))
        if not names and not _begins(json.dumps(release.config), digits):
            continue
        is_live = release.live_until is None
        yield PlaceBody(
            lane=_name(lane),
            state="live" if is_live else "was live",
            share=100 if is_live else 0,
            rollout=rollouts.by_id(connection, release.rollout_id).number,
            since=release.live_from,
            until=release.live_until,
            what=", ".join(names) or "in its configuration",
        )
    active = rollouts.active_of(connection, lane.id)
    candidate = candidates.by_id(connection, active.candidate_id) if active is not None else None
    if active is not None and candidate is not None:
        names = sorted(name for name, value in candidate.artifacts.items() if _begins(value, digits))
        if names:
            yield PlaceBody(
                lane=_name(lane),
                state="delivering",
                share=_share(connection, lane),
                rollout=active.number,
                since=active.started_at,
                until=None,
                what=", ".join(names),
            )


def _begins(text: str, digits: str) -> bool:
    return f"sha256:{digits}" in text


def _share(connection: Connection, lane: Lane) -> int:
    """Of a rollout under way: the share that was shifted to it."""
    active = rollouts.active_of(connection, lane.id)
    if active is None or active.state is states.Rollout.RESTORING:
        return 0
    shifted = [
        wave.share
        for wave in lane_reading.waves(active, rollouts.entries(connection, active.id))
        if wave.shifted_at is not None
    ]
    return max(shifted, default=0)


def by_number(connection: Connection, lane: Lane, number: int) -> Rollout:
    """Raises NotFound."""
    found = next(iter(rollouts.latest(connection, lane.id, 1, before_number=number + 1)), None)
    if found is None or found.number != number:
        raise NotFound(f"{_name(lane)} has no rollout {number}")
    return found


def changed_paths(context: Context, of: Repository, since: str | None, until: str) -> tuple[list[str], bool]:
    """Rule 1: the paths, and whether there are more."""
    if since is None:
        return [], False
    try:
        found = context.mirrors.of(of).changed_paths(since, until)
    except FarmgateError:
        return [], False
    return list(found[:MOST_PATHS]), len(found) > MOST_PATHS


def _with_paths(context: Context, of: Repository, commits: Sequence[LedgerCommit]) -> list[LedgerCommit]:
    """Which paths each of them changed; what git cannot tell is left as it is."""
    try:
        found = context.mirrors.of(of).paths_of([each.sha for each in commits])
    except FarmgateError:
        return list(commits)
    return [
        each.model_copy(update={"paths": list(found[each.sha][:MOST_OWN_PATHS]), "path_count": len(found[each.sha])})
        if each.sha in found
        else each
        for each in commits
    ]


def _described(connection: Connection, of: Repository, batch: Sequence[tuple[str, int]]) -> list[LedgerCommit]:
    known = repositories.commits_of(connection, of.id, [sha for sha, _ in batch])
    return [_commit(of, sha, position, known.get(sha)) for sha, position in batch]


def _commit(of: Repository, sha: str, position: int, known: Commit | None) -> LedgerCommit:
    return LedgerCommit(
        sha=sha,
        position=position,
        title=known.title if known is not None else "",
        author=known.author_name if known is not None else "",
        email=known.author_email if known is not None else "",
        committed_at=known.committed_at if known is not None else None,
        url=commit_link(of.forge, of.url, sha),
    )


def _authors(commits: Iterable[LedgerCommit]) -> list[str]:
    return sorted({each.author for each in commits if each.author})


def _changes(before: Any, after: Any) -> list[DifferenceBody]:
    return [DifferenceBody(path=d.path, before=d.before, after=d.after) for d in differences(before, after)]


def _outside(connection: Connection, lane: Lane, row: Rollout, source: str) -> OutsideBody | None:
    for each in submissions.of_commit(connection, lane.repository_id, row.until_sha):
        if each.state is states.Submission.ACCEPTED and each.source == source:
            return OutsideBody(source=source, url=each.url, submitted_by=each.submitted_by, checks=each.checks)
    return None


def _name(lane: Lane) -> str:
    return f"{lane.application}/{lane.environment}"
