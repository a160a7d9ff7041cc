"""Lanes: what may be delivered, when a batch is cut, why a commit waits, who is to blame. Pure.

The rules stand at the head of each module: `view` (what is looked at), `eligible`, `calendar`, `choosing`, `together`,
`cutting`, `search`, `joint_search`, `hotfix`, `reverts`, `explain`.
"""

from __future__ import annotations

from farmgate.lanes.approving import agreed, approved_upto, is_author
from farmgate.lanes.calendar import may_begin
from farmgate.lanes.choosing import choose, most_commits
from farmgate.lanes.cutting import SETTLE_BOUND, Cut, Wait, cut
from farmgate.lanes.eligible import (
    Blocked,
    Gate,
    blocked,
    is_eligible,
    obstacles,
    ready_at,
    verified_at,
)
from farmgate.lanes.explain import Explained, Preview, explain, falls_behind, preview, typical
from farmgate.lanes.hotfix import hotfix_waits_for
from farmgate.lanes.joint_search import JointCulprit, JointLost, Part, culprit, joint_points, suspects
from farmgate.lanes.made_view import Brought, OpenHotfix, OpenRevert, PastRevert
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.reverts import RevertWanted, fell_words, revert_fell, revert_over, revert_waits_for
from farmgate.lanes.search import Culprit, Lost, half, most_rollouts, points, remaining
from farmgate.lanes.together import JointCut, Share, gate, shares
from farmgate.lanes.view import (
    Active,
    Approval,
    Checks,
    JointSearch,
    LaneView,
    Live,
    Need,
    OpenSearch,
    Point,
    Queue,
    QueuedCommit,
    StandingBan,
    StandingHold,
    Together,
    TurnedRed,
    Verified,
    fixes_in,
    fixes_security,
    irreversible_in,
    needs_in,
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
    "JointCulprit",
    "JointCut",
    "JointLost",
    "JointSearch",
    "LaneView",
    "Live",
    "Lost",
    "Need",
    "OpenHotfix",
    "OpenRevert",
    "OpenSearch",
    "Part",
    "PastRevert",
    "Point",
    "Preview",
    "Queue",
    "QueuedCommit",
    "Reason",
    "RevertWanted",
    "Share",
    "StandingBan",
    "StandingHold",
    "Together",
    "TurnedRed",
    "Verified",
    "Wait",
    "Why",
    "agreed",
    "approved_upto",
    "blocked",
    "choose",
    "culprit",
    "cut",
    "explain",
    "falls_behind",
    "fell_words",
    "fixes_in",
    "fixes_security",
    "gate",
    "half",
    "hotfix_waits_for",
    "irreversible_in",
    "is_author",
    "is_eligible",
    "joint_points",
    "may_begin",
    "most_commits",
    "most_rollouts",
    "needs_in",
    "obstacles",
    "points",
    "preview",
    "ready_at",
    "remaining",
    "revert_fell",
    "revert_over",
    "revert_waits_for",
    "shares",
    "suspects",
    "typical",
    "useful",
    "verified_at",
]
