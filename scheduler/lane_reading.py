"""From rows and rules to the API's answers about lanes: one reading, shared with whoever shows the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate import states
from farmgate.lanes import LaneView, carried
from farmgate.models import Hold, HoldKind, JournalEntry, Lane, Rollout, SearchRow
from farmgate.policy import LanePolicy
from farmgate.store import (
    approvals,
    bans,
    candidates,
    handovers,
    holds,
    lane_ahead,
    lane_views,
    lanes,
    late_reds,
    looks,
    made,
    releases,
    repositories,
    rollouts,
    searches,
)
from scheduler import asking, made_reading
from scheduler.lane_bodies import (
    ApprovalBody,
    BanBody,
    CarriedBody,
    CheckBody,
    HandoverBody,
    HoldBody,
    JournalBody,
    LaneBody,
    LaneDetail,
    LateRedBody,
    LiveBody,
    PreviewBody,
    RolloutBody,
    RolloutDetail,
    SearchBody,
    WaitingBody,
    WaveBody,
)

TOLD_ENDED: Final = timedelta(days=1)
"""So long a lane says that a hold ended by itself."""
TOLD_COMMITS: Final = 200
"""How many commits of a batch are told: the newest. A first rollout carries a branch's whole history."""


def summary(connection: Connection, lane: Lane, now: datetime) -> LaneBody:
    """A lane in a line."""
    policy = lanes.policy_of(lane)
    active = rollouts.active_of(connection, lane.id)
    standing = holds.standing(connection, lane.id, now)
    waiting, on_the_way = queued(connection, lane, policy, active)
    return LaneBody(
        application=lane.application,
        environment=lane.environment,
        repository=policy.repository,
        branch=policy.branch,
        listen=policy.listen,
        live=live_body(connection, lane),
        active=rollout_bodies(connection, lane, [active])[0] if active is not None else None,
        waiting=waiting,
        on_the_way=on_the_way,
        held=HoldBody.model_validate(standing[0], from_attributes=True) if standing else None,
        problem=problem(connection, lane, active, standing),
        policy_version=lane.policy_version,
    )


def detail(connection: Connection, lane: Lane, now: datetime, *, history: int = 50, waiting: int = 500) -> LaneDetail:
    """A lane's whole page; of more waiting commits than `waiting` the newest are told."""
    view = lane_ahead.view(connection, lane, now, full=True)
    active = rollouts.active_of(connection, lane.id)
    explained = rules.explain(view, now)
    live = lane_views.live_of(connection, lane, view.policy)
    base = live.base if live is not None else 0
    left, on_the_way = queued(connection, lane, view.policy, active)
    past = rollouts.latest(connection, lane.id, history)
    standing = holds.standing(connection, lane.id, now)
    search = searches.open_of(connection, lane.id)
    opened = made.open_of(connection, lane.id)
    return LaneDetail(
        application=lane.application,
        environment=lane.environment,
        repository=view.policy.repository,
        branch=view.policy.branch,
        listen=view.policy.listen,
        live=live_body(connection, lane),
        active=rollout_detail(connection, lane, active) if active is not None else None,
        waiting=[waiting_body(each) for each in reversed(explained[-waiting:])],
        waiting_count=left,
        on_the_way=on_the_way,
        next=preview_body(view, now),
        search=search_body(search) if search is not None else None,
        approvals=[
            ApprovalBody.model_validate(each, from_attributes=True)
            for each in approvals.standing(connection, lane, view.policy, base, now)
        ],
        holds=[HoldBody.model_validate(each, from_attributes=True) for each in holds.ahead(connection, lane.id, now)],
        ended_holds=[
            HoldBody.model_validate(each, from_attributes=True)
            for each in holds.ended(connection, lane.id, now - TOLD_ENDED, now)
        ],
        bans=[BanBody.model_validate(each, from_attributes=True) for each in bans.every(connection, lane.id)],
        history=rollout_bodies(connection, lane, past),
        hotfix=made_reading.body(connection, opened, view) if opened is not None else None,
        brought=made_reading.brought(connection, lane),
        rollback=lane.rollback,
        problem=problem(connection, lane, active, standing),
        advice=rules.falls_behind(view, now),
        group=view.together.name if view.together is not None else None,
        policy=lane.policy,
        policy_version=lane.policy_version,
    )


