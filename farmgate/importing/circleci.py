"""CircleCI 2: `.circleci/config.yml`.

Rules:
1. A job is written once for each place of the workflows that runs it, with its parameters put in.
2. Commands of the file are put where they are called; of orbs, those that are a plain command are known, others are left.
3. The first image of `docker` is the job's, the others are services. What is persisted to the workspace is artifacts;
   who attaches it needs the job that made it.
"""  # noqa: E501

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing import cells, image_commands, images, services
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.commands import add, ready, without_root
from farmgate.importing.draft import (
    Draft,
    Drafts,
    cache_path,
    folder_patterns,
    good_image,
    name_of,
    pattern_of,
    put_variables,
    variable_of,
)
from farmgate.importing.shell import literal, summary
from farmgate.importing.travis import glob_of

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
_ORB_JOBS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "node/test": ("node:22", ("npm ci", "npm test")),
    "node/run": ("node:22", ("npm ci",)),
    "python/test": ("python:3", ("pip install -r requirements.txt", "python -m pytest")),
    "maven/test": ("maven:3", ("mvn verify",)),
    "gradle/test": ("gradle:8", ("./gradlew test",)),
    "rust/lint-test-build": ("rust:1", ("cargo clippy", "cargo test", "cargo build --release")),
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


@dataclass(slots=True)
class Config:
    """The file."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    shared: dict[str, Any] = field(default_factory=dict)
    keeps: dict[str, bool] = field(default_factory=dict)  # which drafts persist something
    attaches: list[Draft] = field(default_factory=list)

    def section(self, key: str) -> dict[str, Any]:
        value = self.root.value.get(key)
        return value if isinstance(value, dict) else {}

    def convert(self) -> None:
        root = self.root
        for key in root.names():
            if key.startswith(("x-", ".", "_")) or key in ("defaults", "references", "aliases", "anchors", "templates"):
                root.needless(key, "a place for anchors")
        root.needless("version", "the version of CircleCI's own format")
        root.take("commands"), root.take("executors"), root.take("jobs")
        if root.flag("setup"):
            root.left("setup", "a file that computes the file", "a job that emits jobs: 'emits'")
        for name, value in self.section("parameters").items():
            self.shared[f"parameters.{name}"] = value.get("default", "") if isinstance(value, dict) else ""
        if self.shared:
            root.look("parameters", "parameters of the pipeline have their defaults here")
        root.take("parameters")
        self.shared.update(
            {
                "pipeline.git.branch": "$FARMGATE_BRANCH",
                "pipeline.git.tag": "$FARMGATE_TAG",
                "pipeline.git.revision": "$FARMGATE_SHA",
                "pipeline.number": "$FARMGATE_RUN",
                "pipeline.id": "$FARMGATE_RUN",
                "pipeline.project.git_url": "",
            }
        )
        for name in self.section("orbs"):
            root.needless("orbs", f"what is used of {name} is told where it is used")
        root.take("orbs")
        workflows = root.part("workflows")
        if workflows is None:
            for name in [name for name in self.section("jobs") if name == "build"] or list(self.section("jobs")):
                self.job(name, name, ("jobs", name), {}, {})
        else:
            self.workflows(workflows)
        for draft in self.attaches:
            self.attach(draft)
        for draft in self.drafts.jobs:
            without_root(draft)
        root.close("the file")

    # --- workflows ----------------------------------------------------------------------------------------------------

    def workflows(self, workflows: Part) -> None:
        workflows.needless("version", "the version of CircleCI's own format")
        names = [name for name in workflows.names() if name != "version"]
        used: set[str] = set()
        for name in names:
            value = workflows.take(name)
            if not isinstance(value, dict):
                workflows.left(name, "a workflow that is no mapping", "write it by hand")
                continue
            flow = workflows.below(name, value)
            person = False
            if "triggers" in flow:
                flow.left("triggers", "a schedule", "start the run by `farmgate run` from a timer")
                person = True
            for key in ("when", "unless"):
                if key in flow:
                    decided = condition(filled(flow.take(key), self.shared))
                    if decided is None:
                        flow.left(key, f"the workflow's condition ({key})", "write 'when' of its jobs by hand")
                    elif decided is (key == "unless"):
                        flow.left(
                            key,
                            "a workflow that a parameter of the pipeline turns on",
                            "its jobs wait for a person here",
                        )
                        person = True
            flow.needless("max_auto_reruns", "'retry' of a job")
            made: dict[str, list[str]] = {}
            drafts: list[tuple[Draft, list[str], Part | None]] = []
            for at, one in flow.listed("jobs"):
                for draft, requires in self.invocation(flow, at, one, made, used):
                    drafts.append((draft, requires, None))
                    if person:
                        draft.when["event"] = "person"
            for draft, requires, _ in drafts:
                for required in requires:
                    for found in made.get(required, []):
                        if found != draft.name:
                            draft.needs[found] = False
                    if required not in made:
                        flow.say(
                            Kind.LEFT,
                            (*flow.at, "jobs"),
                            f"requires {required[:60]!r}, which does not run in this workflow",
                            "write 'needs' by hand",
                            key=True,
                        )
            flow.close("a workflow")
        for name in self.section("jobs"):
            if name not in used:
                self.root.say(
                    Kind.NEEDLESS, ("jobs", name), f"job {name} is in no workflow, so it never runs", key=True
                )

    def invocation(
        self, flow: Part, at: Location, one: Any, made: dict[str, list[str]], used: set[str]
    ) -> list[tuple[Draft, list[str]]]:
        name, body = next(iter(one.items())) if isinstance(one, dict) and one else (as_written(one), {})
        if not name:
            return []
        part = Part(flow.account, flow.document, (*at, name), body if isinstance(body, dict) else {})
        used.add(name)
        requires = [
            word
            for value in part.listed("requires")
            for word in (
                [value[1]] if isinstance(value[1], str) else list(value[1] or {}) if isinstance(value[1], dict) else []
            )
        ]
        called = as_written(filled(part.take("name"), self.shared)) or name
        if part.text("type") == "approval":
            draft = self.drafts.add(called)
            draft.approve = f"{called}?"
            self.places[draft.name] = flow.document.problem(at, "")
            for key in ("filters", "context"):
                part.take(key)
            made.setdefault(called, []).append(draft.name)
            return [(draft, requires)]
        for key in ("pre-steps", "post-steps"):
            if key in part:
                part.left(key, f"{key} of a workflow's job", "write them into the job")
        if "context" in part:
            part.left(
                "context",
                f"context {', '.join(part.texts('context'))[:80]}: only CircleCI knows its variables",
                "name them in 'secrets'",
            )
        when = self.filters(part)
        matrix_part = part.part("matrix")
        axes: dict[str, list[str]] = {}
        excluded: list[dict[str, str]] = []
        if matrix_part is not None:
            parameters = matrix_part.part("parameters")
            for key in parameters.names() if parameters is not None else ():
                axes[key] = (
                    [as_written(filled(word, self.shared)) or "" for _, word in parameters.listed(key)]
                    if parameters is not None
                    else []
                )
            excluded = [
                {str(k): as_written(v) or "" for k, v in value.items()}
                for _, value in matrix_part.listed("exclude")
                if isinstance(value, dict)
            ]
            alias = matrix_part.text("alias")
            called = alias or called
            matrix_part.close("a matrix")
        given = {
            key: part.take(key)
            for key in part.names()
            if key
            not in ("requires", "name", "type", "filters", "context", "matrix", "pre-steps", "post-steps", "when")
        }
        if "when" in part:
            part.left("when", "the condition of a workflow's job", "write 'when' by hand")
        draft = self.job(name, called, at, {**given}, axes, excluded)
        draft.when.update(when)
        made.setdefault(called, []).append(draft.name)
        if called != name:
            made.setdefault(name, []).append(draft.name)
        return [(draft, requires)]

    def filters(self, part: Part) -> dict[str, Any]:
        filters = part.part("filters")
        if filters is None:
            return {}
        when: dict[str, Any] = {}
        for key, ours in (("branches", "branch"), ("tags", "tag")):
            value = filters.take(key)
            if value is None:
                continue
            below = filters.below(key, value if isinstance(value, dict) else {"only": value})
            found: list[str] = []
            for word, sign in (("only", ""), ("ignore", "!")):
                for text in below.texts(word):
                    glob = "**" if text in ("/.*/", "/^.*$/", "/^.*/", "/.*") else glob_of(_whole(text))
                    if glob is None:
                        below.say(
                            Kind.LEFT,
                            (*below.at, word),
                            f"the expression {summary(text)} is no pattern",
                            "write a pattern such as release/*",
                        )
                    else:
                        found.append(sign + glob)
            when[ours] = ["**", *found] if found and all(one.startswith("!") for one in found) else found
        branch, tag = when.get("branch"), when.get("tag")
        if tag and branch == ["**", "!**"]:
            return {"event": "tag", **({} if tag == ["**"] else {"tag": tag})}
        if tag and branch:
            filters.look(
                "tags", "runs for these branches, and not for tags, here", "a job of its own with 'when: {tag: ...}'"
            )
            return {"branch": branch}
        if tag:
            return {}
        return {"branch": branch} if branch and branch != ["**"] else {}

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def job(
        self,
        name: str,
        called: str,
        at: Location,
        given: dict[str, Any],
        axes: Mapping[str, list[str]],
        excluded: Sequence[dict[str, str]] = (),
    ) -> Draft:
        value = self.section("jobs").get(name)
        account, document = self.root.account, self.root.document
        draft = self.drafts.add(called)
        self.places[draft.name] = document.problem(("jobs", name) if isinstance(value, dict) else at, "", key=True)
        with account.noting(draft.notes):
            if not isinstance(value, dict):
                known = _ORB_JOBS.get(name)
                if known is None:
                    account.say(Kind.LEFT, document, at, f"job {name[:60]} of an orb", "write what it does as steps")
                    account.step_left(f"job {name[:60]} of an orb")
                    return draft
                draft.image = known[0]
                for command in known[1]:
                    account.converted += 1
                    draft.step(command)
                account.say(Kind.LOOK, document, at, f"job {name} of an orb: its usual commands", None)
                return draft
            found = (
                [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
            )
            kept = [
                cell for cell in found if not any(all(cell.get(k) == v for k, v in entry.items()) for entry in excluded)
            ]
            folded = cells.fold([{variable_of(key): text for key, text in cell.items()} for cell in kept])
            draft.matrix = folded
            values = dict(self.shared)
            for key, parameter in (
                (value.get("parameters") or {}).items() if isinstance(value.get("parameters"), dict) else ()
            ):
                if isinstance(parameter, dict) and "default" in parameter:
                    values[f"parameters.{key}"] = parameter["default"]
            for key, text in given.items():
                values[f"parameters.{key}"] = filled(text, self.shared)
            for key in axes:
                placed = f"${{{{ matrix.{variable_of(key)} }}}}" if folded else kept[0][key] if kept else ""
                values[f"parameters.{key}"] = values[f"matrix.{key}"] = placed
            raw = filled({key: below for key, below in value.items() if key != "parameters"}, values)
            JobReader(self, draft, Part(account, document, ("jobs", name), raw), values).convert()
        return draft

    def attach(self, draft: Draft) -> None:
        """Who attaches the workspace gets the artifacts of all that came before."""
        by_name = {one.name: one for one in self.drafts.jobs}
        todo, seen = list(draft.needs), set()
        while todo:
            name = todo.pop()
            if name in seen or name not in by_name:
                continue
            seen.add(name)
            if self.keeps.get(name):
                draft.needs[name] = True
            todo += list(by_name[name].needs)


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


def _whole(text: str) -> str:
    """An expression of CircleCI's fits the whole name."""
    regular = len(text) > 1 and text.startswith("/") and text.endswith("/")
    return f"/^{text[1:-1].removeprefix('^').removesuffix('$')}$/" if regular else text


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


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files."""
    for document in documents:
        Config(Part(account, document, (), document.data), drafts, places).convert()
    for draft in drafts.jobs:
        if draft.rest.pop("elsewhere", False):
            draft.steps = []
