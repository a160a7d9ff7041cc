"""Rollouts: cutting them, moving them, and their journals.

Rules:
1. A cut is one transaction: the rollout, its commits, and the guards. The lane's epoch is the caller's, its policy and
   what is live are what the plan saw, the commit still stands where the plan saw it, and no other rollout is
   under way (I5).
2. Every later write is guarded by the rollout's epoch as well as by its state: an older controller finds no row.
3. A journal entry is written before its step begins and completed when it ended, by the same epoch. Whoever takes over
   begins an unfinished step again.
4. A hotfix carries its made commits, at the place of the branch commit that they stand on. A batch without its culprit
   carries the commits of the branch up to what its commit is made from, the culprit too: that is taken back in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from farmgate import states
from farmgate.errors import LostRace, NotFound
from farmgate.models import JournalEntry, Lane, Rollout, RolloutCommit, RolloutKind, Unblamed
from farmgate.store import handovers, made
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import branch_commits, journal, lanes, releases, rollout_commits, rollouts


@dataclass(frozen=True, slots=True)
class NewRollout:
    """A batch that was decided on. `policy`: farmgate.policy.LanePolicy as JSON, as it is to be followed."""

    lane: Lane
    kind: RolloutKind
    candidate_id: int
    since_position: int
    since_sha: str | None
    until_position: int
    until_sha: str
    from_release_id: int | None
    search_id: int | None
    policy: dict[str, Any]
    branch: str
    asked_by: str
    reason: str | None
    patience: timedelta


def cut(connection: Connection, new: NewRollout, epoch: int, now: datetime) -> Rollout:
    """Begin a rollout. Raises LostRace when anything is not as the plan saw it."""
    _guard(connection, new, epoch)
    last = connection.execute(select(func.max(rollouts.c.number)).where(rollouts.c.lane_id == new.lane.id)).scalar()
    values = {
        "lane_id": new.lane.id,
        "number": (last or 0) + 1,
        "kind": new.kind,
        "candidate_id": new.candidate_id,
        "since_position": new.since_position,
        "since_sha": new.since_sha,
        "until_position": new.until_position,
        "until_sha": new.until_sha,
        "from_release_id": new.from_release_id,
        "search_id": new.search_id,
        "policy": new.policy,
        "policy_version": new.lane.policy_version,
        "state": states.Rollout.PENDING,
        "wave": 0,
        "epoch": epoch,
        "asked_by": new.asked_by,
        "reason": new.reason,
        "created_at": now,
        "started_at": None,
        "finished_at": None,
        "deadline": now + new.patience,
    }
    try:
        with connection.begin_nested():
            created = connection.execute(insert(rollouts).values(**values))
    except IntegrityError:
        raise LostRace(f"lane {new.lane.id} has a rollout under way") from None
    (rollout_id,) = created.inserted_primary_key or (0,)
    _carry(connection, int(rollout_id), new)
    return by_id(connection, int(rollout_id))


def _guard(connection: Connection, new: NewRollout, epoch: int) -> None:
    held = connection.execute(
        select(lanes.c.policy_version).where(lanes.c.id == new.lane.id, lanes.c.epoch == epoch).with_for_update()
    ).first()
    if held is None:
        raise LostRace(f"lane {new.lane.id} was taken by a newer controller")
    if held.policy_version != new.lane.policy_version:
        raise LostRace(f"the policy of lane {new.lane.id} has changed")
    live = connection.execute(
        select(releases.c.id).where(releases.c.lane_id == new.lane.id, releases.c.live_until.is_(None))
    ).scalar()
    if live != new.from_release_id:
        raise LostRace(f"what is live in lane {new.lane.id} has changed")
    if new.kind in (RolloutKind.ROLLBACK, RolloutKind.HOTFIX):
        return
    stands_for = new.until_sha
    if new.kind is RolloutKind.REVERT:  # at the place of what it is made from
        stands_for = made.root(connection, new.lane.repository_id, new.until_sha)
    stands = connection.execute(
        select(branch_commits.c.position).where(
            branch_commits.c.repository_id == new.lane.repository_id,
            branch_commits.c.branch == new.branch,
            branch_commits.c.sha == stands_for,
            branch_commits.c.gone_at.is_(None),
        )
    ).scalar()
    if stands != new.until_position:
        raise LostRace(f"{stands_for} does not stand at {new.until_position} of {new.branch} any more")


def _carry(connection: Connection, rollout_id: int, new: NewRollout) -> None:
    """The commits of the batch; of a rollback, those it takes back: what was delivered, whatever the branch is now."""
    over = _made_between(connection, new.lane.repository_id, new.since_sha, new.until_sha)
    if new.kind is RolloutKind.HOTFIX or (over and new.since_position == new.until_position):
        place = {"rollout_id": rollout_id, "lane_id": new.lane.id, "position": new.until_position}
        connection.execute(insert(rollout_commits), [{**place, "sha": sha} for sha in over])
        return
    if new.kind is RolloutKind.ROLLBACK and new.until_position < new.since_position:
        batch = _delivered_after(rollout_id, new)
    else:
        batch = select(
            literal(rollout_id), branch_commits.c.sha, literal(new.lane.id), branch_commits.c.position
        ).where(
            branch_commits.c.repository_id == new.lane.repository_id,
            branch_commits.c.branch == new.branch,
            branch_commits.c.position > new.since_position,
            branch_commits.c.position <= new.until_position,
            branch_commits.c.gone_at.is_(None),
        )
    connection.execute(insert(rollout_commits).from_select(["rollout_id", "sha", "lane_id", "position"], batch))


def _made_between(connection: Connection, repository_id: int, since: str | None, until: str) -> list[str]:
    """The made commits that one of these stands on and the other does not, oldest first."""
    below, above = (
        [sha for row in reversed(made.chain(connection, repository_id, tip)) for sha in row.shas] if tip else []
        for tip in (since, until)
    )
    return [sha for sha in (*below, *above) if (sha in below) != (sha in above)]


def takes_back(connection: Connection, rollout: Rollout) -> bool:
    """True if a rollback goes to something earlier; at the same place of the branch, to fewer made commits."""
    if rollout.until_position != rollout.since_position or rollout.since_sha is None:
        return rollout.until_position < rollout.since_position
    repository_id = connection.execute(select(lanes.c.repository_id).where(lanes.c.id == rollout.lane_id)).scalar_one()
    below = {row.sha for row in made.chain(connection, repository_id, rollout.until_sha)}
    return any(row.sha not in below for row in made.chain(connection, repository_id, rollout.since_sha))


def _delivered_after(rollout_id: int, new: NewRollout) -> Any:
    """What is live in the lane beyond a position: delivered, and not taken back since."""
    back = and_(rollouts.c.kind == RolloutKind.ROLLBACK, rollouts.c.until_position < rollouts.c.since_position)
    return (
        select(literal(rollout_id), rollout_commits.c.sha, literal(new.lane.id), func.max(rollout_commits.c.position))
        .join(rollouts, rollouts.c.id == rollout_commits.c.rollout_id)
        .where(
            rollout_commits.c.lane_id == new.lane.id,
            rollout_commits.c.position > new.until_position,
            rollouts.c.state == states.Rollout.GOOD,
        )
        .group_by(rollout_commits.c.sha)
        .having(func.sum(case((back, -1), else_=1)) > 0)
    )


def by_id(connection: Connection, rollout_id: int) -> Rollout:
    """Raises NotFound."""
    found = one(connection, Rollout, select(rollouts).where(rollouts.c.id == rollout_id))
    if found is None:
        raise NotFound(f"no rollout has the id {rollout_id}")
    return found


def active_of(connection: Connection, lane_id: int) -> Rollout | None:
    """The rollout under way."""
    return one(
        connection,
        Rollout,
        select(rollouts).where(rollouts.c.lane_id == lane_id, rollouts.c.state.in_(states.open_states(states.Rollout))),
    )


def latest(connection: Connection, lane_id: int, limit: int = 20, before_number: int | None = None) -> list[Rollout]:
    """The newest first."""
    statement = select(rollouts).where(rollouts.c.lane_id == lane_id).order_by(rollouts.c.number.desc()).limit(limit)
    return many(
        connection, Rollout, statement if before_number is None else statement.where(rollouts.c.number < before_number)
    )


def commits_of(connection: Connection, rollout_ids: Iterable[int]) -> list[RolloutCommit]:
    """The batches' commits, oldest first in each."""
    statement = select(rollout_commits).where(rollout_commits.c.rollout_id.in_(list(rollout_ids)))
    return many(connection, RolloutCommit, statement.order_by(rollout_commits.c.rollout_id, rollout_commits.c.position))


