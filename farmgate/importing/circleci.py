"""CircleCI 2: `.circleci/config.yml`.

Rules:
1. A job is written once for each place of the workflows that runs it, with its parameters put in.
2. Commands of the file are put where they are called; of orbs, those that are a plain command are known, others are left.
3. The first image of `docker` is the job's, the others are services. What is persisted to the workspace is artifacts;
   who attaches it needs the job that made it.
"""  # noqa: E501

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing import cells
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.circleci_jobs import JobReader, condition, filled
from farmgate.importing.commands import without_root
from farmgate.importing.draft import (
    Draft,
    Drafts,
    variable_of,
)
from farmgate.importing.globs import glob_of
from farmgate.importing.shell import summary

_ORB_JOBS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "node/test": ("node:22", ("npm ci", "npm test")),
    "node/run": ("node:22", ("npm ci",)),
    "python/test": ("python:3", ("pip install -r requirements.txt", "python -m pytest")),
    "maven/test": ("maven:3", ("mvn verify",)),
    "gradle/test": ("gradle:8", ("./gradlew test",)),
    "rust/lint-test-build": ("rust:1", ("cargo clippy", "cargo test", "cargo build --release")),
}


@dataclass(slots=True)
class Config:
    """The file."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    shared: dict[str, Any] = field(default_factory=dict)
    keeps: dict[str, bool] = field(default_factory=dict)  # which drafts persist something
    attaches: list[Draft] = field(default_factory=list)

    def section(self, key: str) -> dict[str, Any]:
        value = self.root.value.get(key)
        return value if isinstance(value, dict) else {}

    def convert(self) -> None:
        root = self.root
        for key in root.names():
            if key.startswith(("x-", ".", "_")) or key in ("defaults", "references", "aliases", "anchors", "templates"):
                root.needless(key, "a place for anchors")
        root.needless("version", "the version of CircleCI's own format")
        root.take("commands"), root.take("executors"), root.take("jobs")
        if root.flag("setup"):
            root.left("setup", "a file that computes the file", "a job that emits jobs: 'emits'")
        for name, value in self.section("parameters").items():
            self.shared[f"parameters.{name}"] = value.get("default", "") if isinstance(value, dict) else ""
        if self.shared:
            root.look("parameters", "parameters of the pipeline have their defaults here")
        root.take("parameters")
        self.shared.update(
            {
                "pipeline.git.branch": "$FARMGATE_BRANCH",
                "pipeline.git.tag": "$FARMGATE_TAG",
                "pipeline.git.revision": "$FARMGATE_SHA",
                "pipeline.number": "$FARMGATE_RUN",
                "pipeline.id": "$FARMGATE_RUN",
                "pipeline.project.git_url": "",
            }
        )
        for name in self.section("orbs"):
            root.needless("orbs", f"what is used of {name} is told where it is used")
        root.take("orbs")
        workflows = root.part("workflows")
        if workflows is None:
            for name in [name for name in self.section("jobs") if name == "build"] or list(self.section("jobs")):
                self.job(name, name, ("jobs", name), {}, {})
        else:
            self.workflows(workflows)
        for draft in self.attaches:
            self.attach(draft)
        for draft in self.drafts.jobs:
            without_root(draft)
        root.close("the file")

    # --- workflows ----------------------------------------------------------------------------------------------------

    def workflows(self, workflows: Part) -> None:
        workflows.needless("version", "the version of CircleCI's own format")
        names = [name for name in workflows.names() if name != "version"]
        used: set[str] = set()
        for name in names:
            value = workflows.take(name)
            if not isinstance(value, dict):
                workflows.left(name, "a workflow that is no mapping", "write it by hand")
                continue
            flow = workflows.below(name, value)
            person = False
            if "triggers" in flow:
                flow.left("triggers", "a schedule", "start the run by `farmgate run` from a timer")
                person = True
            for key in ("when", "unless"):
                if key in flow:
                    decided = condition(filled(flow.take(key), self.shared))
                    if decided is None:
                        flow.left(key, f"the workflow's condition ({key})", "write 'when' of its jobs by hand")
                    elif decided is (key == "unless"):
                        flow.left(
                            key,
                            "a workflow that a parameter of the pipeline turns on",
                            "its jobs wait for a person here",
                        )
                        person = True
            flow.needless("max_auto_reruns", "'retry' of a job")
            made: dict[str, list[str]] = {}
            drafts: list[tuple[Draft, list[str], Part | None]] = []
            for at, one in flow.listed("jobs"):
                for draft, requires in self.invocation(flow, at, one, made, used):
                    drafts.append((draft, requires, None))
                    if person:
                        draft.when["event"] = "person"
            for draft, requires, _ in drafts:
                for required in requires:
                    for found in made.get(required, []):
                        if found != draft.name:
                            draft.needs[found] = False
                    if required not in made:
                        flow.say(
                            Kind.LEFT,
                            (*flow.at, "jobs"),
                            f"requires {required[:60]!r}, which does not run in this workflow",
                            "write 'needs' by hand",
                            key=True,
                        )
            flow.close("a workflow")
        for name in self.section("jobs"):
            if name not in used:
                self.root.say(
                    Kind.NEEDLESS, ("jobs", name), f"job {name} is in no workflow, so it never runs", key=True
                )

    def invocation(
        self, flow: Part, at: Location, one: Any, made: dict[str, list[str]], used: set[str]
    ) -> list[tuple[Draft, list[str]]]:
        name, body = next(iter(one.items())) if isinstance(one, dict) and one else (as_written(one), {})
        if not name:
            return []
        part = Part(flow.account, flow.document, (*at, name), body if isinstance(body, dict) else {})
        used.add(name)
        requires = [
            word
            for value in part.listed("requires")
            for word in (
                [value[1]] if isinstance(value[1], str) else list(value[1] or {}) if isinstance(value[1], dict) else []
            )
        ]
        called = as_written(filled(part.take("name"), self.shared)) or name
        if part.text("type") == "approval":
            draft = self.drafts.add(called)
            draft.approve = f"{called}?"
            self.places[draft.name] = flow.document.problem(at, "")
            for key in ("filters", "context"):
                part.take(key)
            made.setdefault(called, []).append(draft.name)
            return [(draft, requires)]
        for key in ("pre-steps", "post-steps"):
            if key in part:
                part.left(key, f"{key} of a workflow's job", "write them into the job")
        if "context" in part:
            part.left(
                "context",
                f"context {', '.join(part.texts('context'))[:80]}: only CircleCI knows its variables",
                "name them in 'secrets'",
            )
        when = self.filters(part)
        matrix_part = part.part("matrix")
        axes: dict[str, list[str]] = {}
        excluded: list[dict[str, str]] = []
        if matrix_part is not None:
            parameters = matrix_part.part("parameters")
            for key in parameters.names() if parameters is not None else ():
                axes[key] = (
                    [as_written(filled(word, self.shared)) or "" for _, word in parameters.listed(key)]
                    if parameters is not None
                    else []
                )
            excluded = [
                {str(k): as_written(v) or "" for k, v in value.items()}
                for _, value in matrix_part.listed("exclude")
                if isinstance(value, dict)
            ]
            alias = matrix_part.text("alias")
            called = alias or called
            matrix_part.close("a matrix")
        given = {
            key: part.take(key)
            for key in part.names()
            if key
            not in ("requires", "name", "type", "filters", "context", "matrix", "pre-steps", "post-steps", "when")
        }
        if "when" in part:
            part.left("when", "the condition of a workflow's job", "write 'when' by hand")
        draft = self.job(name, called, at, {**given}, axes, excluded)
        draft.when.update(when)
        made.setdefault(called, []).append(draft.name)
        if called != name:
            made.setdefault(name, []).append(draft.name)
        return [(draft, requires)]

    def filters(self, part: Part) -> dict[str, Any]:
        filters = part.part("filters")
        if filters is None:
            return {}
        when: dict[str, Any] = {}
        for key, ours in (("branches", "branch"), ("tags", "tag")):
            value = filters.take(key)
            if value is None:
                continue
            below = filters.below(key, value if isinstance(value, dict) else {"only": value})
            found: list[str] = []
            for word, sign in (("only", ""), ("ignore", "!")):
                for text in below.texts(word):
                    glob = "**" if text in ("/.*/", "/^.*$/", "/^.*/", "/.*") else glob_of(_whole(text))
                    if glob is None:
                        below.say(
                            Kind.LEFT,
                            (*below.at, word),
                            f"the expression {summary(text)} is no pattern",
                            "write a pattern such as release/*",
                        )
                    else:
                        found.append(sign + glob)
            when[ours] = ["**", *found] if found and all(one.startswith("!") for one in found) else found
        branch, tag = when.get("branch"), when.get("tag")
        if tag and branch == ["**", "!**"]:
            return {"event": "tag", **({} if tag == ["**"] else {"tag": tag})}
        if tag and branch:
            filters.look(
                "tags", "runs for these branches, and not for tags, here", "a job of its own with 'when: {tag: ...}'"
            )
            return {"branch": branch}
        if tag:
            return {}
        return {"branch": branch} if branch and branch != ["**"] else {}

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def job(
        self,
        name: str,
        called: str,
        at: Location,
        given: dict[str, Any],
        axes: Mapping[str, list[str]],
        excluded: Sequence[dict[str, str]] = (),
    ) -> Draft:
        value = self.section("jobs").get(name)
        account, document = self.root.account, self.root.document
        draft = self.drafts.add(called)
        self.places[draft.name] = document.problem(("jobs", name) if isinstance(value, dict) else at, "", key=True)
        with account.noting(draft.notes):
            if not isinstance(value, dict):
                known = _ORB_JOBS.get(name)
                if known is None:
                    account.say(Kind.LEFT, document, at, f"job {name[:60]} of an orb", "write what it does as steps")
                    account.step_left(f"job {name[:60]} of an orb")
                    return draft
                draft.image = known[0]
                for command in known[1]:
                    account.converted += 1
                    draft.step(command)
                account.say(Kind.LOOK, document, at, f"job {name} of an orb: its usual commands", None)
                return draft
            found = (
                [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
            )
            kept = [
                cell for cell in found if not any(all(cell.get(k) == v for k, v in entry.items()) for entry in excluded)
            ]
            folded = cells.fold([{variable_of(key): text for key, text in cell.items()} for cell in kept])
            draft.matrix = folded
            values = dict(self.shared)
            for key, parameter in (
                (value.get("parameters") or {}).items() if isinstance(value.get("parameters"), dict) else ()
            ):
                if isinstance(parameter, dict) and "default" in parameter:
                    values[f"parameters.{key}"] = parameter["default"]
            for key, text in given.items():
                values[f"parameters.{key}"] = filled(text, self.shared)
            for key in axes:
                placed = f"${{{{ matrix.{variable_of(key)} }}}}" if folded else kept[0][key] if kept else ""
                values[f"parameters.{key}"] = values[f"matrix.{key}"] = placed
            raw = filled({key: below for key, below in value.items() if key != "parameters"}, values)
            JobReader(self, draft, Part(account, document, ("jobs", name), raw), values).convert()
        return draft

    def attach(self, draft: Draft) -> None:
        """Who attaches the workspace gets the artifacts of all that came before."""
        by_name = {one.name: one for one in self.drafts.jobs}
        todo, seen = list(draft.needs), set()
        while todo:
            name = todo.pop()
            if name in seen or name not in by_name:
                continue
            seen.add(name)
            if self.keeps.get(name):
                draft.needs[name] = True
            todo += list(by_name[name].needs)


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files."""
    for document in documents:
        Config(Part(account, document, (), document.data), drafts, places).convert()
    for draft in drafts.jobs:
        if draft.rest.pop("elsewhere", False):
            draft.steps = []


def _whole(text: str) -> str:
    """An expression of CircleCI's fits the whole name."""
    regular = len(text) > 1 and text.startswith("/") and text.endswith("/")
    return f"/^{text[1:-1].removeprefix('^').removesuffix('$')}$/" if regular else text
