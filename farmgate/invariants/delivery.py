"""I5 to I9: from a candidate to what runs where."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, case, exists, func, or_, select

from farmgate import states
from farmgate.invariants.registry import Finding, invariant, rows
from farmgate.models import Made, MadeKind, RolloutKind
from farmgate.store import fixes, reverts
from farmgate.store import made as made_rows
from farmgate.store import schema as t

FORWARD: Final = (RolloutKind.FORWARD, RolloutKind.SEARCH)
OF_BRANCH: Final = (*FORWARD, RolloutKind.REVERT)
"""What carries commits of the branch."""


@invariant
def i5(connection: Connection, now: datetime) -> Iterator[Finding]:
    """At most one active rollout per lane, at most one live release, and what is good is released."""
    active = t.rollouts.c.state.in_(states.open_states(states.Rollout))
    for condition, table, what in (
        (active, t.rollouts, "rollouts are active"),
        (t.releases.c.live_until.is_(None), t.releases, "releases are live"),
        (t.searches.c.state == states.Search.OPEN, t.searches, "searches are open"),
    ):
        many = select(table.c.lane_id, func.count().label("many")).where(condition).group_by(table.c.lane_id)
        for row in rows(connection, many.having(func.count() > 1)):
            yield lane_of(connection, row.lane_id), f"{row.many} {what}"
    released = exists().where(t.releases.c.rollout_id == t.rollouts.c.id)
    good = t.rollouts.c.state == states.Rollout.GOOD
    for row in rows(connection, select(t.rollouts.c.id, t.rollouts.c.state).where(good, ~released)):
        yield f"rollout/{row.id}", "it is good and left no release"
    for row in rows(connection, select(t.rollouts.c.id, t.rollouts.c.state).where(~good, released)):
        yield f"rollout/{row.id}", f"it is {row.state} and left a release"


@invariant
def i6(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Every commit of a lane's branch is delivered in exactly one batch, or superseded, banned or taken back on
    record."""
    # A rollback to something later (what an earlier rollback had taken back) delivers it again.
    back = and_(t.rollouts.c.kind == RolloutKind.ROLLBACK, t.rollouts.c.until_position < t.rollouts.c.since_position)
    delivered = (
        select(
            t.rollout_commits.c.lane_id,
            t.rollout_commits.c.sha,
            func.sum(case((back, -1), else_=1)).label("times"),
        )
        .join(t.rollouts, t.rollouts.c.id == t.rollout_commits.c.rollout_id)
        .where(t.rollouts.c.state == states.Rollout.GOOD)
        .group_by(t.rollout_commits.c.lane_id, t.rollout_commits.c.sha)
        .subquery()
    )
    live = (
        select(t.releases.c.lane_id, t.releases.c.sha, t.releases.c.position)
        .where(t.releases.c.live_until.is_(None))
        .subquery()
    )
    place, head = t.branch_commits, t.branch_commits.alias("head")
    counted = (
        select(
            t.lanes.c.application,
            t.lanes.c.environment,
            place.c.sha,
            place.c.position,
            live.c.position.label("live"),
            func.coalesce(delivered.c.times, 0).label("times"),
        )
        .select_from(t.lanes)
        .join(
            place,
            and_(
                place.c.repository_id == t.lanes.c.repository_id,
                place.c.branch == t.lanes.c.policy["branch"].as_string(),
                place.c.gone_at.is_(None),
            ),
        )
        .join(delivered, and_(delivered.c.lane_id == t.lanes.c.id, delivered.c.sha == place.c.sha), isouter=True)
        .join(live, live.c.lane_id == t.lanes.c.id, isouter=True)
        .join(
            head,
            and_(
                head.c.repository_id == place.c.repository_id,
                head.c.branch == place.c.branch,
                head.c.sha == live.c.sha,
            ),
            isouter=True,
        )
        # While the live commit is one that a forced push dropped, where history meets it is told by I7.
        .where(or_(live.c.sha.is_(None), head.c.gone_at.is_(None)))
    )
    wanted = case((place.c.position <= func.coalesce(live.c.position, 0), 1), else_=0)
    for row in rows(connection, counted.where(func.coalesce(delivered.c.times, 0) != wanted)):
        subject = f"lane/{row.application}/{row.environment}"
        yield subject, f"{row.sha[:9]} at {row.position} was delivered {row.times} times; live is {row.live}"
    yield from whole_batches(connection)


