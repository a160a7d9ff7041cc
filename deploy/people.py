"""What a wave's checks say at its end: those that were asked, and the one that asks a person.

Rules:
1. That a person is asked, and whom, stands in the journal before the rollout waits for them.
2. So does what they are asked before the start, and whether to take back what cannot be. Once the answer is acted on,
   the question is closed with it: good, sick, or nobody.
3. Their word becomes that check's answer, with who, when and why as its figures, whether it is good or sick.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from deploy.plan_start import open_question
from deploy.rollout_view import RolloutView
from farmgate.models import JournalEntry
from farmgate.policy import PersonCheck
from farmgate.store import rollouts


def settle_start(connection: Connection, view: RolloutView, now: datetime) -> str | None:
    """Close the question before the start, if there was one; the rollout's reason as it was before."""
    asked = view.journal.get("start")
    if asked is None:
        return view.rollout.reason
    decision = view.journal.get("start/decision")
    outcome = (decision.outcome if decision is not None else None) or "nobody"
    rollouts.note(connection, view.rollout, "start", now, outcome, asked.detail)
    return asked.detail.get("reason")


def settle_back(connection: Connection, view: RolloutView, now: datetime) -> None:
    """Close the question whether to take it back, if it is open."""
    asked = open_question(view.journal)
    if asked is not None:
        decision = view.journal.get(f"{asked.key}/decision")
        outcome = (decision.outcome if decision is not None else None) or "nobody"
        rollouts.note(connection, view.rollout, asked.key, now, outcome, asked.detail)


def settle_checks(connection: Connection, view: RolloutView, now: datetime) -> None:
    """Write the wave's checks as done: healthy, or passed by a person."""
    settle_back(connection, view, now)
    wave = view.rollout.wave
    person = answer(connection, view, now)
    for key, entry in view.journal.items():
        if key.startswith(f"wave-{wave}/check-") and entry.outcome is None and key != person:
            rollouts.note(connection, view.rollout, key, now, str(entry.detail.get("last", "")), entry.detail)


def ask(connection: Connection, view: RolloutView, index: int, words: str, now: datetime) -> None:
    """Write that a wave's check asks a person, and whom."""
    wave = view.rollout.wave
    check = view.policy.checks_of(wave)[index]
    figures = {"who": list(check.who) if isinstance(check, PersonCheck) else []}
    asked = {"check": check.name, "asked": 1, "healthy": 0, "last": "asking", "last_at": now.isoformat()}
    detail = {**asked, "words": words, "figures": figures}
    rollouts.note(connection, view.rollout, f"wave-{wave}/check-{index}", now, None, detail)


def answer(connection: Connection, view: RolloutView, now: datetime) -> str | None:
    """Write a person's word into the check that asked for it; the check's key."""
    wave = view.rollout.wave
    asked = [key for key, entry in view.journal.items() if _asks(entry) and key.startswith(f"wave-{wave}/")]
    decision = view.journal.get(f"wave-{wave}/decision")
    if not asked or decision is None:
        return None
    key, entry = asked[0], view.journal[asked[0]]
    good = decision.outcome == "good"
    said = {"by": decision.detail.get("by", ""), "at": decision.started_at.isoformat()}
    detail = {
        **entry.detail,
        "healthy": int(good),
        "last": "healthy" if good else "sick",
        "words": f"{said['by']} said {decision.outcome}: {decision.detail.get('reason', '')}",
        "figures": {**entry.detail.get("figures", {}), **said},
    }
    rollouts.note(connection, view.rollout, key, now, str(detail["last"]), detail)
    return key


def _asks(entry: JournalEntry) -> bool:
    return entry.outcome is None and entry.detail.get("last") == "asking"
