"""What another tool says of a rollout that was handed over to it: one form, for its callbacks and for its status. Pure.

    {"state": "goes on", "share": 20, "text": "canary is well", "url": "https://deploy.example.org/runs/7"}

Rules:
1. `state` is one of `goes on`, `done`, `failed` (the change is to blame), `cannot tell`; nothing else is guessed.
2. `share`: how many percent of the users have the new release. What is no number between 0 and 100 is no share.
3. Words are bounded and printable, a link is http or https: both are shown, never acted on.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from farmgate.errors import BadPayload, Conflict
from farmgate.models import HandoverRow
from farmgate.states import Handover, is_final

STATES: Final = {
    "goes on": Handover.TAKEN,
    "done": Handover.DONE,
    "failed": Handover.FAILED,
    "cannot tell": Handover.UNTOLD,
}
WORDS_LIMIT: Final = 600
LINK_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """How a hand-over stands, as the other tool sees it."""

    state: Handover
    share: int | None = None
    text: str = ""
    link: str = ""


def parsed(body: bytes) -> Any:
    """JSON. Raises BadPayload."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadPayload("the body is no JSON") from None


def told(data: Any) -> Told:
    """Raises BadPayload, which names the field."""
    if not isinstance(data, dict):
        raise BadPayload('the body is no object, such as {"state": "done"}')
    state = data.get("state")
    found = STATES.get(state.replace("_", " ").lower()) if isinstance(state, str) else None
    if found is None:
        raise BadPayload(f"state: {str(state)[:40]!r} is none of {', '.join(STATES)}")
    return Told(found, share(data.get("share")), words(data.get("text")), link(data.get("url")))


def share(value: Any) -> int | None:
    """Percent, rounded down. Raises BadPayload."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadPayload(f"share: {str(value)[:40]!r} is no number")
    if not 0 <= value <= 100:
        raise BadPayload(f"share: {str(value)[:40]} is not between 0 and 100")
    return math.floor(value)


def words(value: Any) -> str:
    """What can be shown of it."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text[:WORDS_LIMIT]).strip()


def link(value: Any) -> str:
    """A link that may be shown; empty if it is none."""
    if not isinstance(value, str) or len(value) > LINK_LIMIT or not value.isascii() or not value.isprintable():
        return ""
    try:
        parts = urlsplit(value)
    except ValueError:
        return ""
    return value if parts.scheme in ("http", "https") and parts.netloc and " " not in value else ""


AT_ONCE: Final = 50
"""Callbacks that are taken with one and the same timestamp."""


def is_new(row: HandoverRow, message: str, stamp: int, said: Told) -> bool:
    """Whether a signed callback says something that was not heard yet; a repeat or an older one does not.

    Raises Conflict: it contradicts how the hand-over ended.
    """
    if row.state is Handover.OVER:
        raise Conflict("this hand-over was given up: its rollout went another way, and nothing of it counts any more")
    if is_final(row.state):
        if said.state is not row.state:
            raise Conflict(f"this hand-over ended as {row.state} before, and stays so")
        return False
    if row.stamp is None or stamp > row.stamp:
        return True
    if stamp < row.stamp or message in row.seen:
        return False
    if len(row.seen) >= AT_ONCE:
        raise Conflict(f"more than {AT_ONCE} callbacks in one second")
    return True
