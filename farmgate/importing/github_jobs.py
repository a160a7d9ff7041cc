"""GitHub Actions: a job and its steps.

Rules:
1. What the matrix, `env` and `if` say is put into our words; what only GitHub can answer is left, with its place.
2. Actions are converted by `farmgate.importing.actions`; files that hand values on lie in the job's temporary folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing import actions, cells, expressions, image_commands, images, services
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import ready, without_root
from farmgate.importing.draft import (
    Draft,
    duration_of,
    good_image,
    good_variable,
    name_of,
    pattern_of,
    put_variables,
)
from farmgate.importing.expressions import Scope, Unsaid, has
from farmgate.importing.shell import BASH, shell_for, summary

if TYPE_CHECKING:
    from farmgate.importing.github import Workflow

_REMEDY: Final = "write it by hand: only GitHub knows this"
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
    "GITHUB_EVENT_NAME": "$FARMGATE_TRIGGER",
    "RUNNER_OS": "Linux",
    "RUNNER_TEMP": "$TMPDIR",
    "GITHUB_JOB": "$FARMGATE_JOB",
    "GITHUB_ACTIONS": "true",
    "GITHUB_HEAD_REF": "$FARMGATE_BRANCH",
    "GITHUB_STEP_SUMMARY": "/dev/null",
}


def concurrency(part: Part) -> dict[str, Any]:
    value = part.take("concurrency")
    if value is None:
        return {}
    below = part.below("concurrency", value) if isinstance(value, dict) else None
    group = (below.text("group") if below else as_written(value)) or "ci"
    cancel = below.flag("cancel-in-progress") or has(str(below.value.get("cancel-in-progress", ""))) if below else False
    by_ref = "github.ref" in group or "head_ref" in group or "github.event.pull_request" in group
    plain = re.sub(r"-{2,}", "-", re.sub(r"\$\{\{.*?\}\}", "", group)).strip("-_/ ") or "ci"
    if by_ref and cancel:
        part.needless("concurrency", "superseded runs of a ref are cancelled by themselves")
        return {}
    made: dict[str, Any] = {"group": plain}
    if cancel:
        made["when_full"] = "cancel_older"
    if by_ref:
        made["scope"] = "ref"
    return made


def permissions(part: Part) -> bool:
    value = part.take("permissions")
    if isinstance(value, dict):
        identity = str(value.get("id-token")) == "write"
        part.needless("permissions", "a job has no rights at the forge")
        return identity
    part.needless("permissions", "a job has no rights at the forge")
    return False


class JobReader:
    """A job that is being converted. Fits `actions.Job`."""

    def __init__(self, flow: Workflow, name: str, draft: Draft, flows: Sequence[Workflow]) -> None:
        self.flow = flow
        self.account = flow.root.account
        self.document = flow.root.document
        self.draft = draft
        self.language: str | None = None
        self.name = name
        self.part = Part(self.account, self.document, ("jobs", name), flow.root.value["jobs"][name])
        self.scope = Scope(environment={}, secret=self._secret)
        self.exports: list[str] = []
        self.step_exports: list[str] = []
        self.step_at: Location = self.part.at
        self.guard = ""
        self.step_name: str | None = None
        self.defaults: dict[str, str] = {}
        self.lost = ""
        self.step_id: str | None = None
        self.never = False
        self.handed: set[str] = set()
        self.images = image_commands.for_job(draft, image_commands.texts(self.part.value.get("steps")))

    def _secret(self, name: str) -> None:
        self.draft.secrets[name] = name

    # --- what actions ask for

    def run(self, command: str, **more: str) -> None:
        try:
            text = expressions.in_command(command, self.scope)
        except Unsaid as unsaid:
            self.lost = f"{unsaid} in a command"
            self.part.say(Kind.LEFT, self.step_at, self.lost, _REMEDY)
            return
        self._add(text, **more)

    def value(self, text: str) -> str | None:
        try:
            return expressions.in_value(text, self.scope)
        except Unsaid:
            return None

    def producer(self, name: str) -> list[str]:
        wanted = re.sub(r"\$\{\{.*?\}\}", "*", name)
        fits = [jobs for called, jobs in self.flow.uploads.items() if not wanted or _alike(called, wanted)]
        return list(
            dict.fromkeys(
                self.flow.named[job].name
                for jobs in fits
                for job in jobs
                if job != self.name and job in self.flow.named
            )
        )

    # --- the job

    def convert(self) -> None:
        part, draft = self.part, self.draft
        if not self.flow.starts:
            for _ in range(max(1, len(part.listed("steps")))):
                self.account.step_left("a workflow that the forge starts")
            for key in part.names():
                part.take(key)
            part.say(
                Kind.LEFT,
                part.at,
                f"job {self.name}: nothing that Farmgate sees starts this workflow",
                "keep it where it is",
                key=True,
            )
            return
        draft.when = dict(self.flow.when)
        if "uses" in part:
            part.left(
                "uses",
                f"a reusable workflow: {str(part.take('uses'))[:80]}",
                "write its jobs by hand, or as a template",
            )
            self.account.step_left("a reusable workflow")
            for key in ("with", "secrets", "if", "strategy", "permissions", "name", "concurrency"):
                part.take(key)
        self._needs()
        self._matrix()
        self._machine()
        self._environment()
        self._services()
        self._condition()
        self._limits()
        steps = part.listed("steps")
        for at, value in steps:
            step = part.at_part(at, value)
            if step is not None:
                with self.account.noting(self.draft.pending):
                    self._step(step)
        without_root(draft)
        part.close("a job")

    def _needs(self) -> None:
        for name in self.part.texts("needs"):
            needed = self.flow.named.get(name)
            if needed is None:
                self.part.left("needs", f"needs {name[:60]!r}, which is not a job of this file", "write it by hand")
            else:
                self.draft.needs[needed.name] = False

    def _matrix(self) -> None:
        strategy = self.part.part("strategy")
        if strategy is None:
            return
        at_once = strategy.text("max-parallel")
        strategy.needless("fail-fast", "each combination is a job of its own, and tells for itself")
        value = strategy.take("matrix")
        strategy.close("strategy")
        if value is None:
            return
        if not isinstance(value, dict):
            self.part.say(
                Kind.LEFT,
                (*strategy.at, "matrix"),
                "a matrix that is computed",
                "write its values, or let a job emit jobs",
            )
            return
        matrix = strategy.below("matrix", value)
        axes: dict[str, list[dict[str, str]]] = {}
        for key in matrix.names():
            if key in ("include", "exclude"):
                continue
            axes[key] = self._axis(matrix, key)
        include = [self._entry(matrix, at, one, "") for at, one in matrix.listed("include") if isinstance(one, dict)]
        exclude = [self._entry(matrix, at, one, "") for at, one in matrix.listed("exclude") if isinstance(one, dict)]
        found = _unfold(axes, include, exclude)
        kept = [cell for cell in found if not _elsewhere(cell, self.part.value.get("runs-on"))]
        gone = len(found) - len(kept)
        if gone:
            matrix.say(
                Kind.LEFT,
                matrix.at,
                f"{gone} combinations on other systems than Linux",
                "nodes run Linux containers: keep those where they are",
                key=True,
            )
            if not kept:
                self.account.step_left("runs on another system")
        if not kept:
            return
        everywhere = set.intersection(*(set(cell) for cell in kept))
        names = list(dict.fromkeys(key for cell in kept for key in cell))
        cells_ = [{name: cell.get(name, "") for name in names} for cell in kept]
        constant = {name: cells_[0][name] for name in names if len({cell[name] for cell in cells_}) == 1}
        used = [{key: text for key, text in cell.items() if key not in constant} for cell in cells_]
        used = [cell for cell in used if not any(len(text) > 1000 or "\0" in text for text in cell.values())]
        self.scope.constants = {**constant, **{name.replace("_", "-"): text for name, text in constant.items()}}
        self.scope.matrix = {
            written: here for here in (used[0] if used else {}) for written in _spellings(here, matrix)
        }
        self.draft.matrix = cells.fold(used)
        if not self.draft.matrix:
            self.scope.constants = (
                {**self.scope.constants, **{written: used[0][here] for written, here in self.scope.matrix.items()}}
                if used
                else {}
            )
            self.scope.matrix = {}
        elif at_once and at_once.isdigit() and int(at_once) > 0:
            self.draft.matrix["at_once"] = int(at_once)
        del everywhere

    def _axis(self, matrix: Part, key: str) -> list[dict[str, str]]:
        found = []
        value = matrix.value[key]
        if isinstance(value, str) and has(value):
            matrix.left(key, f"axis {key} is computed", "write its values, or let a job emit jobs")
            return []
        for at, one in matrix.listed(key):
            found.append(self._entry(matrix, at, {key: one}, ""))
        return found

    def _entry(self, matrix: Part, at: Location, value: Mapping[str, Any], above: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, one in value.items():
            name = expressions.matrix_name(f"{above}{key}")
            if isinstance(one, dict):
                found.update(self._entry(matrix, at, one, f"{above}{key}."))
            elif isinstance(one, list):
                found[name] = " ".join(as_written(word) or "" for word in one)
            else:
                text = as_written(one) or ""
                if has(text):
                    matrix.say(
                        Kind.LEFT, at, f"a value of the matrix that is computed: {summary(text)}", "write it by hand"
                    )
                    continue
                found[name] = text
        return found

    def _machine(self) -> None:
        part = self.part
        words = part.texts("runs-on") if not isinstance(part.value.get("runs-on"), dict) else []
        if isinstance(part.value.get("runs-on"), dict):
            part.left("runs-on", "a group of machines", "name a pool: 'pool: ...'")
        for word in words:
            try:
                text = expressions.in_value(word, self.scope)
            except Unsaid as unsaid:
                part.left("runs-on", f"a machine that is computed: {unsaid}", "name the image")
                continue
            if text.startswith(("macos", "windows")):
                part.left("runs-on", f"a job on {text[:40]}", "nodes run Linux containers: keep that job where it is")
                self.lost = "runs on another system"
            elif (
                "${{" not in text
                and not text.startswith("ubuntu")
                and text not in ("self-hosted", "linux", "Linux", "X64", "x64")
            ):
                part.look("runs-on", f"a machine called {text[:40]!r}", "name a pool: 'pool: ...'")
            self.draft.image = images.UBUNTU.get(text.removeprefix("ubuntu-"), images.PLAIN)
        container = part.take("container")
        if container is not None:
            below = part.below("container", container if isinstance(container, dict) else {"image": container})
            image = below.text("image") if isinstance(container, dict) else as_written(container)
            named = self.value(image or "")
            if named and good_image(named):
                self.draft.image, self.language = named, "container"
            else:
                part.left("container", f"container {str(image)[:60]}", "name the image")
            env = below.part("env")
            if env is not None:
                self._variables(env, self.draft.environment, self.exports)
            for key in ("options", "volumes", "ports", "credentials"):
                below.left(
                    key, f"{key} of the container", "limits are 'memory' and 'cpus'"
                ) if key in below and isinstance(container, dict) else None
            if isinstance(container, dict):
                below.close("container")

    def _variables(self, env: Part, into: dict[str, str], exports: list[str]) -> None:
        good: dict[str, str] = {}
        for key in env.names():
            text = as_written(env.take(key)) or ""
            secret = expressions.only_secret(text)
            if secret and good_variable(key):
                self.draft.secrets[key] = secret
                if secret == "GITHUB_TOKEN":  # noqa: S105 the name of one
                    env.look(key, "a token of GitHub's own", "make a secret GITHUB_TOKEN where it is still wanted")
                continue
            try:
                good[key] = expressions.in_value(text, self.scope)
                continue
            except Unsaid:
                pass
            try:
                said = expressions.in_command(text, self.scope)
            except Unsaid as unsaid:
                env.left(key, f"variable {key[:60]}: {unsaid}", _REMEDY)
                continue
            if good_variable(key) and "\n" not in said:
                exports.append(
                    'export {}="{}"'.format(key, said.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`"))
                )
        put_variables(into, good, lambda name, why: env.left(name, why, "rename it"))

    def _environment(self) -> None:
        root_env = self.flow.root.value.get("env")
        if isinstance(root_env, dict):
            self._variables(self.flow.root.below("env", root_env), self.draft.environment, self.exports)
        env = self.part.part("env")
        if env is not None:
            self._variables(env, self.draft.environment, self.exports)
        self.scope.environment = self.draft.environment
        for part in (self.flow.root, self.part):
            defaults = part.part("defaults")
            run = defaults.part("run") if defaults is not None else None
            if defaults is not None and run is not None:
                for key in ("shell", "working-directory"):
                    if key in run:
                        self.defaults[key] = run.text(key) or ""
                run.close("defaults.run")
                defaults.close("defaults")

    def _services(self) -> None:
        part = self.part.part("services")
        for name in part.names() if part is not None else ():
            value = part.take(name) if part is not None else None
            if not isinstance(value, dict) or part is None:
                continue
            service = part.below(name, value)
            image = self.value(service.text("image") or "")
            if not image or not good_image(image):
                service.left("image", f"the image of service {name}", "name it by hand")
                continue
            made: dict[str, Any] = {"image": image}
            env = service.part("env")
            if env is not None:
                found: dict[str, str] = {}
                for key in env.names():
                    text = self.value(as_written(env.take(key)) or "")
                    if text is None:
                        env.left(key, f"variable {key} of service {name}", "write it by hand")
                    else:
                        put_variables(found, {key: text}, partial(_renamed, env))
                made["environment"] = found
            options = service.text("options") or ""
            made["health"] = _health(options, image)
            rest = re.sub(r"--health-[a-z-]+[ =]+(?:\"[^\"]*\"|'[^']*'|\S+)", "", options).replace("\\", " ").strip()
            if rest:
                service.left("options", f"options of service {name}: {summary(rest)}", "limits are 'memory' and 'cpus'")
            if "ports" in service:
                service.look("ports", f"the service is reached as {name_of(name)}, at its own port, not at localhost")
            for key in ("volumes", "credentials"):
                if key in service:
                    service.left(key, f"{key} of service {name}", "an image that has it")
            service.close("a service")
            self.draft.services[name_of(name)] = {key: value for key, value in made.items() if value}

    def _condition(self) -> None:
        text = self.part.text("if")
        if text is None:
            return
        inside = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", text, flags=re.DOTALL)
        try:
            tree = expressions.parse(inside)
        except Unsaid:
            self.part.left("if", f"condition {summary(text)}", "write 'when' by hand")
            return
        for one in _ands(tree):
            if not self._when(one):
                self.part.left("if", f"condition {summary(expressions.shown(one))}", "write 'when' by hand")

    def _when(self, tree: expressions.Tree) -> bool:
        said = expressions.shown(tree)
        when = self.draft.when
        if expressions.truth(tree, self.scope) is True:
            return True
        if said in ("always()", "!cancelled()"):
            when["result"] = "always"
            return True
        if said == "failure()":
            when["result"] = "failed"
            return True
        if re.fullmatch(r"github\.repository(?:_owner)? == '[^']*'", said) or "fork" in said:
            self.part.needless("if", "runs of forks get no secrets, and a farm builds its own repositories")
            return True
        kind, parts = tree
        options = [expressions.shown(part) for part in parts] if kind == "||" else [said]
        found: dict[str, list[str]] = {}
        for option in options:
            match = re.fullmatch(r"(github\.[a-z_]+) (==|!=) '([^']*)'", option)
            starts = re.fullmatch(r"startswith\((github\.ref), '([^']*)'\)", option)
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

    def _limits(self) -> None:
        part = self.part
        name = part.text("name")
        del name
        minutes = part.number("timeout-minutes") if not has(str(part.value.get("timeout-minutes", ""))) else None
        if minutes:
            self.draft.timeout = duration_of(minutes * 60)
        elif "timeout-minutes" in part:
            part.left("timeout-minutes", "a timeout that is computed", "write it by hand")
        text = part.text("continue-on-error")
        if text is not None and text.lower() == "true":
            self.draft.rest["allow_failure"] = True
        elif text is not None and has(text):
            part.left(
                "continue-on-error",
                "whether a failure decides is computed",
                "a job of its own with 'allow_failure: true'",
            )
        group = concurrency(part) or self.flow.concurrency
        if group:
            self.draft.rest["concurrency"] = group
        if permissions(part) or self.flow.identity:
            self.draft.rest["identity"] = {"ID_TOKEN": "farmgate"}
            part.say(
                Kind.LOOK,
                part.at,
                "an identity token, as ID_TOKEN",
                "name the audience that your cloud wants",
                key=True,
            )
        environment = part.take("environment")
        if environment is not None:
            named = self.value(str(environment.get("name", "")) if isinstance(environment, dict) else str(environment))
            if named and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name_of(named)):
                self.draft.rest["deploys_to"] = name_of(named)
            else:
                part.left("environment", "an environment that is computed", "'deploys_to'")
        if "outputs" in part:
            part.left("outputs", "outputs of a job", "a file in 'artifacts', read by the job that needs it")

    # --- steps

    def _step(self, step: Part) -> None:
        self.step_at, self.lost = step.at, "runs on another system" if self.lost == "runs on another system" else ""
        self.step_id = step.text("id")
        self.step_name = step.text("name")
        if self.step_name and has(self.step_name):
            self.step_name = re.sub(r"\s+", " ", re.sub(r"\$\{\{.*?\}\}", "", self.step_name)).strip() or None
        self.never = False
        keeps = self._guard(step)
        environment: dict[str, str] = {}
        self.step_exports = []
        env = step.part("env")
        if env is not None:
            self._variables(env, environment, self.step_exports)
        if step.flag("continue-on-error"):
            self.step_exports.append("# CHECK(import): its failure did not decide\nset +e")
        minutes = step.take("timeout-minutes")
        if minutes is not None:
            step.needless("timeout-minutes", "the job has a time limit")
        self.step_environment = environment
        before = self.account.converted
        done = keeps
        if not keeps or self.never:
            for key in ("run", "uses", "with", "shell", "working-directory"):
                step.take(key)
        elif "run" in step:
            done = self._run(step)
        elif "uses" in step:
            done = self._uses(step)
        else:
            step.say(Kind.LEFT, step.at, "a step without run or uses", "write it by hand")
            done, self.lost = False, "without run or uses"
        step.close("a step")
        self.account.converted = before
        if done and not self.lost:
            self.account.converted += 1
        else:
            self.account.step_left(self.lost or "a condition that 'when' cannot say")

    def _guard(self, step: Part) -> bool:
        """What the step's `if` becomes; False if the step cannot be kept."""
        self.guard = ""
        text = step.text("if")
        if text is None:
            return True
        inside = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", text, flags=re.DOTALL)
        uses = str(step.value.get("uses", ""))
        try:
            tree = expressions.parse(inside)
            rest = [
                one
                for one in _ands(tree)
                if expressions.shown(one) not in ("always()", "!cancelled()", "failure()", "success()")
            ]
            late = len(rest) < len(_ands(tree)) and "success()" not in inside
            tests = [expressions.test(one, self.scope) for one in rest]
        except Unsaid as unsaid:
            step.left(
                "if", f"the step's condition: {unsaid}", "write it by hand: 'if' in the commands, or 'when' of a job"
            )
            self.lost = "a condition that only GitHub can answer"
            return False
        if late and not uses.startswith(("actions/upload-artifact", "mikepenz/", "dorny/", "enricomi/", "EnricoMi/")):
            step.left(
                "if",
                f"a step that runs after a failure: {summary(inside)}",
                "a job that needs this one, with 'when: {result: always}'",
            )
            self.lost = "runs after a failure"
            return False
        if any(test == "false" for test in tests):
            step.needless("if", "never true on Linux: the step is not written")
            self.never = True
            return True
        said = " && ".join(
            one if " && " not in one and " || " not in one else f"{{ {one}; }}" for one in tests if one != "true"
        )
        self.guard = f"if ! {{ {said}; }}; then echo 'left out: its condition is not met'; exit 0; fi" if said else ""
        return True

    def _run(self, step: Part) -> bool:
        command = step.text("run") or ""
        shell = step.text("shell") or self.defaults.get("shell")
        folder = step.text("working-directory") or self.defaults.get("working-directory")
        more: dict[str, str] = {}
        if not command.strip():
            step.left("run", "a step without commands", "write it by hand")
            self.lost = "without commands"
            return False
        if _OLD_STATE.search(command):
            step.left(
                "run",
                "a step that hands a value to later steps by ::set-output and its like",
                "a file of the workspace, read in the later step",
            )
            self.lost = "hands values to later steps"
            return False
        try:
            text = expressions.in_command(command, self.scope)
            where = expressions.in_value(folder, self.scope) if folder else None
        except Unsaid as unsaid:
            step.left("run", f"{unsaid} in a command", _REMEDY)
            self.lost = (
                f"asks for {str(unsaid)[4:-3].split('.')[0]}"
                if "." in str(unsaid)
                else "an expression that only GitHub can answer"
            )
            return False
        if where:
            found = pattern_of(where.rstrip("/") or ".")
            if found is None:
                step.left("working-directory", f"folder {where[:60]}", "a folder of the workspace")
                self.lost = "works outside of the workspace"
                return False
            if found != "**":
                more["working_directory"] = found
        if shell in ("pwsh", "powershell", "cmd"):
            step.left("shell", f"shell {shell}", "write the commands for sh, or use an image that has it")
            self.lost = f"shell {shell}"
            return False
        if shell and not shell.startswith(("bash", "sh")):
            more["shell"] = "python3" if shell == "python" else shell.replace(" {0}", "").strip()
        elif shell_for(text):
            more["shell"] = BASH
        self._add(text, **more)
        return True

    def _uses(self, step: Part) -> bool:
        uses = step.text("uses") or ""
        name, version = actions.key_of(uses)
        value = step.take("with")
        given = step.below("with", value if isinstance(value, dict) else {})
        if name in actions.NEEDLESS:
            step.needless("uses", f"{name}: {actions.NEEDLESS[name]}")
            return True
        convert_action = actions.KNOWN.get(name)
        if convert_action is None:
            remedy = next(
                (said for key, said in actions.LEFT.items() if name == key or name.startswith(f"{key}/")), None
            )
            what = (
                "an action of this repository"
                if uses.startswith("./")
                else "an image as an action"
                if uses.startswith("docker://")
                else f"action {name[:60]}"
            )
            step.left("uses", what, remedy or "write what it does as commands")
            self.lost = what if uses.startswith(("./", "docker://")) else f"action {name}"
            return False
        if (
            name == "dtolnay/rust-toolchain"
            and version
            and not re.fullmatch(r"[0-9a-f]{40}", version)
            and "toolchain" not in given.value
        ):
            given.value = {**given.value, "toolchain": {"master": "stable", "v1": "stable"}.get(version, version)}
        if name == "actions/checkout":
            step.needless("uses", "actions/checkout: the workspace is the repository at the commit")
        good = convert_action(given, self)
        if name == "actions/upload-artifact" and self.draft.artifacts and "always()" in str(step.value.get("if", "")):
            self.draft.artifacts[-1]["when"] = "always"
        if name == "actions/upload-artifact" and self.draft.artifacts and "failure()" in str(step.value.get("if", "")):
            self.draft.artifacts[-1]["when"] = "failed"
        given.close(f"with of {name}")
        if not good:
            self.lost = self.lost or f"something of {name}"
        return good

    def _add(self, text: str, **more: str) -> None:
        if self.lost == "runs on another system":
            return
        before = len(self.account.left_steps)
        kept = ready(self.account, self.document, self.step_at, text.strip("\n"), own_words=True, images=self.images)
        if len(self.account.left_steps) > before:
            self.lost = self.account.left_steps.pop()
        if kept is None:
            return
        plain = more.get("shell", "sh").split()[0] in ("sh", "bash")
        handed = []
        for name, read in _HANDED.items():
            if name in self.handed:
                handed.append(read)
            if name in kept:
                handed.append(f'export {name}="$TMPDIR/{name[7:].lower()}.out"')
                self.handed.add(name)
        if "GITHUB_OUTPUT" in kept:
            called = name_of(self.step_id or "step")
            handed.append(f'export GITHUB_OUTPUT="$TMPDIR/{called}.out"')
            if self.step_id == called:
                self.scope.steps.add(called)
        exported = [
            *handed,
            *(f'export {name}="{value}"' for name, value in _EXPORTED.items() if re.search(rf"\$\{{?{name}\b", kept)),
        ]
        first = [*exported, *self.exports, *self.step_exports, *([self.guard] if self.guard else [])] if plain else []
        said: dict[str, Any] = {"name": more.pop("name", None) or self.step_name, **more}
        if first and not said["name"]:
            said["name"] = summary(kept.strip().splitlines()[0])
        said["environment"] = dict(getattr(self, "step_environment", {}))
        self.draft.step("\n".join([*first, kept]), **said)


