"""A lane read as its rules want it (`farmgate.lanes.LaneView`), in one snapshot.

Rules:
1. Who only decides reads candidates, and the commits that bans and their fixes are about; who explains reads all.
2. The live commit's place is looked up by its hash: after a forced push its old position may be another's.
3. A live commit that left the branch stops the lane until a person lifts the hold that says so. Then the queue begins
   where its history meets the branch. A made commit is where the commit of the branch is that it stands on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from farmgate import states
from farmgate.lanes import (
    Active,
    Checks,
    LaneView,
    Live,
    OpenHotfix,
    OpenSearch,
    Queue,
    QueuedCommit,
    StandingBan,
    StandingHold,
    TurnedRed,
    Verified,
    fixes_security,
    useful,
)
from farmgate.models import Ban, BranchCommit, Lane, LaneGroup, MadeKind, RolloutKind
from farmgate.policy import LanePolicy
from farmgate.refs import HEADS
from farmgate.store import (
    approvals,
    attestations,
    bans,
    exposures,
    fixes,
    holds,
    lane_groups,
    lane_mates,
    lanes,
    late_reds,
    made,
    releases,
    reverts,
    rollouts,
    searches,
)
from farmgate.store import candidates as candidate_rows
from farmgate.store.schema import branch_commits, candidates, commits, runs
from farmgate.store.schema import lanes as lane_table
from farmgate.store.schema import late_reds as red_table
from farmgate.store.schema import releases as release_table

_RECORDED: Final = 20
_ADAPTS: Final = 200
"""So many rollouts are counted for a batch size that adapts."""
_WALK: Final = 10_000
_SHOWN_GONE: Final = 100


def view(connection: Connection, lane: Lane, now: datetime, *, full: bool = False) -> LaneView:
    """The lane at this moment, and those that go together with it; `full` reads every waiting commit with its title and
    checks."""
    alone = of_lane(connection, lane, now, full=full)
    group = lane_groups.of_lane(connection, lane.id)
    return alone if group is None else beside_mates(connection, alone, group, now)


def beside_mates(connection: Connection, alone: LaneView, group: LaneGroup, now: datetime) -> LaneView:
    """A lane's view with those that go together with it."""
    return lane_mates.with_mates(connection, alone, group, now, of_lane)


def of_lane(
    connection: Connection, lane: Lane, now: datetime, *, full: bool = False, instead: Live | None = None
) -> LaneView:
    """The lane by itself. `instead`: read as if this were live."""
    policy = lanes.policy_of(lane)
    live = instead if instead is not None else live_of(connection, lane, policy)
    base = live.base if live is not None else 0
    chained = made.chain(connection, lane.repository_id, live.sha) if live is not None else []
    taken = reverts.taken_back(connection, lane, policy.branch, base, chained) if chained else {}
    standing = _bans(connection, lane, policy, base, taken)
    answers = reverts.answers(connection, chained) if taken else {}
    queue = _queue(connection, lane, policy, base, standing, answers, full=full)
    agreed = approvals.standing(connection, lane, policy, base, now)
    past = rollouts.finished(connection, lane.id, _RECORDED)
    forward = [rollout for rollout in past if rollout.kind is not RolloutKind.ROLLBACK]
    good = [rollout for rollout in forward if rollout.state is states.Rollout.GOOD]
    hotfix = _hotfix(connection, lane, policy, live, now)
    revert, past_reverts = reverts.of_lane(connection, lane, policy, base, now)
    judged: Sequence[QueuedCommit] = queue
    for own in (hotfix, revert):
        if own is not None and own.sha is not None and own.candidate_id is not None:
            judged = (*judged, QueuedCommit(base, own.sha, candidate_id=own.candidate_id))
    return LaneView(
        lane_id=lane.id,
        policy=policy,
        live=live,
        commits=queue,
        gone=_gone(connection, lane, policy, base) if full else (),
        verified=verified(connection, lane, policy, base),
        bans=standing,
        holds=tuple(
            StandingHold(hold.id, hold.reason, hold.created_by, hold.until, hold.begins, hold.kind)
            for hold in holds.ahead(connection, lane.id, now)
        ),
        active=_active(connection, lane),
        search=_search(connection, lane),
        rollback_asked=lane.rollback["asked_by"] if lane.rollback else None,
        finished_at=forward[0].finished_at if forward else None,
        approvals=approvals.given(agreed),
        authored=approvals.authored(connection, lane, policy, base, {row.approved_by for row in agreed}),
        outcomes=tuple(reversed(rollouts.outcomes(connection, lane.id, _ADAPTS))) if policy.adaptive else (),
        begun=_begun(connection, lane, policy),
        security=security(connection, lane, policy, base),
        durations=tuple(each.finished_at - each.created_at for each in good if each.finished_at is not None),
        exposure=exposures.of_lane(connection, lane, policy, judged, now) if policy.vulnerabilities else None,
        unproven=_unproven(connection, lane, policy, judged),
        hotfix=hotfix,
        brought=made.brought(connection, lane.repository_id, policy.branch, chained),
        revert=revert,
        reverts=past_reverts,
        turned_red=_turned_red(connection, lane, policy),
        unacknowledged_loss=live is not None
        and live.gone
        and not holds.was_lifted(connection, lane.id, loss_reason(live.sha, policy.branch)),
    )


