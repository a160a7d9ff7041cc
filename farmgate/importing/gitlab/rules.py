"""GitLab's `rules`, `only` and `except`: what `when` can say of them.

Rules:
1. Of `rules` the entries are tried in order at GitLab; `when` is one condition. Entries that run the job and differ only in
   what they match are joined; one that never runs it takes its branch or event away.
2. What cannot be joined is left, and said so.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from farmgate.importing.globs import glob_of
from farmgate.importing.shell import summary

_SOURCES: Final = {
    "push": "push",
    "merge_request_event": "pull",
    "external_pull_request_event": "pull",
    "web": "person",
    "schedule": "person",
    "api": "person",
    "trigger": "person",
    "pipeline": "person",
    "parent_pipeline": "person",
}
_WORDS: Final = {
    "branches": {"event": ["push"]},
    "tags": {"event": ["tag"]},
    "merge_requests": {"event": ["pull"]},
    "pushes": {"event": ["push"]},
    "web": {"event": ["person"]},
    "schedules": {"event": ["person"]},
    "external_pull_requests": {"event": ["pull"]},
    "api": {"event": ["person"]},
    "triggers": {"event": ["person"]},
    "pipelines": {"event": ["person"]},
    "external": {"event": ["person"]},
    "chat": {"event": ["person"]},
}
Condition = dict[str, list[str]]


def of_expression(text: str) -> list[Condition] | None:
    """An `if` as alternatives of what must hold; None if it asks for something else."""
    found: list[Condition] = []
    for part in re.split(r"\s*\|\|\s*", text.strip()):
        one: Condition = {}
        for term in re.split(r"\s*&&\s*", part.strip().strip("()")):
            said = _term(term.strip().strip("()").strip())
            if said is None:
                return None
            for key, values in said.items():
                if key in one and one[key] != values:
                    one[key] = (
                        [value for value in one[key] if value in values] if key == "event" else [*one[key], *values]
                    )
                else:
                    one[key] = values
        found.append(one)
    return found


def _term(term: str) -> Condition | None:
    if term in ("$CI_COMMIT_TAG", '$CI_COMMIT_TAG != ""', "$CI_COMMIT_TAG != null"):
        return {"event": ["tag"]}
    if term in ("$CI_MERGE_REQUEST_ID", "$CI_MERGE_REQUEST_IID"):
        return {"event": ["pull"]}
    if term == "$CI_COMMIT_BRANCH":
        return {"event": ["push"]}
    if term in ("$CI_COMMIT_TAG == null", '$CI_COMMIT_TAG == ""'):
        return {"event": ["push", "pull", "person"]}
    if "CI_OPEN_MERGE_REQUESTS" in term or "CI_PROJECT_NAMESPACE" in term or "CI_PROJECT_PATH" in term:
        return {}
    found = re.fullmatch(
        r"(?:\$(\w+)|\"([^\"]*)\"|'([^']*)')\s*(==|!=|=~|!~)\s*(?:\$(\w+)|\"([^\"]*)\"|'([^']*)'|(/.*/)[a-z]*)", term
    )
    if not found:
        return None
    name, sign = found[1], found[4]
    right = (
        f"${found[5]}"
        if found[5]
        else found[6]
        if found[6] is not None
        else found[7]
        if found[7] is not None
        else found[8]
    )
    if name is None:
        name, right = found[5], found[2] or found[3] or ""
    negative = sign.startswith("!")
    if name == "CI_PIPELINE_SOURCE":
        if right.startswith("/"):
            return None
        event = _SOURCES.get(right)
        if event is None:
            return None
        return {"event": [one for one in ("push", "tag", "pull", "person") if one != event] if negative else [event]}
    if name in (
        "CI_COMMIT_BRANCH",
        "CI_COMMIT_REF_NAME",
        "CI_COMMIT_REF_SLUG",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
        "CI_COMMIT_TAG",
    ):
        if right == "$CI_DEFAULT_BRANCH":
            glob: str | None = "${default}"
        elif right.startswith("$"):
            return None
        else:
            glob = glob_of(right)
        if glob is None:
            return None
        key = "tag" if name == "CI_COMMIT_TAG" else "branch"
        made: Condition = {key: ["**", f"!{glob}"] if negative else [glob]}
        if key == "tag":
            made["event"] = ["tag"]
        elif name == "CI_COMMIT_BRANCH" and not negative:
            made["event"] = ["push"]
        elif "MERGE_REQUEST" in name:
            made["event"] = ["pull"]
        return made
    return None


def joined(conditions: Sequence[Condition]) -> tuple[dict[str, Any], bool]:
    """Alternatives as one `when`; False if that is wider or narrower than they were."""
    if not conditions or any(not one for one in conditions):
        return {}, all(not one for one in conditions)
    keys = list(dict.fromkeys(key for one in conditions for key in one))
    when: dict[str, Any] = {}
    exact = True
    for key in keys:
        having = [one for one in conditions if key in one]
        if len(having) < len(conditions):
            exact = False
            if key != "event" and any("event" in one for one in conditions):
                continue
        values = list(dict.fromkeys(value for one in having for value in one[key]))
        when[key] = values
    if (
        len({tuple(sorted(one)) for one in conditions}) > 1
        or len([key for key in keys if len({tuple(one.get(key, ())) for one in conditions}) > 1]) > 1
    ):
        exact = False
    return when, exact


def of_words(words: Sequence[str]) -> tuple[Condition, list[str]]:
    """`only` or `except` as a list of refs and words; also what is no pattern."""
    events: list[str] = []
    refs: list[str] = []
    unknown: list[str] = []
    for word in words:
        plain = word.partition("@")[0]
        if plain in _WORDS:
            events += _WORDS[plain]["event"]
        else:
            glob = glob_of(plain) if not plain.startswith("$") else None
            if glob is None:
                unknown.append(summary(plain))
            else:
                refs.append(glob)
    made: Condition = {}
    if events:
        made["event"] = list(dict.fromkeys(events))
    if refs:
        made["branch"] = refs
    return made, unknown
