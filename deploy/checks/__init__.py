"""One question to what a rollout brought up: healthy, sick, or cannot tell. One module per kind of check.

Rules:
1. A check that is silent, slow or answers nonsense cannot tell. Neither can one that had nobody to ask.
2. Every answer has its figures, for the ledger and the page.
3. Time, size and patterns are bounded here, whatever the other side does.
"""

from __future__ import annotations

from deploy.checks.prober import RealProber
from deploy.checks.questions import Prober, Question, Subject
from deploy.checks.verdicts import Answer, Verdict

__all__ = ["Answer", "Prober", "Question", "RealProber", "Subject", "Verdict"]