def _unproven(connection: Connection, lane: Lane, policy: LanePolicy, queue: Sequence[QueuedCommit]) -> dict[int, str]:
    """Candidates without the provenance that the lane wants."""
    if policy.provenance is None:
        return {}
    wanted = [(each.candidate_id, each.sha) for each in queue if each.candidate_id is not None]
    return attestations.missing(connection, lane.repository_id, wanted, policy.provenance.keys)


def _turned_red(connection: Connection, lane: Lane, policy: LanePolicy) -> TurnedRed | None:
    """The first check that says no of what is live."""
    live = releases.live_of(connection, lane.id)
    found = late_reds.standing(connection, lane.repository_id, [live.sha]) if live is not None else []
    if live is None or not found:
        return None
    first = found[-1]
    reason = f"{live.sha[:12]}, which is live, is red since {first.since:%Y-%m-%d %H:%M} UTC: {first.check}"
    back = releases.before(connection, live)
    settled = policy.on_late_red != "tell" and holds.was_lifted(connection, lane.id, reason)
    return TurnedRed(first.check, first.since, reason, back.id if back is not None else None, settled)


def loss_reason(sha: str, branch: str) -> str:
    """The reason of the hold that a lane places on itself when its live commit leaves the branch."""
    return f"a forced push dropped the live commit {sha[:12]} from {branch}: lift this hold to deliver without it"


def live_of(connection: Connection, lane: Lane, policy: LanePolicy) -> Live | None:
    """What is live, and where its history meets the branch."""
    release = releases.live_of(connection, lane.id)
    if release is None:
        return None
    base, gone = standing_at(connection, lane, policy, release.sha, release.position)
    return Live(release.id, release.rollout_id, release.sha, release.position, base, release.live_from, gone)


def standing_at(connection: Connection, lane: Lane, policy: LanePolicy, sha: str, position: int) -> tuple[int, bool]:
    """Where a commit's history meets the branch, and whether the branch lost it. `position`: where it was delivered."""
    place = _place(connection, lane, policy, sha)
    if place == position:
        return position, False
    below = made.root(connection, lane.repository_id, sha)  # a made commit is on no branch: what it stands on is
    if place is not None:
        # Somebody pushed a commit that Farmgate made: it is delivered at the place of what it stands on.
        on = _place(connection, lane, policy, below) if below != sha else None
        return (place if on is None else on), False
    gone = below == sha or _place(connection, lane, policy, below) is None
    return _meeting(connection, lane, policy, sha), gone


def after(connection: Connection, lane: Lane, policy: LanePolicy, base: int) -> tuple[QueuedCommit, ...]:
    """Every commit of the branch after a place, with what it says it fixes."""
    named_by = fixes.of_queue(connection, lane.repository_id, policy.branch, base)
    rows = connection.execute(_all(lane, policy).where(branch_commits.c.position > base, _stands()))
    return tuple(_shown(row, named_by) for row in rows)


