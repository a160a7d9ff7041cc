"""CircleCI: a job and its steps, with the commands of orbs that are known.

Rules:
1. Parameters are put in before a step is read; what stays open is left.
2. One image, the services beside it; `run` becomes a step, caches and artifacts are the job's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing import image_commands, images, services
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import add, ready
from farmgate.importing.draft import (
    Draft,
    cache_path,
    folder_patterns,
    good_image,
    name_of,
    pattern_of,
    put_variables,
)
from farmgate.importing.shell import literal, summary

if TYPE_CHECKING:
    from farmgate.importing.circleci import Config

_PARAMETER: Final = re.compile(r"<<\s*(?:pipeline\.)?(parameters|matrix|pipeline)\.([\w.-]+)\s*>>")
_SIZES: Final = {
    "small": (1, "2g"),
    "medium": (2, "4g"),
    "medium+": (3, "6g"),
    "large": (4, "8g"),
    "xlarge": (8, "16g"),
    "2xlarge": (16, "32g"),
}
_VARIABLES: Final = {
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
_GO_MODULES: Final = re.compile(r"go/(?:load|save)-cache|(?:/go|~/go|/home/circleci/go|.*\.go_workspace)/pkg(?:/mod)?")
_GO_CACHE: Final = "~/.cache/go-mod"
_GO_EXPORT: Final = 'export GOMODCACHE="$HOME/.cache/go-mod"'
_ORBS: Final[Mapping[str, str]] = {
    "node/install-packages": "npm ci",
    "node/install-npm": "true",
    "node/install": "node --version",
    "python/install-packages": "pip install -r requirements.txt",
    "ruby/install-deps": "bundle install",
    "ruby/rspec-test": "bundle exec rspec",
    "ruby/rubocop-check": "bundle exec rubocop",
    "go/mod-download": "go mod download",
    "go/test": "go test ./...",
    "php/install-packages": "composer install",
    "maven/with_cache": "true",
    "rust/build": "cargo build",
    "rust/test": "cargo test",
    "rust/clippy": "cargo clippy",
    "rust/format": "cargo fmt --check",
    "node/npm-install": "npm ci",
    "node/yarn-install": "yarn --frozen-lockfile",
}
Values = Mapping[str, Any]


def filled(value: Any, values: Values) -> Any:
    """A value with its parameters put in; a value that is nothing but one keeps its kind."""
    match value:
        case str():
            whole = _PARAMETER.fullmatch(value.strip())
            if whole and f"{whole[1]}.{whole[2]}" in values:
                return values[f"{whole[1]}.{whole[2]}"]
            return _PARAMETER.sub(lambda m: as_written(values.get(f"{m[1]}.{m[2]}", m[0])) or "", value)
        case dict():
            return {key: filled(below, values) for key, below in value.items()}
        case list():
            return [filled(below, values) for below in value]
        case _:
            return value


class JobReader:
    """A job whose parameters are put in."""

    def __init__(self, config: Config, draft: Draft, part: Part, values: Values) -> None:
        self.config, self.draft, self.part, self.values = config, draft, part, values
        self.account, self.document = part.account, part.document
        self.exports: list[str] = []
        words = list(image_commands.texts(part.value.get("steps")))
        self.images = image_commands.for_job(draft, words)
        self.go_modules = any(_GO_MODULES.search(word) for word in words)
        self.depth = 0

    def convert(self) -> None:
        part, draft = self.part, self.draft
        part.needless("description", "a description")
        part.needless("working_directory", "the workspace is the repository")
        part.needless("circleci_ip_ranges", "the addresses are the node's")
        self.executor(part)
        part.take("executor")
        env = as_mapping(part, "environment")
        if env is not None:
            self.variables(env, draft.environment)
        shards = part.number("parallelism")
        if shards and shards > 1:
            draft.rest["parallel"] = min(shards, 200)
        if "branches" in part:
            part.left("branches", "branches of a job", "'when: {branch: ...}'")
        for at, one in part.listed("steps"):
            with self.account.noting(draft.pending):
                self.step(at, one)
        part.close("a job")

    def variables(self, env: Part, into: dict[str, str]) -> None:
        pairs = {key: (as_written(env.take(key)) or "") for key in env.names()}
        put_variables(
            into,
            {key: value if "${{ matrix." in value else literal(value) for key, value in pairs.items()},
            lambda key, why: env.left(key, why, "rename it"),
        )

    def executor(self, part: Part) -> None:
        value = part.value.get("executor")
        if value is not None:
            name = as_written(value.get("name")) if isinstance(value, dict) else as_written(value)
            found = self.config.section("executors").get(name or "")
            if isinstance(found, dict):
                values = dict(self.values)
                parameters = found.get("parameters")
                for key, parameter in parameters.items() if isinstance(parameters, dict) else ():
                    if isinstance(parameter, dict):
                        values[f"parameters.{key}"] = parameter.get("default", "")
                if isinstance(value, dict):
                    values.update({f"parameters.{key}": text for key, text in value.items() if key != "name"})
                raw = filled({key: below for key, below in found.items() if key != "parameters"}, values)
                below = Part(self.account, self.document, ("executors", name or ""), raw)
                self.machine(below)
                env = below.part("environment")
                if env is not None:
                    self.variables(env, self.draft.environment)
                for key in ("working_directory", "shell", "description"):
                    below.take(key)
                below.close("an executor")
            else:
                language = (name or "").partition("/")[0]
                tag = str(value.get("tag", "")) if isinstance(value, dict) else ""
                image = images.image(language, tag)
                if image:
                    self.draft.image = image
                    part.look("executor", f"executor {name}: the image is {image}")
                else:
                    part.left("executor", f"executor {str(name)[:60]} of an orb", "name the image")
        self.machine(part)

    def machine(self, part: Part) -> None:
        for key in ("macos", "windows", "xcode"):
            if key in part:
                part.left(key, f"a job on {key}", "nodes run Linux containers: keep that job where it is")
                self.draft.rest["elsewhere"] = True
        if "machine" in part:
            value = part.take("machine")
            part.look("machine", "a machine of its own becomes a container", "an image that has what the steps need")
            self.draft.image = images.PLAIN
            if isinstance(value, dict) and "docker_layer_caching" in value:
                pass
        for number, (at, one) in enumerate(part.listed("docker")):
            below = part.at_part(at, one)
            if below is None:
                continue
            image = below.text("image") or ""
            if not good_image(image):
                below.left("image", f"image {image[:80]!r}", "name it by hand")
                continue
            env = as_mapping(below, "environment")
            if number == 0:
                self.draft.image = image
                if env is not None:
                    self.variables(env, self.draft.environment)
                for key in ("user", "entrypoint", "command", "name"):
                    if key in below:
                        below.needless(key, "steps are run by the farm's own script")
            else:
                self.service(below, image, env)
            for key in ("auth", "aws_auth"):
                if key in below:
                    below.left(key, "the registry's credentials", "the node's own log-in to the registry")
            below.close("an image")
        size = part.text("resource_class")
        if size in _SIZES:
            self.draft.rest["cpus"], self.draft.rest["memory"] = _SIZES[size]
        elif size:
            part.look("resource_class", f"resource class {size[:40]}", "'cpus', 'memory', or a pool")

    def service(self, below: Part, image: str, env: Part | None) -> None:
        name = name_of(below.text("name") or services.named(image))
        made: dict[str, Any] = {"image": image}
        if env is not None:
            made["environment"] = {}
            self.variables(env, made["environment"])
        for key in ("command", "entrypoint"):
            words = below.texts(key)
            if words:
                made[key] = words if len(words) > 1 else words[0].split()
        port = services.port(image)
        if port:
            made["health"] = port
        below.needless("user", "the service runs as its image says")
        below.look(
            "image", f"the service is reached as {name}, not at localhost", f"for instance {name}:{port or 'its port'}"
        )
        self.draft.services[name] = {key: value for key, value in made.items() if value}

    # --- steps --------------------------------------------------------------------------------------------------------

    def left(self, at: Location, message: str, remedy: str, why: str | None = None) -> None:
        self.account.say(Kind.LEFT, self.document, at, message, remedy)
        self.account.step_left(why or message)

    def step(self, at: Location, one: Any) -> None:
        if self.draft.rest.get("elsewhere"):
            self.account.step_left("runs on another system")
            return
        name, body = next(iter(one.items())) if isinstance(one, dict) and one else (as_written(one) or "", None)
        here = (*at, name) if isinstance(one, dict) else at
        part = Part(self.account, self.document, here, body if isinstance(body, dict) else {})
        match name:
            case "run":
                self.run(here, body, part)
            case "checkout":
                part.needless("path", "the workspace is the repository")
                self.account.say(
                    Kind.NEEDLESS, self.document, at, "checkout: the workspace is the repository at the commit", None
                )
                self.account.converted += 1
            case "save_cache" | "restore_cache":
                self.cache(part)
            case "store_artifacts":
                self.artifacts(part, [part.text("path") or ""], optional=True)
                part.needless("destination", "artifacts keep their paths")
                part.close("store_artifacts")
            case "store_test_results":
                path = pattern_of(part.text("path") or "")
                if path:
                    self.draft.report(
                        "junit",
                        [
                            path
                            if path.endswith(".xml")
                            else "**/*.xml"
                            if path == "**"
                            else f"{path.removesuffix('/**')}/**/*.xml"
                        ],
                    )
                    self.account.converted += 1
                else:
                    self.left(
                        here,
                        f"test results in {str(body)[:60]}",
                        "a folder of the workspace",
                        "test results outside of the workspace",
                    )
            case "persist_to_workspace":
                root = (part.text("root") or ".").rstrip("/")
                root = "." if root.startswith(("/", "~")) else root
                self.config.keeps[self.draft.name] = True
                self.artifacts(
                    part,
                    [path if root in (".", "") else f"{root}/{path}" for path in part.texts("paths")],
                    optional=False,
                )
                part.close("persist_to_workspace")
            case "attach_workspace":
                where = part.text("at") or "."
                if where not in (".", "./") and not where.startswith(("~", "/")):
                    part.look("at", "artifacts are where they were made", "move them in a step")
                self.config.attaches.append(self.draft)
                self.account.converted += 1
            case "setup_remote_docker" if self.images.builds:
                self.account.say(
                    Kind.NEEDLESS, self.document, at, "setup_remote_docker: the node's engine builds images", None
                )
                self.account.converted += 1
            case "setup_remote_docker":
                self.left(
                    at,
                    "setup_remote_docker: steps have no Docker engine",
                    "'builds' makes images",
                    "setup_remote_docker",
                )
            case "add_ssh_keys":
                self.left(at, "add_ssh_keys", "a secret with the key", "add_ssh_keys")
            case "when" | "unless":
                self.conditional(name, here, part)
            case _:
                self.command(name, here, body)

    def artifacts(self, part: Part, paths: list[str], *, optional: bool) -> None:
        found: list[str] = []
        for path in paths:
            pattern = pattern_of(path)
            if pattern is None:
                part.say(Kind.LEFT, part.at, f"files at {path[:60]!r}", "a path in the workspace", key=True)
            else:
                found += folder_patterns(pattern)
        self.draft.artifact(found, optional=optional)
        if len(paths) and not found:
            self.account.step_left("files outside of the workspace")
        else:
            self.account.converted += 1

    def run(self, at: Location, body: Any, part: Part) -> None:
        command = part.text("command") if isinstance(body, dict) else as_written(body)
        if command is None:
            self.left(at, "a run without a command", "write it by hand")
            return
        more: dict[str, Any] = {"name": part.text("name")}
        when = part.text("when")
        if when in ("always", "on_fail"):
            self.left(
                at,
                f"a step that runs {when}",
                "a job that needs this one, with 'when: {result: always}'",
                "runs after a failure",
            )
            for key in part.names():
                part.take(key)
            return
        if part.flag("background"):
            part.look(
                "background",
                "runs in the background of its own step only",
                "a service, or start it in the step that needs it",
            )
            command = f"({command}) &"
            more["background"] = None
        part.needless("no_output_timeout", "the job has a time limit")
        folder = part.text("working_directory")
        if folder:
            found = pattern_of(re.sub(r"^(?:~/[\w.-]+|~/project)/?", "", folder) or ".")
            if found is None:
                part.left("working_directory", f"folder {folder[:60]}", "a folder of the workspace")
            elif found != "**":
                more["working_directory"] = found
        env = part.part("environment")
        if env is not None:
            more["environment"] = {}
            self.variables(env, more["environment"])
        shell = part.text("shell")
        if shell and not re.search(r"\b(?:ba|da|a|)sh\b", shell):
            more["shell"] = shell
        part.close("a run")
        if re.search(r"\bcircleci\s+(?:tests|run|step|env)\b|circleci-agent", command):
            self.left(
                at, "asks CircleCI's own program", "'parallel' and FARMGATE's own helper split tests", "circleci tests"
            )
            return
        if "<<" in command and _PARAMETER.search(command):
            self.left(
                at, f"a parameter that is not known: {summary(command)}", "write it by hand", "an unknown parameter"
            )
            return
        self.images.folder = more.get("working_directory", "")
        text = ready(self.account, self.document, at, _ours(command), own_words=True, images=self.images)
        if text is None:
            return
        exports = [
            f'export {name}="{value}"' for name, value in _VARIABLES.items() if re.search(rf"\$\{{?{name}\b", text)
        ]
        if "BASH_ENV" in text or self.exports:
            self.exports = ['export BASH_ENV="$TMPDIR/bash_env"; touch "$BASH_ENV"; . "$BASH_ENV"']
        more.pop("background", None)
        if not more["name"]:
            del more["name"]
        modules = [_GO_EXPORT] if self.go_modules and re.search(r"\b(?:go|make|golangci-lint)\b", text) else []
        add(self.draft, text, [*self.exports, *exports, *modules], **more)

    def cache(self, part: Part) -> None:
        key = part.text("key") or next(iter(part.texts("keys")), "cache")
        part.take("keys"), part.take("name"), part.take("when")
        files = [found for name in re.findall(r"checksum\s+[\"']([^\"']+)[\"']", key) if (found := pattern_of(name))]
        plain = re.sub(r"-{2,}", "-", re.sub(r"\{\{.*?\}\}|<<.*?>>", "", key)).strip("-_ ") or "cache"
        paths = []
        for path in part.texts("paths"):
            found = cache_path(re.sub(r"^~/(?:project|repo|app)/", "", path))
            if _GO_MODULES.fullmatch(path.rstrip("/")):
                found = _GO_CACHE
            if found:
                paths.append(found)
            else:
                part.left("paths", f"cache of {path[:60]}", "a path in the workspace, or below the home as ~/...")
        part.close("a cache")
        self.draft.cache(plain, paths, files)
        self.account.converted += 1

    def conditional(self, name: str, at: Location, part: Part) -> None:
        decided = condition(part.take("condition"))
        steps = part.listed("steps")
        if decided is None:
            self.left(at, f"{name} with a condition that is not known before the run", "'if' in the commands")
            return
        if decided is (name == "when"):
            for place, one in steps:
                self.step(place, one)
        else:
            self.account.say(Kind.NEEDLESS, self.document, at, f"{name}: never with these parameters", None, key=True)

    def command(self, name: str, at: Location, body: Any) -> None:
        found = self.config.section("commands").get(name)
        if isinstance(found, dict) and self.depth < 10:
            values = dict(self.config.shared)
            parameters = found.get("parameters")
            for key, parameter in parameters.items() if isinstance(parameters, dict) else ():
                if isinstance(parameter, dict):
                    values[f"parameters.{key}"] = parameter.get("default", "")
            if isinstance(body, dict):
                values.update({f"parameters.{key}": value for key, value in body.items()})
            steps = filled(found.get("steps"), values)
            self.depth += 1
            for index, one in enumerate(steps if isinstance(steps, list) else []):
                self.step(("commands", name, "steps", index), one)
            self.depth -= 1
            return
        if name in ("go/load-cache", "go/save-cache"):
            self.account.say(Kind.LOOK, self.document, at, f"{name} of an orb: a cache of the modules", None)
            self.account.converted += 1
            self.draft.cache("go-mod", [_GO_CACHE], ["go.sum"])
            return
        if name == "go/install" and isinstance(body, dict) and (version := as_written(body.get("version"))):
            image = f"golang:{version}"
            if good_image(image) and self.draft.image in (None, images.PLAIN):
                self.account.say(Kind.LOOK, self.document, at, f"{name} of an orb: the image is {image}", None)
                self.account.converted += 1
                self.draft.image = image
                return
        java = re.fullmatch(r"[\w-]+/install-(?:java|jdk|openjdk)-?([0-9]+)", name)
        if java is not None and self.draft.image in (None, images.PLAIN):
            self.draft.image = f"maven:3-eclipse-temurin-{java[1]}"
            self.account.say(Kind.LOOK, self.document, at, f"{name} of an orb: the image is {self.draft.image}", None)
            self.account.converted += 1
            return
        known = _ORBS.get(name)
        if known is not None:
            self.account.say(Kind.LOOK, self.document, at, f"{name} of an orb: its usual command", None)
            self.account.converted += 1
            self.draft.step(known)
            return
        self.left(
            at,
            f"{name[:60] or 'an empty step'}: a command of an orb",
            "write what it does as commands",
            f"command {name[:60]} of an orb",
        )


def as_mapping(part: Part, key: str) -> Part | None:
    """Variables as a mapping; a list of `NAME=value`, or of mappings, is one, too."""
    value = part.value.get(key)
    if not isinstance(value, list):
        return part.part(key)
    pairs: dict[str, Any] = {}
    for one in value:
        name, equals, text = (as_written(one) or "").partition("=")
        if isinstance(one, dict):
            pairs.update(one)
        elif equals:
            pairs[name] = text
        else:
            part.left(key, f"a variable without a value: {summary(str(one))}", "write NAME: value")
    part.take(key)
    return Part(part.account, part.document, (*part.at, key), pairs)


def _ours(command: str) -> str:
    """`${{` of the source is just characters; what was put in for the matrix is ours."""
    return re.sub(r"\$\{\{(?! matrix\.\w+ \}\})", "$${{", command)


def condition(value: Any) -> bool | None:
    """Whether a condition holds, where that is known."""
    match value:
        case bool():
            return value
        case None:
            return False
        case str():
            if "$" in value or "<<" in value:
                return None
            return value.lower() not in ("", "false", "0")
        case int() | float():
            return bool(value)
        case {"equal": list() as both}:
            texts = [as_written(one) or "" for one in both]
            return None if any("$" in text or "<<" in text for text in texts) else len(set(texts)) == 1
        case {"not": below}:
            inside = condition(below)
            return None if inside is None else not inside
        case {"and": list() as all_}:
            found = [condition(one) for one in all_]
            return False if False in found else None if None in found else True
        case {"or": list() as any_}:
            found = [condition(one) for one in any_]
            return True if True in found else None if None in found else False
        case _:
            return None