def newest_of(connection: Connection, rollout_ids: Iterable[int], limit: int) -> list[RolloutCommit]:
    """The newest `limit` commits of each batch, oldest first."""
    rank = func.row_number().over(partition_by=rollout_commits.c.rollout_id, order_by=rollout_commits.c.position.desc())
    ranked = (
        select(rollout_commits, rank.label("rank"))
        .where(rollout_commits.c.rollout_id.in_(list(rollout_ids)))
        .subquery()
    )
    statement = select(*(ranked.c[column.name] for column in rollout_commits.c)).where(ranked.c.rank <= limit)
    return many(connection, RolloutCommit, statement.order_by(ranked.c.rollout_id, ranked.c.position))


def sizes(connection: Connection, rollout_ids: Iterable[int]) -> dict[int, int]:
    """How many commits each batch has."""
    counted = (
        select(rollout_commits.c.rollout_id, func.count().label("many"))
        .where(rollout_commits.c.rollout_id.in_(list(rollout_ids)))
        .group_by(rollout_commits.c.rollout_id)
    )
    return {row.rollout_id: row.many for row in connection.execute(counted)}


def numbers(connection: Connection, rollout_ids: Iterable[int]) -> dict[int, int]:
    """What people call rollouts, by their ids."""
    statement = select(rollouts.c.id, rollouts.c.number).where(rollouts.c.id.in_(sorted(set(rollout_ids))))
    return {row.id: row.number for row in connection.execute(statement)}