def waiting(connection: Connection, lane: Lane, policy: LanePolicy, base: int) -> int:
    """How many commits of the branch come after what is live."""
    statement = select(func.count()).select_from(branch_commits)
    found = connection.execute(statement.where(_branch(lane, policy), branch_commits.c.position > base, _stands()))
    return found.scalar() or 0


def _place(connection: Connection, lane: Lane, policy: LanePolicy, sha: str) -> int | None:
    return connection.execute(
        select(branch_commits.c.position).where(_branch(lane, policy), branch_commits.c.sha == sha, _stands())
    ).scalar()


def _meeting(connection: Connection, lane: Lane, policy: LanePolicy, sha: str) -> int:
    """The place of the newest first-parent ancestor that is still on the branch; 0 if none is."""
    current: str | None = sha
    for _ in range(_WALK):
        parents = connection.execute(
            select(commits.c.parents).where(commits.c.repository_id == lane.repository_id, commits.c.sha == current)
        ).scalar()
        current = parents[0] if parents else None
        if current is None:
            return 0
        place = _place(connection, lane, policy, current)
        if place is not None:
            return place
    return 0


def _bans(
    connection: Connection, lane: Lane, policy: LanePolicy, base: int, taken: dict[str, BranchCommit]
) -> tuple[StandingBan, ...]:
    """`taken`: what made commits took back in what is live: bans of it stand although it is behind."""
    own = [*bans.ahead(connection, lane.id, lane.repository_id, policy.branch, base)]
    if taken:
        there = {ban.id for ban in own}
        behind = [ban for ban in bans.standing(connection, lane.id) if taken.keys() & {ban.sha, *ban.covers}]
        own += [ban for ban in behind if ban.id not in there]
    culprits = reverts.culprits(connection, own) if own and policy.on_culprit == "revert" else set()

    def standing(ban: Ban) -> StandingBan:
        back = tuple(dict.fromkeys(reverts.places_of(taken, (ban.sha, *ban.covers))))
        of = (ban.id, ban.sha, ban.position, tuple(ban.covers), ban.reason)
        return StandingBan(*of, culprit=ban.id in culprits, taken=back)

    found = [standing(ban) for ban in own]
    for name, followed in _followed(connection, lane, policy):
        found.extend(
            StandingBan(ban.id, ban.sha, ban.position, tuple(ban.covers), ban.reason, name)
            for ban in bans.ahead(connection, followed, lane.repository_id, policy.branch, base)
        )
    return tuple(found)


def _followed(connection: Connection, lane: Lane, policy: LanePolicy) -> list[tuple[str, int]]:
    if not policy.follows:
        return []
    rows = connection.execute(
        select(lane_table.c.environment, lane_table.c.id).where(
            lane_table.c.application == lane.application, lane_table.c.environment.in_(policy.follows)
        )
    )
    return [(row.environment, row.id) for row in rows]


def verified(connection: Connection, lane: Lane, policy: LanePolicy, base: int) -> dict[str, tuple[Verified, ...]]:
    found: dict[str, tuple[Verified, ...]] = {}
    for name, followed in _followed(connection, lane, policy):
        rows = connection.execute(
            select(branch_commits.c.position, release_table.c.live_from)
            .join(release_table, release_table.c.sha == branch_commits.c.sha)
            .where(
                _branch(lane, policy),
                branch_commits.c.position > base,
                _stands(),
                release_table.c.lane_id == followed,
                release_table.c.sha.not_in(late_reds.shas(lane.repository_id)),
            )
        )
        found[name] = useful(Verified(row.position, row.live_from) for row in rows)
    return found


def _active(connection: Connection, lane: Lane) -> Active | None:
    found = rollouts.active_of(connection, lane.id)
    if found is None:
        return None
    until = found.until_sha, found.until_position
    return Active(found.id, found.number, found.kind, *until, found.created_at, found.state)


