"""Workflows: which jobs run, when, after which others.

Rules:
1. A workflow that a schedule or a parameter starts waits for a person here.
2. A branch is an expression over its whole name; tags beside branches are a job of their own, which is told.
3. An approval is a job that asks.

Follows "Configuration reference" (`workflows`) of CircleCI's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing.account import Kind, Part
from farmgate.importing.circleci.parameters import condition, filled
from farmgate.importing.draft import Draft
from farmgate.importing.globs import glob_of
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.circleci.file import Config

_OWN: Final = ("requires", "name", "type", "filters", "context", "matrix", "pre-steps", "post-steps", "when")
_ANY: Final = ("/.*/", "/^.*$/", "/^.*/", "/.*")


@dataclass(slots=True)
class _Flow:
    """A workflow, and the jobs that it made."""

    part: Part
    made: dict[str, list[str]] = field(default_factory=dict)  # name there -> names here
    requires: list[tuple[Draft, list[str]]] = field(default_factory=list)

    def add(self, draft: Draft, requires: list[str], *names: str) -> None:
        """A job that others of the workflow may require by any of these names."""
        for name in dict.fromkeys(names):
            self.made.setdefault(name, []).append(draft.name)
        self.requires.append((draft, requires))


def workflows(config: Config, part: Part) -> None:
    """The jobs of all workflows; one that no workflow runs is told."""
    part.needless("version", "the version of CircleCI's own format")
    used: set[str] = set()
    for name in part.names():
        if name == "version":
            continue
        value = part.take(name)
        if not isinstance(value, dict):
            part.left(name, "a workflow that is no mapping", "write it by hand")
            continue
        flow = _Flow(part.below(name, value))
        by_person = _by_person(config, flow.part)
        flow.part.needless("max_auto_reruns", "'retry' of a job")
        for at, one in flow.part.listed("jobs"):
            used.add(_invocation(config, flow, at, one))
        for draft, requires in flow.requires:
            if by_person:
                draft.when["event"] = "person"
            _require(flow, draft, requires)
        flow.part.close("a workflow")
    for name in config.section("jobs"):
        if name not in used:
            message = f"job {name} is in no workflow, so it never runs"
            config.root.say(Kind.NEEDLESS, ("jobs", name), message, key=True)


def _by_person(config: Config, flow: Part) -> bool:
    """Rule 1."""
    person = "triggers" in flow
    if person:
        flow.left("triggers", "a schedule", "start the run by `farmgate run` from a timer")
    for key in ("when", "unless"):
        if key not in flow:
            continue
        decided = condition(filled(flow.take(key), config.shared))
        if decided is None:
            flow.left(key, f"the workflow's condition ({key})", "write 'when' of its jobs by hand")
        elif decided is (key == "unless"):
            flow.left(key, "a workflow that a parameter of the pipeline turns on", "its jobs wait for a person here")
            person = True
    return person


def _require(flow: _Flow, draft: Draft, requires: list[str]) -> None:
    for required in requires:
        for found in flow.made.get(required, []):
            if found != draft.name:
                draft.needs[found] = False
        if required not in flow.made:
            message = f"requires {required[:60]!r}, which does not run in this workflow"
            flow.part.say(Kind.LEFT, (*flow.part.at, "jobs"), message, "write 'needs' by hand", key=True)


def _invocation(config: Config, flow: _Flow, at: Location, one: Any) -> str:
    """A job that a workflow runs, by its name."""
    name, body = next(iter(one.items())) if isinstance(one, dict) and one else (as_written(one), {})
    if not name:
        return ""
    part = Part(flow.part.account, flow.part.document, (*at, name), body if isinstance(body, dict) else {})
    requires = [
        word
        for _, value in part.listed("requires")
        for word in ([value] if isinstance(value, str) else value if isinstance(value, dict) else ())
    ]
    called = as_written(filled(part.take("name"), config.shared)) or name
    if part.text("type") == "approval":
        draft = config.drafts.add(called)  # rule 3
        draft.approve = f"{called}?"
        config.places[draft.name] = flow.part.document.problem(at, "")
        flow.add(draft, requires, called)
        return str(name)
    for key in ("pre-steps", "post-steps"):
        if key in part:
            part.left(key, f"{key} of a workflow's job", "write them into the job")
    if "context" in part:
        contexts = ", ".join(part.texts("context"))[:80]
        part.left("context", f"context {contexts}: only CircleCI knows its variables", "name them in 'secrets'")
    if "when" in part:
        part.left("when", "the condition of a workflow's job", "write 'when' by hand")
    when = _filters(part)
    alias, axes, excluded = _matrix(config, part)
    called = alias or called
    given = {key: part.take(key) for key in part.names() if key not in _OWN}
    draft = config.job(name, called, at, given, axes, excluded)
    draft.when.update(when)
    flow.add(draft, requires, called, name)
    return str(name)


def _matrix(config: Config, part: Part) -> tuple[str | None, dict[str, list[str]], list[dict[str, str]]]:
    """A matrix over parameters: how it is called, its axes, what it leaves out."""
    matrix = part.part("matrix")
    if matrix is None:
        return None, {}, []
    parameters = matrix.part("parameters")
    axes = {
        key: [as_written(filled(word, config.shared)) or "" for _, word in parameters.listed(key)]
        for key in (parameters.names() if parameters is not None else ())
        if parameters is not None
    }
    excluded = [
        {str(key): as_written(text) or "" for key, text in value.items()}
        for _, value in matrix.listed("exclude")
        if isinstance(value, dict)
    ]
    alias = matrix.text("alias")
    matrix.close("a matrix")
    return alias, axes, excluded


def _filters(part: Part) -> dict[str, Any]:
    """Rule 2."""
    filters = part.part("filters")
    if filters is None:
        return {}
    branch, tag = _patterns(filters, "branches"), _patterns(filters, "tags")
    if tag and branch == ["**", "!**"]:
        return {"event": "tag", **({} if tag == ["**"] else {"tag": tag})}
    if tag and branch:
        remedy = "a job of its own with 'when: {tag: ...}'"
        filters.look("tags", "runs for these branches, and not for tags, here", remedy)
        return {"branch": branch}
    return {"branch": branch} if branch and not tag and branch != ["**"] else {}


def _patterns(filters: Part, key: str) -> list[str]:
    value = filters.take(key)
    if value is None:
        return []
    below = filters.below(key, value if isinstance(value, dict) else {"only": value})
    found: list[str] = []
    for word, sign in (("only", ""), ("ignore", "!")):
        for text in below.texts(word):
            glob = "**" if text in _ANY else glob_of(_whole(text))
            if glob is None:
                message = f"the expression {summary(text)} is no pattern"
                below.say(Kind.LEFT, (*below.at, word), message, "write a pattern such as release/*")
            else:
                found.append(sign + glob)
    return ["**", *found] if found and all(one.startswith("!") for one in found) else found


def _whole(text: str) -> str:
    """An expression of CircleCI's fits the whole name."""
    regular = len(text) > 1 and text.startswith("/") and text.endswith("/")
    return f"/^{text[1:-1].removeprefix('^').removesuffix('$')}$/" if regular else text
