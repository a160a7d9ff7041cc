"""What an answer, a check or a wave says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Healthy, sick, or cannot tell."""

    HEALTHY = "healthy"
    SICK = "sick"
    UNTOLD = "cannot tell"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, in words for people and figures for the ledger."""

    verdict: Verdict
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def untold(words: str, **figures: Any) -> Answer:
    return Answer(Verdict.UNTOLD, words, figures)


def sick(words: str, **figures: Any) -> Answer:
    return Answer(Verdict.SICK, words, figures)


def healthy(words: str, **figures: Any) -> Answer:
    return Answer(Verdict.HEALTHY, words, figures)