def _hotfix(
    connection: Connection,
    lane: Lane,
    policy: LanePolicy,
    live: Live | None,
    now: datetime,
) -> OpenHotfix | None:
    found = made.open_of(connection, lane.id)
    if found is None or found.kind is not MadeKind.HOTFIX or found.state is states.Made.DELIVERING:
        return None
    candidate = candidate_rows.of_commit(connection, lane.repository_id, found.sha) if found.sha is not None else None
    brings = {*found.picks, *found.shas}
    against = [ban for ban in bans.standing(connection, lane.id) if brings & {ban.sha, *ban.covers}]
    return OpenHotfix(
        id=found.id,
        state=found.state,
        sha=found.sha,
        candidate_id=candidate.id if candidate is not None else None,
        run_id=found.run_id,
        on_live=live is not None and live.sha == found.onto,
        asked_by=found.asked_by,
        against=tuple(f"what it brings is banned: {ban.reason}" for ban in against),
        approved_by=approvals.of_commit(connection, lane, policy, found.shas, found.sha, now),
    )


def _begun(connection: Connection, lane: Lane, policy: LanePolicy) -> tuple[datetime, ...]:
    if policy.budget is None:
        return ()
    return tuple(reversed(rollouts.beginnings(connection, lane.id, policy.budget.rollouts)))


def security(connection: Connection, lane: Lane, policy: LanePolicy, base: int) -> tuple[int, ...]:
    """Where security fixes wait, if the lane's budget spares them."""
    if policy.budget is None or policy.budget.spares != "security":
        return ()
    rows = connection.execute(
        select(branch_commits.c.position, commits.c.message)
        .join_from(branch_commits, commits, _commit())
        .where(_branch(lane, policy), branch_commits.c.position > base, _stands())
        .where(func.lower(commits.c.message).like("%security-fix:%"))
        .order_by(branch_commits.c.position)
    )
    return tuple(row.position for row in rows if fixes_security(row.message))


def _search(connection: Connection, lane: Lane) -> OpenSearch | None:
    row = searches.open_of(connection, lane.id)
    if row is None:
        return None
    return OpenSearch(row.id, row.since_position, row.until_position, tuple(row.points), row.rollouts, row.deadline)


# --- the queue -----------------------------------------------------------------------------------------------------


def _queue(
    connection: Connection,
    lane: Lane,
    policy: LanePolicy,
    base: int,
    standing: tuple[StandingBan, ...],
    answers: Mapping[str, Sequence[str]],
    *,
    full: bool,
) -> Sequence[QueuedCommit]:
    named_by = {**fixes.of_queue(connection, lane.repository_id, policy.branch, base)} if standing else {}
    for sha, picks in answers.items():
        named_by[sha] = tuple(dict.fromkeys((*named_by.get(sha, ()), *picks)))
    if full:
        rows = connection.execute(_all(lane, policy).where(branch_commits.c.position > base, _stands()))
        return tuple(_shown(row, named_by) for row in rows)
    named = {sha for ban in standing for sha in (ban.sha, *ban.covers)} | named_by.keys()
    if not base:
        named |= _first(connection, lane, policy)
    rows = connection.execute(_deciding(lane, policy, base, named))

    def made(row: Row[Any]) -> QueuedCommit:
        return QueuedCommit(
            position=row.position,
            sha=row.sha,
            checks=Checks.GREEN if row.candidate_id is not None else Checks.UNSEEN,
            candidate_id=row.candidate_id,
            green_at=row.green_at,
            fixes=named_by.get(row.sha, ()),
        )

    return Queue(rows.all(), made)


def _first(connection: Connection, lane: Lane, policy: LanePolicy) -> set[str]:
    """The branch's first commit, from which a batch is counted where nothing is live, whatever its checks say."""
    first = select(branch_commits.c.sha).where(_branch(lane, policy), _stands()).order_by(branch_commits.c.position)
    return set(connection.execute(first.limit(1)).scalars())


