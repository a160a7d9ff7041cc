"""The `if` of a job, as far as `when` can say it.

Rules:
1. What must all hold converts piece by piece; a piece that `when` cannot say is left, by itself.
2. What only keeps forks out is needless: their runs get no secrets here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from farmgate.importing.github import expressions
from farmgate.importing.github.trees import Tree, Unsaid, ands, parse, shown
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader


_REFS: Final = ("github.ref", "github.event.ref")


def condition(job: JobReader) -> None:
    """Put a job's condition into its `when`."""
    text = job.part.text("if")
    if text is None:
        return
    inside = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", text, flags=re.DOTALL)
    try:
        tree = parse(inside)
    except Unsaid:
        job.part.left("if", f"condition {summary(text)}", "write 'when' by hand")
        return
    for one in ands(tree):
        if not _when(job, one):
            job.part.left("if", f"condition {summary(shown(one))}", "write 'when' by hand")


def _when(job: JobReader, tree: Tree) -> bool:
    said = shown(tree)
    when = job.draft.when
    if expressions.truth(tree, job.scope) is True:
        return True
    if said in ("always()", "!cancelled()"):
        when["result"] = "always"
        return True
    if said == "failure()":
        when["result"] = "failed"
        return True
    if re.fullmatch(r"github\.repository(?:_owner)? == '[^']*'", said) or "fork" in said:
        job.part.needless("if", "runs of forks get no secrets, and a farm builds its own repositories")
        return True
    kind, parts = tree
    options = [shown(part) for part in parts] if kind == "||" else [said]
    found: dict[str, list[str]] = {}
    for option in options:
        match = re.fullmatch(r"(github\.[a-z_.]+) (==|!=) '([^']*)'", option)
        starts = re.fullmatch(r"startswith\((github\.(?:event\.)?ref), '([^']*)'\)", option)
        if starts:
            word, sign, value = starts[1], "==", f"{starts[2]}*"
        elif match:
            word, sign, value = match[1], match[2], match[3]
        elif re.fullmatch(r"startswith\(github\.ref_name, '[^']*'\)", option):
            word, sign, value = "github.ref_name", "==", option.split("'")[1] + "*"
        else:
            return False
        key, text = _said_by(word, value)
        if key is None:
            return False
        found.setdefault(key, []).append(f"!{text}" if sign == "!=" else text)
    if len(found) != 1:
        return False
    key, values = next(iter(found.items()))
    if key == "event":
        named = [value.removeprefix("!") for value in values]
        if "push" in named:
            named.append("tag")  # a tag is pushed, too
        values = (
            [one for one in ("push", "tag", "pull", "person") if one not in named]
            if values[0].startswith("!")
            else named
        )
        before = when.get("event")
        allowed = before if isinstance(before, list) else [before] if before else None
        values = [one for one in values if allowed is None or one in allowed] or values
        when["event"] = values if len(values) > 1 else values[0]
        return True
    if key == "tag":
        when["event"] = "tag"
        when.pop("branch", None)
        if values == ["**"] or values == ["*"]:
            return True
    when[key] = ["**", *values] if all(value.startswith("!") for value in values) else values
    return True


def _said_by(word: str, value: str) -> tuple[str | None, str]:
    if word == "github.event_name":
        return ("event", expressions.EVENTS[value]) if value in expressions.EVENTS else (None, "")
    if word in _REFS and value.startswith("refs/heads/"):
        return "branch", value.removeprefix("refs/heads/") or "**"
    if word in _REFS and value.startswith("refs/tags"):
        return "tag", value.removeprefix("refs/tags").lstrip("/") or "**"
    if word in ("github.ref_name", "github.base_ref"):
        return "branch", value
    if word == "github.ref_type":
        return "event", "tag" if value == "tag" else "push"
    return None, ""
