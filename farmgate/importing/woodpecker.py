"""Woodpecker: `.woodpecker.yml`, or several files in `.woodpecker/`.

Rules:
1. A file is a job, its steps are the job's steps, each in its own image where it differs from the first; they share the
   workspace, as they do there.
2. Where steps differ in when they run, each group that follows another condition is a job of its own, after those before it.
3. A plugin (a step with settings and no commands) is an image that is told what to do by variables: some are known, the
   others are left.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing import cells, image_commands, services
from farmgate.importing.account import Account, Kind, Part, flat
from farmgate.importing.commands import add, ready
from farmgate.importing.draft import (
    Draft,
    Drafts,
    cache_path,
    good_image,
    good_variable,
    name_of,
    pattern_of,
    put_variables,
)
from farmgate.importing.shell import BASH, literal, summary

_EVENTS: Final = {
    "push": "push",
    "tag": "tag",
    "pull_request": "pull",
    "pull_request_closed": "pull",
    "manual": "person",
    "cron": "person",
    "release": "tag",
    "deployment": "person",
    "pull_request_metadata": "pull",
}
_VARIABLES: Final = {
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
    "CI_PIPELINE_EVENT": "$FARMGATE_TRIGGER",
    "CI_COMMIT_PULL_REQUEST": "$FARMGATE_PULL",
    "CI_REPO_DEFAULT_BRANCH": "$FARMGATE_DEFAULT_BRANCH",
    "DRONE_TAG": "$FARMGATE_TAG",
    "DRONE_COMMIT_SHA": "$FARMGATE_SHA",
    "DRONE_BRANCH": "$FARMGATE_BRANCH",
    "DRONE_BUILD_NUMBER": "$FARMGATE_RUN",
    "CI_BUILD_EVENT": "$FARMGATE_TRIGGER",
}
_BUILDERS: Final = (
    "plugin-docker-buildx",
    "plugins/docker",
    "plugin-docker",
    "plugins/kaniko",
    "plugin-kaniko",
    "drone-docker",
    "buildx",
)


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files; a file's `depends_on` names other files."""
    flows = []
    for document in documents:
        flow = Workflow(Part(account, document, (), document.data), drafts, places)
        flow.convert(several=len(documents) > 1)
        flows.append(flow)
    by_name = {flow.name: flow for flow in flows}
    for flow in flows:
        for name in flow.depends_on:
            before = by_name.get(PurePosixPath(name).stem)
            if before is None or before is flow:
                flow.root.left(
                    "depends_on",
                    f"depends on {name[:60]!r}, which was not given",
                    "give that file to the importer, too",
                )
            elif flow.jobs and before.jobs:
                flow.jobs[0].needs[before.jobs[-1].name] = False
        flow.root.close("the file")


