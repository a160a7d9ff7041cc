"""What happens next in a rollout. Pure: from what was read and the time to a decision.

Rules:
1. prepare; then each wave: shift, checks through the soak, next wave; then finish. Each is a step with a key in the
   journal; one that was begun and not ended belongs to a controller that died, and is begun again.
2. A step that fails is evidence against the change. One that hits missing infrastructure is tried again a few times; if
   that does not help, nobody can tell, and the change is taken back without blame.
3. A wave is good when its soak is over and every check's last answer, asked at the end of it, was healthy; then, where
   the wave asks a person, that one has said so. `failures` sick answers in a row make it sick, as many untold ones make
   it ask. A check that needs time to see what was shifted is first asked after that time.
4. 'Cannot tell' goes to a person; nobody decides in time: it is taken back, and the lane holds itself for a while.
5. Sick: restore first. Then the check that failed is asked of what was live before, as soon as its answer says
   something of that: if it is not healthy either, the change is not to blame; the lane holds itself, nothing is banned.
   A comparison had what was live before in it, and a person saw it: these are not asked again.
6. Else a batch of one is banned, a larger one is sealed and searched. A hotfix is neither: what is sick on what is live
   may be well on the branch, where its own rollout judges it. Nor is what goes without a culprit: that holds the lane.
7. A rollback that goes wrong, or a restore that does: stop, page, hold the lane. Never another try.
8. A person's order to roll back ends what is under way, without blame.
9. A step that goes on (a review of days, another tool's rollout) is looked at every `look_every` of its target, and at
   once when the other tool told something. Its time is over only when a look after the deadline still says so. If many
   looks in a row learn nothing, a person is asked. A newer batch waits for it, or takes its place where the target's
   policy says so and it serves nobody yet.
10. While every lane is stopped, nothing is given another wave or finished; checks go on, and what goes sick is taken
    back. A rollback goes on.
11. Before the start, and where the way back is closed, a person is asked: the rules of `plan_start`.
12. In a joint rollout it waits for the others where `deploy.together` says so, and its time does not run out meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from deploy import together
from deploy.checks import Verdict
from deploy.decisions import (
    Advance,
    Arrive,
    Ask,
    AskChecks,
    BeginFinish,
    Cancel,
    Finish,
    FinishTogether,
    GoOn,
    Prolong,
    Rest,
    RolloutDecision,
    Start,
    Withdraw,
)
from deploy.plan_back import restoring
from deploy.plan_parts import PATIENCE, aborted, back, patience, step, stop_words, stopped, wave_patience
from deploy.plan_start import GO_ON, back_answer, may_start, open_question, start_answered, why_closed
from deploy.rollout_view import RolloutView
from deploy.targets.protocol import Ended
from farmgate import lanes, states
from farmgate.lanes import Cut
from farmgate.models import JournalEntry, RolloutKind, Unblamed
from farmgate.policy import Check, HttpCheck, LanePolicy, PersonCheck, check_of

UNKNOWN_LOOKS: Final = 6
"""Looks in a row that learn nothing of what goes on, until a person is asked."""


def plan_rollout(view: RolloutView, now: datetime) -> RolloutDecision:
    """The next decision of a rollout that is under way."""
    match view.rollout.state:
        case states.Rollout.PENDING:
            if view.order is not None:
                return Cancel(aborted(view.order))
            return Withdraw(view.unfit) if view.unfit is not None else _starting(view, now)
        case states.Rollout.RUNNING:
            return _running(view, now)
        case states.Rollout.ASKING:
            return _asking(view, now)
        case states.Rollout.FINISHING:
            return _finishing(view, now)
        case states.Rollout.RESTORING:
            return restoring(view, now)
        case _:
            return Rest(None, "it is over")


def _starting(view: RolloutView, now: datetime) -> RolloutDecision:
    stop = stopped(view, now)
    if stop is not None:
        return Rest(stop.until, stop_words(stop))
    ready: JournalEntry | None = None
    if view.rollout.kind is not RolloutKind.ROLLBACK and view.rollout.from_release_id is not None:
        told = step(view, "ready", now)
        if not isinstance(told, JournalEntry):
            return told
        ready = told
    return may_start(view, ready, now) or Start(now + wave_patience(view.policy, 0))


# --- forward ---------------------------------------------------------------------------------------------------------


def _running(view: RolloutView, now: datetime) -> RolloutDecision:
    if view.order is not None:
        return back(view, Unblamed.ABORTED, aborted(view.order), now)
    lost = together.taken_back(view)
    if lost is not None:
        return back(view, Unblamed.TOGETHER, lost, now)
    held_up = stopped(view, now) is not None or together.waits(view) is not None
    if held_up and view.rollout.deadline < now + PATIENCE:
        return Prolong(now + wave_patience(view.policy, view.rollout.wave))
    if now >= view.rollout.deadline and not _may_have_come(view):
        return back(view, Verdict.UNTOLD, "it took longer than it may", now, go_on="more time")
    wave = view.rollout.wave
    for key in ("prepare", f"wave-{wave}/shift"):
        waits = together.before_shift(view) if key == "wave-0/shift" and key not in view.journal else None
        if waits is not None:
            return Rest(view.rollout.deadline - PATIENCE, waits)
        entry = step(view, key, now)
        if not isinstance(entry, JournalEntry):
            return _instead(view, key, now) or entry
        words = str(entry.detail.get("words", ""))
        match entry.outcome:
            case "done":
                continue
            case "failed":
                check = _health_check(view.policy) if key == "prepare" else None
                return back(view, Verdict.SICK, f"{key}: {words}", now, wave=wave, check=check, go_on=key)
            case Verdict.UNTOLD if f"wave-{wave}/decision" not in view.journal:
                return Ask(f"{key}: {words}{_closed_words(view)}", now + view.policy.ask_for)
            case _:
                return back(view, Verdict.UNTOLD, f"{key}: {words}", now, wave=wave, go_on=key)
    shifted = view.journal[f"wave-{wave}/shift"].finished_at
    assert shifted is not None
    return _soaking(view, shifted, now)


def _may_have_come(view: RolloutView) -> bool:
    """True if a step goes on that nobody has looked at since the deadline: the clock may have jumped."""
    last = [entry.finished_at for entry in view.journal.values() if entry.outcome == Ended.GOES_ON]
    return any(at is not None and at < view.rollout.deadline for at in last)


def _instead(view: RolloutView, key: str, now: datetime) -> RolloutDecision | None:
    """What is done about a step that goes on, other than looking at it again."""
    entry, target = view.journal.get(key), view.policy.target
    if entry is None or entry.outcome != Ended.GOES_ON:
        return None
    words = str(entry.detail.get("words", ""))
    if (
        entry.detail.get("unknown_in_a_row", 0) >= UNKNOWN_LOOKS
        and f"wave-{view.rollout.wave}/decision" not in view.journal
    ):
        return Ask(f"{key}: {words}{_closed_words(view)}", now + view.policy.ask_for)
    if (
        not target.replaced_by_newer
        or view.joint is not None
        or why_closed(view)
        or entry.detail.get("served", 0)
        or view.rollout.kind is not RolloutKind.FORWARD
    ):
        return None
    if now < view.rollout.created_at + view.policy.minimum_interval:
        return None
    newer = lanes.cut(replace(view.lane, active=None), now)
    if isinstance(newer, Cut) and newer.search_id is None and newer.commit.position > view.rollout.until_position:
        said = f"{newer.commit.sha[:12]} takes its place; it was: {words}"
        return back(view, Unblamed.REPLACED, said, now, wave=view.rollout.wave)
    return None


def _soaking(view: RolloutView, shifted: datetime, now: datetime) -> RolloutDecision:
    wave = view.rollout.wave
    stop = stopped(view, now)
    over = shifted + view.policy.waves[wave].soak
    over = over if stop is None else max(over, stop.until)
    due: list[int] = []
    wake: list[datetime] = []
    untold: str | None = None
    good = True
    person: tuple[int, PersonCheck] | None = None
    for index, check in enumerate(view.policy.checks_of(wave)):
        if isinstance(check, PersonCheck):
            person = (index, check)
            continue
        entry = view.journal.get(f"wave-{wave}/check-{index}")
        detail = entry.detail if entry is not None else {}
        words = f"{check.name}: {detail.get('words', '')}"
        if detail.get("sick_in_a_row", 0) >= check.failures:
            return back(view, Verdict.SICK, words, now, wave=wave, check=check, figures=detail.get("figures"))
        if detail.get("untold_in_a_row", 0) >= check.failures:
            untold = words
        last = datetime.fromisoformat(detail["last_at"]) if "last_at" in detail else None
        enough = last is not None and last >= over - check.every and detail["last"] == Verdict.HEALTHY
        good = good and enough
        ask_at = last + check.every if last is not None else shifted + check.settles
        if ask_at <= now and (together.has_arrived(view) or not (enough and now >= over)):
            due.append(index)
        else:
            wake.append(ask_at)
    arrived = together.has_arrived(view)
    if untold is not None and not (arrived and f"wave-{wave}/decision" in view.journal):
        return Ask(f"{untold}{_closed_words(view)}", now + view.policy.ask_for)
    if arrived:
        return _arrived(view, due, wake, now)
    if good and now >= over:
        return _passed(view, now) if person is None else _ask_person(view, *person, now)
    if due:
        return AskChecks(wave, tuple(due))
    why = "soaking" if stop is None else stop_words(stop)
    return Rest(min([*wake, over]) if now < over else min(wake, default=None), why)


def _ask_person(view: RolloutView, index: int, check: PersonCheck, now: datetime) -> Ask:
    within = check.within if check.within is not None else view.policy.ask_for
    who = f"{', '.join(check.who)}: " if check.who else ""
    share = view.policy.waves[view.rollout.wave].share
    asks = f"{who}{check.question} (wave {view.rollout.wave + 1}, at {share} %){_closed_words(view)}"
    return Ask(asks, now + within, index)


def _closed_words(view: RolloutView) -> str:
    closed = why_closed(view)
    return f"; mind that it cannot be taken back: {'; '.join(closed)}" if closed else ""


def _arrived(view: RolloutView, due: list[int], wake: list[datetime], now: datetime) -> RolloutDecision:
    """Rule 12: every wave was good; while the others are not so far, the checks go on."""
    waits, stop = together.before_finish(view), stopped(view, now)
    if waits is None and stop is None:
        return _witnessed(view, now)
    if due:
        return AskChecks(view.rollout.wave, tuple(due))
    why = waits if waits is not None else stop_words(stop) if stop is not None else ""
    return Rest(min([*wake, view.rollout.deadline - PATIENCE]), why)


def _witnessed(view: RolloutView, now: datetime) -> RolloutDecision:
    """Rule 12: lanes that take no part are asked too, before all is finished."""
    wave = view.rollout.wave
    for lane_id, name in view.joint.witnesses if view.joint is not None else ():
        entry = step(view, together.witness_key(lane_id), now)
        if not isinstance(entry, JournalEntry):
            return entry
        if entry.outcome == Verdict.HEALTHY:
            continue
        said = f"{name}, where nothing changed: {entry.detail.get('words', '')}"
        if entry.outcome == Verdict.SICK:
            check = check_of(entry.detail["check"])
            return back(view, Verdict.SICK, said, now, wave=wave, check=check, witness=lane_id)
        if f"wave-{wave}/decision" not in view.journal:
            return Ask(said, now + view.policy.ask_for)
    return FinishTogether(now + patience(view.policy))


def _passed(view: RolloutView, now: datetime) -> Advance | Arrive | BeginFinish:
    wave = view.rollout.wave
    if wave + 1 < len(view.policy.waves):
        return Advance(wave, now + wave_patience(view.policy, wave + 1))
    if together.is_bound(view):
        return Arrive(now + wave_patience(view.policy, wave))
    return BeginFinish(now + patience(view.policy))


def _asking(view: RolloutView, now: datetime) -> RolloutDecision:
    begun = view.rollout.started_at is not None
    if view.order is not None:
        return back(view, Unblamed.ABORTED, aborted(view.order), now) if begun else Cancel(aborted(view.order))
    if not begun:
        if view.unfit is not None:
            return Withdraw(view.unfit)
        stop = stopped(view, now)
        return start_answered(view, now) or (
            Start(now + wave_patience(view.policy, 0)) if stop is None else Rest(stop.until, stop_words(stop))
        )
    question = open_question(view.journal)
    if question is not None:
        return _back_asked(view, question, now)
    decision = view.journal.get(f"wave-{view.rollout.wave}/decision")
    if decision is not None:
        by, reason = decision.detail.get("by", "someone"), decision.detail.get("reason", "")
        if decision.outcome == "good":
            stop = stopped(view, now)
            return _passed(view, now) if stop is None else Rest(stop.until, stop_words(stop))
        return back(view, Verdict.SICK, f"{by} decided: sick: {reason}", now, seen=True, wave=view.rollout.wave, by=by)
    if now >= view.rollout.deadline:
        return back(view, Verdict.UNTOLD, "nobody decided in time", now, wave=view.rollout.wave)
    return Rest(view.rollout.deadline, "a person is asked")


def _back_asked(view: RolloutView, question: JournalEntry, now: datetime) -> RolloutDecision:
    """The way back is closed, and a person was asked what to do."""
    answer = back_answer(view, question, now)
    if not isinstance(answer, JournalEntry):
        return answer
    told = {
        name: value for name, value in question.detail.items() if name not in ("verdict", "words", "go_on", "check")
    }
    by, reason = answer.detail.get("by", "someone"), answer.detail.get("reason", "")
    if answer.outcome != GO_ON:
        words = f"{question.detail['words']}; {by} took it back: {reason}"
        stored = question.detail.get("check")
        check = check_of(stored) if stored else None
        return back(view, question.detail["verdict"], words, now, seen=True, check=check, **told)
    stop = stopped(view, now)
    if stop is not None:
        return Rest(stop.until, stop_words(stop))
    failed = question.detail["go_on"]
    return GoOn(failed, now + wave_patience(view.policy, view.rollout.wave)) if failed else _passed(view, now)


def _finishing(view: RolloutView, now: datetime) -> RolloutDecision:
    entry = step(view, "finish", now)
    if isinstance(entry, JournalEntry):
        words = (
            "" if entry.outcome == "done" else f"the old release could not be removed: {entry.detail.get('words', '')}"
        )
        return Finish(words)
    return Finish("the old release could not be removed in time") if now >= view.rollout.deadline else entry


def _health_check(policy: LanePolicy) -> Check | None:
    """What an instance has to answer to count as up, as a question to the old ones."""
    return HttpCheck(http=policy.target.up_at) if policy.target.up_at is not None else None
