"""What is said to another tool, and what its answers mean. Pure.

Rules:
1. A value is put in where a slot stands and nowhere else: percent-encoded in an address, as a value in JSON. A text
   that is one slot keeps the value's type.
2. An answer that fits nothing tells nothing (`Unknown`): it is never taken for an end.
3. Where `ours` is given, what does not fit it is told of another release, and tells nothing of this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from farmgate import handovers
from farmgate.errors import BadPayload
from farmgate.handovers import Told
from farmgate.policy.checks import SLOT, slots
from farmgate.policy.targets.webhook import ANSWER, LOCATION, Status
from farmgate.states import Handover

Value = str | int | None
Values = Mapping[str, Value]
Wanted = Mapping[str, Any]
_MISSING: Final = object()
_ANSWER_LIMIT: Final = 1000


class Unknown(Exception):
    """Why an answer tells nothing, in words."""


def text(template: str, values: Values) -> str:
    """With its values put in."""
    return SLOT.sub(lambda found: _plain(values[found[1]]), template)


def address(template: str, values: Values) -> str:
    """The same for an address. Raises Unknown for a value that is not there."""
    if template.startswith("{{location}}"):
        place, template = _plain(values.get(LOCATION)), template.removeprefix("{{location}}")
        if not place:
            raise Unknown("the other tool named no Location to look at")
        return place + address(template, values)
    for name in slots(template):
        if values.get(name) is None and name.startswith(ANSWER):
            raise Unknown(f"the other tool's answer had no {name.removeprefix(ANSWER)}")
    return SLOT.sub(lambda found: quote(_plain(values[found[1]]), safe=""), template)


def document(template: Any, values: Values) -> Any:
    """The same for JSON."""
    match template:
        case str():
            whole = SLOT.fullmatch(template)
            return values[whole[1]] if whole is not None else text(template, values)
        case Mapping():
            return {name: document(each, values) for name, each in template.items()}
        case list() | tuple():
            return [document(each, values) for each in template]
        case _:
            return template


def kept(status: Status | None, answer: Any, location: str | None, asked: str) -> dict[str, str]:
    """What of the answer to a hand-over its status address will need.

    A Location counts on the host that was asked: credentials go there.
    """
    if status is None:
        return {}
    found: dict[str, str] = {}
    for name in slots(status.url):
        if name == LOCATION and location:
            place = urljoin(asked, location)
            if _host(place) == _host(asked) and len(place) <= _ANSWER_LIMIT:
                found[name] = place
        elif name.startswith(ANSWER):
            value = at(answer, "/" + name.removeprefix(ANSWER).replace(".", "/"))
            if isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= _ANSWER_LIMIT:
                found[name] = str(value)
    return found


def read(status: Status, answer: Any, values: Values) -> Told:
    """What the answer of another form says. Raises Unknown."""
    if status.ours is not None and not _fits(status.ours, answer, values):
        seen = ", ".join(f"{pointer} is {_shown(at(answer, pointer))}" for pointer in status.ours)
        raise Unknown(f"its status is not of this release yet: {seen}")
    said = handovers.words(_scalar(at(answer, status.text))) if status.text else ""
    link = handovers.link(at(answer, status.link)) if status.link else ""
    try:
        share = handovers.share(_number(at(answer, status.share))) if status.share else None
    except BadPayload as error:
        raise Unknown(f"its status tells nonsense: {error}") from None
    for state, any_of in ((Handover.FAILED, status.failed), (Handover.DONE, status.done)):
        if any(_fits(wanted, answer, values) for wanted in any_of or ()):
            return Told(state, share, said, link)
    looked_at = {pointer for any_of in (status.done, status.failed) for wanted in any_of or () for pointer in wanted}
    if status.goes_on is not None:
        goes_on = any(_fits(wanted, answer, values) for wanted in status.goes_on)
    else:
        goes_on = any(at(answer, pointer) is not _MISSING for pointer in looked_at)
    if not goes_on:
        seen = ", ".join(f"{pointer} is {_shown(at(answer, pointer))}" for pointer in sorted(looked_at))
        raise Unknown(f"its status fits nothing that the policy names: {seen}")
    if not said:
        told = (at(answer, pointer) for pointer in sorted(looked_at))
        said = handovers.words(", ".join(str(each) for each in told if isinstance(each, str)))
    return Told(Handover.TAKEN, share, said, link)


def at(answer: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901); `_MISSING` if nothing does."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(answer, dict) and key in answer:
            answer = answer[key]
        elif isinstance(answer, list) and key.isascii() and key.isdigit() and len(key) < 7 and int(key) < len(answer):
            answer = answer[int(key)]
        else:
            return _MISSING
    return answer


def _fits(wanted: Wanted, answer: Any, values: Values) -> bool:
    return all(_is(at(answer, pointer), value, values) for pointer, value in wanted.items())


def _is(found: Any, wanted: Any, values: Values) -> bool:
    if isinstance(wanted, list | tuple):
        return any(_is(found, each, values) for each in wanted)
    if isinstance(wanted, str):
        return isinstance(found, str) and found == text(wanted, values)
    if wanted is None or isinstance(wanted, bool):
        return found is wanted
    return isinstance(found, int | float) and not isinstance(found, bool) and found == wanted


def _number(found: Any) -> Any:
    """Tools write percent as text as well."""
    if found is _MISSING:
        return None
    if isinstance(found, str):
        try:
            value = float(found.removesuffix("%").strip())
        except ValueError:
            return found
        return value if math.isfinite(value) else found
    return found


def _scalar(found: Any) -> Any:
    return found if isinstance(found, str | int | float) else None


def _shown(found: Any) -> str:
    return "missing" if found is _MISSING else handovers.words(repr(found)[:60])


def _plain(value: Value) -> str:
    return "" if value is None else str(value)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
