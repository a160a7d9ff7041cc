"""Lanes: what may be delivered, when a batch is cut, why a commit waits, who is to blame. Pure.

The rules stand at the head of each module: `view` (what is looked at), `eligible`, `cutting`, `search`, `explain`.
"""

from __future__ import annotations

from farmgate.lanes.cutting import SETTLE_BOUND, Cut, Wait, cut
from farmgate.lanes.eligible import Blocked, Reason, Why, blocked, is_eligible, obstacles, ready_at, verified_at
from farmgate.lanes.explain import Explained, Preview, explain, preview, typical
from farmgate.lanes.search import Culprit, Lost, half, most_rollouts, points, remaining
from farmgate.lanes.view import (
    Active,
    Checks,
    LaneView,
    Live,
    OpenSearch,
    QueuedCommit,
    StandingBan,
    StandingHold,
    Verified,
    fixes_in,
    useful,
)

__all__ = [
    "SETTLE_BOUND",
    "Active",
    "Blocked",
    "Checks",
    "Culprit",
    "Cut",
    "Explained",
    "LaneView",
    "Live",
    "Lost",
    "OpenSearch",
    "Preview",
    "QueuedCommit",
    "Reason",
    "StandingBan",
    "StandingHold",
    "Verified",
    "Wait",
    "Why",
    "blocked",
    "cut",
    "explain",
    "fixes_in",
    "half",
    "is_eligible",
    "most_rollouts",
    "obstacles",
    "points",
    "preview",
    "ready_at",
    "remaining",
    "typical",
    "useful",
    "verified_at",
]
