"""What a rollout asks of people, and what they answered: from its journal.

Rules:
1. It asks before its start (`start`), whether to take back what cannot be (`back`), or of a wave (`wave`).
2. Each question has its own words for the two answers; the answers are always good and sick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from farmgate import states
from farmgate.models import JournalEntry, Rollout
from farmgate.store import rollouts
from scheduler.lane_bodies import QuestionBody

ANSWERS: Final = {
    "start": ("Let it start", "Do not start it"),
    "back": ("Go on: it counts as good", "Take it back anyway"),
    "wave": ("It is good: go on", "It is sick: take it back"),
}
LATE: Final = {
    "start": "without an answer it ends without blame, and the lane holds itself",
    "back": "without an answer it pages again",
    "wave": "without a decision it is taken back",
}
"""What happens at the deadline."""
_LOOK: Final = {
    "start": "Nothing is touched yet.",
    "back": "It stays where it is until somebody answers.",
    "wave": "Look at what runs there, then decide.",
}


def questions(rollout: Rollout, entries: Sequence[JournalEntry]) -> list[QuestionBody]:
    """All of them, oldest first. An open one has no answer."""
    by_key = {entry.key: entry for entry in entries}
    found = []
    for entry in entries:
        if entry.key == "start" or (entry.key.startswith("back-") and "/" not in entry.key):
            said = by_key.get(f"{entry.key}/decision")
            kind, words = entry.key.partition("-")[0], str(entry.detail.get("words", ""))
            found.append(_question(kind, words, entry, said, entry.outcome))
        elif entry.key.startswith("wave-") and entry.key.endswith("/decision"):
            number = int(entry.key.partition("/")[0].removeprefix("wave-")) + 1
            found.append(_question("wave", f"Is wave {number} good?", entry, entry, entry.outcome))
    if rollout.state is states.Rollout.ASKING and not any(each.answer is None for each in found):
        wave = f"wave-{rollout.wave}/decision"
        if wave not in by_key:
            found.append(
                QuestionBody(
                    kind="wave", words=rollout.reason or "", asked_at=None, answer=None, by=None, reason=None, at=None
                )
            )
    return found


def asked(connection: Connection, active: Rollout | None) -> str:
    """Of which kind the question is that a rollout asks now."""
    return rollouts.question(connection, active).partition("-")[0] if active is not None else "wave"


def title(kind: str, number: int, lane: str) -> str:
    """The question in a line."""
    what = {"start": "May rollout #{} of {} start?", "back": "Is rollout #{} of {} taken back?"}
    return what.get(kind, "Is rollout #{} of {} good?").format(number, lane)


def advice(kind: str) -> str:
    """What whoever answers should know."""
    return _LOOK[kind]


def _question(
    kind: str, words: str, asked: JournalEntry, said: JournalEntry | None, outcome: str | None
) -> QuestionBody:
    answer = said.outcome if said is not None else outcome
    return QuestionBody(
        kind=kind,
        words=words,
        asked_at=asked.started_at if asked is not said else None,
        answer=answer,
        by=str(said.detail.get("by", "")) if said is not None else None,
        reason=str(said.detail.get("reason", "")) if said is not None else None,
        at=said.started_at if said is not None else asked.finished_at if answer is not None else None,
    )
