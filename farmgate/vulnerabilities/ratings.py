"""How bad a vulnerability is, in one word.

Rules:
1. What is told by score is rated as CVSS does: low below 4, medium below 7, high below 9, critical from there.
2. Of everything that is told the worst counts. Malicious packages (`MAL-`) are critical. Nothing told: unknown.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Severity(StrEnum):
    """In words; the order is ORDER."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


ORDER: Final = tuple(Severity)
"""The worst first."""
_WORDS: Final = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.LOW,
    "minor": Severity.LOW,
}


@dataclass(frozen=True, slots=True)
class Rated:
    """`score`: from 0 to 10, where a vector told one."""

    severity: Severity
    score: float | None = None
    vector: str = ""


def at_least(one: Severity, floor: Severity) -> bool:
    """True if `one` is as bad as `floor`, or worse."""
    return ORDER.index(one) <= ORDER.index(floor)


def rated(osv_id: str, vectors: Iterable[str], words: Iterable[object]) -> Rated:
    """Rule 2."""
    found = [_of_score(vector) for vector in vectors]
    found += [Rated(_WORDS[word.lower()]) for word in words if isinstance(word, str) and word.lower() in _WORDS]
    if osv_id.startswith("MAL-"):
        found.append(Rated(Severity.CRITICAL))
    best = min(
        found, key=lambda each: (ORDER.index(each.severity), -(each.score or 0)), default=Rated(Severity.UNKNOWN)
    )
    if best.score is None:
        scored = max((each for each in found if each.score is not None), key=lambda each: each.score or 0, default=None)
        if scored is not None:
            return Rated(best.severity, scored.score, scored.vector)
    return best


@lru_cache(maxsize=10_000)  # a few thousand vectors tell of most vulnerabilities
def _of_score(vector: str) -> Rated:
    text = vector.strip()
    kind = "CVSS4" if text.startswith("CVSS:4") else "CVSS3" if text.startswith("CVSS:3") else "CVSS2"
    if len(text) > 500:
        return Rated(Severity.UNKNOWN)
    try:
        score = float(getattr(importlib.import_module("cvss"), kind)(text).base_score)
    except Exception:  # noqa: BLE001  # the library's own errors: a vector that cannot be read tells nothing
        return Rated(Severity.UNKNOWN)
    if not 0 <= score <= 10:  # NaN compares false
        return Rated(Severity.UNKNOWN)
    if score >= 9:
        return Rated(Severity.CRITICAL, score, text)
    if score >= 7:
        return Rated(Severity.HIGH, score, text)
    return Rated(Severity.MEDIUM if score >= 4 else Severity.LOW, score, text)