def take_over(connection: Connection, rollout: Rollout, epoch: int) -> None:
    """Make the rollout the caller's. Raises LostRace if a newer controller has it."""
    taken = connection.execute(
        update(rollouts)
        .where(rollouts.c.id == rollout.id, rollouts.c.state == rollout.state, rollouts.c.epoch <= epoch)
        .values(epoch=epoch)
    )
    if taken.rowcount != 1:
        raise LostRace(f"rollout {rollout.id} was taken by a newer controller or moved on")


def moved(connection: Connection, rollout: Rollout, after: states.Rollout, **values: Any) -> None:
    """Move it from the state it was seen in, as its controller; what other tools do for it ends. Raises LostRace."""
    move(connection, rollouts, {"id": rollout.id, "epoch": rollout.epoch}, rollout.state, after, **values)
    if states.is_final(after):
        handovers.over(connection, rollout.id)


def next_wave(connection: Connection, rollout: Rollout, deadline: datetime) -> None:
    """Go on to the wave after the one it was seen in. Raises LostRace."""
    advanced = connection.execute(
        update(rollouts)
        .where(
            rollouts.c.id == rollout.id,
            rollouts.c.epoch == rollout.epoch,
            rollouts.c.state == rollout.state,
            rollouts.c.wave == rollout.wave,
        )
        .values(wave=rollout.wave + 1, deadline=deadline)
    )
    if advanced.rowcount != 1:
        raise LostRace(f"rollout {rollout.id} is not in wave {rollout.wave} any more")


# --- the journal ---------------------------------------------------------------------------------------------------


def entries(connection: Connection, rollout_id: int) -> list[JournalEntry]:
    """In the order in which the steps began."""
    statement = select(journal).where(journal.c.rollout_id == rollout_id)
    return many(connection, JournalEntry, statement.order_by(journal.c.started_at, journal.c.key))


def begin_step(
    connection: Connection, rollout: Rollout, key: str, now: datetime, detail: dict[str, Any] | None = None
) -> None:
    """Write that a step begins, for the first time or again. Raises LostRace unless the rollout is the caller's."""
    _own(connection, rollout)
    values = {
        "rollout_id": rollout.id,
        "key": key,
        "epoch": rollout.epoch,
        "started_at": now,
        "finished_at": None,
        "outcome": None,
        "detail": detail or {},
    }
    if insert_if_absent(connection, journal, values, "rollout_id", "key"):
        return
    connection.execute(
        update(journal)
        .where(journal.c.rollout_id == rollout.id, journal.c.key == key, journal.c.epoch <= rollout.epoch)
        .values(epoch=rollout.epoch, finished_at=None, outcome=None, detail=detail or {})
    )


def end_step(
    connection: Connection, rollout: Rollout, key: str, now: datetime, outcome: str, detail: dict[str, Any]
) -> None:
    """Write how a step ended. Raises LostRace unless this epoch began it and the rollout is still where it was."""
    _own(connection, rollout)
    ended = connection.execute(
        update(journal)
        .where(
            journal.c.rollout_id == rollout.id,
            journal.c.key == key,
            journal.c.epoch == rollout.epoch,
            journal.c.finished_at.is_(None),
        )
        .values(finished_at=now, outcome=outcome, detail=detail)
    )
    if ended.rowcount != 1:
        raise LostRace(f"step {key} of rollout {rollout.id} is not this controller's")