def _renamed(part: Part, key: str, why: str) -> None:
    part.left(key, why, "rename it")


def _alike(called: str, wanted: str) -> bool:
    one = re.escape(called).replace(r"\*", ".*")
    two = re.escape(wanted).replace(r"\*", ".*")
    return bool(re.fullmatch(one, wanted) or re.fullmatch(two, called))


def _ands(tree: expressions.Tree) -> list[expressions.Tree]:
    kind, parts = tree
    return [one for part in parts if not isinstance(part, str) for one in _ands(part)] if kind == "&&" else [tree]


def _said_by(word: str, value: str) -> tuple[str | None, str]:
    if word == "github.event_name":
        return ("event", expressions.EVENTS[value]) if value in expressions.EVENTS else (None, "")
    if word == "github.ref" and value.startswith("refs/heads/"):
        return "branch", value.removeprefix("refs/heads/") or "**"
    if word == "github.ref" and value.startswith("refs/tags"):
        return "tag", value.removeprefix("refs/tags").lstrip("/") or "**"
    if word in ("github.ref_name", "github.base_ref"):
        return "branch", value
    if word == "github.ref_type":
        return "event", "tag" if value == "tag" else "push"
    return None, ""


def _unfold(
    axes: Mapping[str, list[dict[str, str]]], include: Sequence[dict[str, str]], exclude: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    """All combinations, as GitHub makes them."""
    found: list[dict[str, str]] = [{}] if any(axes.values()) else []
    for values in axes.values():
        if values and len(found) * len(values) <= 1000:
            found = [{**cell, **value} for cell in found for value in values]
    found = [
        cell
        for cell in found
        if not any(entry and all(cell.get(key) == value for key, value in entry.items()) for entry in exclude)
    ]
    original = {key for values in axes.values() for value in values for key in value}
    made = [dict(cell) for cell in found]
    for entry in include:
        shared = {key: value for key, value in entry.items() if key in original}
        fitting = [at for at, cell in enumerate(found) if all(cell.get(key) == value for key, value in shared.items())]
        if fitting and len(shared) < len(entry):
            for at in fitting:
                made[at].update(entry)
        elif not fitting:
            made.append(dict(entry))
    return made


def _elsewhere(cell: Mapping[str, str], runs_on: object) -> bool:
    """True if the combination runs on something else than Linux."""
    text = str(runs_on)
    named = re.findall(r"matrix\.([\w.-]+)", text)
    words = [cell.get(expressions.matrix_name(name), "") for name in named]
    return any(word.lower().startswith(("macos", "windows", "macos-", "osx")) for word in words)


def _spellings(here: str, matrix: Part) -> list[str]:
    """How the source writes the axis that is called `here`."""
    found = {here}

    def walk(value: object, above: str) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                name = f"{above}{key}"
                if expressions.matrix_name(name) == here:
                    found.add(name)
                walk(below, f"{name}.")
        elif isinstance(value, list):
            for below in value:
                walk(below, above)

    walk(matrix.value, "")
    for key in ("include", "exclude"):
        walk(matrix.value.get(key), "")
    return list(found)


def _health(options: str, image: str) -> Any:
    found = re.search(r"--health-cmd[ =]+(?:\"([^\"]*)\"|'([^']*)'|(\S+))", options)
    if not found:
        return services.port(image)
    return {"command": next(group for group in found.groups() if group is not None) or "true"}
