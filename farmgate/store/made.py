"""Commits that Farmgate makes, as rows: asked for, made, tested, delivered.

Rules:
1. One at a time is open in a lane, but for a revert whose rollout is under way. Whoever asks holds the lane's row.
2. Every move is guarded by the state it was seen in; one that the scheduler makes also by what the commit stands on.
3. What a live made commit brought is asked of the chain from what is live down to the branch. From the first of these
   on, after the place it stands on, the branch contains a pick: the pick itself, its made commit, a commit with the
   same patch as either, and what is written down as its carrier (git found it as an ancestor, or a person said so).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, insert, select, true, update

from farmgate import states
from farmgate.errors import Conflict, LostRace, NotFound
from farmgate.lanes import Brought
from farmgate.models import Carrier, Lane, Made, MadeKind
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import branch_commits, carriers, commits, lanes, made, patches

PATIENCE: Final = timedelta(days=1)
"""How long one may be open until its rollout begins."""
_UNDER_WAY: Final = timedelta(days=400)
"""From then on its rollout has a deadline of its own, which moves."""
_CHAIN: Final = 100
OPEN: Final = states.open_states(states.Made)
BEFORE_DELIVERY: Final = (states.Made.ASKED, states.Made.TESTING, states.Made.READY)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made. `onto`: commit and its place; `ref`: its name, without the number."""

    kind: MadeKind
    branch: str
    picks: tuple[str, ...]
    onto: str
    onto_position: int
    reason: str
    asked_by: str


def ask(connection: Connection, lane: Lane, wish: Wish, now: datetime) -> Made:
    """Raises Conflict while another one is open (rule 1)."""
    connection.execute(select(lanes.c.id).where(lanes.c.id == lane.id).with_for_update())
    under_way = open_of(connection, lane.id)
    if under_way is not None and not (under_way.kind is MadeKind.REVERT and under_way.state is states.Made.DELIVERING):
        raise Conflict(
            f"{under_way.kind} {under_way.id} of {lane.application}/{lane.environment} is {under_way.state}: "
            "wait until it is over, or cancel it"
        )
    created = connection.execute(
        insert(made).values(
            kind=wish.kind,
            lane_id=lane.id,
            repository_id=lane.repository_id,
            branch=wish.branch,
            ref="",
            picks=list(wish.picks),
            onto=wish.onto,
            onto_position=wish.onto_position,
            shas=[],
            sha=None,
            run_id=None,
            rollout_id=None,
            state=states.Made.ASKED,
            problem=None,
            reason=wish.reason,
            asked_by=wish.asked_by,
            created_at=now,
            finished_at=None,
            deadline=now + PATIENCE,
        )
    )
    (made_id,) = created.inserted_primary_key or (0,)
    ref = f"refs/farmgate/{wish.kind}-{made_id}/{wish.branch}"
    connection.execute(update(made).where(made.c.id == made_id).values(ref=ref))
    return by_id(connection, int(made_id))


def by_id(connection: Connection, made_id: int) -> Made:
    """Raises NotFound."""
    found = one(connection, Made, select(made).where(made.c.id == made_id))
    if found is None:
        raise NotFound(f"there is no made commit {made_id}")
    return found


def open_of(connection: Connection, lane_id: int) -> Made | None:
    """The newest one that is not over."""
    statement = newest(made).where(made.c.lane_id == lane_id, made.c.state.in_(OPEN)).limit(1)
    return one(connection, Made, statement)


def of_rollout(connection: Connection, rollout_id: int) -> Made | None:
    """What a rollout delivers, if that is a made commit."""
    return one(connection, Made, select(made).where(made.c.rollout_id == rollout_id))


def reverts(connection: Connection, lane_id: int, limit: int = 100) -> list[Made]:
    """Those without a culprit, newest first."""
    of = (made.c.lane_id == lane_id, made.c.kind == MadeKind.REVERT)
    return many(connection, Made, newest(made).where(*of).limit(limit))


def latest(connection: Connection, lane_id: int, limit: int = 20) -> list[Made]:
    """Newest first."""
    return many(connection, Made, newest(made).where(made.c.lane_id == lane_id).limit(limit))


def before_delivery(connection: Connection) -> list[Made]:
    """All that the scheduler's loop looks at, oldest first."""
    return many(connection, Made, select(made).where(made.c.state.in_(BEFORE_DELIVERY)).order_by(made.c.id))


# --- moves -----------------------------------------------------------------------------------------------------------


def built(connection: Connection, row: Made, shas: Sequence[str], run_id: int) -> None:
    """It is made, and its run begins. Raises LostRace."""
    values = {"shas": list(shas), "sha": shas[-1], "run_id": run_id, "problem": None}
    move(connection, made, {"id": row.id, "onto": row.onto}, states.Made.ASKED, states.Made.TESTING, **values)


def ready(connection: Connection, row: Made) -> None:
    """Its run was green. Raises LostRace."""
    move(connection, made, {"id": row.id, "sha": row.sha}, states.Made.TESTING, states.Made.READY)


def anew(connection: Connection, row: Made, onto: str, position: int) -> None:
    """What is live moved: it is to stand on that. Raises LostRace."""
    values: dict[str, Any] = {"onto": onto, "onto_position": position}
    if row.state is states.Made.ASKED:
        again = update(made).where(made.c.id == row.id, made.c.state == row.state, made.c.onto == row.onto)
        if connection.execute(again.values(**values)).rowcount != 1:
            raise LostRace(f"made commit {row.id} moved on")
        return
    move(connection, made, {"id": row.id, "onto": row.onto}, row.state, states.Made.ASKED, **values)


def end(connection: Connection, row: Made, after: states.Made, problem: str | None, now: datetime) -> None:
    """Before it was delivered. Raises LostRace."""
    move(connection, made, {"id": row.id}, row.state, after, problem=problem, finished_at=now)


