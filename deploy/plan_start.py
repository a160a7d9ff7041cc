"""Before a rollout touches anything, and when its way back is closed. Pure: from what was read and the time.

Rules:
1. The way back is looked for first: the digests and the configuration of what is live, nobody else serving there, and
   what the batch carries (`farmgate.lanes.carried`): that it contains what is live, undoes nothing silently, and holds
   nothing that cannot be taken back. The scheduler has the history and answers by a row, within LOOK_WITHIN.
2. What stands against it goes to a person, before anything is touched. They agree: it starts. They do not, or nobody
   answers in time: it ends without blame, and the lane holds itself.
3. A rollback is not kept waiting: it asks only where it goes back across what cannot be taken back.
4. A batch with something that cannot be taken back is never taken back by itself. It stops where it is, pages, and
   asks: go on, or take it back anyway. Nobody answers: it pages again. A person who saw the question, or orders a
   rollback, has decided.
5. To go on counts the wave as good, or begins the step that failed again.
6. What was cut must still be what may go when it begins. A candidate that turned red meanwhile, or a commit that a
   forced push dropped: it ends before anything is touched, whoever was asked, and the lane cuts again what may go then.
   Once it has begun it goes on to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from deploy.decisions import AskAgain, AskBack, AskStart, Cancel, EndUnready, PlaceHold, Rest
from farmgate.lanes import carried
from farmgate.models import JournalEntry, RolloutKind

if TYPE_CHECKING:
    from deploy.rollout_view import RolloutView

LOOK_WITHIN: Final = timedelta(minutes=5)
"""The scheduler has this long to say what a batch carries; then a person is asked."""
HOLD_UNANSWERED: Final = timedelta(hours=1)
GO_ON: Final = "good"


def may_start(view: RolloutView, ready: JournalEntry | None, now: datetime) -> Rest | AskStart | None:
    """Rules 1 to 3; None: nothing stands against it. `ready`: what the target said of the way back."""
    look = view.look
    if look is not None and look.answered_at is None and now < look.asked_at + LOOK_WITHIN:
        return Rest(look.asked_at + LOOK_WITHIN, "the scheduler is asked what the batch carries")
    against = stands_against(view, ready)
    return AskStart(against, now + view.policy.ask_for) if against else None


def stands_against(view: RolloutView, ready: JournalEntry | None) -> tuple[str, ...]:
    """What a person should agree to."""
    found: list[str] = []
    if ready is not None and ready.outcome == "done":
        found += [str(words) for words in ready.detail.get("lacks", ())]
    elif ready is not None:
        found.append(f"nobody can tell whether the way back is there: {ready.detail.get('words', '')}")
    live, look = view.lane.live, view.look
    if look is not None and look.answered_at is None:
        found.append(f"nobody said what it carries: the scheduler did not answer within {LOOK_WITHIN}")
    elif look is not None:
        agreed = live is not None and live.gone and not view.lane.unacknowledged_loss
        found += carried.words_of(look, loss_agreed=agreed)
    found += [f"it goes back across what cannot be taken back: {why}" for why in view.crossed]
    return tuple(found)


def start_answered(view: RolloutView, now: datetime) -> EndUnready | Cancel | Rest | None:
    """Rule 2, once a person was asked; None: it may start."""
    rollout, decision = view.rollout, view.journal.get("start/decision")
    if decision is not None and decision.outcome == GO_ON:
        return None
    if decision is not None:
        by, reason = decision.detail.get("by", "someone"), decision.detail.get("reason", "")
        words = f"{by} did not let it start: {reason}"
        return EndUnready(words, PlaceHold(f"rollout {rollout.number} was not started: {words}", None))
    if now >= rollout.deadline:
        words = f"nobody answered in time: {rollout.reason}"
        hold = PlaceHold(f"rollout {rollout.number} was not started: {words}", now + HOLD_UNANSWERED)
        return EndUnready(words, hold)
    return Rest(rollout.deadline, "a person is asked before anything is touched")


def why_closed(view: RolloutView) -> tuple[str, ...]:
    """Why this rollout, or one that would be taken back with it, is not taken back by itself; empty: it is."""
    others = [other for _, other in view.joint.others] if view.joint is not None else []
    return tuple(dict.fromkeys(why for each in (view, *others) for why in _closed(each)))


def _closed(view: RolloutView) -> tuple[str, ...]:
    begun = "prepare" in view.journal and view.rollout.from_release_id is not None
    if view.look is None or not begun or view.rollout.kind is RolloutKind.ROLLBACK:
        return ()
    return carried.irreversible([view.look])


def ask_back(
    view: RolloutView, verdict: str, words: str, go_on: str, detail: Mapping[str, Any], now: datetime
) -> AskBack:
    """Rule 4. `go_on`: the step that is begun again if a person says so; empty: the wave counts as good."""
    closed = "; ".join(why_closed(view))
    asks = f"{verdict}: {words}. It is not taken back by itself, since it cannot be: {closed}. Go on, or take it back?"
    number = 1 + sum(is_question(key) for key in view.journal)
    told = {**detail, "verdict": str(verdict), "words": words, "go_on": go_on}
    return AskBack(f"back-{number}", asks, now + view.policy.ask_for, told)


def open_question(journal: Mapping[str, JournalEntry]) -> JournalEntry | None:
    """The question of rule 4 that waits for its answer to be acted on."""
    return next((entry for key, entry in journal.items() if is_question(key) and entry.outcome is None), None)


def is_question(key: str) -> bool:
    """True of a question of rule 4, not of its answer."""
    return key.startswith("back-") and "/" not in key


def back_answer(view: RolloutView, question: JournalEntry, now: datetime) -> JournalEntry | AskAgain | Rest:
    """The answer to it, or what to do meanwhile."""
    decision = view.journal.get(f"{question.key}/decision")
    if decision is not None:
        return decision
    if now >= view.rollout.deadline:
        return AskAgain(f"nobody answered yet: {view.rollout.reason}", now + view.policy.ask_for)
    return Rest(view.rollout.deadline, "a person is asked whether to take it back")
