"""GitHub Actions: a step.

Rules:
1. `if` is the first line of the commands: a step whose condition is not met ends well. One that can never be true on
   Linux is not written; one that runs after a failure is left.
2. `run` becomes commands, `uses` what `farmgate.importing.github.actions` knows of it.
3. Files that hand values on (GITHUB_ENV, GITHUB_PATH, GITHUB_OUTPUT) lie in the job's temporary folder.
4. A step is converted if all of it is; else it is counted with the first reason.

Follows "Workflow syntax" (`steps`) and "Workflow commands" of the documentation of GitHub Actions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import event, exports, forgiven, ready
from farmgate.importing.draft import Draft, name_of, pattern_of
from farmgate.importing.github import actions, expressions
from farmgate.importing.github.environment import variables
from farmgate.importing.github.expressions import REMEDY, has
from farmgate.importing.github.matrix import ELSEWHERE
from farmgate.importing.github.trees import Unsaid, ands, parse, shown
from farmgate.importing.shell import BASH, shell_for, summary

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader

_OLD_STATE: Final = re.compile(
    r"GITHUB_STATE\b|::set-output|::add-path|::set-env|::save-state|<<\s*EOF\"?\s*>>\s*\"?\$\{?GITHUB"
)


_HANDED: Final[Mapping[str, str]] = {
    "GITHUB_ENV": """while IFS= read -r line; do export "$line"; done <"$TMPDIR/env.out\"""",
    "GITHUB_PATH": """while IFS= read -r line; do export PATH="$line:$PATH"; done <"$TMPDIR/path.out\"""",
}


_EXPORTED: Final = {
    "GITHUB_SHA": "$FARMGATE_SHA",
    "GITHUB_REF": "$FARMGATE_REF",
    "GITHUB_REF_NAME": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "GITHUB_REPOSITORY": "$FARMGATE_REPOSITORY",
    "GITHUB_WORKSPACE": "$FARMGATE_WORKSPACE",
    "GITHUB_RUN_ID": "$FARMGATE_RUN",
    "GITHUB_RUN_NUMBER": "$FARMGATE_RUN",
    "GITHUB_EVENT_NAME": event(tag="push", pull="pull_request", person="workflow_dispatch"),
    "RUNNER_OS": "Linux",
    "RUNNER_TEMP": "$TMPDIR",
    "GITHUB_JOB": "$FARMGATE_JOB",
    "GITHUB_ACTIONS": "true",
    "GITHUB_HEAD_REF": "$FARMGATE_BRANCH",
    "GITHUB_STEP_SUMMARY": "/dev/null",
}
_OUTCOMES: Final = ("always()", "!cancelled()", "failure()", "success()")
_LATE: Final = ("actions/upload-artifact", "mikepenz/", "dorny/", "enricomi/", "EnricoMi/")  # read what a failure left


