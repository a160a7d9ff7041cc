"""`when` of a file or a step, as ours.

Rules:
1. Several entries are alternatives there and one condition here: they are joined, and told to be looked at where that
   is wider or narrower.
2. What only Woodpecker's server can answer is left.

Follows "Workflow syntax" (`when`) of Woodpecker's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing.account import Part, flat
from farmgate.importing.shell import summary

_EVENTS: Final = {
    "push": "push",
    "tag": "tag",
    "pull_request": "pull",
    "pull_request_closed": "pull",
    "manual": "person",
    "cron": "person",
    "release": "tag",
    "deployment": "person",
    "pull_request_metadata": "pull",
}
_ALL: Final = ("push", "tag", "pull", "person")
_LEFT: Final = {
    "cron": "a schedule: start the run by `farmgate run` from a timer",
    "platform": "'labels' of a node",
    "evaluate": "'if' in the commands",
    "environment": "a lane says where to",
    "instance": "say it in 'labels'",
    "matrix": "'exclude' of the matrix",
}
Condition = dict[str, Any]


def when(part: Part) -> Condition:
    """The condition of a part."""
    value = part.take("when")
    entries = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    made = []
    for index, one in enumerate(entries):
        if isinstance(one, dict):
            at: Location = (*part.at, "when", index) if isinstance(value, list) else (*part.at, "when")
            made.append(_entry(Part(part.account, part.document, at, one)))
    if len(made) < 2:
        return made[0] if made else {}
    joined, exact = _joined(made)
    if not exact:
        part.look("when", "'when' is one condition: these are joined", "compare it, or make two jobs")
    return joined


def patterns(value: Any) -> list[str]:
    """`[a, b]`, `{a,b}`, or `{include: ..., exclude: ...}` as patterns of ours."""
    if isinstance(value, dict):
        only = [as_written(one) or "" for _, one in flat(value.get("include"), ())]
        but = [as_written(one) or "" for _, one in flat(value.get("exclude"), ())]
        return [*(only or ["**"]), *(f"!{one}" for one in but)]
    found: list[str] = []
    for _, one in flat(value, ()):
        text = as_written(one) or ""
        if text.startswith("{") and re.fullmatch(r"\{\s*[\w./*, -]+?\s*\}?", text):
            found += [word.strip() for word in text.strip("{} ").split(",")]
        else:
            found.append(text)
    return ["**", *found] if found and all(one.startswith("!") for one in found) else found


def result_of(words: Sequence[str]) -> str:
    """`[success, failure]` of what came before, in our word."""
    if {"success", "failure"} <= set(words):
        return "always"
    return "failed" if "failure" in words else "passed"


def _entry(when: Part) -> Condition:
    condition: Condition = {}
    event = when.take("event")
    if event is not None:
        named = _events(event)
        if set(named) != set(_ALL):
            condition["event"] = named
    for key, ours in (("branch", "branch"), ("path", "paths"), ("tag", "tag")):
        value = when.take(key)
        if value is not None:
            condition[ours] = [one for one in patterns(value) if one]
    status = when.texts("status")
    if status:
        condition["result"] = result_of(status)
    if "ref" in when:
        condition.update(_ref(when))
    for key, remedy in _LEFT.items():
        if key in when:
            when.left(key, f"when: {key}", remedy)
    when.needless("repo", "a run is of this repository")
    when.close("when")
    return condition


def _events(event: Any) -> list[str]:
    said = event if isinstance(event, dict) else {"include": event}
    words = [as_written(word) or "" for _, word in flat(said.get("include"), ())]
    but = [_EVENTS.get(as_written(word) or "") for _, word in flat(said.get("exclude"), ())]
    named = list(dict.fromkeys(_EVENTS[word] for word in words if word in _EVENTS))
    return named or [one for one in _ALL if one not in but]


def _ref(when: Part) -> Condition:
    ref = as_written(when.value["ref"]) or ""
    if ref.startswith("refs/tags/"):
        tag = ref.removeprefix("refs/tags/")
        when.take("ref")
        return {"event": ["tag"]} if tag in ("*", "**") else {"event": ["tag"], "tag": [tag]}
    if ref.startswith("refs/heads/"):
        when.take("ref")
        return {"branch": [ref.removeprefix("refs/heads/")]}
    when.left("ref", f"ref {summary(str(when.value['ref']))}", "'branch' or 'tag'")
    return {}


def _joined(made: Sequence[Condition]) -> tuple[Condition, bool]:
    """Rule 1: the alternatives as one condition; False where it is wider or narrower."""
    joined: Condition = {}
    if all("event" in one for one in made):
        joined["event"] = list(dict.fromkeys(event for one in made for event in one["event"]))
    for key in ("branch", "paths", "tag", "result"):
        having = [one[key] for one in made if key in one]
        if having and (len(having) == len(made) or key in ("branch", "paths")):
            first = having[0]
            whole = first if isinstance(first, str) else list(dict.fromkeys(word for words in having for word in words))
            joined[key] = whole
    if joined.get("tag") and joined.get("event") != ["tag"]:
        del joined["tag"]
    alike = all(set(one) == set(made[0]) for one in made)
    differ = [key for key in made[0] if alike and len({str(one[key]) for one in made}) > 1]
    return joined, bool(alike and made[0]) and len(differ) < 2
