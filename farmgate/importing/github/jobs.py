"""GitHub Actions: a job.

Rules:
1. What the matrix, `env` and `if` say is put into our words; what only GitHub can answer is left, with its place.
2. The matrix comes first, then the machine, then variables: each may name what came before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farmgate.importing import image_commands
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import without_root
from farmgate.importing.draft import Draft
from farmgate.importing.github import conditions, environment, expressions, limits, machine, matrix
from farmgate.importing.github.names import Scope
from farmgate.importing.github.steps import Step
from farmgate.importing.github.trees import Unsaid

if TYPE_CHECKING:
    from farmgate.importing.github.file import Workflow


class JobReader:
    """A job that is being converted, and what its steps share."""

    def __init__(self, flow: Workflow, name: str, draft: Draft) -> None:
        self.flow, self.name, self.draft = flow, name, draft
        self.account = flow.root.account
        self.document = flow.root.document
        self.part = Part(self.account, self.document, ("jobs", name), flow.root.value["jobs"][name])
        self.scope = Scope(environment={}, secret=self._secret)
        self.language: str | None = None  # what the image brings along, once an action says so
        self.elsewhere = False  # it runs on another system than Linux
        self.exports: list[str] = []  # lines of the shell, in front of each step
        self.defaults: dict[str, str] = {}  # shell and working-directory of its steps
        self.handed: set[str] = set()  # files that earlier steps handed values on by
        self.images = image_commands.for_job(draft, image_commands.texts(self.part.value.get("steps")))

    def _secret(self, name: str) -> None:
        self.draft.secrets[name] = name

    def value(self, text: str) -> str | None:
        """A value that no shell reads, with its expressions put in; None if they cannot be."""
        try:
            return expressions.in_value(text, self.scope)
        except Unsaid:
            return None

    def convert(self) -> None:
        """Make the draft."""
        if not self.flow.starts.sees:
            self._keep_there()
            return
        self.draft.when = dict(self.flow.starts.when)
        if "uses" in self.part:
            self._reusable()
        self._needs()
        matrix.matrix(self)
        machine.machine(self)
        environment.environment(self)
        machine.beside(self)
        conditions.condition(self)
        limits.limits(self)
        for at, value in self.part.listed("steps"):
            step = self.part.at_part(at, value)
            if step is not None:
                with self.account.noting(self.draft.pending):
                    Step(self, step).convert()
        without_root(self.draft)
        self.part.close("a job")

    def _keep_there(self) -> None:
        for _ in range(max(1, len(self.part.listed("steps")))):
            self.account.step_left("a workflow that the forge starts")
        for key in self.part.names():
            self.part.take(key)
        message = f"job {self.name}: nothing that Farmgate sees starts this workflow"
        self.part.say(Kind.LEFT, self.part.at, message, "keep it where it is", key=True)

    def _reusable(self) -> None:
        uses = str(self.part.take("uses"))
        self.part.left("uses", f"a reusable workflow: {uses[:80]}", "write its jobs by hand, or as a template")
        self.account.step_left("a reusable workflow")
        for key in ("with", "secrets", "if", "strategy", "permissions", "name", "concurrency"):
            self.part.take(key)

    def _needs(self) -> None:
        for name in self.part.texts("needs"):
            needed = self.flow.named.get(name)
            if needed is None:
                self.part.left("needs", f"needs {name[:60]!r}, which is not a job of this file", "write it by hand")
            else:
                self.draft.needs[needed.name] = False
