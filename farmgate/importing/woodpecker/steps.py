"""A step: its image, its variables and secrets, its commands.

Rules:
1. The commands of a step run in one shell there: one step here, in the step's own image.
2. What a step wants of the machine (volumes, privileges, networks) is left: steps run in the sandbox.
3. A step in the background is a service, or left; one without commands is its image's own program: left.

Follows "Workflow syntax" (`steps`) and "Environment variables" of Woodpecker's documentation.
"""

from __future__ import annotations

from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing import image_commands
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import add, event, exports, forgiven, ready
from farmgate.importing.draft import Draft, good_image, good_variable, pattern_of
from farmgate.importing.shell import literal, shell_for, summary
from farmgate.importing.woodpecker.beside import variables
from farmgate.importing.woodpecker.matrix import Matrix
from farmgate.importing.woodpecker.plugins import plugin

_SET: Final = {
    "CI_COMMIT_SHA": "$FARMGATE_SHA",
    "CI_COMMIT_BRANCH": "$FARMGATE_BRANCH",
    "CI_COMMIT_TAG": "$FARMGATE_TAG",
    "CI_WORKSPACE": "$FARMGATE_WORKSPACE",
    "CI_PIPELINE_NUMBER": "$FARMGATE_RUN",
    "CI_BUILD_NUMBER": "$FARMGATE_RUN",
    "CI_REPO": "$FARMGATE_REPOSITORY",
    "CI_REPO_NAME": "${FARMGATE_REPOSITORY##*/}",
    "CI_REPO_OWNER": "${FARMGATE_REPOSITORY%%/*}",
    "CI_COMMIT_REF": "$FARMGATE_REF",
    "CI_COMMIT_MESSAGE": "$FARMGATE_TITLE",
    "CI_PIPELINE_EVENT": event(pull="pull_request", person="manual"),
    "CI_COMMIT_PULL_REQUEST": "$FARMGATE_PULL",
    "CI_REPO_DEFAULT_BRANCH": "$FARMGATE_DEFAULT_BRANCH",
    "DRONE_TAG": "$FARMGATE_TAG",
    "DRONE_COMMIT_SHA": "$FARMGATE_SHA",
    "DRONE_BRANCH": "$FARMGATE_BRANCH",
    "DRONE_BUILD_NUMBER": "$FARMGATE_RUN",
    "CI_BUILD_EVENT": event(pull="pull_request", person="manual"),
}
_OF_THE_MACHINE: Final = (
    "volumes",
    "privileged",
    "devices",
    "network_mode",
    "tmpfs",
    "backend_options",
    "entrypoint",
    "dns",
    "extra_hosts",
)


def step(draft: Draft, name: str, step: Part, matrix: Matrix) -> None:
    """Convert a step, and count its commands."""
    image = matrix.put_in(step.text("image") or "")
    step.needless("pull", "the node decides")
    step.needless("group", "steps run one after the other")
    step.needless("depends_on", "steps run one after the other")
    environment: dict[str, str] = {}
    variables(step, matrix, environment, draft)
    _secrets(step, draft)
    for key in _OF_THE_MACHINE:  # rule 2
        if key in step:
            step.left(key, f"{key} of a step", "steps run in the sandbox: an image that has what is needed")
    may_fail = step.text("failure") == "ignore"
    folder = step.text("directory")
    commands = step.texts("commands")
    if "settings" in step and not commands:
        plugin(step, draft, name, image, matrix)
        step.close("a step")
        return
    step.close("a step")
    if not commands:
        message = f"step {name}: the image {summary(image)} runs by itself"
        step.say(Kind.LEFT, step.at, message, "write what it does as commands", key=True)
        step.account.step_left("an image that runs by itself")
        return
    text = _commands(step, draft, commands, matrix)
    if not text:
        return
    if not good_image(image):
        step.left("image", f"image {summary(image)}", "name it by hand")
        image = ""
    if image and draft.image is None and not draft.steps:
        draft.image = image
    more: dict[str, Any] = {"name": name, "environment": {**matrix.asked_by(text), **environment}}
    if image and image != draft.image:
        more["image"] = image
    if folder and (found := pattern_of(folder)) and found != "**":
        more["working_directory"] = found
    more["shell"] = shell_for(text)
    add(draft, forgiven(text) if may_fail else text, exports(_SET, text), **more)


def detached(name: str, step: Part) -> None:
    """Rule 3."""
    for key in step.names():
        step.take(key)
    message = f"step {name} in the background"
    step.say(Kind.LEFT, step.at, message, "a service, or start it in the step that needs it", key=True)
    step.account.step_left("a step in the background")


def _secrets(step: Part, draft: Draft) -> None:
    for at, one in step.listed("secrets"):
        source = as_written(one.get("source")) if isinstance(one, dict) else as_written(one)
        target = as_written(one.get("target")) if isinstance(one, dict) else source
        if source and target and good_variable(target.upper()) and good_variable(source.upper()):
            draft.secrets[target.upper()] = source.upper()
        else:
            step.say(Kind.LEFT, at, "a secret without a good name", "name it in 'secrets'")


def _commands(step: Part, draft: Draft, commands: list[str], matrix: Matrix) -> str:
    """Rule 1."""
    images = image_commands.for_job(draft, commands)
    text: list[str] = []
    for index, command in enumerate(commands):
        at = (*step.at, "commands", index)
        said = matrix.put_in(literal(command.replace("$$", "$")))
        kept = ready(step.account, step.document, at, said, own_words=True, images=images)
        images.follow(command)
        if kept is not None:
            text.append(kept)
    return "\n".join(text)