def whole_batches(connection: Connection) -> Iterator[Finding]:
    """A batch carries as many commits as it says: none was left out silently."""
    carried = (
        select(
            t.rollout_commits.c.rollout_id,
            func.count().label("many"),
            func.count(t.rollout_commits.c.position.distinct()).label("places"),
            func.min(t.rollout_commits.c.position).label("first"),
            func.max(t.rollout_commits.c.position).label("last"),
        )
        .group_by(t.rollout_commits.c.rollout_id)
        .subquery()
    )
    batches = (
        select(t.rollouts, carried.c.many, carried.c.places, carried.c.first, carried.c.last)
        .join(carried, carried.c.rollout_id == t.rollouts.c.id, isouter=True)
        .where(t.rollouts.c.kind.in_(OF_BRANCH))
    )
    for row in rows(connection, batches):
        first = row.since_position + 1 if row.since_position else row.first
        span = None if first is None else row.until_position - first + 1
        if not row.many or (row.many, row.places, row.first, row.last) != (span, span, first, row.until_position):
            said = f"({row.since_position}, {row.until_position}]"
            yield f"rollout/{row.id}", f"its batch is {said}; it carries {row.many} commits, {row.first} to {row.last}"


@invariant
def i7(connection: Connection, now: datetime) -> Iterator[Finding]:
    """What was delivered stays an ancestor of later deliveries unless it was taken back."""
    before: dict[int, Row[Any]] = {}
    own = {row.sha for row in rows(connection, select(t.made.c.sha).where(t.made.c.sha.is_not(None)))}
    for row in rows(connection, good_rollouts()):
        live = before.get(row.lane_id)
        before[row.lane_id] = row
        if live is None or row.kind is RolloutKind.ROLLBACK:
            continue
        if row.from_release_id != live.release_id:
            yield f"rollout/{row.id}", f"it was cut from release {row.from_release_id}; live was {live.release_id}"
        yield from made_commits_stay(connection, row, live, own)
        if row.kind is RolloutKind.HOTFIX:
            continue
        dropped = live.gone_at is not None and live.gone_at <= row.created_at
        dropped = dropped or (live.sha in own and row.since_position < live.position)
        if dropped:
            continue  # a forced push took the live commit from its branch, on record; a person agreed to go on
        if row.until_position <= live.position or row.since_position != live.position:
            span = f"({row.since_position}, {row.until_position}]"
            yield f"rollout/{row.id}", f"its batch {span} does not begin at the live commit, {live.position}"


def made_commits_stay(connection: Connection, row: Row[Any], live: Row[Any], own: Set[str]) -> Iterator[Finding]:
    """A hotfix stands on what was live, and what made commits (`own`) brought is in the next batch."""
    if row.kind is RolloutKind.HOTFIX:
        made = made_rows.chain(connection, row.repository_id, row.until_sha)
        if not made or made[0].onto != live.sha or row.until_position != row.since_position:
            yield (
                f"rollout/{row.id}",
                f"the hotfix {row.until_sha[:9]} does not stand on {live.sha[:9]}, which was live",
            )
    elif live.sha in own:
        for each in made_rows.chain(connection, row.repository_id, live.sha):
            if each.kind is MadeKind.REVERT:
                yield from _stays_away(connection, row, each)
                continue
            for pick, sha in zip(each.picks, each.shas, strict=True):
                at = made_rows.contained_at(connection, each, each.branch, pick, sha, also_gone=True)
                if at is None or at > row.until_position:
                    said = f"{each.kind} {each.id} brought {pick[:9]}, and its batch ends at {row.until_position}"
                    yield f"rollout/{row.id}", f"{said}: the branch has it from {at} on"


