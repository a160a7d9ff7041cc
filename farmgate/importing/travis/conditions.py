"""Conditions of Travis: `branches`, and `if`, as what `when` can say.

Rules:
1. A chain of AND over branch, tag and type converts; any other condition is left by who asks.
2. A branch written as an expression is a glob where it can be one.

Follows "Conditional Builds, Stages and Jobs" of Travis' documentation.
"""

from __future__ import annotations

import re
from typing import Any

from farmgate.importing.account import Part
from farmgate.importing.globs import glob_of
from farmgate.importing.shell import summary


def of_file(root: Part) -> dict[str, Any]:
    """What `branches` and `if` of the whole file say, as `when`."""
    when: dict[str, Any] = {}
    branches = root.take("branches")
    if isinstance(branches, dict):
        part = root.below("branches", branches)
        only, but = _globs(part, "only"), _globs(part, "except")
        part.close("branches")
        if only or but:
            when["branch"] = [*(only or (["**"] if but else [])), *(f"!{one}" for one in but)]
    elif branches is not None:
        when["branch"] = root.texts("branches")
    when.update(of_part(root, "write 'when' of the jobs by hand"))
    return {key: value for key, value in when.items() if value}


def of_part(part: Part, remedy: str) -> dict[str, Any]:
    """What the `if` of a mapping says, as `when`; left, with the remedy, where `when` cannot say it."""
    if "if" not in part:
        return {}
    text = str(part.take("if"))
    found = condition(text)
    if found is None:
        part.left("if", f"condition {summary(text)!r}", remedy)
    return found or {}


def _globs(part: Part, key: str) -> list[str]:
    found = []
    for text in part.texts(key):
        glob = glob_of(text)
        if glob is None:
            part.left(key, f"{key}: the expression {summary(text)} is no pattern", "write a pattern such as release/*")
        else:
            found.append(glob)
    return found


def condition(text: str) -> dict[str, Any] | None:
    """The conditions of Travis that `when` can say: a chain of `AND`."""
    when: dict[str, Any] = {}
    for one in re.split(r"\s+(?:AND|and)\s+|\s*&&\s*", text.strip().strip("()")):
        plain = one.strip().strip("()").strip()
        found = re.fullmatch(r"(branch|tag|type)\s*(=|==|!=|=~|IN|in|NOT IN|not in|IS|is)\s*(.+)", plain)
        if plain.lower() in ("tag is present", "tag is not blank"):
            when["event"] = "tag"
            continue
        if plain.lower() in ("tag is blank", "tag is not present", "not tag is present"):
            when["event"] = ["push", "pull", "person"]
            continue
        if found is None:
            return None
        word, sign, right = found.groups()
        values = [value.strip().strip("'\"") for value in right.strip("() ").split(",")]
        if word == "type":
            known = {"push": "push", "pull_request": "pull", "api": "person", "cron": "person"}
            named = [known[value] for value in values if value in known]
            if not named or sign == "=~":
                return None
            when["event"] = (
                [one for one in ("push", "tag", "pull", "person") if one not in named]
                if sign.lower() in ("!=", "not in")
                else named
            )
            continue
        if sign == "=~":
            globs = [glob_of(value if value.startswith("/") else f"/{value}/") for value in [right.strip()]]
            if None in globs:
                return None
            values = [glob for glob in globs if glob]
        when[word] = [f"!{value}" for value in values] if sign.lower() in ("!=", "not in") else values
        if sign.lower() in ("!=", "not in"):
            when[word] = ["**", *when[word]]
    return when or None
