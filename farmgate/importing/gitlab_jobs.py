"""GitLab CI: a job, once `extends`, `default` and `!reference` are followed.

Rules:
1. `rules`, `only` and `except` become one `when`; what one condition cannot say is told (`gitlab_rules`).
2. `before_script` and `script` run in one shell, `after_script` after them whatever happened.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import as_written
from farmgate.importing import cells, gitlab_rules, image_commands, services
from farmgate.importing.account import Kind, Part, flat
from farmgate.importing.commands import Shell, after, without_root
from farmgate.importing.draft import (
    cache_path,
    duration_of,
    folder_patterns,
    good_image,
    good_variable,
    name_of,
    pattern_of,
)
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.gitlab import Pipeline

_DEFAULTS: Final = (
    "image",
    "services",
    "before_script",
    "after_script",
    "cache",
    "retry",
    "timeout",
    "interruptible",
    "tags",
    "artifacts",
    "hooks",
    "id_tokens",
)
VARIABLES: Final = {
    "CI_COMMIT_SHA": "$FARMGATE_SHA",
    "CI_COMMIT_SHORT_SHA": '$(printf %.8s \\"$FARMGATE_SHA\\")',
    "CI_COMMIT_REF_NAME": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "CI_COMMIT_BRANCH": "$FARMGATE_BRANCH",
    "CI_COMMIT_TAG": "$FARMGATE_TAG",
    "CI_PROJECT_DIR": "$FARMGATE_WORKSPACE",
    "CI_JOB_NAME": "$FARMGATE_JOB",
    "CI_PIPELINE_ID": "$FARMGATE_RUN",
    "CI_PIPELINE_IID": "$FARMGATE_RUN",
    "CI_PIPELINE_SOURCE": "$FARMGATE_TRIGGER",
    "CI_DEFAULT_BRANCH": "$FARMGATE_DEFAULT_BRANCH",
    "CI_PROJECT_NAME": "${FARMGATE_REPOSITORY##*/}",
    "CI_PROJECT_PATH": "$FARMGATE_REPOSITORY",
    "CI_COMMIT_TITLE": "$FARMGATE_TITLE",
    "CI_COMMIT_MESSAGE": "$FARMGATE_TITLE",
    "CI_JOB_ID": "$FARMGATE_RUN",
    "CI_MERGE_REQUEST_IID": "$FARMGATE_PULL",
    "CI_COMMIT_REF_SLUG": '$(printf %s \\"${FARMGATE_BRANCH:-$FARMGATE_TAG}\\" | tr A-Z a-z | tr -c a-z0-9 -)',
    "CI_PROJECT_NAMESPACE": "${FARMGATE_REPOSITORY%%/*}",
    "GITLAB_CI": "true",
    "CI_COMMIT_AUTHOR": "",
    "CI_BUILDS_DIR": "$TMPDIR",
    "CI_BUILD_REF": "$FARMGATE_SHA",
    "CI_BUILD_REF_NAME": "${FARMGATE_BRANCH:-$FARMGATE_TAG}",
    "CI_BUILD_ID": "$FARMGATE_RUN",
    "CI_BUILD_TAG": "$FARMGATE_TAG",
}
_REPORTS: Final = {
    "junit": "junit",
    "cyclonedx": "cyclonedx",
    "sast": "",
    "coverage_report": "",
    "cobertura": "cobertura",
}


class JobReader:
    """A job with all that it takes from others."""

    def __init__(self, pipeline: Pipeline, name: str, merged: dict[str, Any]) -> None:
        self.pipeline, self.name = pipeline, name
        self.document = pipeline.documents[name]
        defaults = pipeline.raw.get("default")
        inherited = {key: pipeline.raw[key] for key in _DEFAULTS if key in pipeline.raw}
        inherited.update(
            {key: value for key, value in (defaults if isinstance(defaults, dict) else {}).items() if key in _DEFAULTS}
        )
        inherit = merged.get("inherit")
        if isinstance(inherit, dict) and inherit.get("default") is False:
            inherited = {}
        elif isinstance(inherit, dict) and isinstance(inherit.get("default"), list):
            inherited = {key: value for key, value in inherited.items() if key in inherit["default"]}
        self.part = Part(pipeline.account, self.document, (name,), pipeline.followed({**inherited, **merged}))
        self.account = pipeline.account
        self.draft = pipeline.drafts.add(name)
        self.exports = [*pipeline.exports]
        self.manual = False

    def convert(self) -> None:
        part, draft = self.part, self.draft
        self.pipeline.places[draft.name] = self.document.problem((self.name,), "", key=True)
        self.pipeline.made[self.name] = [draft]
        with self.account.noting(draft.notes):
            part.take("stage"), part.take("extends"), part.take("inherit")
            self.image()
            variables = part.part("variables")
            for name in variables.names() if variables is not None else ():
                one = variables.take(name) if variables is not None else None
                text = as_written(one.get("value")) if isinstance(one, dict) else as_written(one)
                self.pipeline.variable(
                    part, (*part.at, "variables", name), name, text or "", draft.environment, self.exports
                )
            self.services()
            self.conditions()
            self.needs()
            self.limits()
            self.keep()
            self.matrix()
            self.steps()
            part.close("a job")
        without_root(draft)
        if self.manual:
            ask = self.pipeline.drafts.add(f"start-{draft.name}")
            ask.approve = f"Start {self.name}?"
            ask.when = dict(draft.when)
            self.pipeline.places[ask.name] = self.pipeline.places[draft.name]
            ask.rest = {key: draft.rest[key] for key in ("_needs", "_dependencies") if key in draft.rest}
            draft.needs[ask.name] = False
            draft.rest["_manual"] = True
            self.pipeline.made[self.name] = [ask, draft]

    def image(self) -> None:
        value = self.part.take("image")
        name = as_written(value.get("name")) if isinstance(value, dict) else as_written(value)
        if not name:
            return
        own = self.part.value.get("variables")
        known = dict(self.pipeline.drafts.environment)
        known.update({key: as_written(text) or "" for key, text in (own if isinstance(own, dict) else {}).items()})
        axes = self.axes()

        def put_in(found: re.Match[str]) -> str:
            variable = found[1]
            return f"${{{{ matrix.{variable} }}}}" if variable in axes else known.get(variable, found[0])

        filled = re.sub(r"\$\{?(\w+)\}?", put_in, name)
        if good_image(filled):
            self.draft.image = filled
        else:
            self.part.left("image", f"image {summary(name)}", "name it: an image is known before the job starts")
        if isinstance(value, dict) and value.get("entrypoint") is not None:
            self.part.needless("image", "the entrypoint is not used: steps are run by the farm's own script")

    def axes(self) -> list[str]:
        parallel = self.part.value.get("parallel")
        matrix = parallel.get("matrix") if isinstance(parallel, dict) else None
        return [key for _, one in flat(matrix, ()) if isinstance(one, dict) for key in one]

    def services(self) -> None:
        known = self.pipeline.drafts.environment

        def put_in(found: re.Match[str]) -> str:
            return known.get(found[1], found[0])

        for at, one in self.part.listed("services"):
            image = as_written(one.get("name")) if isinstance(one, dict) else as_written(one)
            if not image:
                continue
            if "docker" in services.named(image) and "dind" in image:
                if image_commands.for_job(self.draft, image_commands.texts(self.part.value)).builds:
                    self.part.say(Kind.NEEDLESS, at, "docker:dind: the node's engine builds images", None)
                    continue
                self.part.say(
                    Kind.LEFT,
                    at,
                    "docker:dind: steps have no Docker engine",
                    "'builds' makes images, 'services' runs containers",
                )
                continue
            image = re.sub(r"\$\{?(\w+)\}?", put_in, image)
            if not good_image(image):
                self.part.say(Kind.LEFT, at, f"image of a service {summary(image)}", "name it by hand")
                continue
            name = name_of(
                as_written(one.get("alias")) or ""
                if isinstance(one, dict) and one.get("alias")
                else services.named(image)
            )
            made: dict[str, Any] = {"image": image}
            merged = {**self.pipeline.drafts.environment, **self.draft.environment}
            given = one.get("variables") if isinstance(one, dict) else None
            own: dict[str, Any] = given if isinstance(given, dict) else {}
            environment = {
                key: text
                for key, text in {**merged, **{k: as_written(v) or "" for k, v in own.items()}}.items()
                if key in own
                or key.startswith(("POSTGRES", "MYSQL", "MARIADB", "MONGO", "REDIS", "RABBITMQ", "ES_", "MINIO"))
            }
            if environment:
                made["environment"] = environment
            for key in ("command", "entrypoint"):
                words = [as_written(word) or "" for _, word in flat(one.get(key), ())] if isinstance(one, dict) else []
                if words:
                    made[key] = words
            port = services.port(image)
            if port:
                made["health"] = port
            self.draft.services[name] = made

    def conditions(self) -> None:
        part, draft = self.part, self.draft
        when = part.text("when")
        if when == "manual":
            self.manual = True
        elif when in ("always", "on_failure"):
            draft.when["result"] = "always" if when == "always" else "failed"
        elif when == "delayed":
            part.left("when", "a delayed start", "a job that asks, or a later run")
        elif when == "never":
            draft.rest["_never"] = True
        part.needless("start_in", "see when")
        if "rules" in part:
            self.rules()
        for key in ("only", "except"):
            value = part.take(key)
            if value is None:
                continue
            below = part.below(key, value if isinstance(value, dict) else {"refs": value})
            condition, unknown = gitlab_rules.of_words(below.texts("refs"))
            changes = [found for text in below.texts("changes") if (found := text.strip())]
            if below.at[-1] == key and "variables" in below:
                below.left("variables", f"{key}: variables", "'if' in the commands")
            if "kubernetes" in below:
                below.left("kubernetes", f"{key}: kubernetes", "write it by hand")
            below.close(key)
            for one in unknown:
                part.say(Kind.LEFT, (*part.at, key), f"{key}: {one} is no pattern", "write 'when' by hand", key=True)
            if key == "only":
                if "event" in condition and "branch" in condition:
                    part.look(
                        key,
                        f"runs for {', '.join(condition['event'])} of these branches only, here: {', '.join(condition['branch'])[:80]}",  # noqa: E501
                    )
                    condition = (
                        {"branch": condition["branch"]}
                        if set(condition["event"]) <= {"pull", "push"}
                        else {"event": [*dict.fromkeys([*condition["event"], "push"])], "branch": condition["branch"]}
                    )
                draft.when.update(condition)
                if changes:
                    draft.when["paths"] = changes
            else:
                if "branch" in condition:
                    draft.when["branch"] = [
                        *draft.when.get("branch", ["**"]),
                        *(f"!{one}" for one in condition["branch"]),
                    ]
                if "event" in condition:
                    draft.when["event"] = [
                        one
                        for one in draft.when.get("event", ["push", "tag", "pull", "person"])
                        if one not in condition["event"]
                    ] or ["person"]
                if changes:
                    draft.when["paths"] = ["**", *(f"!{one}" for one in changes)]

    def rules(self) -> None:
        part, draft = self.part, self.draft
        runs: list[gitlab_rules.Condition] = []
        never: list[gitlab_rules.Condition] = []
        paths: list[str] = []
        exact = manual = automatic = True
        manual = False
        for at, value in part.listed("rules"):
            for place, one in flat(value, at) if isinstance(value, list) else [(at, value)]:
                rule = part.at_part(place, one)
                if rule is None:
                    continue
                text = rule.text("if")
                found = gitlab_rules.of_expression(text) if text else [{}]
                if found is None:
                    rule.left("if", f"a rule: {summary(text or '')}", "write 'when' by hand, or 'if' in the commands")
                    exact, found = False, [{}] if rule.value.get("when") != "never" else []
                when = rule.text("when")
                changes = rule.take("changes")
                if changes is not None:
                    paths += [
                        as_written(path) or ""
                        for _, path in flat(changes.get("paths") if isinstance(changes, dict) else changes, ())
                    ]
                for key in ("exists", "variables", "needs", "interruptible"):
                    if key in rule:
                        rule.left(key, f"{key} of a rule", "'if' in the commands")
                if rule.flag("allow_failure"):
                    draft.rest["allow_failure"] = True
                rule.close("a rule")
                if when == "never":
                    never += found
                    continue
                manual = manual or when == "manual"
                if when == "always":
                    draft.when["result"] = "always"
                elif when == "on_failure":
                    draft.when["result"] = "failed"
                runs += found
        self.manual = self.manual or (manual and automatic)
        when_made, right = gitlab_rules.joined(runs)
        exact = exact and right
        for one in never:
            if set(one) == {"event"}:
                allowed = when_made.get("event", ["push", "tag", "pull", "person"])
                when_made["event"] = [event for event in allowed if event not in one["event"]] or allowed
            elif set(one) <= {"branch", "event"} and "branch" in one:
                when_made["branch"] = [
                    *when_made.get("branch", ["**"]),
                    *(f"!{glob}" for glob in one["branch"] if not glob.startswith("!")),
                ]
            elif one:
                exact = False
        if not runs and never:
            part.left("rules", "no rule runs this job", "it is asked for by a person here")
            when_made = {"event": "person"}
        if "${default}" in str(when_made):
            part.look("rules", "the default branch is 'main' here", "write its name, if it is another")
            when_made["branch"] = [glob.replace("${default}", "main") for glob in when_made.get("branch", [])]
        if not exact:
            part.look(
                "rules", "'when' is one condition: these rules are wider or narrower", "compare it, or make two jobs"
            )
        if [path for path in paths if path]:
            when_made["paths"] = [path for path in paths if path]
        draft.when.update({key: value for key, value in when_made.items() if value})

    def needs(self) -> None:
        part = self.part
        if "needs" in part.value and part.value["needs"] is not None:
            explicit: dict[str, bool | list[str]] = {}
            for at, one in part.listed("needs"):
                name = as_written(one.get("job")) if isinstance(one, dict) else as_written(one)
                if isinstance(one, dict) and any(key in one for key in ("pipeline", "project")):
                    part.say(Kind.LEFT, at, "needs something of another pipeline", "its artifacts by the API")
                    continue
                if name and (name in self.pipeline.raw):
                    explicit[name] = not (isinstance(one, dict) and one.get("artifacts") is False)
                elif name and not (isinstance(one, dict) and one.get("optional")):
                    part.say(
                        Kind.LEFT, at, f"needs {name[:60]!r}, which is not a job of these files", "write it by hand"
                    )
            self.draft.rest["_needs"] = explicit
        if "dependencies" in part.value:
            self.draft.rest["_dependencies"] = part.texts("dependencies")
            if "_needs" in self.draft.rest:
                wanted = self.draft.rest["_dependencies"]
                self.draft.rest["_needs"] = {name: name in wanted for name in self.draft.rest["_needs"]}

    def limits(self) -> None:
        part, rest = self.part, self.draft.rest
        allow = part.take("allow_failure")
        if allow is True:
            rest["allow_failure"] = True
        elif isinstance(allow, dict):
            codes = [
                int(float(text))
                for _, one in flat(allow.get("exit_codes"), ())
                if (text := as_written(one)) and re.fullmatch(r"[0-9.]+", text)
            ]
            rest["allow_failure"] = {"on_exit": codes} if codes else True
        retry = part.take("retry")
        most = retry.get("max") if isinstance(retry, dict) else retry
        if isinstance(most, int) and most > 0:
            rest["retry"] = min(int(most), 10)
        if isinstance(retry, dict) and "when" in retry:
            part.needless("retry", "lost infrastructure has its own tries")
        timeout = part.text("timeout")
        if timeout:
            found = re.findall(
                r"([0-9]+)\s*(d|h|m|s)",
                timeout.lower().replace("minutes", "m").replace("hours", "h").replace("seconds", "s"),
            )
            seconds = sum(int(number) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in found)
            if seconds:
                self.draft.timeout = duration_of(seconds)
            else:
                part.left("timeout", f"timeout {timeout[:40]}", "write it as 1h30m")
        group = part.text("resource_group")
        if group:
            rest["concurrency"] = re.sub(r"\$\{?\w+\}?", "", group).strip("-_/ ") or "group"
        part.needless("interruptible", "superseded runs are cancelled by themselves")
        tags = part.texts("tags")
        if tags:
            part.look("tags", f"machines tagged {', '.join(tags)[:80]}", "'pool', or 'labels' of a node")
        coverage = part.text("coverage")
        if coverage:
            part.left("coverage", "coverage by an expression over the log", "'reports: {cobertura: ...}' or 'lcov'")
        environment = part.take("environment")
        if environment is not None:
            name = as_written(environment.get("name")) if isinstance(environment, dict) else as_written(environment)
            plain = name_of(re.sub(r"\$\{?\w+\}?", "", name or ""))
            rest["deploys_to"] = plain
            if isinstance(environment, dict):
                below = part.below("environment", environment)
                below.take("name")
                for key in ("url", "on_stop", "action", "auto_stop_in", "deployment_tier", "kubernetes"):
                    below.needless(key, "a lane shows and ends what it delivers") if key in below else None
                below.close("environment")
        tokens = part.part("id_tokens")
        for name in tokens.names() if tokens is not None else ():
            one = tokens.take(name) if tokens is not None else None
            audience = (
                next((as_written(word) for _, word in flat(one.get("aud"), ())), None)
                if isinstance(one, dict)
                else None
            )
            if audience and good_variable(name) and "$" not in audience:
                rest.setdefault("identity", {})[name] = audience
            else:
                part.left("id_tokens", f"identity token {name[:60]}", "'identity' with its audience")
        secrets = part.part("secrets")
        for name in secrets.names() if secrets is not None else ():
            if secrets is not None:
                secrets.take(name)
                if good_variable(name):
                    self.draft.secrets[name] = name
                    secrets.look(name, f"secret {name}: store its value", "farmgate secret")
        for key, why in (
            ("release", "a lane delivers what passed: see docs/delivery.md"),
            ("pages", "a lane delivers what passed"),
            ("publish", "a lane delivers what passed"),
            ("dast_configuration", "a scanner in a step"),
            ("hooks", "write them into the steps"),
            ("manual_confirmation", "'approve'"),
        ):
            if key in part:
                part.left(key, f"{key} of a job", why)
        if "trigger" in part:
            part.left("trigger", "starts another pipeline", "`farmgate run` with its repository, or jobs of this file")
            self.account.step_left("starts another pipeline")

    def keep(self) -> None:
        part, draft = self.part, self.draft
        artifacts = part.part("artifacts")
        if artifacts is not None:
            paths = []
            for text in artifacts.texts("paths"):
                pattern = pattern_of(
                    re.sub(
                        r"\$\{?(\w+)\}?",
                        lambda m: draft.environment.get(m[1], self.pipeline.drafts.environment.get(m[1], m[0])),
                        text,
                    )
                )
                if pattern:
                    paths += folder_patterns(pattern)
                else:
                    artifacts.left("paths", f"artifact {summary(text)}", "a pattern in the workspace")
            keep = _span(artifacts.text("expire_in"))
            when = {"on_failure": "failed", "always": "always"}.get(artifacts.text("when") or "", "")
            draft.artifact(paths, keep=keep, when=when)
            for key in ("exclude", "untracked"):
                if key in artifacts:
                    artifacts.left(key, f"{key} of artifacts", "name what is kept in 'paths'")
            for key in ("name", "expose_as", "public", "access"):
                artifacts.needless(key, "artifacts are kept by their content")
            reports = artifacts.part("reports")
            for key in reports.names() if reports is not None else ():
                if reports is None:
                    continue
                value = reports.take(key)
                if key == "coverage_report" and isinstance(value, dict):
                    path = pattern_of(as_written(value.get("path")) or "")
                    if path:
                        draft.report("cobertura", [path])
                elif _REPORTS.get(key):
                    draft.report(
                        _REPORTS[key],
                        [found for _, one in flat(value, ()) if (found := pattern_of(as_written(one) or ""))],
                    )
                else:
                    reports.left(
                        key,
                        f"report {key}",
                        "keep it as an artifact" if key == "dotenv" else "as SARIF: 'reports: {sarif: ...}'",
                    )
            artifacts.close("artifacts")
        for at, one in part.listed("cache"):
            cache = part.at_part(at, one)
            if cache is None:
                continue
            paths = []
            for text in cache.texts("paths"):
                found = cache_path(text)
                if found:
                    paths.append(found)
                else:
                    cache.left(
                        "paths", f"cache of {summary(text)}", "a path in the workspace, or below the home as ~/..."
                    )
            key = cache.take("key")
            files = (
                [found for _, name in flat(key.get("files"), ()) if (found := pattern_of(as_written(name) or ""))]
                if isinstance(key, dict)
                else []
            )
            named = as_written(key.get("prefix")) if isinstance(key, dict) else as_written(key)
            named = re.sub(r"\$(?:CI_JOB_NAME(?:_SLUG)?\b|\{CI_JOB_NAME(?:_SLUG)?\})", draft.name, named or "")
            plain = re.sub(r"\$\{?\w+\}?", "", named).strip("-_/ ") or "cache"
            if cache.flag("untracked"):
                cache.look("untracked", "only 'paths' are cached, not every file that git does not know", "name them")
            for word in ("policy", "when", "unprotect", "fallback_keys"):
                cache.needless(word, "a cache is taken before the steps and kept after them")
            cache.close("cache")
            draft.cache(plain, paths, files)

    def matrix(self) -> None:
        value = self.part.take("parallel")
        if isinstance(value, int) and value > 1:
            self.draft.rest["parallel"] = min(int(value), 200)
            self.exports += [
                'export CI_NODE_TOTAL="${FARMGATE_SHARDS:-1}"',
                'export CI_NODE_INDEX="${FARMGATE_SHARD:-1}"',
            ]
        if not isinstance(value, dict):
            return
        found: list[dict[str, str]] = []
        for one in value.get("matrix") or [] if isinstance(value.get("matrix"), list) else []:
            if isinstance(one, dict):
                axes = {
                    key: [as_written(word) or "" for _, word in flat(axis, ())]
                    for key, axis in one.items()
                    if good_variable(key)
                }
                found += [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        names = list(dict.fromkeys(key for cell in found for key in cell))
        whole = [{name: cell.get(name, "") for name in names} for cell in found]
        self.draft.matrix = cells.fold(whole[:1000])
        for name in names:
            text = cells.value(whole, name)
            if text is not None:
                self.draft.environment[name] = text

    def steps(self) -> None:
        shell = Shell(self.document, self.account, [*self.exports])
        for key in ("before_script", "script", "after_script"):
            for at, one in flat(self.part.take(key), (*self.part.at, key)):
                command = as_written(one)
                if command is None or command.startswith("!reference ["):
                    self.part.say(
                        Kind.LEFT, at, f"{key}: not a command: {summary(str(one))}", "quote it if it holds ': '"
                    )
                    self.account.step_left("not a command")
                elif key == "after_script":
                    shell.add(at, after(command))
                else:
                    shell.add(at, command)
        words = " ".join(command for _, command in shell.commands)
        names = [name for name in VARIABLES if re.search(rf"\$\{{?{name}\b", words)]
        shell.exports[:0] = ['export {}="{}"'.format(name, VARIABLES[name].replace('\\"', '"')) for name in names]
        unknown = {
            name
            for name in re.findall(r"\$\{?(CI_[A-Z_]+)", words)
            if name not in VARIABLES and name not in ("CI_NODE_TOTAL", "CI_NODE_INDEX")
        }
        for name in sorted(unknown):
            self.part.say(
                Kind.LOOK,
                self.part.at,
                f"${name} is not set here",
                "say its value in 'environment', or as a secret",
                key=True,
            )
        if "run" in self.part:
            self.part.left("run", "steps of GitLab's own kind", "write them as commands")
        shell.into(self.draft)


def _span(text: str | None) -> str:
    """`1 week` is 7d."""
    if not text or text.lower() == "never":
        return ""
    units = {
        "s": 1,
        "sec": 1,
        "second": 1,
        "m": 60,
        "min": 60,
        "mins": 60,
        "minute": 60,
        "h": 3600,
        "hr": 3600,
        "hrs": 3600,
        "hour": 3600,
        "d": 86400,
        "day": 86400,
        "w": 604800,
        "week": 604800,
        "mo": 2592000,
        "month": 2592000,
        "mos": 2592000,
        "y": 31536000,
        "yr": 31536000,
        "year": 31536000,
    }
    seconds = 0
    for number, unit in re.findall(r"([0-9]+)\s*([a-z]+)", text.lower()):
        seconds += int(number) * units.get(unit if unit in units else unit.rstrip("s"), 0)
    if seconds >= 86400:
        return f"{min(seconds // 86400, 3650)}d"
    return duration_of(seconds) if seconds else ""