def _stays_away(connection: Connection, row: Row[Any], each: Made) -> Iterator[Finding]:
    """What a made commit took back in what was live does not come back without its fix, while its ban stands."""
    next_one = made_rows.of_rollout(connection, row.id)
    again = set(next_one.picks) if next_one is not None else set()
    named = {**fixes.of_queue(connection, row.repository_id, each.branch, each.onto_position, also_gone=True)}
    for sha, picks in reverts.answers(connection, [each]).items():
        named[sha] = (*named.get(sha, ()), *picks)
    batch = set(
        connection.execute(
            select(t.branch_commits.c.sha).where(
                t.branch_commits.c.repository_id == row.repository_id,
                t.branch_commits.c.branch == each.branch,
                t.branch_commits.c.position > each.onto_position,
                t.branch_commits.c.position <= row.until_position,
            )
        ).scalars()
    )
    fixed = [prefix for sha, prefixes in named.items() if sha in batch for prefix in prefixes]
    of = select(t.bans).where(t.bans.c.lane_id == row.lane_id, t.bans.c.created_at <= row.created_at)
    for ban in rows(connection, of):
        lifted = ban.lifted_at is not None and ban.lifted_at <= row.created_at
        covers = {ban.sha, *ban.covers}
        back = covers & set(each.picks)
        mended = any(sha.startswith(one) for sha in covers for one in fixed)
        if back and not lifted and not back <= again and not mended:
            said = f"{each.kind} {each.id} took {min(back)[:9]} back, and its batch ends at {row.until_position}"
            yield f"rollout/{row.id}", f"{said} without a fix"


@invariant
def i8(connection: Connection, now: datetime) -> Iterator[Finding]:
    """A rollback goes only to what was verified good; so does a restore."""
    earlier = exists().where(
        t.releases.c.lane_id == t.rollouts.c.lane_id,
        t.releases.c.sha == t.rollouts.c.until_sha,
        t.releases.c.rollout_id < t.rollouts.c.id,
    )
    back = select(t.rollouts.c.id, t.rollouts.c.until_sha).where(t.rollouts.c.kind == RolloutKind.ROLLBACK, ~earlier)
    for row in rows(connection, back):
        yield f"rollout/{row.id}", f"it goes back to {row.until_sha[:9]}, which was never verified good in this lane"
    unknown = select(t.rollouts.c.id, t.rollouts.c.from_release_id).where(
        t.rollouts.c.from_release_id.is_not(None),
        ~exists().where(t.releases.c.id == t.rollouts.c.from_release_id, t.releases.c.lane_id == t.rollouts.c.lane_id),
    )
    for row in rows(connection, unknown):
        yield f"rollout/{row.id}", f"a restore would go to release {row.from_release_id}, which this lane never had"


def good_rollouts() -> Select[Any]:
    """The good rollouts of all lanes in the order in which they came live, each with what it left."""
    return (
        select(
            t.rollouts.c.id,
            t.rollouts.c.lane_id,
            t.rollouts.c.kind,
            t.rollouts.c.since_position,
            t.rollouts.c.until_position,
            t.rollouts.c.until_sha,
            t.rollouts.c.from_release_id,
            t.rollouts.c.created_at,
            t.lanes.c.repository_id,
            t.releases.c.sha,
            t.releases.c.id.label("release_id"),
            t.releases.c.position,
            t.branch_commits.c.gone_at,
        )
        .join(t.releases, t.releases.c.rollout_id == t.rollouts.c.id)
        .join(t.lanes, t.lanes.c.id == t.rollouts.c.lane_id)
        .join(
            t.branch_commits,
            and_(
                t.branch_commits.c.repository_id == t.lanes.c.repository_id,
                t.branch_commits.c.branch == t.lanes.c.policy["branch"].as_string(),
                t.branch_commits.c.sha == t.releases.c.sha,
            ),
            isouter=True,
        )
        .where(t.rollouts.c.state == states.Rollout.GOOD)
        .order_by(t.releases.c.id)
    )


def lane_of(connection: Connection, lane_id: int) -> str:
    row = connection.execute(select(t.lanes).where(t.lanes.c.id == lane_id)).one()
    return f"lane/{row.application}/{row.environment}"
