"""When a job runs: `when`, `rules`, `only` and `except`, as one `when` of ours.

Rules:
1. Each entry of `rules` that runs the job is an alternative; one that never runs it takes its branch or event away.
   What they say together is `farmgate.importing.gitlab.rules`'s affair.
2. A condition that comes out wider or narrower than it was is told to be looked at; what cannot be said is left.

Follows "Specify when jobs run with rules" of GitLab's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing.account import Kind, Part, flat
from farmgate.importing.draft import Draft
from farmgate.importing.gitlab import rules
from farmgate.importing.shell import summary

_EVENTS: Final = ("push", "tag", "pull", "person")
_RESULTS: Final = {"always": "always", "on_failure": "failed"}


class Starts(StrEnum):
    """Who starts a job."""

    BY_ITSELF = "by itself"
    BY_A_PERSON = "by a person"
    NEVER = "never"


@dataclass(slots=True)
class _Rules:
    """What the entries of `rules` say together."""

    runs: list[rules.Condition] = field(default_factory=list)
    never: list[rules.Condition] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    exact: bool = True
    manual: bool = False


def conditions(part: Part, draft: Draft) -> Starts:
    """Put the job's conditions into its `when`; who starts it."""
    when = part.text("when")
    starts = {"manual": Starts.BY_A_PERSON, "never": Starts.NEVER}.get(when or "", Starts.BY_ITSELF)
    if when in _RESULTS:
        draft.when["result"] = _RESULTS[when]
    elif when == "delayed":
        part.left("when", "a delayed start", "a job that asks, or a later run")
    part.needless("start_in", "see when")
    if "rules" in part and _rules(part, draft):
        starts = Starts.BY_A_PERSON
    for key in ("only", "except"):
        value = part.take(key)
        if value is not None:
            _refs(part, key, part.below(key, value if isinstance(value, dict) else {"refs": value}), draft)
    return starts


# --- only and except --------------------------------------------------------------------------------------------------


def _refs(part: Part, key: str, below: Part, draft: Draft) -> None:
    condition, unknown = rules.of_words(below.texts("refs"))
    changes = [found for text in below.texts("changes") if (found := text.strip())]
    if "variables" in below:
        below.left("variables", f"{key}: variables", "'if' in the commands")
    if "kubernetes" in below:
        below.left("kubernetes", f"{key}: kubernetes", "write it by hand")
    below.close(key)
    for one in unknown:
        part.say(Kind.LEFT, (*part.at, key), f"{key}: {one} is no pattern", "write 'when' by hand", key=True)
    if key == "only":
        _only(part, condition, draft)
    else:
        _except(condition, draft)
    if changes:
        draft.when["paths"] = changes if key == "only" else ["**", *(f"!{one}" for one in changes)]


def _only(part: Part, condition: rules.Condition, draft: Draft) -> None:
    """Words and branches are alternatives at GitLab; here the branch counts for every event."""
    if "event" in condition and "branch" in condition:
        events, branches = condition["event"], condition["branch"]
        part.look("only", f"runs for {', '.join(events)} of these branches only, here: {', '.join(branches)[:80]}")
        condition = {"branch": branches}
        if not set(events) <= {"pull", "push"}:
            condition = {"event": [*dict.fromkeys([*events, "push"])], "branch": branches}
    draft.when.update(condition)


def _except(condition: rules.Condition, draft: Draft) -> None:
    if "branch" in condition:
        draft.when["branch"] = [*draft.when.get("branch", ["**"]), *(f"!{one}" for one in condition["branch"])]
    if "event" in condition:
        allowed = draft.when.get("event", _EVENTS)
        draft.when["event"] = [one for one in allowed if one not in condition["event"]] or ["person"]


# --- rules ------------------------------------------------------------------------------------------------------------


def _rules(part: Part, draft: Draft) -> bool:
    """Rule 1; True if one of them waits for a person."""
    said = _Rules()
    for at, value in part.listed("rules"):
        for place, one in flat(value, at):
            rule = part.at_part(place, one)
            if rule is not None:
                _rule(rule, said, draft)
    when, right = rules.joined(said.runs)
    exact = _without(when, said.never) and said.exact and right
    if said.never and not said.runs:
        part.left("rules", "no rule runs this job", "it is asked for by a person here")
        when = {"event": "person"}
    if "${default}" in str(when):
        part.look("rules", "the default branch is 'main' here", "write its name, if it is another")
        when["branch"] = [glob.replace("${default}", "main") for glob in when.get("branch", [])]
    if not exact:
        message = "'when' is one condition: these rules are wider or narrower"
        part.look("rules", message, "compare it, or make two jobs")
    when["paths"] = [path for path in said.paths if path]
    draft.when.update({key: value for key, value in when.items() if value})
    return said.manual


def _rule(rule: Part, said: _Rules, draft: Draft) -> None:
    text = rule.text("if")
    found = rules.of_expression(text) if text else [{}]
    if found is None:
        rule.left("if", f"a rule: {summary(text or '')}", "write 'when' by hand, or 'if' in the commands")
        said.exact, found = False, [] if rule.value.get("when") == "never" else [{}]
    when = rule.text("when")
    changes = rule.take("changes")
    paths = changes.get("paths") if isinstance(changes, dict) else changes
    said.paths += [as_written(path) or "" for _, path in flat(paths, ())]
    for key in ("exists", "variables", "needs", "interruptible"):
        if key in rule:
            rule.left(key, f"{key} of a rule", "'if' in the commands")
    if rule.flag("allow_failure"):
        draft.rest["allow_failure"] = True
    rule.close("a rule")
    if when == "never":
        said.never += found
        return
    said.runs += found
    said.manual = said.manual or when == "manual"
    if when in _RESULTS:
        draft.when["result"] = _RESULTS[when]


def _without(when: dict[str, Any], never: list[rules.Condition]) -> bool:
    """Take away what never runs; False if one condition cannot say it."""
    exact = True
    for one in never:
        if set(one) == {"event"}:
            allowed = when.get("event", _EVENTS)
            when["event"] = [event for event in allowed if event not in one["event"]] or [*allowed]
        elif set(one) <= {"branch", "event"} and "branch" in one:
            taken = [f"!{glob}" for glob in one["branch"] if not glob.startswith("!")]
            when["branch"] = [*when.get("branch", ["**"]), *taken]
        elif one:
            exact = False
    return exact
