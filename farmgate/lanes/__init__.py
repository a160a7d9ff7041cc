"""Lanes: what may be delivered, when a batch is cut, why a commit waits, who is to blame. Pure.

The rules stand at the head of each module: `view` (what is looked at), `eligible`, `calendar`, `cutting`, `search`,
`explain`.
"""

from __future__ import annotations

from farmgate.lanes.approving import agreed, approved_upto, is_author
from farmgate.lanes.calendar import may_begin
from farmgate.lanes.cutting import SETTLE_BOUND, Cut, Wait, choose, cut, most_commits
from farmgate.lanes.eligible import (
    Blocked,
    Gate,
    blocked,
    gate,
    is_eligible,
    obstacles,
    ready_at,
    verified_at,
)
from farmgate.lanes.explain import Explained, Preview, explain, falls_behind, preview, typical
from farmgate.lanes.hotfix import hotfix_waits_for
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.search import Culprit, Lost, half, most_rollouts, points, remaining
from farmgate.lanes.view import (
    Active,
    Approval,
    Brought,
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
    fixes_in,
    fixes_security,
    irreversible_in,
    useful,
)

__all__ = [
    "SETTLE_BOUND",
    "Active",
    "Approval",
    "Blocked",
    "Brought",
    "Checks",
    "Culprit",
    "Cut",
    "Explained",
    "Gate",
    "LaneView",
    "Live",
    "Lost",
    "OpenHotfix",
    "OpenSearch",
    "Preview",
    "Queue",
    "QueuedCommit",
    "Reason",
    "StandingBan",
    "StandingHold",
    "TurnedRed",
    "Verified",
    "Wait",
    "Why",
    "agreed",
    "approved_upto",
    "blocked",
    "choose",
    "cut",
    "explain",
    "falls_behind",
    "fixes_in",
    "fixes_security",
    "gate",
    "half",
    "hotfix_waits_for",
    "irreversible_in",
    "is_author",
    "is_eligible",
    "may_begin",
    "most_commits",
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
