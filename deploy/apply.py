"""Acting on decisions: the only place that does. Each in one small transaction, guarded by state and epoch.

Rules:
1. A guard that finds no row (LostRace) means that someone else was first: nothing is done, the next look sees why.
2. What happened is told in an event, in the transaction in which it happened.
3. Steps and checks take time: they are written down as begun here, and handed to `Hands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from deploy import apply_together, people, snapshot, together
from deploy.blame import ban, follow
from deploy.context import SCHEDULER, Context
from deploy.decisions import (
    AbandonJointSearch,
    AbandonSearch,
    Advance,
    Arrive,
    Ask,
    AskAgain,
    AskBack,
    AskRevert,
    AskStart,
    BanCulprit,
    BanTogether,
    BeginFinish,
    Cancel,
    CutBatch,
    CutRollback,
    CutTogether,
    EndSick,
    EndUnready,
    Finish,
    FinishTogether,
    GoOn,
    JointConsequence,
    LaneDecision,
    PlaceHold,
    Prolong,
    ProlongJointSearch,
    ProlongSearch,
    Restore,
    Start,
    Stick,
    Withdraw,
)
from deploy.plan_parts import PATIENCE
from deploy.rollout_view import RolloutView
from deploy.snapshot import Seen
from deploy.writing import ACTOR, new_rollout, subject_of, tell
from farmgate import lanes as rules
from farmgate import states
from farmgate.errors import Conflict, LostRace, NotFound
from farmgate.models import Lane, MadeKind, Rollout, RolloutKind
from farmgate.policy import Wave
from farmgate.policy.targets import with_digests
from farmgate.store import (
    candidates,
    events,
    handovers,
    holds,
    joints,
    lane_groups,
    lane_views,
    lanes,
    late_reds,
    looks,
    releases,
    rollouts,
    searches,
)
from farmgate.store import made as made_rows

Asking = Ask | AskStart | AskBack | AskAgain
Move = (
    Start
    | Cancel
    | Withdraw
    | Prolong
    | Advance
    | BeginFinish
    | Arrive
    | FinishTogether
    | Asking
    | EndUnready
    | GoOn
    | Restore
    | Finish
    | EndSick
    | Stick
)


def to_lane(context: Context, seen: Seen, epoch: int, decision: LaneDecision) -> None:
    """Act on a decision about a lane without a rollout under way. Raises LostRace."""
    now = context.clock.now()
    with context.store.writing() as connection:
        match decision:
            case CutBatch():
                _cut(connection, seen, epoch, decision, now, asks=context.asks_scheduler)
            case CutRollback(together=()):
                _cut_rollback(connection, seen, epoch, decision, now)
            case CutRollback():
                _cut_rollbacks(connection, seen, epoch, decision, now)
            case AskRevert():
                _ask_revert(connection, seen, epoch, decision, now)
            case PlaceHold() | BanCulprit() | AbandonSearch():
                lanes.take(connection, seen.lane.id, epoch)
                follow(connection, seen.lane, seen.view, decision, None, now)
            case ProlongSearch(search_id, deadline):
                lanes.take(connection, seen.lane.id, epoch)
                searches.prolong(connection, search_id, deadline)
            case CutTogether() | BanTogether() | ProlongJointSearch() | AbandonJointSearch():
                asks = context.asks_scheduler
                apply_together.to_group(connection, seen.lane, epoch, decision, now, asks=asks)
            case _:
                assert_never(decision)
    if isinstance(decision, CutBatch | CutTogether | AskRevert) and context.asks_scheduler:
        context.signals.wake(SCHEDULER)


def to_rollout(context: Context, seen: Seen, rollout: RolloutView, decision: Move) -> None:
    """Act on a decision about the rollout under way. Raises LostRace."""
    now = context.clock.now()
    with context.store.writing() as connection:
        _move(connection, seen, rollout, decision, now)


def tell_ended_holds(context: Context, found: Sequence[Lane]) -> None:
    """Holds that ended by themselves say so, once."""
    now = context.clock.now()
    subjects = {lane.id: subject_of(lane) for lane in found}
    with context.store.writing() as connection:
        for hold in holds.tell_ended(connection, now):
            subject = subjects.get(hold.lane_id, "lanes") if hold.lane_id is not None else "lanes"
            told = f"the {hold.kind} of {hold.created_by} is over by itself: {hold.reason}"
            events.record(connection, now, "hold.ended", subject, ACTOR, told)


def end_late_handovers(context: Context) -> None:
    """What another tool did not end in its time: the next look at the step says so."""
    with context.store.writing() as connection:
        handovers.end_late(connection, context.clock.now())


def _cut(connection: Connection, seen: Seen, epoch: int, decision: CutBatch, now: datetime, *, asks: bool) -> None:
    # Decided again under the lane's lock: a hold, an order or a policy of this moment counts.
    lanes.take(connection, seen.lane.id, epoch)
    lane = lanes.by_id(connection, seen.lane.id)
    view = lane_views.view(connection, lane, now)
    cut = rules.cut(view, now)
    if not isinstance(cut, rules.Cut):
        raise LostRace(f"the cut up to {decision.cut.commit.sha[:12]} is not what the lane wants any more")
    new = new_rollout(lane, view, cut.commit, cut.kind, cut.search_id)
    if cut.kind is RolloutKind.REVERT and cut.made_id is not None:
        new = replace(new, reason=made_rows.by_id(connection, cut.made_id).reason)
    made = rollouts.cut(connection, new, epoch, now)
    if asks:
        looks.ask(connection, made, lane.repository_id, view.policy.irreversible, now)
    if cut.search_id is not None:
        searches.count(connection, cut.search_id)
    if cut.made_id is not None:
        made_rows.deliver(connection, cut.made_id, cut.commit.sha, made.id, now)
    number = rollouts.sizes(connection, [made.id]).get(made.id, 0)
    text = f"rollout {made.number} ({cut.kind}): {number} commits up to {cut.commit.sha[:12]}"
    events.record(connection, now, "rollout.cut", subject_of(seen.lane), ACTOR, text)


def _ask_revert(connection: Connection, seen: Seen, epoch: int, decision: AskRevert, now: datetime) -> None:
    # Decided again under the lane's lock: a fix, a ban that was lifted, an order of this moment counts.
    lanes.take(connection, seen.lane.id, epoch)
    lane, wanted = lanes.by_id(connection, seen.lane.id), decision.wanted
    view = lane_views.view(connection, lane, now)
    if rules.cut(view, now) != wanted:
        raise LostRace(f"{wanted.onto.sha[:12]} without its culprit is not what the lane wants any more")
    of = made_rows.Wish(
        MadeKind.REVERT,
        view.policy.branch,
        wanted.picks,
        wanted.onto.sha,
        wanted.onto.position,
        wanted.words,
        ACTOR,
    )
    try:
        made = made_rows.ask(connection, lane, of, now)
    except Conflict as error:
        raise LostRace(str(error)) from None
    events.record(connection, now, "revert.asked", subject_of(lane), ACTOR, f"revert {made.id}: {wanted.words}")


def _cut_rollback(
    connection: Connection, seen: Seen, epoch: int, decision: CutRollback, now: datetime
) -> Rollout | None:
    subject, live = subject_of(seen.lane), seen.view.live
    lanes.take(connection, seen.lane.id, epoch)
    lanes.clear_rollback(connection, seen.lane.id)
    try:
        release = releases.by_id(connection, decision.release_id)
    except NotFound:
        release = None
    stays = release is not None and live is not None and release.id == live.release_id
    if stays and _keep_back(connection, seen, decision, now):
        return None
    if release is None or release.lane_id != seen.lane.id or live is None or release.id == live.release_id:
        said = "the rollback has nowhere to go: that release is live already, or is none of this lane"
        events.record(connection, now, "rollback.refused", subject, decision.asked_by, said)
        return None
    _abandon_searches(connection, seen.lane.id, now)
    red = late_reds.standing(connection, seen.lane.repository_id, [release.sha])
    if red and not decision.together:
        said = f"{release.sha[:12]} turned red since it was ordered: {red[-1].check}; choose another release"
        events.record(connection, now, "rollback.refused", subject, decision.asked_by, said)
        holds.place(connection, seen.lane.id, f"the rollback of {decision.asked_by} is refused: {said}", ACTOR, now)
        events.record(connection, now, "page", subject, ACTOR, f"the rollback is refused: {said}")
        return None
    policy = seen.view.policy
    soak = policy.waves[-1].soak
    waves = (Wave(share=100, soak=soak),)
    as_it_was = policy.model_copy(update={"waves": waves, "target": lanes.target_of(release.config)})
    new = rollouts.NewRollout(
        lane=seen.lane,
        kind=RolloutKind.ROLLBACK,
        candidate_id=release.candidate_id,
        since_position=live.position,
        since_sha=live.sha,
        until_position=release.position,
        until_sha=release.sha,
        from_release_id=live.release_id,
        search_id=None,
        policy=as_it_was.model_dump(mode="json"),
        branch=policy.branch,
        asked_by=decision.asked_by,
        reason=decision.reason,
        patience=PATIENCE,
    )
    made = rollouts.cut(connection, new, epoch, now)
    text = f"rollout {made.number}: back to {release.sha[:12]}: {decision.reason}"
    events.record(connection, now, "rollback.cut", subject, decision.asked_by, text)
    return made


def _cut_rollbacks(connection: Connection, seen: Seen, epoch: int, decision: CutRollback, now: datetime) -> None:
    """The rollbacks that one order is about, as one joint rollout. Raises LostRace while another rollout ends there."""
    members = [lanes.by_name(connection, *name.split("/", 1)) for name in decision.together]
    apply_together.take(connection, [each.id for each in members], epoch)
    order = lanes.by_id(connection, seen.lane.id).rollback or {}
    made: dict[int, Rollout] = {}
    for place, member in enumerate(members):
        if (member.rollback or {}).get("asked_at") != order.get("asked_at"):
            continue  # it is done here, or somebody has ordered something else since
        if rollouts.active_of(connection, member.id) is not None:
            raise LostRace(f"a rollout is under way in {member.application}/{member.environment}")
        assert member.rollback is not None
        own = replace(decision, release_id=member.rollback["release_id"])
        rollout = _cut_rollback(connection, snapshot.read(connection, member, now), epoch, own, now)
        if rollout is not None:
            made[place] = rollout
    group = lane_groups.of_lane(connection, seen.lane.id)
    if made and group is not None:
        joints.tie(connection, group.id, RolloutKind.ROLLBACK, made, now)


def _abandon_searches(connection: Connection, lane_id: int, now: datetime) -> None:
    searches.abandon(connection, lane_id, now)
    joints.abandon(connection, lane_id, now)


def _keep_back(connection: Connection, seen: Seen, order: CutRollback, now: datetime) -> bool:
    """An order back to what was live before a rollout that it ended: that is done, and the batch stays away."""
    last = next(iter(rollouts.latest(connection, seen.lane.id, 1)), None)
    ended = last is not None and last.state in (states.Rollout.SICK, states.Rollout.CANCELLED)
    if last is None or not ended or last.kind is RolloutKind.ROLLBACK or last.from_release_id != order.release_id:
        return False
    _abandon_searches(connection, seen.lane.id, now)
    covers = [commit.sha for commit in rollouts.commits_of(connection, [last.id])]
    reason = f"taken back by {order.asked_by}: {order.reason}"
    at = last.until_position
    ban(connection, seen.lane, last.until_sha, at, covers, reason, order.asked_by, last.id, now)
    return True


def _move(connection: Connection, seen: Seen, view: RolloutView, decision: Move, now: datetime) -> None:
    rollout, subject = view.rollout, subject_of(seen.lane)
    match decision:
        case Start(deadline):
            why = snapshot.unfit(connection, rollout, seen.lane)  # of this moment
            if why is not None:
                raise LostRace(why)
            kept = people.settle_start(connection, view, now)
            rollouts.moved(connection, rollout, states.Rollout.RUNNING, started_at=now, deadline=deadline, reason=kept)
        case Prolong(deadline):
            rollouts.prolong(connection, rollout, deadline)
        case Cancel(reason):
            _cancel(connection, view, subject, reason, now)
            _abandon_searches(connection, seen.lane.id, now)
        case Withdraw(reason):
            again = rollout.kind is RolloutKind.REVERT  # the lane asks for another one if it needs that
            _cancel(connection, view, subject, reason, now, states.Made.NEEDLESS if again else states.Made.CANCELLED)
        case Advance(wave, deadline):
            people.settle_checks(connection, view, now)
            if rollout.state is states.Rollout.ASKING:
                values = {"wave": wave + 1, "deadline": deadline, "reason": _kept(rollout)}
                rollouts.moved(connection, rollout, states.Rollout.RUNNING, **values)
            else:
                rollouts.next_wave(connection, rollout, deadline)
            share = view.policy.waves[wave].share
            tell(connection, now, "rollout.wave", subject, rollout.number, f"good at {share} %")
        case BeginFinish(deadline):
            people.settle_checks(connection, view, now)
            rollouts.moved(connection, rollout, states.Rollout.FINISHING, deadline=deadline, reason=_kept(rollout))
        case Arrive(deadline):
            rollouts.note(connection, rollout, together.ARRIVED, now, "done", {"words": "every wave was good"})
            if rollout.state is states.Rollout.ASKING:
                rollouts.moved(connection, rollout, states.Rollout.RUNNING, deadline=deadline, reason=_kept(rollout))
            else:
                rollouts.prolong(connection, rollout, deadline)
            tell(connection, now, "rollout.wave", subject, rollout.number, "good; it waits for those it goes with")
        case FinishTogether(deadline):
            apply_together.finish(connection, view, deadline, now)
        case Ask(words, deadline, check):
            if check is not None:
                people.ask(connection, view, check, words, now)
            rollouts.moved(connection, rollout, states.Rollout.ASKING, deadline=deadline, reason=words)
            asks = "cannot tell, decide" if check is None else "asks"
            tell(connection, now, "rollout.asking", subject, rollout.number, f"{asks}: {words}")
        case AskStart(against, deadline):
            words = "; ".join(against)
            detail = {"against": list(against), "words": words, "reason": rollout.reason}
            rollouts.note(connection, rollout, "start", now, None, detail)
            rollouts.moved(connection, rollout, states.Rollout.ASKING, deadline=deadline, reason=words)
            tell(connection, now, "rollout.asking", subject, rollout.number, f"asks before it starts: {words}")
        case EndUnready(reason, hold):
            _cancel(connection, view, subject, reason, now)
            follow(connection, seen.lane, seen.view, hold, rollout.id, now)
        case AskBack(key, words, deadline, detail):
            rollouts.note(connection, rollout, key, now, None, detail)
            _ask_on(connection, rollout, words, deadline)
            tell(connection, now, "page", subject, rollout.number, words)
        case AskAgain(words, deadline):
            rollouts.prolong(connection, rollout, deadline)
            tell(connection, now, "page", subject, rollout.number, words)
        case GoOn(step, deadline):
            people.settle_back(connection, view, now)
            if step in view.journal:
                rollouts.note(connection, rollout, step, now, None, {"tries": 0})
            rollouts.moved(connection, rollout, states.Rollout.RUNNING, deadline=deadline, reason=None)
            tell(connection, now, "rollout.goes_on", subject, rollout.number, "a person wants it to go on")
        case Restore(verdict, words, deadline, detail):
            people.settle_back(connection, view, now)
            people.answer(connection, view, now)
            if together.is_bound(view):
                apply_together.take_back_others(connection, view, words, deadline, now)
            rollouts.note(connection, rollout, "verdict", now, verdict, detail)
            rollouts.moved(connection, rollout, states.Rollout.RESTORING, deadline=deadline, reason=words)
            tell(connection, now, "rollout.restoring", subject, rollout.number, f"{verdict}: {words}")
        case Finish(words):
            _good(connection, seen, view, words, now)
        case EndSick(words, consequences):
            rollouts.moved(connection, rollout, states.Rollout.SICK, finished_at=now, reason=words)
            made_rows.delivered(connection, rollout.id, states.Made.SICK, words, now)
            tell(connection, now, "rollout.sick", subject, rollout.number, f"taken back: {words}")
            for consequence in consequences:
                if isinstance(consequence, JointConsequence):
                    apply_together.follow(connection, view, consequence, now)
                    continue
                follow(connection, seen.lane, seen.view, consequence, rollout.id, now)
        case Stick(words):
            rollouts.moved(connection, rollout, states.Rollout.STUCK, finished_at=now, reason=words)
            made_rows.delivered(connection, rollout.id, states.Made.SICK, words, now)
            holds.place(connection, seen.lane.id, f"rollout {rollout.number} is stuck: {words}", ACTOR, now)
            tell(connection, now, "page", subject, rollout.number, f"stuck, a person is needed: {words}")
        case _:
            assert_never(decision)


def _cancel(
    connection: Connection,
    view: RolloutView,
    subject: str,
    reason: str,
    now: datetime,
    made: states.Made = states.Made.CANCELLED,
) -> None:
    """It ends before anything was touched, and what goes together with it is taken back. `made`: what becomes of the
    made commit that it delivers."""
    if together.is_bound(view):
        apply_together.take_back_others(connection, view, reason, now + PATIENCE, now)
    people.settle_start(connection, view, now)
    rollouts.moved(connection, view.rollout, states.Rollout.CANCELLED, finished_at=now, reason=reason)
    made_rows.delivered(connection, view.rollout.id, made, reason, now)
    if view.rollout.search_id is not None:
        searches.uncount(connection, view.rollout.search_id)
    tell(connection, now, "rollout.cancelled", subject, view.rollout.number, reason)


def _ask_on(connection: Connection, rollout: Rollout, words: str, deadline: datetime) -> None:
    """To the state in which a person is asked, or on in it with another question."""
    if rollout.state is states.Rollout.ASKING:
        rollouts.prolong(connection, rollout, deadline, reason=words)
    else:
        rollouts.moved(connection, rollout, states.Rollout.ASKING, deadline=deadline, reason=words)


def _good(connection: Connection, seen: Seen, view: RolloutView, words: str, now: datetime) -> None:
    rollout, subject, live = view.rollout, subject_of(seen.lane), seen.view.live
    candidate = candidates.by_id(connection, rollout.candidate_id)
    if candidate is None:
        raise NotFound(f"candidate {rollout.candidate_id} is gone")
    rollouts.moved(connection, rollout, states.Rollout.GOOD, finished_at=now, reason=words or rollout.reason)
    prepared = view.journal.get("prepare")
    digests = prepared.detail.get("secrets", {}) if prepared is not None else {}
    config = with_digests(view.policy.target.model_dump(mode="json"), digests)
    releases.publish(connection, rollout, candidate.artifacts, config, now)
    made_rows.delivered(connection, rollout.id, states.Made.LIVE, None, now)
    tell(connection, now, "rollout.good", subject, rollout.number, f"{rollout.until_sha[:12]} is live")
    if words:
        tell(connection, now, "page", subject, rollout.number, words)
    if rollout.search_id is not None:
        searches.narrow(connection, rollout.search_id, since=rollout.until_position)
    if rollout.kind is RolloutKind.ROLLBACK and live is not None and rollouts.takes_back(connection, rollout):
        taken = [commit.sha for commit in rollouts.commits_of(connection, [rollout.id])] or [live.sha]
        covers = made_rows.with_picks(connection, seen.lane.repository_id, taken)
        reason = f"taken back by {rollout.asked_by}: {rollout.reason}"
        ban(connection, seen.lane, live.sha, live.position, covers, reason, rollout.asked_by, rollout.id, now)


def _kept(rollout: Rollout) -> str | None:
    """Why a person ordered it stays; what it asked is answered."""
    return rollout.reason if rollout.state is not states.Rollout.ASKING else None