class Workflow:
    """One file."""

    def __init__(self, root: Part, drafts: Drafts, places: dict[str, Problem]) -> None:
        self.root, self.drafts, self.places = root, drafts, places
        self.account, self.document = root.account, root.document
        self.name = PurePosixPath(root.document.source).stem.lstrip(".")
        self.jobs: list[Draft] = []
        self.depends_on: list[str] = []
        self.cells: list[dict[str, str]] = []

    def convert(self, *, several: bool) -> None:
        root = self.root
        for key in root.names():
            if key.startswith((".", "x-", "_")) or key in ("variables", "anchors"):
                root.needless(key, "a place for anchors")
        root.needless("version", "the version of Woodpecker's own format")
        root.needless("skip_clone", "the workspace is the repository")
        for key, why in (
            ("clone", "the workspace is the repository at the commit"),
            ("workspace", "the workspace is the repository"),
        ):
            root.needless(key, why)
        labels = root.take("labels") or root.value.get("platform")
        root.take("platform")
        if labels and "amd64" not in str(labels):
            root.look(
                "labels" if "labels" in root.value else "platform",
                f"a machine with {summary(str(labels))}",
                "'labels' of a node, or a pool",
            )
        self.depends_on = root.texts("depends_on")
        runs_on = root.texts("runs_on")
        self.matrix()
        base = self.when(root, several_allowed=True)
        for key in ("branches", "branch"):
            value = root.take(key)
            if value is not None:
                base["branch"] = self.globs(value)
        if runs_on:
            base["result"] = (
                "always" if {"success", "failure"} <= set(runs_on) else "failed" if "failure" in runs_on else "passed"
            )
        steps = self.named(root, "steps") + self.named(root, "pipeline")
        label = self.name if several or self.name not in ("woodpecker", "") else ""
        found_services = self.services()
        current: Draft | None = None
        last: dict[str, Any] | None = None
        for name, step in steps:
            own = self.when(step)
            status = own.pop("result", None)
            condition = {**base, **own, **({"result": status} if status else {})}
            if step.flag("detach"):
                self.detached(name, step)
                continue
            if current is None or condition != last:
                wanted = (
                    label if not self.jobs and (label or len(steps) == 1) else (f"{label}-{name}" if label else name)
                )
                draft = self.drafts.add(wanted or name)
                self.places[draft.name] = self.document.problem(step.at, "", key=True)
                if self.jobs:
                    draft.needs[self.jobs[-1].name] = False
                    same = last is not None and {k: v for k, v in last.items() if k != "result"} == {
                        k: v for k, v in condition.items() if k != "result"
                    }
                    if not same:
                        needed = [
                            one
                            for one in self.jobs
                            if all(condition.get(key) == value for key, value in one.when.items())
                        ]
                        draft.needs = {needed[-1].name: False} if needed else {}
                    if any(one.steps for one in self.jobs):
                        self.account.say(
                            Kind.LOOK,
                            self.document,
                            step.at,
                            f"step {name} is a job of its own: it runs at other times than the one before",
                            "what it takes from there as 'artifacts'",
                            key=True,
                        )
                draft.when = condition
                draft.services = dict(found_services)
                if self.cells:
                    draft.matrix = cells.fold(self.cells)
                self.jobs.append(draft)
                current, last = draft, condition
            with self.account.noting(current.pending):
                self.step(current, name, step)

    def matrix(self) -> None:
        matrix = self.root.part("matrix")
        if matrix is None:
            return
        include = matrix.listed("include")
        if include:
            self.cells = [
                {key: as_written(text) or "" for key, text in one.items() if good_variable(key)}
                for _, one in include
                if isinstance(one, dict)
            ]
        axes = {key: matrix.texts(key) for key in matrix.names() if key != "include" and good_variable(key)}
        if axes and not include:
            import itertools

            self.cells = [
                dict(zip(axes, values, strict=True))
                for values in itertools.islice(itertools.product(*axes.values()), 1000)
            ]
        names = list(dict.fromkeys(key for cell in self.cells for key in cell))
        self.cells = [{name: cell.get(name, "") for name in names} for cell in self.cells]
        matrix.close("matrix")

    def put_in(self, text: str) -> str:
        """`${GO_VERSION}` of the matrix, put in."""

        def one(found: re.Match[str]) -> str:
            value = cells.value(self.cells, found[1])
            return found[0] if value is None else value

        return re.sub(r"\$\{(\w+)\}", one, text)

    def named(self, part: Part, key: str) -> list[tuple[str, Part]]:
        value = part.take(key)
        found: list[tuple[str, Part]] = []
        if isinstance(value, dict):
            for name, body in value.items():
                if isinstance(body, dict):
                    found.append((name, Part(part.account, part.document, (*part.at, key, name), body)))
                else:
                    part.say(Kind.LEFT, (*part.at, key, name), f"{key}: {name[:60]} is no mapping", "write it by hand")
        elif isinstance(value, list):
            for index, body in enumerate(value):
                if isinstance(body, dict):
                    one = Part(part.account, part.document, (*part.at, key, index), body)
                    found.append((one.text("name") or f"step-{index + 1}", one))
        return found

    # --- when ---------------------------------------------------------------------------------------------------------

    def globs(self, value: Any) -> list[str]:
        if isinstance(value, dict):
            only = [as_written(one) or "" for _, one in flat(value.get("include"), ())]
            but = [as_written(one) or "" for _, one in flat(value.get("exclude"), ())]
            return [*(only or ["**"]), *(f"!{one}" for one in but)]
        found = []
        for _, one in flat(value, ()):
            text = as_written(one) or ""
            braces = re.fullmatch(r"\{?\s*([\w./*, -]+?)\s*\}?", text)
            found += (
                [word.strip() for word in text.strip("{} ").split(",")] if text.startswith("{") and braces else [text]
            )
        return ["**", *found] if found and all(one.startswith("!") for one in found) else found

    def when(self, part: Part, *, several_allowed: bool = False) -> dict[str, Any]:
        value = part.take("when")
        entries = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        made: list[dict[str, Any]] = []
        for index, one in enumerate(entries):
            if not isinstance(one, dict):
                continue
            at: Location = (*part.at, "when", index) if isinstance(value, list) else (*part.at, "when")
            when = Part(part.account, part.document, at, one)
            condition: dict[str, Any] = {}
            event = when.take("event")
            if event is not None:
                words = [
                    as_written(word) or ""
                    for _, word in flat(event.get("include") if isinstance(event, dict) else event, ())
                ]
                but = (
                    [_EVENTS.get(as_written(word) or "") for _, word in flat(event.get("exclude"), ())]
                    if isinstance(event, dict)
                    else []
                )
                named = list(dict.fromkeys(_EVENTS[word] for word in words if word in _EVENTS)) or [
                    one for one in ("push", "tag", "pull", "person") if one not in but
                ]
                if set(named) != {"push", "tag", "pull", "person"}:
                    condition["event"] = named
            for key in ("branch", "path"):
                patterns = when.take(key)
                if patterns is not None:
                    condition["paths" if key == "path" else key] = [glob for glob in self.globs(patterns) if glob]
            tag = when.take("tag")
            if tag is not None:
                condition["tag"] = self.globs(tag)
            status = list(when.texts("status"))
            if status:
                condition["result"] = (
                    "always" if {"success", "failure"} <= set(status) else "failed" if "failure" in status else "passed"
                )
            ref = when.text("ref") if not isinstance(when.value.get("ref"), dict | list) else None
            if ref and ref.startswith("refs/tags/"):
                condition["event"] = ["tag"]
                if ref != "refs/tags/**" and ref != "refs/tags/*":
                    condition["tag"] = [ref.removeprefix("refs/tags/")]
            elif ref and ref.startswith("refs/heads/"):
                condition["branch"] = [ref.removeprefix("refs/heads/")]
            elif "ref" in when:
                when.left("ref", f"ref {summary(str(when.value['ref']))}", "'branch' or 'tag'")
            for key, why in (
                ("cron", "a schedule: start the run by `farmgate run` from a timer"),
                ("platform", "'labels' of a node"),
                ("evaluate", "'if' in the commands"),
                ("environment", "a lane says where to"),
                ("instance", "say it in 'labels'"),
                ("matrix", "'exclude' of the matrix"),
            ):
                if key in when:
                    when.left(key, f"when: {key}", why)
            when.needless("repo", "a run is of this repository")
            when.close("when")
            made.append(condition)
        if len(made) < 2:
            return made[0] if made else {}
        keys = set(made[0]) if all(set(one) == set(made[0]) for one in made) else set()
        differ = [key for key in keys if len({str(one[key]) for one in made}) > 1]
        joined: dict[str, Any] = {}
        if all("event" in one for one in made):
            joined["event"] = list(dict.fromkeys(event for one in made for event in one["event"]))
        for key in ("branch", "paths", "tag", "result"):
            having = [one for one in made if key in one]
            if having and (len(having) == len(made) or key in ("branch", "paths")):
                values = [one[key] for one in having]
                joined[key] = (
                    values[0]
                    if isinstance(values[0], str)
                    else list(dict.fromkeys(word for words in values for word in words))
                )
        if joined.get("tag") and joined.get("event") != ["tag"]:
            del joined["tag"]
        if not keys or len(differ) > 1:
            part.look("when", "'when' is one condition: these are joined", "compare it, or make two jobs")
        return joined

    # --- services and steps -------------------------------------------------------------------------------------------

    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, part in self.named(self.root, "services"):
            image = self.put_in(part.text("image") or "")
            if not good_image(image):
                part.left("image", f"image {summary(image)} of service {name}", "name it by hand")
                continue
            made: dict[str, Any] = {"image": image}
            environment: dict[str, str] = {}
            self.environment(part, environment, None)
            if environment:
                made["environment"] = environment
            commands = part.texts("commands") or part.texts("command")
            if commands:
                made["entrypoint"], made["command"] = ["sh", "-ec"], ["\n".join(commands)]
            port = services.port(image) or next((int(text) for text in part.texts("ports") if text.isdigit()), None)
            part.take("ports")
            if port:
                made["health"] = port
            for key in (
                "privileged",
                "volumes",
                "devices",
                "backend_options",
                "secrets",
                "when",
                "pull",
                "entrypoint",
                "tmpfs",
            ):
                if key in part:
                    part.needless(key, "the node decides") if key == "pull" else part.left(
                        key, f"{key} of a service", "an image that has it"
                    )
            part.close("a service")
            found[name_of(name)] = made
        return found

    def environment(self, part: Part, into: dict[str, str], draft: Draft | None) -> None:
        value = part.take("environment")
        pairs: dict[str, Any] = {}
        if isinstance(value, list):
            for text in (as_written(one) or "" for one in value):
                key, _, right = text.partition("=")
                pairs[key] = right
        elif isinstance(value, dict):
            pairs = dict(value)
        plain: dict[str, str] = {}
        for key, one in pairs.items():
            secret = as_written(one.get("from_secret")) if isinstance(one, dict) else None
            if secret is not None and draft is not None and good_variable(key):
                draft.secrets[key] = (
                    secret.upper() if re.fullmatch(r"[A-Za-z_]\w*", secret) else re.sub(r"\W", "_", secret).upper()
                )
            elif isinstance(one, dict | list):
                part.say(
                    Kind.LEFT, (*part.at, "environment", key), f"variable {key[:60]}", "a secret, or a value", key=True
                )
            else:
                plain[key] = self.put_in(literal((as_written(one) or "").replace("$$", "$")))
        put_variables(
            into,
            plain,
            lambda key, why: part.say(Kind.LEFT, (*part.at, "environment", key), why, "rename it", key=True),
        )

    def detached(self, name: str, step: Part) -> None:
        image = self.put_in(step.text("image") or "")
        made: dict[str, Any] = {"image": image}
        for key in step.names():
            step.take(key)
        if good_image(image):
            step.say(
                Kind.LEFT,
                step.at,
                f"step {name} in the background",
                "a service, or start it in the step that needs it",
                key=True,
            )
        self.account.step_left("a step in the background")
        del made

    def step(self, draft: Draft, name: str, step: Part) -> None:
        image = self.put_in(step.text("image") or "")
        step.needless("pull", "the node decides")
        step.needless("group", "steps run one after the other")
        step.needless("depends_on", "steps run one after the other")
        environment: dict[str, str] = {}
        self.environment(step, environment, draft)
        for at, one in step.listed("secrets"):
            source = as_written(one.get("source")) if isinstance(one, dict) else as_written(one)
            target = as_written(one.get("target")) if isinstance(one, dict) else source
            if source and target and good_variable(target.upper()) and good_variable(source.upper()):
                draft.secrets[target.upper()] = source.upper()
            else:
                step.say(Kind.LEFT, at, "a secret without a good name", "name it in 'secrets'")
        for key in (
            "volumes",
            "privileged",
            "devices",
            "network_mode",
            "tmpfs",
            "backend_options",
            "entrypoint",
            "dns",
            "extra_hosts",
        ):
            if key in step:
                step.left(key, f"{key} of a step", "steps run in the sandbox: an image that has what is needed")
        if step.text("failure") == "ignore":
            step.look("failure", "its failure did not decide", "'|| true', or a job of its own with allow_failure")
        folder = step.text("directory")
        commands = step.texts("commands")
        if "settings" in step and not commands:
            self.plugin(draft, name, image, step)
            step.close("a step")
            return
        step.close("a step")
        if not commands:
            step.say(
                Kind.LEFT,
                step.at,
                f"step {name}: the image {summary(image)} runs by itself",
                "write what it does as commands",
                key=True,
            )
            self.account.step_left("an image that runs by itself")
            return
        text: list[str] = []
        images = image_commands.for_job(draft, commands)
        for index, command in enumerate(commands):
            kept = ready(
                self.account,
                self.document,
                (*step.at, "commands", index),
                self.put_in(literal(command.replace("$$", "$"))),
                own_words=True,
                images=images,
            )
            images.follow(command)
            if kept is not None:
                text.append(kept)
        if not text:
            return
        if not good_image(image):
            step.left("image", f"image {summary(image)}", "name it by hand")
            image = ""
        first = draft.image is None and not draft.steps
        if first and image:
            draft.image = image
        whole = "\n".join(text)
        exports = [
            f'export {key}="{value}"' for key, value in _VARIABLES.items() if re.search(rf"\$\{{?{key}\b", whole)
        ]
        for key in dict.fromkeys(key for cell in self.cells for key in cell):
            value = cells.value(self.cells, key)
            if value is not None and re.search(rf"\${key}\b", whole) and key not in environment:
                environment[key] = value
        more: dict[str, Any] = {"name": name, "environment": environment}
        if image and image != draft.image:
            more["image"] = image
        if folder and (found := pattern_of(folder)) and found != "**":
            more["working_directory"] = found
        if more.get("shell") == BASH and "alpine" in image:
            step.say(Kind.LOOK, step.at, "bash is not in every image", None)
        add(draft, whole, exports, **more)

    def plugin(self, draft: Draft, name: str, image: str, step: Part) -> None:
        value = step.take("settings")
        settings = step.below("settings", value if isinstance(value, dict) else {})
        if any(word in image for word in _BUILDERS):
            self.image_build(draft, settings)
            return
        if image.partition(":")[0].endswith("drone-cache") and "mount" in settings:
            self.cache(draft, settings)
            return
        step.say(
            Kind.LEFT,
            step.at,
            f"step {name}: plugin {re.sub(r'[:@].*', '', image)[:60]}",
            "write what it does as commands, or leave it to a lane",
            key=True,
        )
        self.account.step_left(f"plugin {re.sub(r'[:@].*', '', image).rpartition('/')[2][:40]}")

    def cache(self, draft: Draft, settings: Part) -> None:
        """One that is restored by a step and rebuilt by another is one cache of the job."""
        paths = []
        for path in settings.texts("mount"):
            found = cache_path(path)
            if found is None:
                settings.left("mount", f"cache of {path[:60]}", "a path in the workspace, or below the home as ~/...")
            else:
                paths.append(found)
        key = settings.text("cache_key") or "cache"
        files = [found for name in re.findall(r"checksum\s+[\"']([^\"']+)[\"']", key) if (found := pattern_of(name))]
        plain = re.sub(r"-{2,}", "-", re.sub(r"\{\{.*?\}\}", "", key)).strip("-_/ ") or "cache"
        for one in settings.names():
            if one not in ("mount", "cache_key"):
                settings.needless(one, "Farmgate keeps its caches in the blob store")
        draft.cache(plain, paths, files)
        self.account.converted += 1

    def image_build(self, draft: Draft, settings: Part) -> None:
        repo = next(iter(settings.texts("repo")), "image")
        name = (
            "/".join(part for part in repo.split("/") if "." not in part and "$" not in part and ":" not in part)
            or "image"
        )
        made: dict[str, Any] = {"name": name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) else "image"}
        for key, ours in (("dockerfile", "dockerfile"), ("context", "context")):
            path = pattern_of(self.put_in(settings.text(key) or "")) if key in settings else None
            if path and path not in ("**", "Dockerfile"):
                made[ours] = path
        target = settings.text("target")
        if target and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", target):
            made["target"] = target
        arguments: dict[str, str] = {}
        for key in ("build_args", "build-args"):
            raw: Any = settings.take(key)
            entries: Mapping[str, Any] = (
                raw
                if isinstance(raw, dict)
                else dict((as_written(one) or "").partition("=")[::2] for _, one in flat(raw, ()))
            )
            for variable, text in entries.items():
                plain = as_written(text)
                if plain is not None and good_variable(variable) and "$" not in plain:
                    arguments[variable] = plain
                else:
                    settings.left(key, f"build argument {variable[:60]}", "write it by hand")
        if arguments:
            made["arguments"] = arguments
        platforms = settings.texts("platforms")
        if platforms and not all("amd64" in one for one in platforms):
            settings.look("platforms", "images are built for the node's own kind", "a job for each kind, with 'labels'")
        for key in settings.names():
            if key not in ("repo", "dockerfile", "context", "target", "build_args", "build-args", "platforms"):
                settings.needless(key, "Farmgate pushes by digest to the registry that is configured")
        draft.builds.append(made)
        self.account.converted += 1