def deliver(connection: Connection, made_id: int, sha: str, rollout_id: int, now: datetime) -> None:
    """Its rollout is cut. Raises LostRace."""
    values = {"rollout_id": rollout_id, "deadline": now + _UNDER_WAY}
    move(connection, made, {"id": made_id, "sha": sha}, states.Made.READY, states.Made.DELIVERING, **values)


def delivered(
    connection: Connection, rollout_id: int, after: states.Made, problem: str | None, now: datetime
) -> Made | None:
    """Its rollout is over; None if that delivered no made commit. Raises LostRace."""
    found = of_rollout(connection, rollout_id)
    if found is not None:
        move(connection, made, {"id": found.id}, found.state, after, problem=problem, finished_at=now)
    return found


# --- what is live, and what it brought -------------------------------------------------------------------------------


def chain(connection: Connection, repository_id: int, sha: str) -> list[Made]:
    """The made commits from one down to the branch, newest first; empty for a commit of a branch."""
    found: list[Made] = []
    current: str | None = sha
    while current is not None and len(found) < _CHAIN:
        row = one(
            connection,
            Made,
            newest(made).where(made.c.repository_id == repository_id, made.c.sha == current).limit(1),
        )
        current = row.onto if row is not None else None
        if row is not None:
            found.append(row)
    return found


def over(connection: Connection, repository_id: int, live: str, target: str) -> list[str]:
    """The made commits that are live by one commit and not by another, oldest first."""
    below = {row.sha for row in chain(connection, repository_id, target)}
    mine = [row for row in chain(connection, repository_id, live) if row.sha not in below]
    return [sha for row in reversed(mine) for sha in row.shas]


def root(connection: Connection, repository_id: int, sha: str) -> str:
    """The commit of the branch that a made one stands on, through others; of any other commit, itself."""
    below = chain(connection, repository_id, sha)
    return below[-1].onto if below else sha


def brought(connection: Connection, repository_id: int, branch: str, chained: Sequence[Made]) -> tuple[Brought, ...]:
    """Rule 3, for the made commits that are live (`chain`)."""
    below = [row for row in chained if row.kind is MadeKind.HOTFIX]
    titles = _titles(connection, repository_id, [pick for row in below for pick in row.picks])
    return tuple(
        Brought(pick, titles.get(pick, ""), row.kind, contained_at(connection, row, branch, pick, sha))
        for row in reversed(below)
        for pick, sha in zip(row.picks, row.shas, strict=True)
    )


def contained_at(
    connection: Connection, row: Made, branch: str, pick: str, sha: str | None, *, also_gone: bool = False
) -> int | None:
    """Rule 3: from which place on the branch contains a pick; None: it does not."""
    own = [each for each in (pick, sha) if each is not None] if row.kind is MadeKind.HOTFIX else [sha] if sha else []
    same, other = patches.alias("same"), patches.alias("other")
    alike = (
        select(other.c.sha)
        .join_from(same, other, and_(other.c.patch_id == same.c.patch_id, other.c.repository_id == row.repository_id))
        .where(same.c.repository_id == row.repository_id, same.c.sha.in_(own))
    )
    written = select(carriers.c.sha).where(carriers.c.made_id == row.id, carriers.c.pick == pick)
    wanted = {*own, *connection.execute(alike).scalars(), *connection.execute(written).scalars()}
    place = branch_commits.c
    return connection.execute(
        select(place.position)
        .where(
            place.repository_id == row.repository_id,
            place.branch == branch,
            place.position > row.onto_position,
            place.sha.in_(sorted(wanted)),
            true() if also_gone else place.gone_at.is_(None),
        )
        .order_by(place.position)
        .limit(1)
    ).scalar()


def with_picks(connection: Connection, repository_id: int, shas: Sequence[str]) -> list[str]:
    """The commits, and what each made one of them is a pick of."""
    rows = many(connection, Made, select(made).where(made.c.repository_id == repository_id, made.c.sha.in_(shas)))
    picks = [pick for row in rows if row.kind is MadeKind.HOTFIX for pick in row.picks]
    return list(dict.fromkeys((*shas, *picks)))


def carry(connection: Connection, made_id: int, found: Mapping[str, str], words: str, now: datetime) -> None:
    """Write down the first commits that contain picks, as git found them."""
    for pick, sha in found.items():
        _write(connection, Carrier(made_id, pick, sha, None, words, now))


def say(connection: Connection, made_id: int, pick: str, sha: str, by: str, reason: str, now: datetime) -> None:
    """A person says which commit of the branch contains a pick."""
    _write(connection, Carrier(made_id, pick, sha, by, reason, now))


def said(connection: Connection, made_id: int) -> list[Carrier]:
    return many(connection, Carrier, select(carriers).where(carriers.c.made_id == made_id).order_by(carriers.c.said_at))


def live_on(connection: Connection, repository_id: int, branch: str, shas: Iterable[str]) -> list[Made]:
    """The made commits that any of these (live ones) stand on, each once."""
    found = {row.id: row for sha in shas for row in chain(connection, repository_id, sha) if row.branch == branch}
    return list(found.values())


def _write(connection: Connection, row: Carrier) -> None:
    values = {name: getattr(row, name) for name in ("made_id", "pick", "sha", "said_by", "reason", "said_at")}
    insert_if_absent(connection, carriers, values, "made_id", "pick", "sha")


def _titles(connection: Connection, repository_id: int, shas: Sequence[str]) -> dict[str, str]:
    wanted = select(commits.c.sha, commits.c.title).where(
        commits.c.repository_id == repository_id, commits.c.sha.in_(list(shas))
    )
    return {row.sha: row.title for row in connection.execute(wanted)}
