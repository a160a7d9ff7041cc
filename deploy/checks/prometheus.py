"""Reading a Prometheus: one number at a moment, or one row of samples, or nothing that could be believed.

Source: the HTTP API of Prometheus, 'Expression queries'. Rules:
1. One series is an answer. None, several, NaN, an infinite value, an error, a page of something else: cannot tell.
2. Nothing of what it says is more than a number; its words are shown, never acted on, and bounded.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.checks import web
from deploy.checks.questions import Question, Subject, values
from deploy.checks.verdicts import Answer, healthy, sick, untold
from farmgate.policy import QueryCheck
from farmgate.policy.checks import filled, slots

LIMIT_BYTES: Final = 4 * 2**20
_WORDS: Final = 300


class Untold(Exception):
    """Why there is no number, in words."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The finite values of one series, and how many were none."""

    values: tuple[float, ...]
    unusable: int


def ask(check: QueryCheck, question: Question) -> Answer:
    """The number against its bounds."""
    try:
        value = number(check.url, about(check.query, question.about), question.now, check.timeout)
    except Untold as error:
        return untold(str(error))
    figures = {"value": value, "below": check.below, "above": check.above}
    if check.below is not None and not value < check.below:
        return sick(f"{value:g} is not below {check.below:g}", **figures)
    if check.above is not None and not value > check.above:
        return sick(f"{value:g} is not above {check.above:g}", **figures)
    return healthy(f"{value:g}", **figures)


def about(query: str, subject: Subject) -> str:
    """The query about a release. Raises Untold where it has no instance to name."""
    if "instances" in slots(query) and not subject.addresses:
        raise Untold("there is no instance to ask about")
    return filled(query, values(subject))


def number(url: str, query: str, at: datetime, timeout: timedelta) -> float:
    """An instant query. Raises Untold."""
    form = {"query": query, "time": f"{at.timestamp():.3f}", "timeout": f"{timeout.total_seconds():g}s"}
    kind, result = _data(f"{url}/api/v1/query", form, timeout)
    if kind == "scalar":
        return _finite(_value(result))
    if kind != "vector" or not isinstance(result, list):
        raise Untold(f"the query answers with a {kind[:20]}, and one number is wanted")
    return _finite(_value(_only(result).get("value")))


def samples(url: str, query: str, since: datetime, until: datetime, step: timedelta, timeout: timedelta) -> Samples:
    """A range query. Raises Untold."""
    form = {
        "query": query,
        "start": f"{since.timestamp():.3f}",
        "end": f"{until.timestamp():.3f}",
        "step": f"{step.total_seconds():g}",
        "timeout": f"{timeout.total_seconds():g}s",
    }
    kind, result = _data(f"{url}/api/v1/query_range", form, timeout)
    if kind != "matrix" or not isinstance(result, list):
        raise Untold(f"the query answers with a {kind[:20]}, and samples are wanted")
    if not result:
        return Samples((), 0)
    pairs = _only(result).get("values")
    if not isinstance(pairs, list):
        raise Untold("the series has no samples")
    found = [_value(pair) for pair in pairs]
    usable = tuple(value for value in found if math.isfinite(value))
    return Samples(usable, len(found) - len(usable))


def _data(url: str, form: dict[str, str], timeout: timedelta) -> tuple[str, Any]:
    try:
        found = web.fetch(url, timeout, form=form, limit_bytes=LIMIT_BYTES)
    except (web.Unreachable, web.Silent, web.Nonsense) as error:
        raise Untold(str(error)) from None
    try:
        told = json.loads(found.body or b"")
    except (ValueError, RecursionError):
        raise Untold(f"{url} answered {found.status} with something that is no JSON") from None
    if not isinstance(told, dict) or told.get("status") != "success":
        why = told.get("error", "") if isinstance(told, dict) else ""
        raise Untold(f"{url} answered {found.status}: {str(why)[:_WORDS] or 'no success'}")
    data = told.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("resultType"), str):
        raise Untold(f"{url} answered something that is no result")
    return data["resultType"], data.get("result")


def _only(series: list[Any]) -> dict[str, Any]:
    if not series:
        raise Untold("the query finds no series")
    if len(series) > 1:
        raise Untold(f"the query finds {len(series)} series, and one is wanted: sum them, or choose one")
    if not isinstance(series[0], dict):
        raise Untold("the answer is no series")
    return series[0]


def _value(pair: Any) -> float:
    try:
        _, text = pair
        return float(text)
    except (TypeError, ValueError):
        raise Untold("the answer holds something that is no number") from None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Untold(f"the answer is {'not a number (NaN)' if math.isnan(value) else 'infinite'}")
    return value