class Step:
    """A step that is being converted: what an action sees of its job (`actions.Job`)."""

    def __init__(self, job: JobReader, part: Part) -> None:
        self.job, self.part = job, part
        self.lost = ELSEWHERE if job.elsewhere else ""  # why it is not converted
        self.guard = ""  # a line of the shell (rule 1)
        self.forgiven = False  # its failure does not decide
        self.exports: list[str] = []
        self.environment: dict[str, str] = {}
        self.id = part.text("id")
        self.name = part.text("name")
        if self.name and has(self.name):
            self.name = re.sub(r"\s+", " ", re.sub(r"\$\{\{.*?\}\}", "", self.name)).strip() or None

    @property
    def draft(self) -> Draft:
        """The job that is being made."""
        return self.job.draft

    @property
    def language(self) -> str | None:
        """What the job's image brings along."""
        return self.job.language

    @language.setter
    def language(self, language: str | None) -> None:
        self.job.language = language

    def value(self, text: str) -> str | None:
        """A value with its expressions put in; None if they cannot be."""
        return self.job.value(text)

    def run(self, command: str, **more: str) -> None:
        """Add commands, which may hold expressions."""
        try:
            text = expressions.in_command(command, self.job.scope)
        except Unsaid as unsaid:
            self.lost = f"{unsaid} in a command"
            self.part.say(Kind.LEFT, self.part.at, self.lost, REMEDY)
            return
        self._add(text, **more)

    def producer(self, name: str) -> list[str]:
        """The jobs of this workflow that upload an artifact of this name."""
        flow, wanted = self.job.flow, re.sub(r"\$\{\{.*?\}\}", "*", name)
        fits = [job for called, jobs in flow.uploads.items() if not wanted or _alike(called, wanted) for job in jobs]
        return list(dict.fromkeys(flow.named[job].name for job in fits if job != self.job.name))

    def convert(self) -> None:
        """Add it to the job, and count it (rule 4)."""
        step, account = self.part, self.job.account
        kept, guards = self._condition()
        env = step.part("env")
        if env is not None and not variables(self.job, env, self.environment, self.exports):
            self.lost = self.lost or "a variable that only GitHub knows"
        self.forgiven = self._forgiven()
        if "timeout-minutes" in step:
            step.needless("timeout-minutes", "the job has a time limit")
        before = account.converted
        if not kept or "false" in guards:
            for key in ("run", "uses", "with", "shell", "working-directory"):
                step.take(key)
        elif "run" in step:
            self._run()
        elif "uses" in step:
            self._uses()
        else:
            self._left(step.at, "a step without run or uses", "write it by hand", "without run or uses")
        step.close("a step")
        account.converted = before
        if self.lost:
            account.step_left(self.lost)
        else:
            account.converted += 1

    def _left(self, key: object, message: str, remedy: str, why: str) -> bool:
        """The step is not converted: False."""
        if isinstance(key, str):
            self.part.left(key, message, remedy)
        else:
            self.part.say(Kind.LEFT, self.part.at, message, remedy)
        self.lost = why
        return False

    def _forgiven(self) -> bool:
        text = self.part.text("continue-on-error") or "false"
        value = self.value(text)
        if value is None or "${{" in value:
            remedy = "a job of its own with 'allow_failure: true'"
            why = "whether its failure decides is computed"
            return self._left("continue-on-error", f"{why}: {summary(text)}", remedy, why)
        return value.lower() == "true"

    def _condition(self) -> tuple[bool, list[str]]:
        """Rule 1: whether the step can be kept, and what must hold, as commands of the shell."""
        text = self.part.text("if")
        if text is None:
            return True, []
        inside = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", text, flags=re.DOTALL)
        try:
            asked = ands(parse(inside))
            rest = [one for one in asked if shown(one) not in _OUTCOMES]
            tests = [expressions.test(one, self.job.scope) for one in rest]
        except Unsaid as unsaid:
            remedy = "write it by hand: 'if' in the commands, or 'when' of a job"
            return self._left(
                "if", f"the step's condition: {unsaid}", remedy, "a condition that only GitHub can answer"
            ), []
        late = len(rest) < len(asked) and "success()" not in inside
        if late and not str(self.part.value.get("uses", "")).startswith(_LATE):
            message = f"a step that runs after a failure: {summary(inside)}"
            remedy = "a job that needs this one, with 'when: {result: always}'"
            return self._left("if", message, remedy, "runs after a failure"), []
        if "false" in tests:
            self.part.needless("if", "never true on Linux: the step is not written")
            return True, tests
        said = " && ".join(
            one if " && " not in one and " || " not in one else f"{{ {one}; }}" for one in tests if one != "true"
        )
        if said:
            self.guard = f"if ! {{ {said}; }}; then echo 'left out: its condition is not met'; exit 0; fi"
        return True, tests

    def _run(self) -> bool:
        step, scope = self.part, self.job.scope
        command = step.text("run") or ""
        shell = step.text("shell") or self.job.defaults.get("shell")
        folder = step.text("working-directory") or self.job.defaults.get("working-directory")
        if not command.strip():
            return self._left("run", "a step without commands", "write it by hand", "without commands")
        if _OLD_STATE.search(command):
            message = "a step that hands a value to later steps by ::set-output and its like"
            remedy = "a file of the workspace, read in the later step"
            return self._left("run", message, remedy, "hands values to later steps")
        try:
            text = expressions.in_command(command, scope)
            where = expressions.in_value(folder, scope) if folder else None
        except Unsaid as unsaid:
            asked = str(unsaid)
            why = "an expression that only GitHub can answer"
            if "." in asked:
                why = f"asks for {asked[4:-3].split('.', maxsplit=1)[0]}"
            return self._left("run", f"{unsaid} in a command", REMEDY, why)
        more: dict[str, str] = {}
        if where:
            found = pattern_of(where.rstrip("/") or ".")
            if found is None:
                message = f"folder {where[:60]}"
                why = "works outside of the workspace"
                return self._left("working-directory", message, "a folder of the workspace", why)
            if found != "**":
                more["working_directory"] = found
        if shell in ("pwsh", "powershell", "cmd"):
            remedy = "write the commands for sh, or use an image that has it"
            return self._left("shell", f"shell {shell}", remedy, f"shell {shell}")
        if shell and not shell.startswith(("bash", "sh")):
            more["shell"] = "python3" if shell == "python" else shell.replace(" {0}", "").strip()
        elif shell_for(text):
            more["shell"] = BASH
        self._add(text, **more)
        return True

    def _uses(self) -> bool:
        step = self.part
        uses = step.text("uses") or ""
        name, version = actions.key_of(uses)
        value = step.take("with")
        given = step.below("with", value if isinstance(value, dict) else {})
        if name in actions.NEEDLESS:
            step.needless("uses", f"{name}: {actions.NEEDLESS[name]}")
            return True
        convert = actions.KNOWN.get(name)
        if convert is None:
            return self._unknown(uses, name)
        given.value = {**actions.told_by_version(name, version), **given.value}
        if name == "actions/checkout":
            step.needless("uses", "actions/checkout: the workspace is the repository at the commit")
        good = convert(given, self)
        if name == "actions/upload-artifact" and self.draft.artifacts:
            condition = str(step.value.get("if", ""))
            for word, when in (("always()", "always"), ("failure()", "failed")):
                if word in condition:
                    self.draft.artifacts[-1]["when"] = when
        given.close(f"with of {name}")
        if not good:
            self.lost = self.lost or f"something of {name}"
        return good

    def _unknown(self, uses: str, name: str) -> bool:
        remedy = actions.remedy_of(name) or "write what it does as commands"
        if uses.startswith("./"):
            return self._left("uses", what := "an action of this repository", remedy, what)
        if uses.startswith("docker://"):
            return self._left("uses", what := "an image as an action", remedy, what)
        return self._left("uses", f"action {name[:60]}", remedy, f"action {name}")

    def _add(self, text: str, **more: str) -> None:
        if self.lost == ELSEWHERE:
            return
        job, account = self.job, self.job.account
        before = len(account.left_steps)
        kept = ready(account, job.document, self.part.at, text.strip("\n"), own_words=True, images=job.images)
        if len(account.left_steps) > before:
            self.lost = account.left_steps.pop()
        if kept is None:
            return
        kept = kept if kept.strip() else ":"  # of a matrix's value that no combination says nothing is left to do
        first: list[str] = []
        plain = more.get("shell", "sh").split()[0] in ("sh", "bash")
        if self.forgiven and not plain:
            self._left(
                "continue-on-error", "a failure that does not decide, of another shell", "catch it there", "shell"
            )
            return
        if plain:
            first = [*self._handed(kept), *exports(_EXPORTED, kept), *job.exports, *self.exports]
            if self.guard:
                first.append(self.guard)
        name = more.pop("name", None) or self.name
        if (first or self.forgiven) and not name:
            name = summary(kept.strip().splitlines()[0])
        kept = forgiven(kept) if self.forgiven else kept
        self.draft.step("\n".join([*first, kept]), name=name, **more, environment=dict(self.environment))

    def _handed(self, text: str) -> list[str]:
        """Rule 3."""
        lines = []
        for name, read in _HANDED.items():
            if name in self.job.handed:
                lines.append(read)
            if name in text:
                lines.append(f'export {name}="$TMPDIR/{name[7:].lower()}.out"')
                self.job.handed.add(name)
        if "GITHUB_OUTPUT" in text:
            called = name_of(self.id or "step")
            lines.append(f'export GITHUB_OUTPUT="$TMPDIR/{called}.out"')
            if self.id == called:
                self.job.scope.steps.add(called)
        return lines


def _alike(called: str, wanted: str) -> bool:
    one = re.escape(called).replace(r"\*", ".*")
    two = re.escape(wanted).replace(r"\*", ".*")
    return bool(re.fullmatch(one, wanted) or re.fullmatch(two, called))