def note(
    connection: Connection, rollout: Rollout, key: str, now: datetime, outcome: str | None, detail: dict[str, Any]
) -> None:
    """Write an entry that is no step of a target: a check's progress, a verdict, a decision. Raises LostRace."""
    _own(connection, rollout)
    values = {"epoch": rollout.epoch, "finished_at": now if outcome else None, "outcome": outcome, "detail": detail}
    fresh = {"rollout_id": rollout.id, "key": key, "started_at": now, **values}
    if not insert_if_absent(connection, journal, fresh, "rollout_id", "key"):
        connection.execute(
            update(journal).where(journal.c.rollout_id == rollout.id, journal.c.key == key).values(**values)
        )


def decide(connection: Connection, rollout: Rollout, verdict: str, decided_by: str, reason: str, now: datetime) -> bool:
    """A person's answer (good or sick) to what is asked: before the start, of the wave, or whether to take it back.
    False if there is one already. Raises LostRace."""
    asking = select(rollouts.c.id).where(
        rollouts.c.id == rollout.id, rollouts.c.state == states.Rollout.ASKING, rollouts.c.wave == rollout.wave
    )
    if connection.execute(asking.with_for_update()).first() is None:
        raise LostRace(f"rollout {rollout.number} does not ask any more")
    values = {
        "rollout_id": rollout.id,
        "key": f"{question(connection, rollout)}/decision",
        "epoch": rollout.epoch,
        "started_at": now,
        "finished_at": now,
        "outcome": verdict,
        "detail": {"by": decided_by, "reason": reason},
    }
    return insert_if_absent(connection, journal, values, "rollout_id", "key")


def question(connection: Connection, rollout: Rollout) -> str:
    """What a rollout that asks is asking: `start`, `back-1` and so on (whether to take it back), or its wave."""
    if rollout.started_at is None:
        return "start"
    back = select(journal.c.key).where(
        journal.c.rollout_id == rollout.id,
        journal.c.key.like("back-%"),
        journal.c.key.not_like("%/%"),
        journal.c.outcome.is_(None),
    )
    return str(connection.execute(back).scalar() or f"wave-{rollout.wave}")


def _own(connection: Connection, rollout: Rollout) -> None:
    mine = connection.execute(
        select(rollouts.c.id)
        .where(rollouts.c.id == rollout.id, rollouts.c.epoch == rollout.epoch, rollouts.c.state == rollout.state)
        .with_for_update()
    ).first()
    if mine is None:
        raise LostRace(f"rollout {rollout.id} is not {rollout.state} under epoch {rollout.epoch} any more")


def finished(connection: Connection, lane_id: int, limit: int = 20) -> list[Rollout]:
    """Rollouts that are over, newest first, without those that were cancelled before anything was shifted."""
    over = [state for state in states.Rollout if states.is_final(state) and state is not states.Rollout.CANCELLED]
    return many(
        connection,
        Rollout,
        newest(rollouts).where(rollouts.c.lane_id == lane_id, rollouts.c.state.in_(over)).limit(limit),
    )


def beginnings(connection: Connection, lane_id: int, limit: int) -> list[datetime]:
    """When the last rollouts began that count for a budget, newest first: all but rollbacks and what was cancelled."""
    statement = select(rollouts.c.created_at).where(
        rollouts.c.lane_id == lane_id,
        rollouts.c.kind != RolloutKind.ROLLBACK,
        rollouts.c.state != states.Rollout.CANCELLED,
    )
    return list(connection.execute(statement.order_by(rollouts.c.number.desc()).limit(limit)).scalars())


def outcomes(connection: Connection, lane_id: int, limit: int) -> list[bool]:
    """Whether the last batches were good, newest first; without searches, rollbacks, what was cancelled and what a
    person or a newer batch ended."""
    over = [states.Rollout.GOOD, states.Rollout.SICK, states.Rollout.STUCK]
    ended = select(journal.c.rollout_id).where(
        journal.c.rollout_id == rollouts.c.id, journal.c.key == "verdict", journal.c.outcome.in_(list(Unblamed))
    )
    statement = select(rollouts.c.state).where(
        rollouts.c.lane_id == lane_id,
        rollouts.c.kind == RolloutKind.FORWARD,
        rollouts.c.state.in_(over),
        ~ended.exists(),
    )
    found = connection.execute(statement.order_by(rollouts.c.number.desc()).limit(limit)).scalars()
    return [state is states.Rollout.GOOD for state in found]


def prolong(connection: Connection, rollout: Rollout, deadline: datetime, *, reason: str | None = None) -> None:
    """Give it more time; `reason`: what it waits for from now on. Raises LostRace."""
    _own(connection, rollout)
    values = {"deadline": deadline} if reason is None else {"deadline": deadline, "reason": reason}
    connection.execute(update(rollouts).where(rollouts.c.id == rollout.id).values(**values))