def queued(connection: Connection, lane: Lane, policy: LanePolicy, active: Rollout | None) -> tuple[int, int]:
    """How many commits wait, and how many are on their way and wait no more, if the rollout under way ends good."""
    live, ahead = lane_views.live_of(connection, lane, policy), lane_ahead.live(connection, lane, active)
    left = lane_views.waiting(connection, lane, policy, ahead.base if ahead is not None else 0)
    all_of_them = lane_views.waiting(connection, lane, policy, live.base if live is not None else 0)
    return left, max(0, all_of_them - left)


def problem(connection: Connection, lane: Lane, active: Rollout | None, standing: Sequence[Hold]) -> str | None:
    """What a person should know first: stuck, asking, held, searching, restoring, sick; in words."""
    if active is not None and active.state is states.Rollout.ASKING:
        return f"rollout {active.number} asks: {active.reason}"
    if active is not None and active.state is states.Rollout.RESTORING:
        return f"rollout {active.number} is being taken back: {active.reason}"
    live = releases.live_of(connection, lane.id)
    red = late_reds.standing(connection, lane.repository_id, [live.sha]) if live is not None else []
    if red:
        checks = ", ".join(dict.fromkeys(each.check for each in reversed(red)))
        return f"live and red since {red[-1].since:%Y-%m-%d %H:%M} UTC, by {checks}: {red[-1].reason}"
    if standing:
        words = "every lane is stopped" if standing[0].kind is HoldKind.STOP else "held"
        return f"{words} by {standing[0].created_by}: {standing[0].reason}"
    search = searches.open_of(connection, lane.id)
    if search is not None:
        return f"searching the culprit among {len(search.points)} candidates of a batch that went sick"
    if active is not None:
        return active.reason if active.state is not states.Rollout.FINISHING else None
    last = next(iter(rollouts.finished(connection, lane.id, 1)), None)
    if last is not None and last.state in (states.Rollout.SICK, states.Rollout.STUCK):
        return f"rollout {last.number} went {last.state}: {last.reason}"
    return None


def live_body(connection: Connection, lane: Lane) -> LiveBody | None:
    release = releases.live_of(connection, lane.id)
    if release is None:
        return None
    commit = repositories.commit(connection, lane.repository_id, release.sha)
    return LiveBody(
        sha=release.sha,
        title=commit.title if commit is not None else "",
        author=commit.author_name if commit is not None else "",
        position=release.position,
        since=release.live_from,
        rollout=rollouts.by_id(connection, release.rollout_id).number,
        artifacts=release.artifacts,
        red=[
            LateRedBody.model_validate(each, from_attributes=True)
            for each in late_reds.standing(connection, lane.repository_id, [release.sha])
        ],
    )


def rollout_bodies(connection: Connection, lane: Lane, found: Iterable[Rollout]) -> list[RolloutBody]:
    """Rollouts with their commits, in the order given."""
    these = list(found)
    carried: dict[int, list[tuple[str, int]]] = {}
    counted = rollouts.sizes(connection, [rollout.id for rollout in these])
    for each in rollouts.newest_of(connection, [rollout.id for rollout in these], TOLD_COMMITS):
        carried.setdefault(each.rollout_id, []).append((each.sha, each.position))
    shas = {sha for batch in carried.values() for sha, _ in batch}
    known = repositories.commits_of(connection, lane.repository_id, sorted(shas))
    name = f"{lane.application}/{lane.environment}"
    bodies = []
    for rollout in these:
        commits = [
            CarriedBody(
                sha=sha,
                position=position,
                title=known[sha].title if sha in known else "",
                author=known[sha].author_name if sha in known else "",
            )
            for sha, position in carried.get(rollout.id, [])
        ]
        over = states.is_final(rollout.state)
        body = RolloutBody(
            id=rollout.id,
            lane=name,
            number=rollout.number,
            kind=rollout.kind,
            state=rollout.state,
            since_sha=rollout.since_sha,
            since_position=rollout.since_position,
            until_sha=rollout.until_sha,
            until_position=rollout.until_position,
            wave=rollout.wave,
            asked_by=rollout.asked_by,
            reason=rollout.reason,
            created_at=rollout.created_at,
            started_at=rollout.started_at,
            finished_at=rollout.finished_at,
            deadline=None if over else rollout.deadline,
            search_id=rollout.search_id,
            commit_count=counted.get(rollout.id, 0),
            commits=commits,
        )
        bodies.append(body)
    return bodies