def _deciding(lane: Lane, policy: LanePolicy, base: int, named: Iterable[str]) -> Select[Any]:
    statement = (
        select(
            branch_commits.c.position,
            branch_commits.c.sha,
            candidates.c.id.label("candidate_id"),
            candidates.c.created_at.label("green_at"),
        )
        .join_from(branch_commits, candidates, _candidate(), isouter=True)
        .where(_branch(lane, policy), branch_commits.c.position > base, _stands())
    )
    wanted = sorted(named)
    if wanted:
        statement = statement.where(or_(candidates.c.id.is_not(None), branch_commits.c.sha.in_(wanted)))
    else:
        statement = statement.where(candidates.c.id.is_not(None))
    return statement.order_by(branch_commits.c.position)


def _all(lane: Lane, policy: LanePolicy) -> Select[Any]:
    newest_run = (
        select(runs.c.sha, func.max(runs.c.id).label("id"))
        .where(runs.c.repository_id == lane.repository_id, runs.c.ref == HEADS + policy.branch)
        .group_by(runs.c.sha)
        .subquery()
    )
    red = (
        select(red_table.c.sha, func.min(red_table.c.check).label("check"))
        .where(red_table.c.repository_id == lane.repository_id, red_table.c.over_at.is_(None))
        .group_by(red_table.c.sha)
        .subquery()
    )
    return (
        select(
            red.c.check.label("red_check"),
            branch_commits.c.position,
            branch_commits.c.sha,
            commits.c.title,
            commits.c.author_name,
            commits.c.seen_at,
            candidates.c.id.label("candidate_id"),
            candidates.c.created_at.label("green_at"),
            runs.c.id.label("run_id"),
            runs.c.state.label("run_state"),
        )
        .join_from(branch_commits, commits, _commit(), isouter=True)
        .join(candidates, _candidate(), isouter=True)
        .join(newest_run, newest_run.c.sha == branch_commits.c.sha, isouter=True)
        .join(runs, runs.c.id == newest_run.c.id, isouter=True)
        .join(red, red.c.sha == branch_commits.c.sha, isouter=True)
        .where(_branch(lane, policy))
        .order_by(branch_commits.c.position)
    )


def _gone(connection: Connection, lane: Lane, policy: LanePolicy, base: int) -> tuple[QueuedCommit, ...]:
    statement = _all(lane, policy).where(branch_commits.c.position > base, branch_commits.c.gone_at.is_not(None))
    return tuple(_shown(row, {}) for row in connection.execute(statement.limit(_SHOWN_GONE)))


_CHECKS: Final = {
    states.Run.PENDING: Checks.RUNNING,
    states.Run.RUNNING: Checks.RUNNING,
    states.Run.PASSED: Checks.GREEN,
}


def _shown(row: Row[Any], named_by: dict[str, tuple[str, ...]]) -> QueuedCommit:
    state = row.run_state
    checks = Checks.UNSEEN if state is None else _CHECKS.get(state, Checks.RED)
    reason = None if state in (None, states.Run.FAILED) else f"its run is {state}"
    if row.red_check is not None:
        checks, reason = Checks.RED, f"{row.red_check} turned red after it was a candidate"
    return QueuedCommit(
        position=row.position,
        sha=row.sha,
        title=row.title or "",
        author=row.author_name or "",
        checks=Checks.GREEN if row.candidate_id is not None else checks,
        checks_reason=reason,
        candidate_id=row.candidate_id,
        green_at=row.green_at,
        seen_at=row.seen_at,
        run_id=row.run_id,
        fixes=named_by.get(row.sha, ()),
    )


def _branch(lane: Lane, policy: LanePolicy) -> Any:
    return and_(branch_commits.c.repository_id == lane.repository_id, branch_commits.c.branch == policy.branch)


def _stands() -> Any:
    return branch_commits.c.gone_at.is_(None)


def _candidate() -> Any:
    """One that did not turn red since."""
    same = and_(candidates.c.repository_id == branch_commits.c.repository_id, candidates.c.sha == branch_commits.c.sha)
    return and_(same, candidates.c.sha.not_in(late_reds.shas(candidates.c.repository_id)))


def _commit() -> Any:
    return and_(commits.c.repository_id == branch_commits.c.repository_id, commits.c.sha == branch_commits.c.sha)
