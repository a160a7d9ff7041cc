"""What the names in GitHub's expressions stand for: `github.sha`, `matrix.x`, `env.X`, `secrets.X`.

Rules:
1. A name is fixed before anything runs, or text that the shell works out; `matrix.x` is our own `${{ matrix.x }}`.
2. What no combination of the matrix says is nothing, as at GitHub, where nothing of the matrix is computed.
3. A name that only GitHub knows is Unsaid.

Follows "Contexts" of the documentation of GitHub Actions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from farmgate.importing.draft import good_variable
from farmgate.importing.github.trees import Unsaid

GITHUB: Final[Mapping[str, str]] = {
    "github.sha": "$FARMGATE_SHA",
    "github.event.after": "$FARMGATE_SHA",
    "github.event.ref": '$([ -n "$FARMGATE_PULL" ] || printf %s "$FARMGATE_REF")',
    "github.event.pull_request.head.sha": "$FARMGATE_SHA",
    "github.ref": "$FARMGATE_REF",
    "github.ref_name": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "github.event.release.tag_name": "$FARMGATE_TAG",
    "github.event.workflow_run.head_sha": "$FARMGATE_SHA",
    "github.repository": "$FARMGATE_REPOSITORY",
    "github.event.repository.name": "${FARMGATE_REPOSITORY##*/}",
    "github.repository_owner": "${FARMGATE_REPOSITORY%%/*}",
    "github.workspace": "$FARMGATE_WORKSPACE",
    "github.run_id": "$FARMGATE_RUN",
    "github.run_number": "$FARMGATE_RUN",
    "github.run_attempt": "$FARMGATE_ATTEMPT",
    "github.job": "$FARMGATE_JOB",
    "github.event.number": "$FARMGATE_PULL",
    "github.event.pull_request.number": "$FARMGATE_PULL",
    "github.event.head_commit.message": "$FARMGATE_TITLE",
    "github.event.repository.default_branch": "$FARMGATE_DEFAULT_BRANCH",
    "github.server_url": "$FARMGATE_SERVER",
    "runner.temp": "$TMPDIR",
}
_FIXED: Final[Mapping[str, str]] = {
    "runner.os": "Linux",
    "runner.arch": "X64",
    "github.workflow": "ci",
    "github.token": "",
    "runner.debug": "",
}


@dataclass(slots=True)
class Scope:
    """What expressions can name here."""

    environment: Mapping[str, str] = field(default_factory=dict)  # known before anything runs
    matrix: Mapping[str, str] = field(default_factory=dict)  # name at GitHub -> name here
    secret: Callable[[str], None] = lambda _: None  # called with each secret that is used
    inputs: Mapping[str, str] = field(default_factory=dict)
    steps: set[str] = field(default_factory=set)  # ids of steps whose outputs are in files
    constants: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True  # nothing of the matrix is computed: what it does not name is nothing

    plain: bool = False  # no value of the matrix has anything that a shell would read

    def nowhere(self, name: str) -> bool:
        """True if no combination of the matrix says anything of a name."""
        below = (*self.matrix, *self.constants)
        return self.whole and not re.search(r"[^\w.-]", name) and not any(one.startswith(f"{name}.") for one in below)


@dataclass(frozen=True, slots=True)
class Word:
    """A value: fixed, or text for the shell that gives it."""

    text: str
    fixed: bool


def known(path: str, scope: Scope) -> Word:
    """What a name stands for. Raises Unsaid."""
    path = re.sub(r"\[\s*'([^']*)'\s*\]", r".\1", path)
    lower = path.lower()
    head, _, name = path.partition(".")
    match head.lower():
        case "matrix" if name in scope.constants:
            return Word(scope.constants[name], True)
        case "matrix" if name in scope.matrix:
            return Word(f"${{{{ matrix.{scope.matrix[name]} }}}}", False)
        case "matrix" if name and scope.nowhere(name):
            return Word("", True)
        case "env" if name in scope.environment:
            return Word(scope.environment[name], "${{" not in scope.environment[name])
        case "env" if good_variable(name):
            return Word(f"${{{name}}}", False)
        case "secrets" if good_variable(name):
            scope.secret(name)
            return Word(f"${{{name}}}", False)
        case "inputs" if name in scope.inputs:
            return Word(scope.inputs[name], True)
        case "steps" if (output := re.fullmatch(r"([\w-]+)\.outputs\.([\w-]+)", name)) and output[1] in scope.steps:
            return Word(f"$(sed -n 's/^{output[2]}=//p' \"$TMPDIR/{output[1]}.out\" | tail -n 1)", False)
    if lower in GITHUB:
        return Word(GITHUB[lower], False)
    if lower in _FIXED:
        return Word(_FIXED[lower], True)
    if lower in ("true", "false", "null"):
        return Word("" if lower == "null" else lower, True)
    raise Unsaid(f"${{{{ {path} }}}}")
