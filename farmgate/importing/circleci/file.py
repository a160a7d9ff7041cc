"""The whole file: its parameters, its sections, and the jobs that its workflows make of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farmgate.documents import Document, Location
from farmgate.errors import Problem
from farmgate.importing import cells
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.circleci import orbs
from farmgate.importing.circleci.jobs import JobReader
from farmgate.importing.circleci.parameters import PIPELINE, body, defaults, filled
from farmgate.importing.circleci.workflows import workflows
from farmgate.importing.commands import without_root
from farmgate.importing.draft import Draft, Drafts, variable_of


@dataclass(slots=True)
class Config:
    """The file."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    shared: dict[str, Any] = field(default_factory=dict)  # parameters and values of the pipeline
    keeps: set[str] = field(default_factory=set)  # the drafts that persist something
    attaches: list[Draft] = field(default_factory=list)

    def section(self, key: str) -> dict[str, Any]:
        """`jobs`, `commands`, `executors`, ... of the file."""
        value = self.root.value.get(key)
        return value if isinstance(value, dict) else {}

    def job(
        self,
        name: str,
        called: str,
        at: Location,
        given: Mapping[str, Any],
        axes: Mapping[str, list[str]],
        excluded: Sequence[Mapping[str, str]] = (),
    ) -> Draft:
        """A job as a workflow runs it: with parameters, over a matrix of some of them."""
        value = self.section("jobs").get(name)
        draft = self.drafts.add(called)
        known = isinstance(value, dict)
        self.places[draft.name] = self.root.document.problem(("jobs", name) if known else at, "", key=True)
        with self.root.account.noting(draft.notes):
            if not isinstance(value, dict):
                self._of_orb(name, at, draft)
                return draft
            found = [dict(zip(axes, one, strict=True)) for one in itertools.product(*axes.values())] if axes else []
            kept = [
                cell for cell in found if not any(all(cell.get(k) == v for k, v in entry.items()) for entry in excluded)
            ]
            draft.matrix = cells.fold([{variable_of(key): text for key, text in cell.items()} for cell in kept])
            values = {**self.shared, **defaults(value.get("parameters"), None)}
            values.update({f"parameters.{key}": filled(text, self.shared) for key, text in given.items()})
            for key in axes:
                one = kept[0][key] if kept else ""
                placed = f"${{{{ matrix.{variable_of(key)} }}}}" if draft.matrix else one
                values[f"parameters.{key}"] = values[f"matrix.{key}"] = placed
            part = Part(self.root.account, self.root.document, ("jobs", name), body(value, values))
            JobReader(self, draft, part, values).convert()
        return draft

    def _of_orb(self, name: str, at: Location, draft: Draft) -> None:
        account, document = self.root.account, self.root.document
        if name not in orbs.JOBS:
            account.say(Kind.LEFT, document, at, f"job {name[:60]} of an orb", "write what it does as steps")
            account.step_left(f"job {name[:60]} of an orb")
            return
        draft.image, commands = orbs.JOBS[name]
        for command in commands:
            account.converted += 1
            draft.step(command)
        account.say(Kind.LOOK, document, at, f"job {name} of an orb: its usual commands", None)


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files."""
    for document in documents:
        _convert(Config(Part(account, document, (), document.data), drafts, places))


def _convert(config: Config) -> None:
    root = config.root
    for key in root.names():
        if key.startswith(("x-", ".", "_")) or key in ("defaults", "references", "aliases", "anchors", "templates"):
            root.needless(key, "a place for anchors")
    root.needless("version", "the version of CircleCI's own format")
    for key in ("commands", "executors", "jobs"):
        root.take(key)
    if root.flag("setup"):
        root.left("setup", "a file that computes the file", "a job that emits jobs: 'emits'")
    config.shared = {f"parameters.{name}": "" for name in config.section("parameters")}
    config.shared.update(defaults(root.take("parameters")))
    if config.shared:
        root.look("parameters", "parameters of the pipeline have their defaults here")
    config.shared.update(PIPELINE)
    for name in config.section("orbs"):
        root.needless("orbs", f"what is used of {name} is told where it is used")
    root.take("orbs")
    flows = root.part("workflows")
    if flows is not None:
        workflows(config, flows)
    else:
        jobs = config.section("jobs")
        for name in ["build"] if "build" in jobs else jobs:
            config.job(name, name, ("jobs", name), {}, {})
    for draft in config.attaches:
        _attach(config, draft)
    for draft in config.drafts.jobs:
        without_root(draft)
    root.close("the file")


def _attach(config: Config, draft: Draft) -> None:
    """Who attaches the workspace gets the artifacts of all that came before."""
    by_name = {one.name: one for one in config.drafts.jobs}
    todo, seen = list(draft.needs), set()
    while todo:
        name = todo.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        if name in config.keeps:
            draft.needs[name] = True
        todo += list(by_name[name].needs)
