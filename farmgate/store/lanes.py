"""Lanes, their policies and those policies' history; and where a commit is.

Rules:
1. A policy is applied all or nothing, by application; every change is a version with its author.
2. A lane that a file no longer names stays as it is: taking a place down is an act of its own.
3. The controller that takes a lane writes its epoch into it; an older one is refused from then on.
4. An order to roll back is kept in the lane until the deploy loop has cut it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, insert, select, update

from farmgate import states
from farmgate.errors import Conflict, LostRace, NotFound
from farmgate.models import Lane, MadeKind, PolicyVersion, Release, Rollout
from farmgate.policy import LanePolicy, Target
from farmgate.policy.targets import from_row
from farmgate.store import made, repositories
from farmgate.store.database import many, newest, one
from farmgate.store.schema import (
    branch_commits,
    group_members,
    lane_groups,
    lanes,
    policy_versions,
    releases,
    rollouts,
    searches,
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a policy did to a lane."""

    lane: str
    version: int
    change: str  # created, changed, unchanged


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A commit in a lane: live, delivering, waiting, taken back, or elsewhere (not on the lane's branch)."""

    lane: str
    state: str
    rollout: int | None  # the number of the rollout that took it there, or is taking it
    since: datetime | None


def apply_policy(
    connection: Connection, policies: Sequence[LanePolicy], changed_by: str, now: datetime
) -> list[Applied]:
    """Write the lanes of one application. Raises NotFound (repository) and Conflict, and then nothing is changed."""
    applied = []
    for policy in policies:
        repository = repositories.by_name(connection, policy.repository)
        _refuse_taken_address(connection, policy)
        found = find(connection, policy.application, policy.environment)
        if found is not None:
            _refuse_revert_in_group(connection, found, policy)
        if found is None:
            _create(connection, policy, repository.id, changed_by, now)
            applied.append(Applied(policy.name, 1, "created"))
        elif policy_of(found) == policy and found.repository_id == repository.id:
            applied.append(Applied(policy.name, found.policy_version, "unchanged"))
        else:
            version = _change(connection, found, policy, repository.id, changed_by, now)
            applied.append(Applied(policy.name, version, "changed"))
    return applied


def find(connection: Connection, application: str, environment: str) -> Lane | None:
    return one(
        connection, Lane, select(lanes).where(lanes.c.application == application, lanes.c.environment == environment)
    )


def by_name(connection: Connection, application: str, environment: str) -> Lane:
    """Raises NotFound."""
    found = find(connection, application, environment)
    if found is None:
        raise NotFound(f"no lane {application}/{environment}; `farmgate lanes` lists those there are")
    return found


def by_id(connection: Connection, lane_id: int) -> Lane:
    """Raises NotFound."""
    found = one(connection, Lane, select(lanes).where(lanes.c.id == lane_id))
    if found is None:
        raise NotFound(f"no lane has the id {lane_id}")
    return found


def every(connection: Connection, repository_id: int | None = None) -> list[Lane]:
    """All lanes by application, in the order in which they were created."""
    statement = select(lanes).order_by(lanes.c.application, lanes.c.id)
    return many(connection, Lane, statement if repository_id is None else statement.where(_of(repository_id)))


def policy_of(lane: Lane) -> LanePolicy:
    """The lane's policy as a model; read once per version."""
    return _policy(lane.id, lane.policy_version, _Unhashed(lane.policy))


def target_of(config: dict[str, Any]) -> Target:
    """The target of a release's or rollout's configuration."""
    return from_row(config)


def versions(connection: Connection, lane_id: int) -> list[PolicyVersion]:
    """The history of a lane's policy, newest first."""
    statement = select(policy_versions).where(policy_versions.c.lane_id == lane_id)
    return many(connection, PolicyVersion, statement.order_by(policy_versions.c.version.desc()))


def take(connection: Connection, lane_id: int, epoch: int) -> None:
    """Write the controller's epoch. Raises LostRace if a newer one has taken the lane."""
    taken = connection.execute(update(lanes).where(lanes.c.id == lane_id, lanes.c.epoch <= epoch).values(epoch=epoch))
    if taken.rowcount != 1:
        raise LostRace(f"lane {lane_id} was taken by a newer controller")


def order_rollback(
    connection: Connection,
    lane_id: int,
    release_id: int,
    asked_by: str,
    reason: str,
    now: datetime,
    together: Sequence[str] = (),
) -> None:
    """Keep a person's order for the deploy loop; a newer order replaces one that is not cut yet. `together`: the lanes
    that go back with it, itself among them, in the order of their group; each has the order."""
    order: dict[str, Any] = {"release_id": release_id, "asked_by": asked_by, "reason": reason}
    order |= {"asked_at": now.isoformat()} | ({"together": list(together)} if together else {})
    connection.execute(update(lanes).where(lanes.c.id == lane_id).values(rollback=order))


def clear_rollback(connection: Connection, lane_id: int) -> None:
    connection.execute(update(lanes).where(lanes.c.id == lane_id).values(rollback=None))


def where_is(connection: Connection, repository_id: int, sha: str) -> list[Whereabouts]:
    """The commit in every lane of its repository."""
    return [_whereabouts(connection, lane, sha) for lane in every(connection, repository_id)]


def _whereabouts(connection: Connection, lane: Lane, sha: str) -> Whereabouts:
    name, branch = f"{lane.application}/{lane.environment}", policy_of(lane).branch
    place = _place(connection, lane, branch, sha)
    fixed = _by_hotfix(connection, lane, sha)
    if fixed is not None:
        return Whereabouts(name, "live", *fixed)
    if place is None:
        return Whereabouts(name, "elsewhere", None, None)
    without = _without(connection, lane, sha)
    if without is not None:
        return Whereabouts(name, "taken back", *without)
    past = many(connection, Release, newest(releases).where(releases.c.lane_id == lane.id))
    numbers = {
        row.id: row.number
        for row in connection.execute(select(rollouts.c.id, rollouts.c.number).where(rollouts.c.lane_id == lane.id))
    }
    # Where the live commit stands now, which after a forced push need not be where it was delivered.
    now_live = _place(connection, lane, branch, past[0].sha) if past and past[0].live_until is None else None
    if past and past[0].live_until is None and max(past[0].position, now_live or 0) >= place:
        first = past[0]
        for release in past[1:]:
            if release.position < place:
                break
            first = release
        return Whereabouts(name, "live", numbers.get(first.rollout_id), first.live_from)
    active = one(
        connection,
        Rollout,
        select(rollouts).where(rollouts.c.lane_id == lane.id, rollouts.c.state.in_(states.open_states(states.Rollout))),
    )
    if active is not None and active.since_position < place <= active.until_position:
        return Whereabouts(name, "delivering", active.number, active.started_at)
    before = next((release for release in past if release.position >= place), None)
    if before is not None:
        return Whereabouts(name, "taken back", numbers.get(before.rollout_id), before.live_until)
    return Whereabouts(name, "waiting", None, None)


def _by_hotfix(connection: Connection, lane: Lane, sha: str) -> tuple[int, datetime] | None:
    """The rollout that brought a commit as a hotfix, and since when, if that is live. So is a made commit itself."""
    return _by_made(connection, lane, sha, MadeKind.HOTFIX)


def _without(connection: Connection, lane: Lane, sha: str) -> tuple[int, datetime] | None:
    """The rollout that went without a commit, and since when, if that is live."""
    return _by_made(connection, lane, sha, MadeKind.REVERT)


def _by_made(connection: Connection, lane: Lane, sha: str, kind: MadeKind) -> tuple[int, datetime] | None:
    live = connection.execute(
        select(releases.c.sha).where(releases.c.lane_id == lane.id, releases.c.live_until.is_(None))
    ).scalar()
    for row in made.chain(connection, lane.repository_id, live) if live is not None else ():
        concerned = (*row.picks, *row.shas) if kind is MadeKind.HOTFIX else row.picks
        if row.kind is kind and sha in concerned and row.rollout_id is not None:
            brought = select(rollouts.c.number, releases.c.live_from).join(
                releases, releases.c.rollout_id == rollouts.c.id
            )
            found = connection.execute(brought.where(rollouts.c.id == row.rollout_id)).first()
            return (found.number, found.live_from) if found is not None else None
    return None


def _place(connection: Connection, lane: Lane, branch: str, sha: str) -> int | None:
    return connection.execute(
        select(branch_commits.c.position).where(
            branch_commits.c.repository_id == lane.repository_id,
            branch_commits.c.branch == branch,
            branch_commits.c.sha == sha,
            branch_commits.c.gone_at.is_(None),
        )
    ).scalar()


class _Unhashed:
    """Hands a value through a cache whose key says enough without it."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashed) and self.value == other.value

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=1000)
def _policy(lane_id: int, version: int, policy: _Unhashed) -> LanePolicy:
    return LanePolicy.model_validate(policy.value)


def _of(repository_id: int) -> Any:
    return lanes.c.repository_id == repository_id


def _create(connection: Connection, policy: LanePolicy, repository_id: int, changed_by: str, now: datetime) -> None:
    stored = policy.model_dump(mode="json")
    created = connection.execute(
        insert(lanes).values(
            application=policy.application,
            environment=policy.environment,
            repository_id=repository_id,
            policy=stored,
            policy_version=1,
            epoch=0,
            rollback=None,
            created_at=now,
        )
    )
    (lane_id,) = created.inserted_primary_key or (0,)
    _record(connection, int(lane_id or 0), 1, stored, changed_by, now)


def _change(
    connection: Connection, lane: Lane, policy: LanePolicy, repository_id: int, changed_by: str, now: datetime
) -> int:
    delivered = connection.execute(select(rollouts.c.id).where(rollouts.c.lane_id == lane.id).limit(1)).first()
    if delivered and repository_id != lane.repository_id:
        raise Conflict(f"{policy.name} has delivered from another repository: make it an application of its own")
    live = connection.execute(
        select(releases.c.config).where(releases.c.lane_id == lane.id, releases.c.live_until.is_(None))
    ).first()
    if live is not None and live.config.get("type") != policy.target.type:
        said = f"{policy.name} is live on a {live.config.get('type')} target; retire the lane before it moves to"
        raise Conflict(f"{said} {policy.target.type}")
    before = policy_of(lane)
    if (policy.branch, policy.target.type) != (before.branch, before.target.type):
        _refuse_under_way(connection, lane, policy)
    version, stored = lane.policy_version + 1, policy.model_dump(mode="json")
    changed = connection.execute(
        update(lanes)
        .where(lanes.c.id == lane.id, lanes.c.policy_version == lane.policy_version)
        .values(policy=stored, policy_version=version, repository_id=repository_id)
    )
    if changed.rowcount != 1:
        raise LostRace(f"someone else changed the policy of {policy.name} at this moment; look again")
    _record(connection, lane.id, version, stored, changed_by, now)
    return version


def _refuse_under_way(connection: Connection, lane: Lane, policy: LanePolicy) -> None:
    """Positions and instances of what is under way mean nothing on another branch, or to another kind of target."""
    active = select(rollouts.c.number).where(
        rollouts.c.lane_id == lane.id, rollouts.c.state.in_(states.open_states(states.Rollout))
    )
    number = connection.execute(active).scalar()
    if number is not None:
        said = f"rollout {number} of {policy.name} is under way"
        raise Conflict(f"{said}: change its branch or its kind of target when that is over")
    searching = select(searches.c.id).where(searches.c.lane_id == lane.id, searches.c.state == states.Search.OPEN)
    if connection.execute(searching).first() is not None:
        said = f"a search for a culprit is open in {policy.name}"
        raise Conflict(f"{said}: change its branch or its kind of target when that is over, or roll back")


def _record(
    connection: Connection, lane_id: int, version: int, policy: dict[str, Any], changed_by: str, now: datetime
) -> None:
    connection.execute(
        insert(policy_versions).values(
            lane_id=lane_id, version=version, policy=policy, changed_by=changed_by, changed_at=now
        )
    )


def _refuse_revert_in_group(connection: Connection, lane: Lane, policy: LanePolicy) -> None:
    """A commit that is made for one lane is none of the others' that go together with it."""
    of = select(lane_groups.c.name).join(group_members, group_members.c.group_id == lane_groups.c.id)
    group = connection.execute(of.where(group_members.c.lane_id == lane.id)).scalar()
    if policy.on_culprit == "revert" and group is not None:
        said = f"{policy.name} is in the group {group}, where on_culprit: revert does not apply"
        raise Conflict(f"{said}: say hold or next, or take it out of the group")


def _refuse_taken_address(connection: Connection, policy: LanePolicy) -> None:
    if policy.listen is None:
        return
    for lane in every(connection):
        if lane.application != policy.application and policy_of(lane).listen == policy.listen:
            raise Conflict(f"{policy.listen} is the address of {lane.application}/{lane.environment} already")