def rollout_detail(connection: Connection, lane: Lane, rollout: Rollout) -> RolloutDetail:
    """The ledger's page of a rollout."""
    entries = rollouts.entries(connection, rollout.id)
    candidate = candidates.by_id(connection, rollout.candidate_id)
    came_from = releases.by_id(connection, rollout.from_release_id) if rollout.from_release_id is not None else None
    left, look = releases.of_rollout(connection, rollout.id), looks.of_rollout(connection, rollout.id)
    return RolloutDetail(
        **rollout_bodies(connection, lane, [rollout])[0].model_dump(),
        waves=waves(rollout, entries),
        journal=[JournalBody.model_validate(entry, from_attributes=True) for entry in entries],
        handovers=[
            HandoverBody.model_validate(each, from_attributes=True)
            for each in handovers.of_rollout(connection, rollout.id)
        ],
        policy_version=rollout.policy_version,
        policy=rollout.policy,
        artifacts=candidate.artifacts if candidate is not None else {},
        from_sha=came_from.sha if came_from is not None else None,
        from_rollout=rollouts.by_id(connection, came_from.rollout_id).number if came_from is not None else None,
        approvals=[
            ApprovalBody.model_validate(each, from_attributes=True)
            for each in approvals.of_batch(connection, lane.id, rollout.since_position, rollout.until_position)
        ],
        questions=asking.questions(rollout, entries),
        carries=list(carried.words_of(look)) if look is not None and look.answered_at is not None else [],
        release_live_from=left.live_from if left is not None else None,
        release_live_until=left.live_until if left is not None else None,
    )


def waves(rollout: Rollout, entries: Sequence[JournalEntry]) -> list[WaveBody]:
    """The waves of a rollout with what the journal says of them."""
    policy, by_key = LanePolicy.model_validate(rollout.policy), {entry.key: entry for entry in entries}
    verdict = by_key.get("verdict")
    found = []
    for number, wave in enumerate(policy.waves):
        shift = by_key.get(f"wave-{number}/shift")
        checks = [
            by_key[key]
            for index in range(len(policy.checks_of(number)))
            if (key := f"wave-{number}/check-{index}") in by_key
        ]
        if shift is None:
            state = "waiting"
        elif number < rollout.wave or rollout.state in (states.Rollout.FINISHING, states.Rollout.GOOD):
            state = "good"
        elif verdict is not None:
            state = verdict.outcome or "sick"
        elif rollout.state is states.Rollout.ASKING:
            state = "asking"
        else:
            state = "soaking" if shift.outcome == "done" else "shifting"
        found.append(
            WaveBody(
                number=number + 1,
                share=wave.share,
                soak_seconds=wave.soak.total_seconds(),
                state=state,
                shifted_at=shift.finished_at if shift is not None else None,
                checks=[_check(number, entry) for entry in checks],
            )
        )
    return found


def _check(wave: int, entry: JournalEntry) -> CheckBody:
    detail = entry.detail
    return CheckBody(
        wave=wave + 1,
        check=detail.get("check", ""),
        outcome=entry.outcome,
        asked=detail.get("asked", 0),
        healthy=detail.get("healthy", 0),
        last=detail.get("last", ""),
        words=detail.get("words", ""),
        figures=detail.get("figures", {}),
        last_at=detail.get("last_at"),
    )


def waiting_body(explained: rules.Explained) -> WaitingBody:
    commit = explained.commit
    return WaitingBody(
        sha=commit.sha,
        position=commit.position,
        title=commit.title,
        author=commit.author,
        checks=commit.checks,
        run_id=commit.run_id,
        seen_at=commit.seen_at,
        green_at=commit.green_at,
        reasons=[reason.words for reason in explained.reasons],
        kinds=[reason.kind for reason in explained.reasons],
        batch=explained.batch,
        estimate=explained.live_at,
    )


def preview_body(view: LaneView, now: datetime) -> PreviewBody:
    """The next batch; of its commits the newest TOLD_COMMITS are told."""
    preview = rules.preview(view, now)
    return PreviewBody(
        sha=preview.candidate.sha if preview.candidate is not None else None,
        title=preview.candidate.title if preview.candidate is not None else None,
        commits=[
            CarriedBody(sha=each.sha, position=each.position, title=each.title, author=each.author)
            for each in preview.commits[-TOLD_COMMITS:]
        ],
        commit_count=len(preview.commits),
        at=preview.at,
        reasons=[reason.words for reason in preview.reasons],
        after=preview.after,
        after_rollout=preview.counts_from.number if preview.counts_from is not None else None,
    )


def search_body(search: SearchRow) -> SearchBody:
    return SearchBody(
        id=search.id,
        state=search.state,
        since_position=search.since_position,
        until_position=search.until_position,
        points=search.points,
        rollouts=search.rollouts,
        most_rollouts=rules.most_rollouts(len(search.points)),
        culprit=search.culprit,
        opened_at=search.opened_at,
        closed_at=search.closed_at,
    )
