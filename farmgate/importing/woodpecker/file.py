"""A file of Woodpecker, and the jobs that it becomes.

Rules:
1. Steps under one condition are one job. A step under another one starts a job that needs the last job before it whose
   condition holds whenever its own does: the others may not have run.
2. `depends_on` between files is a need of the first job.

Follows "Workflow syntax" and "Workflows" of Woodpecker's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from farmgate.documents import Document
from farmgate.errors import Problem
from farmgate.importing import cells
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.draft import Draft, Drafts
from farmgate.importing.shell import summary
from farmgate.importing.woodpecker import beside, conditions, steps
from farmgate.importing.woodpecker.matrix import Matrix


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files; a file's `depends_on` names other files."""
    flows = []
    for document in documents:
        flow = Workflow(Part(account, document, (), document.data), drafts, places)
        flow.convert(several=len(documents) > 1)
        flows.append(flow)
    by_name = {flow.name: flow for flow in flows}
    for flow in flows:
        for name in flow.depends_on:  # rule 2
            before = by_name.get(PurePosixPath(name).stem)
            if before is None or before is flow:
                message = f"depends on {name[:60]!r}, which was not given"
                flow.root.left("depends_on", message, "give that file to the importer, too")
            elif flow.jobs and before.jobs:
                flow.jobs[0].needs[before.jobs[-1].name] = False
        flow.root.close("the file")


class Workflow:
    """One file."""

    def __init__(self, root: Part, drafts: Drafts, places: dict[str, Problem]) -> None:
        self.root, self.drafts, self.places = root, drafts, places
        self.name = PurePosixPath(root.document.source).stem.lstrip(".")
        self.jobs: list[Draft] = []
        self.depends_on = root.texts("depends_on")
        self.matrix = Matrix(root)

    def convert(self, *, several: bool) -> None:
        """Make the jobs; with several files each is called by its file, too."""
        root = self.root
        self._needless()
        base = self._base()
        named = [*beside.named(root, "steps"), *beside.named(root, "pipeline")]
        label = self.name if several or self.name not in ("woodpecker", "") else ""
        services = beside.services(root, self.matrix)
        for name, step in named:
            own = conditions.when(step)
            condition = {**base, **own}
            if step.flag("detach"):
                steps.detached(name, step)
                continue
            if not self.jobs or condition != self.jobs[-1].when:
                wanted = f"{label}-{name}" if label else name
                if not self.jobs and (label or len(named) == 1):
                    wanted = label
                self._start(wanted or name, step, name, condition, services)
            job = self.jobs[-1]
            with root.account.noting(job.pending):
                steps.step(job, name, step, self.matrix)

    def _needless(self) -> None:
        root = self.root
        for key in root.names():
            if key.startswith((".", "x-", "_")) or key in ("variables", "anchors"):
                root.needless(key, "a place for anchors")
        root.needless("version", "the version of Woodpecker's own format")
        root.needless("skip_clone", "the workspace is the repository")
        root.needless("clone", "the workspace is the repository at the commit")
        root.needless("workspace", "the workspace is the repository")
        labels = root.take("labels") or root.value.get("platform")
        root.take("platform")
        if labels and "amd64" not in str(labels):
            key = "labels" if "labels" in root.value else "platform"
            root.look(key, f"a machine with {summary(str(labels))}", "'labels' of a node, or a pool")

    def _base(self) -> conditions.Condition:
        """What the file's own `when` and its older spellings say of every step."""
        runs_on = self.root.texts("runs_on")
        base = conditions.when(self.root)
        for key in ("branches", "branch"):
            value = self.root.take(key)
            if value is not None:
                base["branch"] = conditions.patterns(value)
        if runs_on:
            base["result"] = conditions.result_of(runs_on)
        return base

    def _start(
        self, wanted: str, step: Part, name: str, condition: conditions.Condition, services: dict[str, Any]
    ) -> None:
        """Rule 1."""
        draft = self.drafts.add(wanted)
        self.places[draft.name] = self.root.document.problem(step.at, "", key=True)
        draft.needs = {needed.name: False for needed in self._before(condition)}
        if any(one.steps for one in self.jobs):
            message = f"step {name} is a job of its own: it runs at other times than the one before"
            self.root.say(Kind.LOOK, step.at, message, "what it takes from there as 'artifacts'", key=True)
        draft.when = condition
        draft.services = dict(services)
        draft.matrix = cells.fold(self.matrix.cells)
        self.jobs.append(draft)

    def _before(self, condition: conditions.Condition) -> list[Draft]:
        """The job that a new one follows."""
        if self.jobs and _but_result(self.jobs[-1].when) == _but_result(condition):
            return self.jobs[-1:]
        return [one for one in self.jobs if all(condition.get(key) == value for key, value in one.when.items())][-1:]


def _but_result(condition: conditions.Condition) -> conditions.Condition:
    return {key: value for key, value in condition.items() if key != "result"}
