"""`canary`: what is new against what was live before, by their samples of one query.

Rules:
1. The old release is asked at the same time while it serves; when the new one has all of the traffic, as long a time
   before the wave began.
2. It is sick when the new samples are worse than the old ones by more than the tolerance: the old samples are moved by
   it, and the Mann-Whitney U test (one-sided, `ranks`) says how likely the new ones are that much higher (or lower) by
   chance. Less likely than `significance`: sick. So a difference must be both large enough to matter and steady enough
   not to be chance.
3. Fewer usable samples than asked for, on either side, cannot tell.
4. A first release has nothing to be compared with: it passes, and says so.
"""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.checks import prometheus, ranks
from deploy.checks.questions import Question
from deploy.checks.verdicts import Answer, healthy, sick, untold
from farmgate.policy import CanaryCheck
from farmgate.policy.checks import looks_back

MOST_SAMPLES: Final = 240


def ask(check: CanaryCheck, question: Question) -> Answer:
    """Compare both releases."""
    if question.against is None:
        return healthy("nothing was live before: there is nothing to compare with", compared=False)
    since, until, before = spans(check, question)
    try:
        of = prometheus.server(check, question)
        new = prometheus.samples(of, prometheus.about(check.query, question.about), since, until, check.step)
        then = prometheus.about(check.query, question.against)
        old = prometheus.samples(of, then, since - before, until - before, check.step)
    except prometheus.Untold as error:
        return untold(str(error))
    counted = {"samples": len(new.values), "old_samples": len(old.values), "unusable": new.unusable + old.unusable}
    for side, found in (("new", new), ("old", old)):
        if len(found.values) < check.samples:
            said = f"{len(found.values)} usable samples of the {side} release, and {check.samples} are wanted"
            return untold(said, **counted)
    return compared(check, new.values, old.values, counted)


def spans(check: CanaryCheck, question: Question) -> tuple[datetime, datetime, timedelta]:
    """From when to when the new release is asked about, and how much earlier the old one is."""
    since = max(question.shifted_at + looks_back(check.query, check.window), question.now - MOST_SAMPLES * check.step)
    before = question.now - question.shifted_at if question.share >= 100 else timedelta(0)
    return since, question.now, before


def compared(check: CanaryCheck, new: tuple[float, ...], old: tuple[float, ...], counted: dict[str, Any]) -> Answer:
    """Rule 2."""
    new_median, old_median = statistics.median(new), statistics.median(old)
    margin = check.tolerance * abs(old_median) if check.relative else check.tolerance
    up = 1.0 if check.worse == "higher" else -1.0
    found = ranks.higher([up * value for value in new], [up * value + margin for value in old])
    figures = {
        **counted,
        "median": new_median,
        "old_median": old_median,
        "margin": margin,
        "u": found.u,
        "p": float(f"{found.p:.3g}"),
        "superiority": round(found.superiority, 3),
        "test": "Mann-Whitney U, one-sided, " + ("exact" if found.exact else "normal approximation"),
    }
    words = f"median {new_median:g} against {old_median:g} before, tolerance {margin:.3g}, p = {found.p:.2g}"
    if found.p < check.significance:
        return sick(f"{check.worse} than before by more than is borne: {words}", **figures)
    return healthy(words, **figures)
