"""What must always hold, as code: checked by the simulation after every step, by the crash tests, and on a live farm.

Rules:
1. One function per sentence of the design, registered in order; its docstring is the sentence.
2. A check only reads, in one snapshot, and names each subject it finds wrong. A farm at rest gives none.
3. What is late by less than GRACE is not yet wrong: the loops need their turn.

`check` asks all of them. `undrained` says what is still open (I11 after faults have stopped); a `Witness` remembers
final states between looks, which no single look can (I4).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

# In the order of the design: importing a module registers its checks.
from farmgate.invariants import integration, delivery, agreement, bounds, blame, together  # isort: skip
from farmgate.invariants.bounds import undrained
from farmgate.invariants.registry import INVARIANTS, Violation
from farmgate.invariants.witness import Witness
from farmgate.store.database import Store

__all__ = [
    "INVARIANTS",
    "Violation",
    "Witness",
    "agreement",
    "blame",
    "bounds",
    "check",
    "delivery",
    "integration",
    "look",
    "sentence",
    "together",
    "undrained",
]


def check(store: Store, now: datetime) -> list[Violation]:
    """Every violation, in the order of the invariants; none: an empty list."""
    with store.reading() as connection:
        return look(connection, now)


def look(connection: Connection, now: datetime) -> list[Violation]:
    """`check` on a connection that is open already."""
    return [
        Violation(name, subject, text) for name, ask in INVARIANTS.items() for subject, text in ask(connection, now)
    ]


def sentence(name: str) -> str:
    """What an invariant says."""
    return " ".join((INVARIANTS[name].__doc__ or "").split())
