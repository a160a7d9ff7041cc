"""A step: a command, or something that CircleCI does.

Rules:
1. `run` becomes a step; one that runs after a failure, or asks CircleCI's own program, is left.
2. Caches, artifacts, test results and the workspace are the job's.
3. A command of the file stands for its steps; one of an orb for what is known of it.

Follows "Configuration reference" (`steps`) and "Project values and variables" of CircleCI's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing import caches
from farmgate.importing.account import Kind, Part
from farmgate.importing.circleci import orbs
from farmgate.importing.circleci.machine import variables
from farmgate.importing.circleci.parameters import PARAMETER, condition, defaults, filled
from farmgate.importing.commands import add, exports, ready
from farmgate.importing.draft import folder_patterns, pattern_of
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.circleci.jobs import JobReader

_SET: Final[Mapping[str, str]] = {
    "CIRCLE_SHA1": "$FARMGATE_SHA",
    "CIRCLE_BRANCH": "$FARMGATE_BRANCH",
    "CIRCLE_TAG": "$FARMGATE_TAG",
    "CIRCLE_BUILD_NUM": "$FARMGATE_RUN",
    "CIRCLE_WORKING_DIRECTORY": "$FARMGATE_WORKSPACE",
    "CIRCLE_PROJECT_REPONAME": "${FARMGATE_REPOSITORY##*/}",
    "CIRCLE_JOB": "$FARMGATE_JOB",
    "CIRCLE_PROJECT_USERNAME": "${FARMGATE_REPOSITORY%%/*}",
    "CIRCLE_WORKFLOW_ID": "$FARMGATE_RUN",
    "CIRCLE_PR_NUMBER": "$FARMGATE_PULL",
    "CIRCLE_NODE_TOTAL": "${FARMGATE_SHARDS:-1}",
    "CIRCLE_ARTIFACTS": "artifacts",
    "CIRCLE_TEST_REPORTS": "test-results",
    "CIRCLECI": "true",
    "CIRCLE_PULL_REQUEST": "$FARMGATE_PULL",
    "CIRCLE_PIPELINE_ID": "$FARMGATE_RUN",
}
_BASH_ENV: Final = 'export BASH_ENV="$TMPDIR/bash_env"; touch "$BASH_ENV"; . "$BASH_ENV"'


def step(job: JobReader, at: Location, one: Any) -> None:
    """Convert a step, and count it."""
    if job.elsewhere:
        job.account.step_left("runs on another system")
        return
    name, body = next(iter(one.items())) if isinstance(one, dict) and one else (as_written(one) or "", None)
    here = (*at, name) if isinstance(one, dict) else at
    part = Part(job.account, job.document, here, body if isinstance(body, dict) else {})
    match name:
        case "run":
            _run(job, here, body, part)
        case "checkout":
            part.needless("path", "the workspace is the repository")
            _needless(job, at, "checkout: the workspace is the repository at the commit")
        case "save_cache" | "restore_cache":
            _cache(job, part)
        case "store_artifacts":
            _artifacts(job, part, [part.text("path") or ""], optional=True)
            part.needless("destination", "artifacts keep their paths")
            part.close("store_artifacts")
        case "store_test_results":
            _test_results(job, here, body, part)
        case "persist_to_workspace":
            _persist(job, part)
        case "attach_workspace":
            _attach(job, part)
        case "setup_remote_docker" if job.images.builds:
            _needless(job, at, "setup_remote_docker: the node's engine builds images")
        case "setup_remote_docker":
            message = "setup_remote_docker: steps have no Docker engine"
            _left(job, at, message, "'builds' makes images", "setup_remote_docker")
        case "add_ssh_keys":
            _left(job, at, "add_ssh_keys", "a secret with the key", "add_ssh_keys")
        case "when" | "unless":
            _conditional(job, name, here, part)
        case _:
            _command(job, name, here, body)


def _left(job: JobReader, at: Location, message: str, remedy: str, why: str | None = None) -> None:
    job.account.say(Kind.LEFT, job.document, at, message, remedy)
    job.account.step_left(why or message)


def _needless(job: JobReader, at: Location, message: str) -> None:
    job.account.say(Kind.NEEDLESS, job.document, at, message, None)
    job.account.converted += 1


# --- commands ---------------------------------------------------------------------------------------------------------


def _run(job: JobReader, at: Location, body: Any, part: Part) -> None:
    """Rule 1."""
    command = part.text("command") if isinstance(body, dict) else as_written(body)
    if command is None:
        _left(job, at, "a run without a command", "write it by hand")
        return
    when = part.text("when")
    if when in ("always", "on_fail"):
        remedy = "a job that needs this one, with 'when: {result: always}'"
        _left(job, at, f"a step that runs {when}", remedy, "runs after a failure")
        return
    more = _said(part)
    if part.flag("background"):
        remedy = "a service, or start it in the step that needs it"
        part.look("background", "runs in the background of its own step only", remedy)
        command = f"({command}) &"
    part.needless("no_output_timeout", "the job has a time limit")
    part.close("a run")
    if re.search(r"\bcircleci\s+(?:tests|run|step|env)\b|circleci-agent", command):
        remedy = "'parallel' and FARMGATE's own helper split tests"
        _left(job, at, "asks CircleCI's own program", remedy, "circleci tests")
    elif "<<" in command and PARAMETER.search(command):
        message = f"a parameter that is not known: {summary(command)}"
        _left(job, at, message, "write it by hand", "an unknown parameter")
    else:
        _add(job, at, command, more)


def _said(part: Part) -> dict[str, Any]:
    """What a `run` says beside its command."""
    more: dict[str, Any] = {}
    if name := part.text("name"):
        more["name"] = name
    folder = part.text("working_directory")
    if folder:
        found = pattern_of(re.sub(r"^(?:~/[\w.-]+|~/project)/?", "", folder) or ".")
        if found is None:
            part.left("working_directory", f"folder {folder[:60]}", "a folder of the workspace")
        elif found != "**":
            more["working_directory"] = found
    more["environment"] = {}
    variables(part, more["environment"])
    shell = part.text("shell")
    if shell and not re.search(r"\b(?:ba|da|a|)sh\b", shell):
        more["shell"] = shell
    return more


def _add(job: JobReader, at: Location, command: str, more: dict[str, Any]) -> None:
    job.images.folder = more.get("working_directory", "")
    text = ready(job.account, job.document, at, _ours(command), own_words=True, images=job.images)
    if text is None:
        return
    if "BASH_ENV" in text or job.exports:
        job.exports = [_BASH_ENV]
    modules = [orbs.GO_EXPORT] if job.go_modules and re.search(r"\b(?:go|make|golangci-lint)\b", text) else []
    add(job.draft, text, [*job.exports, *exports(_SET, text), *modules], **more)


def _ours(command: str) -> str:
    """`${{` of the source is just characters; what was put in for the matrix is ours."""
    return re.sub(r"\$\{\{(?! matrix\.\w+ \}\})", "$${{", command)


def _conditional(job: JobReader, name: str, at: Location, part: Part) -> None:
    decided = condition(part.take("condition"))
    if decided is None:
        message = f"{name} with a condition that is not known before the run"
        _left(job, at, message, "'if' in the commands")
    elif decided is (name == "when"):
        for place, one in part.listed("steps"):
            step(job, place, one)
    else:
        message = f"{name}: never with these parameters"
        job.account.say(Kind.NEEDLESS, job.document, at, message, None, key=True)


def _command(job: JobReader, name: str, at: Location, body: Any) -> None:
    """Rule 3."""
    found = job.config.section("commands").get(name)
    if isinstance(found, dict) and job.depth < 10:
        values = {**job.config.shared, **defaults(found.get("parameters"))}
        if isinstance(body, dict):
            values.update({f"parameters.{key}": value for key, value in body.items()})
        steps = filled(found.get("steps"), values)
        job.depth += 1
        for index, one in enumerate(steps if isinstance(steps, list) else []):
            step(job, ("commands", name, "steps", index), one)
        job.depth -= 1
        return

    def look(what: str) -> None:
        job.account.say(Kind.LOOK, job.document, at, f"{name} of an orb: {what}", None)

    if orbs.command(name, body, job.draft, look):
        job.account.converted += 1
    else:
        message = f"{name[:60] or 'an empty step'}: a command of an orb"
        _left(job, at, message, "write what it does as commands", f"command {name[:60]} of an orb")


# --- files ------------------------------------------------------------------------------------------------------------


def _cache(job: JobReader, part: Part) -> None:
    plain, files = caches.name_and_files(part.text("key") or next(iter(part.texts("keys")), "cache"))
    for key in ("keys", "name", "when"):
        part.take(key)
    wanted = [
        orbs.GO_CACHE if orbs.is_go_cache(path.rstrip("/")) else re.sub(r"^~/(?:project|repo|app)/", "", path)
        for path in part.texts("paths")
    ]
    job.draft.cache(plain, caches.paths(part, "paths", wanted), files)
    part.close("a cache")
    job.account.converted += 1


def _artifacts(job: JobReader, part: Part, paths: list[str], *, optional: bool) -> None:
    found: list[str] = []
    for path in paths:
        pattern = pattern_of(path)
        if pattern is None:
            part.say(Kind.LEFT, part.at, f"files at {path[:60]!r}", "a path in the workspace", key=True)
        else:
            found += folder_patterns(pattern)
    job.draft.artifact(found, optional=optional)
    if paths and not found:
        job.account.step_left("files outside of the workspace")
    else:
        job.account.converted += 1


def _persist(job: JobReader, part: Part) -> None:
    root = (part.text("root") or ".").rstrip("/")
    above = "" if root in (".", "") or root.startswith(("/", "~")) else f"{root}/"
    job.config.keeps.add(job.draft.name)
    _artifacts(job, part, [f"{above}{path}" for path in part.texts("paths")], optional=False)
    part.close("persist_to_workspace")


def _attach(job: JobReader, part: Part) -> None:
    where = part.text("at") or "."
    if where not in (".", "./") and not where.startswith(("~", "/")):
        part.look("at", "artifacts are where they were made", "move them in a step")
    job.config.attaches.append(job.draft)
    job.account.converted += 1


def _test_results(job: JobReader, at: Location, body: Any, part: Part) -> None:
    path = pattern_of(part.text("path") or "")
    if path is None:
        message = f"test results in {str(body)[:60]}"
        _left(job, at, message, "a folder of the workspace", "test results outside of the workspace")
        return
    if not path.endswith(".xml"):
        path = "**/*.xml" if path == "**" else f"{path.removesuffix('/**')}/**/*.xml"
    job.draft.report("junit", [path])
    job.account.converted += 1
