"""The phases of a job: commands in one shell, Travis' own defaults where none are said.

Rules:
1. A phase that a job says replaces the file's; one that nobody says is the language's default.
2. `after_success` and `after_script` do not decide.
3. Variables that Travis sets are set where a command asks for them.

Follows "Job Lifecycle" and "Default Environment Variables" of Travis' documentation.
"""

from __future__ import annotations

import re
from typing import Final

from farmgate.documents import as_written
from farmgate.importing.account import Kind, Part, flat, kind_of
from farmgate.importing.commands import Shell, after, event
from farmgate.importing.draft import Draft
from farmgate.importing.travis.environment import Environment
from farmgate.importing.travis.languages import Language

PHASES: Final = ("before_install", "install", "before_script", "script", "after_success", "after_script")
_TRAVIS: Final = {
    "TRAVIS_BRANCH": "$FARMGATE_BRANCH",
    "TRAVIS_COMMIT": "$FARMGATE_SHA",
    "TRAVIS_TAG": "$FARMGATE_TAG",
    "TRAVIS_BUILD_DIR": "$FARMGATE_WORKSPACE",
    "TRAVIS_BUILD_NUMBER": "$FARMGATE_RUN",
    "TRAVIS_BUILD_ID": "$FARMGATE_RUN",
    "TRAVIS_JOB_NUMBER": "$FARMGATE_RUN",
    "TRAVIS_REPO_SLUG": "$FARMGATE_REPOSITORY",
    "TRAVIS_OS_NAME": "linux",
    "TRAVIS_PULL_REQUEST": "${FARMGATE_PULL:-false}",
    "TRAVIS_EVENT_TYPE": event(tag="push", pull="pull_request", person="api"),
    "TRAVIS": "true",
    "TRAVIS_DIST": "noble",
    "TRAVIS_CPU_ARCH": "amd64",
    "TRAVIS_TEST_RESULT": "0",
    "TRAVIS_COMMIT_MESSAGE": "$FARMGATE_TITLE",
    "TRAVIS_PULL_REQUEST_BRANCH": "",
    "TRAVIS_JOB_ID": "$FARMGATE_RUN",
}
_VERSION: Final = re.compile(r"TRAVIS_(?:PYTHON|NODE|RUBY|GO|PHP|RUST|JDK|PERL)_VERSION")
_LATER: Final = {
    "after_failure": "a job that needs this one, with 'when: {result: failed}'",
    "before_deploy": "a lane, or a job that needs this one, with 'when'",
    "deploy": "a lane delivers what passed: see docs/delivery.md",
    "workspaces": "artifacts and needs",
}


def steps(root: Part, own: Part | None, draft: Draft, language: Language, environment: Environment) -> None:
    """The commands of all phases, as steps; what a deployment or a failure runs is left."""
    shell = Shell(root.document, root.account, [*environment.exports])
    for key in PHASES:
        part = _who_says(root, own, key)
        if key in part.value:
            _said(shell, part, key)
        else:
            _defaults(shell, root, language, key)
    _variables(shell, root, draft)
    for key, remedy in _LATER.items():
        part = _who_says(root, own, key)
        for at, value in part.listed(key):
            provider = value.get("provider") if isinstance(value, dict) else None
            what = f"{key} to {provider}" if isinstance(provider, str) else key
            part.say(Kind.LEFT, at, what, remedy, key=True)
            root.account.step_left(key)
    shell.into(draft)


def _who_says(root: Part, own: Part | None, key: str) -> Part:
    """Rule 1."""
    return own if own is not None and key in own.value else root


def _defaults(shell: Shell, root: Part, language: Language, key: str) -> None:
    for command in {"install": language.install, "script": language.script}.get(key, ()):
        shell.add((*root.at, "language"), command)
    if key == "script" and not language.script and "script" not in root:
        root.look("language", "no script is said, and Travis has none for this language", "write the steps")


def _said(shell: Shell, part: Part, key: str) -> None:
    """The commands that stand at a phase; `skip` and its like are none."""
    value = part.take(key)
    if value is None or value is True or str(value) in ("true", "skip", "ignore", "false"):
        return
    for at, one in flat(value, (*part.at, key), nothing=True):
        command = as_written(one)
        if command is None:
            message = f"{key}: {kind_of(one)} where a command is wanted"
            part.say(Kind.LEFT, at, message, "quote it if it holds ': '")
            part.account.step_left("not a command")
        elif key == "after_script":
            remedy = "a job with 'when: {result: always}'"
            part.look(key, "runs here only if the steps before it passed", remedy)
            shell.add(at, after(command))
        else:
            shell.add(at, after(command) if key == "after_success" else command)


def _variables(shell: Shell, root: Part, draft: Draft) -> None:
    """Rule 3."""
    for name in sorted(set(re.findall(r"\$\{?(TRAVIS\w*)", shell.words))):
        if name in _TRAVIS:
            shell.exports.append(f'export {name}="{_TRAVIS[name]}"')
        elif _VERSION.search(name) and draft.image and ":" in draft.image:
            draft.environment[name] = draft.image.partition(":")[2]
        else:
            root.say(Kind.LOOK, root.at, f"${name} is not set here", "say its value in 'environment'")
