"""Commands that build and push images, as `builds` of the job.

Rules:
1. A build whose words are plain becomes one of `builds`, which run after the job's steps. A label, a cache, a platform of
   the node's own kind say nothing here; an option that is not known, or a value that only a shell knows, leaves it.
2. Where a job builds, what only prepares or sends the image (a login, a tag, a push) is needless: Farmgate pushes by digest
   to the registry that is set.
3. An image is called by its own name: without registry, tag, and what a variable would say.
"""  # noqa: E501

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from farmgate.importing.draft import Draft, good_variable, pattern_of
from farmgate.importing.shell import asks_engine

_FRONT: Final = r"^\s*(?:[A-Za-z_]\w*=\S*\s+)*(?:sudo\s+)?"
_BUILD: Final = re.compile(
    rf"{_FRONT}(?:(?:docker|podman)\s+(?:image\s+|buildx\s+)?build\b|buildah\s+(?:bud|build)\b|/kaniko/executor\b)(?P<rest>.*)",
    re.DOTALL,
)
_AROUND: Final = re.compile(
    rf"{_FRONT}(?:docker|podman|buildah)\s+(?:login|logout|push|tag|info|version|images|image\s+(?:push|tag|ls)"
    r"|buildx\s+(?:create|use|ls|inspect\s|install))\b"
)
_WITH_VALUE: Final = {
    "-t": "name",
    "--tag": "name",
    "--destination": "name",
    "-f": "dockerfile",
    "--file": "dockerfile",
    "--dockerfile": "dockerfile",
    "--context": "context",
    "--target": "target",
    "--build-arg": "argument",
    "--label": "",
    "--cache-from": "",
    "--cache-to": "",
    "--progress": "",
    "--platform": "platform",
    "--network": "",
    "--digestfile": "",
    "--output": "output",
    "-o": "output",
}
_ALONE: Final = frozenset(
    ("--pull", "--no-cache", "--rm", "--force-rm", "--push", "--load", "-q", "--quiet", "--squash", "--skip-tls-verify")
)


@dataclass(slots=True)
class Images:
    """The images of one job of the source. `builds`: one of its commands builds an image that converts."""

    draft: Draft
    builds: bool
    folder: str = ""  # where the shell is, below the workspace

    def follow(self, command: str) -> None:
        """Where the shell goes."""
        found = re.fullmatch(r"\s*cd\s+([\w./-]+)\s*", command)
        if found:
            self.folder = str(PurePosixPath(self.folder, found[1]))

    def build(self, command: str) -> bool:
        """Rule 1: True if the command is one of the job's `builds` now."""
        made = build_of(command, self.folder, self.draft.name)
        if made is None:
            return False
        taken = {one["name"] for one in self.draft.builds}
        if made not in self.draft.builds:
            if made["name"] in taken:
                made["name"] = f"{made['name']}-{len(taken) + 1}"
            self.draft.builds.append(made)
        return True

    def around(self, command: str) -> bool:
        """Rule 2."""
        return self.builds and bool(_AROUND.match(command) or asks_engine(command))


def for_job(draft: Draft, commands: Iterable[str]) -> Images:
    """Of a job that runs these commands."""
    return Images(draft, any(_builds(command) for command in commands))


def texts(value: Any) -> Iterator[str]:
    """Every text below a value of a source, with the keys: where commands stand is the format's own affair."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def build_of(command: str, folder: str = "", otherwise: str = "image") -> dict[str, Any] | None:
    """The build, or None where it cannot be said (rule 1)."""
    found = _BUILD.match(command)
    if found is None or re.search(r"[|<>`;&]|\$\(", found["rest"]):
        return None
    try:
        words = shlex.split(found["rest"].replace("\\\n", " "))
    except ValueError:
        return None
    read = _options(words)
    if read is None:
        return None
    said, arguments = read
    context = _below(folder, said.get("context", "."))
    if context is None:
        return None
    made: dict[str, Any] = {"name": _name(said.get("name", ""), otherwise)}
    if context != ".":
        made["context"] = context
    dockerfile = _dockerfile(said.get("dockerfile"), folder, context)
    if dockerfile is None:
        return None
    if dockerfile != "Dockerfile":
        made["dockerfile"] = dockerfile
    if "target" in said:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", said["target"]):
            return None
        made["target"] = said["target"]
    if arguments:
        made["arguments"] = arguments
    return made


def _builds(command: str) -> bool:
    lines = re.split(r"(?<!\\)\n|&&|;", command)
    return any(build_of(line) is not None for line in lines)


def _options(words: list[str]) -> tuple[dict[str, str], dict[str, str]] | None:
    said: dict[str, str] = {}
    arguments: dict[str, str] = {}
    at = 0
    while at < len(words):
        word, equals, value = words[at].partition("=") if words[at].startswith("--") else (words[at], "", "")
        at += 1
        if not word.startswith("-"):
            if "context" in said:
                return None
            said["context"] = word
            continue
        if word in _ALONE:
            continue
        if word not in _WITH_VALUE:
            return None
        if not equals:
            if at >= len(words):
                return None
            value = words[at]
            at += 1
        kind = _WITH_VALUE[word]
        if kind == "argument":
            variable, _, text = value.partition("=")
            if "$" in text or "=" not in value or not good_variable(variable):
                return None
            arguments[variable] = text
        elif kind == "platform":
            if value != "linux/amd64":
                return None
        elif kind == "output":
            return None
        elif kind:
            said.setdefault(kind, value)
    return said, arguments


def _name(image: str, otherwise: str) -> str:
    """Rule 3."""
    head, slash, tail = image.partition("@")[0].rpartition("/")
    plain = f"{head}{slash}{tail.partition(':')[0]}"
    parts = [part for part in plain.split("/") if part and "." not in part and "$" not in part and ":" not in part]
    name = "/".join(parts)
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_/-]{0,200}", name) else otherwise


def _below(folder: str, path: str) -> str | None:
    """A folder of the workspace, '.' for itself."""
    found = pattern_of(str(PurePosixPath(folder, _ours(path))))
    if found is None:
        return None
    return "." if found == "**" else found.removesuffix("/**")


def _dockerfile(path: str | None, folder: str, context: str) -> str | None:
    """As a path in the context; the engine's own is a path where the shell is."""
    if path is None:
        return "Dockerfile"
    found = _below(folder, path)
    if found is None or found == ".":
        return None
    if context == ".":
        return found
    return found.removeprefix(f"{context}/") if found.startswith(f"{context}/") else None


def _ours(path: str) -> str:
    return re.sub(r"^\$\{?(?:CI_PROJECT_DIR|PWD|GITHUB_WORKSPACE|TRAVIS_BUILD_DIR)\}?/?", "", path) or "."
