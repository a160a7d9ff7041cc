"""Why something waits, as a kind and in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Why(StrEnum):
    """The kinds of reasons that a commit waits for."""

    CHECKS = "checks"
    FOLLOWS = "follows"
    BAN = "ban"
    ROLLOUT = "rollout"
    ROLLBACK = "rollback"
    SEARCH = "search"
    HOLD = "hold"
    FREEZE = "freeze"
    WINDOW = "window"
    BUDGET = "budget"
    APPROVAL = "approval"
    VULNERABILITY = "vulnerability"
    PROVENANCE = "provenance"
    LOSS = "loss"
    INTERVAL = "interval"
    SETTLE = "settle"
    RIDES = "rides"
    LATER = "later"
    NEXT = "next"
    NOTHING = "nothing"
    GONE = "gone"
    HOTFIX = "hotfix"
    REVERT = "revert"
    NEEDS = "needs"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits, in words; `until` where the end is known."""

    kind: Why
    words: str
    until: datetime | None = None
