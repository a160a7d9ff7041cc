"""A job, once `extends`, `default` and `!reference` are followed.

Rules:
1. `before_script` and `script` run in one shell, `after_script` after them, and it never decides.
2. Variables that GitLab sets are set where a command asks for them; one that nobody sets here is told.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from farmgate.documents import as_written
from farmgate.importing import cells
from farmgate.importing.account import Kind, Part, flat
from farmgate.importing.commands import Shell, after, exports, without_root
from farmgate.importing.draft import Draft, good_variable
from farmgate.importing.gitlab import conditions, inheriting, keeps, limits, machine, variables
from farmgate.importing.gitlab.order import Made
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.gitlab.file import Pipeline


class JobReader:
    """A job with all that it takes from others."""

    def __init__(self, pipeline: Pipeline, name: str, merged: dict[str, Any]) -> None:
        self.pipeline, self.name = pipeline, name
        self.account, self.document = pipeline.account, pipeline.documents[name]
        whole = inheriting.with_defaults(merged, pipeline.raw)
        followed = inheriting.followed(whole, pipeline.raw, pipeline.account, pipeline.documents)
        self.part = Part(pipeline.account, self.document, (name,), followed)
        self.draft = pipeline.drafts.add(name)
        self.exports = [*pipeline.exports]

    def convert(self, stage: int) -> Made:
        """Make the job, and the one that asks a person, where GitLab waits for one."""
        part, draft = self.part, self.draft
        self.pipeline.places[draft.name] = self.document.problem((self.name,), "", key=True)
        made = Made(stage, draft)
        with self.account.noting(draft.notes):
            for key in ("stage", "extends", "inherit"):
                part.take(key)
            machine.image(self)
            self._variables()
            machine.beside(self)
            starts = conditions.conditions(part, draft)
            self._needs(made)
            limits.limits(part, draft)
            keeps.keeps(self)
            self._matrix()
            self._steps()
            if "trigger" in part:
                part.left(
                    "trigger", "starts another pipeline", "`farmgate run` with its repository, or jobs of this file"
                )
                self.account.step_left("starts another pipeline")
            part.close("a job")
        without_root(draft)
        if starts is conditions.Starts.BY_A_PERSON:
            made.ask = self._ask()
        elif starts is conditions.Starts.NEVER:
            draft.when = {"event": "person"}
        return made

    def _ask(self) -> Draft:
        ask = self.pipeline.drafts.add(f"start-{self.draft.name}")
        ask.approve = f"Start {self.name}?"
        ask.when = dict(self.draft.when)
        self.pipeline.places[ask.name] = self.pipeline.places[self.draft.name]
        self.draft.needs[ask.name] = False
        return ask

    def _variables(self) -> None:
        part = self.part.part("variables")
        for name in part.names() if part is not None else ():
            one = part.take(name) if part is not None else None
            text = as_written(one.get("value")) if isinstance(one, dict) else as_written(one)
            at = (*self.part.at, "variables", name)
            variables.read(self.part, at, name, text or "", self.draft.environment, self.exports)

    def _needs(self, made: Made) -> None:
        part, known = self.part, self.pipeline.raw
        if "dependencies" in part.value:
            made.dependencies = part.texts("dependencies")
        if part.value.get("needs") is None:
            part.take("needs")
            return
        needs: dict[str, bool] = {}
        for at, one in part.listed("needs"):
            said = one if isinstance(one, dict) else {"job": one}
            name = as_written(said.get("job"))
            if "pipeline" in said or "project" in said:
                part.say(Kind.LEFT, at, "needs something of another pipeline", "its artifacts by the API")
            elif name and name in known:
                wanted = made.dependencies is None or name in made.dependencies
                needs[name] = wanted if made.dependencies is not None else said.get("artifacts") is not False
            elif name and not said.get("optional"):
                part.say(Kind.LEFT, at, f"needs {name[:60]!r}, which is not a job of these files", "write it by hand")
        made.needs = needs

    def _matrix(self) -> None:
        value = self.part.take("parallel")
        if isinstance(value, int) and value > 1:
            self.draft.rest["parallel"] = min(int(value), 200)
            self.exports += [
                'export CI_NODE_TOTAL="${FARMGATE_SHARDS:-1}"',
                'export CI_NODE_INDEX="${FARMGATE_SHARD:-1}"',
            ]
        if not isinstance(value, dict):
            return
        found: list[dict[str, str]] = []
        for one in machine.matrix(value):
            axes = {
                key: [as_written(word) or "" for _, word in flat(axis, ())]
                for key, axis in one.items()
                if good_variable(key)
            }
            found += [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        names = list(dict.fromkeys(key for cell in found for key in cell))
        whole = [{name: cell.get(name, "") for name in names} for cell in found]
        self.draft.matrix = cells.fold(whole[:1000])
        for name in names:
            text = cells.value(whole, name)
            if text is not None:
                self.draft.environment[name] = text

    def _steps(self) -> None:
        part = self.part
        shell = Shell(self.document, self.account, [*self.exports])
        for key in ("before_script", "script", "after_script"):
            for at, one in flat(part.take(key), (*part.at, key)):
                command = as_written(one)
                if command is None or command.startswith("!reference ["):
                    message = f"{key}: not a command: {summary(str(one))}"
                    part.say(Kind.LEFT, at, message, "quote it if it holds ': '")
                    self.account.step_left("not a command")
                else:
                    shell.add(at, after(command) if key == "after_script" else command)
        shell.exports[:0] = exports(variables.SET, shell.words)
        known = {*variables.SET, "CI_NODE_TOTAL", "CI_NODE_INDEX"}
        for name in sorted(set(re.findall(r"\$\{?(CI_[A-Z_]+)", shell.words)) - known):
            remedy = "say its value in 'environment', or as a secret"
            part.say(Kind.LOOK, part.at, f"${name} is not set here", remedy, key=True)
        if "run" in part:
            part.left("run", "steps of GitLab's own kind", "write them as commands")
        shell.into(self.draft)
