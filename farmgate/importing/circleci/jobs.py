"""A job whose parameters are put in.

Rules:
1. The image comes first: what the steps of an orb install may be it.
2. A job on another system is not converted; each of its steps is counted as left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farmgate.importing import image_commands
from farmgate.importing.account import Part
from farmgate.importing.circleci import machine, orbs, steps
from farmgate.importing.circleci.parameters import Values
from farmgate.importing.draft import Draft

if TYPE_CHECKING:
    from farmgate.importing.circleci.file import Config


class JobReader:
    """A job that is being converted, and what its steps share."""

    def __init__(self, config: Config, draft: Draft, part: Part, values: Values) -> None:
        self.config, self.draft, self.part, self.values = config, draft, part, values
        self.account, self.document = part.account, part.document
        self.elsewhere = False  # it runs on another system than Linux
        self.exports: list[str] = []  # lines of the shell, in front of each step
        words = list(image_commands.texts(part.value.get("steps")))
        self.images = image_commands.for_job(draft, words)
        self.go_modules = any(orbs.caches_go(word) for word in words)
        self.depth = 0  # of commands that call commands

    def convert(self) -> None:
        """Make the draft."""
        part, draft = self.part, self.draft
        part.needless("description", "a description")
        part.needless("working_directory", "the workspace is the repository")
        part.needless("circleci_ip_ranges", "the addresses are the node's")
        machine.executor(self, part)
        machine.variables(part, draft.environment)
        shards = part.number("parallelism")
        if shards and shards > 1:
            draft.rest["parallel"] = min(shards, 200)
        if "branches" in part:
            part.left("branches", "branches of a job", "'when: {branch: ...}'")
        for at, one in part.listed("steps"):
            with self.account.noting(draft.pending):
                steps.step(self, at, one)
        if self.elsewhere:
            draft.steps = []
        part.close("a job")
