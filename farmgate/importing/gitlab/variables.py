"""Variables: those that GitLab sets, in our words, and those that a file or a job says.

Rules:
1. A variable that only tells GitLab's runner how to work says nothing here.
2. One that speaks of other variables is worked out by the shell, in front of each step; the others are said.

Follows "Predefined CI/CD variables reference" of GitLab's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from farmgate.documents import Location
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import event
from farmgate.importing.draft import good_variable, put_variables
from farmgate.importing.shell import literal

SET: Final = {
    "CI_COMMIT_SHA": "$FARMGATE_SHA",
    "CI_COMMIT_SHORT_SHA": '$(printf %.8s "$FARMGATE_SHA")',
    "CI_COMMIT_REF_NAME": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "CI_COMMIT_BRANCH": "$FARMGATE_BRANCH",
    "CI_COMMIT_TAG": "$FARMGATE_TAG",
    "CI_PROJECT_DIR": "$FARMGATE_WORKSPACE",
    "CI_JOB_NAME": "$FARMGATE_JOB",
    "CI_PIPELINE_ID": "$FARMGATE_RUN",
    "CI_PIPELINE_IID": "$FARMGATE_RUN",
    "CI_PIPELINE_SOURCE": event(tag="push", pull="merge_request_event", person="web"),
    "CI_DEFAULT_BRANCH": "$FARMGATE_DEFAULT_BRANCH",
    "CI_PROJECT_NAME": "${FARMGATE_REPOSITORY##*/}",
    "CI_PROJECT_PATH": "$FARMGATE_REPOSITORY",
    "CI_COMMIT_TITLE": "$FARMGATE_TITLE",
    "CI_COMMIT_MESSAGE": "$FARMGATE_TITLE",
    "CI_JOB_ID": "$FARMGATE_RUN",
    "CI_MERGE_REQUEST_IID": "$FARMGATE_PULL",
    "CI_COMMIT_REF_SLUG": '$(printf %s "${FARMGATE_BRANCH:-$FARMGATE_TAG}" | tr A-Z a-z | tr -c a-z0-9 -)',
    "CI_PROJECT_NAMESPACE": "${FARMGATE_REPOSITORY%%/*}",
    "GITLAB_CI": "true",
    "CI_COMMIT_AUTHOR": "",
    "CI_BUILDS_DIR": "$TMPDIR",
    "CI_BUILD_REF": "$FARMGATE_SHA",
    "CI_BUILD_REF_NAME": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "CI_BUILD_ID": "$FARMGATE_RUN",
    "CI_BUILD_TAG": "$FARMGATE_TAG",
}
_OF_THE_RUNNER: Final = (
    "GIT_",
    "FF_",
    "SECURE_",
    "DOCKER_TLS",
    "KUBERNETES_",
    "TRANSFER_METER",
    "ARTIFACT_",
    "CACHE_COMPRESSION",
    "FASTZIP",
)
_OF_THE_PROGRAMS: Final = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL")


def read(part: Part, at: Location, name: str, text: str, into: dict[str, str], exports: list[str]) -> None:
    """A variable that stands at a place, into `into` or (rule 2) as a line of the shell into `exports`."""
    if name.startswith(_OF_THE_RUNNER) and name not in _OF_THE_PROGRAMS:
        part.say(Kind.NEEDLESS, at, f"{name}: a setting of GitLab's own runner", None, key=True)
    elif not good_variable(name):
        put_variables(into, {name: text}, lambda _, why: part.say(Kind.LEFT, at, why, "rename it", key=True))
    elif re.search(r"\$[A-Za-z_{(]", text.replace("$$", "")) and "\n" not in text:
        plain = re.sub(r"\$\{?(CI_\w+|GITLAB_CI)\}?", lambda found: SET.get(found[1], found[0]), text)
        quoted = plain if "$(" in plain else re.sub(r'(?<!\\)"', '\\\\"', plain)
        exports.append(f'export {name}="{quoted}"')
    else:
        into[name] = literal(text.replace("$$", "$") if "$" in text else text)


def put_in(text: str, values: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` of the values that are known; others stand as they are."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), text)


def without(text: str) -> str:
    """A name without what variables would say in it."""
    return re.sub(r"\$\{?\w+\}?", "", text).strip("-_/ ")
