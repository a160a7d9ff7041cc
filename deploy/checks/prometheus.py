"""Reading a Prometheus: one number at a moment, or one row of samples, or nothing that could be believed.

Source: the HTTP API of Prometheus, 'Expression queries'. Rules:
1. One series is an answer. None, several, NaN, an infinite value, an error, a page of something else: cannot tell.
2. A token is sent to the address of the policy alone: a redirect is no answer, and is not followed. It is in no word,
   row or log, whatever the other side answers.
3. Nothing of what it says is more than a number; its words are shown, never acted on, and bounded.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.checks import web
from deploy.checks.questions import Question, Subject, values
from deploy.checks.verdicts import Answer, healthy, sick, untold
from farmgate.errors import FarmgateError
from farmgate.masks import Masks
from farmgate.policy import CanaryCheck, QueryCheck
from farmgate.policy.checks import filled, slots

LIMIT_BYTES: Final = 4 * 2**20
_WORDS: Final = 300
_TOKEN: Final = re.compile(r"[\x21-\x7e]{4,8192}")


class Untold(Exception):
    """Why there is no number, in words."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The finite values of one series, and how many were none."""

    values: tuple[float, ...]
    unusable: int


@dataclass(frozen=True, slots=True)
class Server:
    """Who is asked. `token`: what it wants to see."""

    url: str
    timeout: timedelta
    token: str | None = field(default=None, repr=False)
    ca: str | None = None

    def told(self, words: str) -> str:
        """Its words, without the token."""
        return Masks([self.token.encode()]).text(words) if self.token is not None else words


def server(check: QueryCheck | CanaryCheck, question: Question) -> Server:
    """Raises Untold where the token is not there, or is none."""
    if check.token is None:
        return Server(check.url, check.timeout, ca=check.ca)
    try:
        token = question.secret(check.token)
    except FarmgateError as error:
        raise Untold(str(error)) from None
    if not _TOKEN.fullmatch(token):
        raise Untold(f"the secret {check.token} is no token: it is empty, or has characters that no header may have")
    return Server(check.url, check.timeout, token, check.ca)


def ask(check: QueryCheck, question: Question) -> Answer:
    """The number against its bounds."""
    try:
        value = number(server(check, question), about(check.query, question.about), question.now)
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


def number(of: Server, query: str, at: datetime) -> float:
    """An instant query. Raises Untold."""
    form = {"query": query, "time": f"{at.timestamp():.3f}", "timeout": f"{of.timeout.total_seconds():g}s"}
    kind, result = _data(of, "query", form)
    if kind == "scalar":
        return _finite(_value(result))
    if kind != "vector" or not isinstance(result, list):
        raise Untold(f"the query answers with a {of.told(kind)[:20]}, and one number is wanted")
    return _finite(_value(_only(result).get("value")))


def samples(of: Server, query: str, since: datetime, until: datetime, step: timedelta) -> Samples:
    """A range query. Raises Untold."""
    form = {
        "query": query,
        "start": f"{since.timestamp():.3f}",
        "end": f"{until.timestamp():.3f}",
        "step": f"{step.total_seconds():g}",
        "timeout": f"{of.timeout.total_seconds():g}s",
    }
    kind, result = _data(of, "query_range", form)
    if kind != "matrix" or not isinstance(result, list):
        raise Untold(f"the query answers with a {of.told(kind)[:20]}, and samples are wanted")
    if not result:
        return Samples((), 0)
    pairs = _only(result).get("values")
    if not isinstance(pairs, list):
        raise Untold("the series has no samples")
    found = [_value(pair) for pair in pairs]
    usable = tuple(value for value in found if math.isfinite(value))
    return Samples(usable, len(found) - len(usable))


def _data(of: Server, what: str, form: dict[str, str]) -> tuple[str, Any]:
    url = f"{of.url}/api/v1/{what}"
    headers = {"authorization": f"Bearer {of.token}"} if of.token is not None else {}
    try:
        found = web.ask(web.Request("POST", url, headers, form=form, ca=of.ca), of.timeout, LIMIT_BYTES)
    except (web.Unreachable, web.Silent, web.Nonsense) as error:
        raise Untold(of.told(str(error))) from None
    if 300 <= found.status < 400:
        raise Untold(f"{url} answered {found.status}, a redirect, which is not followed: write where it leads to")
    try:
        told = json.loads(found.body or b"")
    except (ValueError, RecursionError):
        raise Untold(f"{url} answered {found.status} with something that is no JSON") from None
    if not isinstance(told, dict) or told.get("status") != "success":
        why = told.get("error", "") if isinstance(told, dict) else ""
        raise Untold(f"{url} answered {found.status}: {of.told(str(why))[:_WORDS] or 'no success'}")
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
