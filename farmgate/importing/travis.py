"""`.travis.yml`.

Rules:
1. Travis' combinations (versions x environments, and `jobs.include`) become one job with a matrix where they share their
   commands, else several jobs. Those that may fail are a job of their own: `allow_failure` is said of a job.
2. The phases of a job run in one shell at Travis: steps, as `farmgate.importing.commands` cuts them.
3. Stages become needs.
"""  # noqa: E501

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing import cells, images, services
from farmgate.importing.account import Account, Kind, Part, kind_of
from farmgate.importing.commands import Shell, without_root
from farmgate.importing.draft import Draft, Drafts, cache_path, put_variables
from farmgate.importing.shell import summary
from farmgate.importing.travis_languages import ALIASES, LANGUAGES, VERSIONS, Language, image

PHASES: Final = ("before_install", "install", "before_script", "script", "after_success", "after_script")
_NEEDLESS: Final = {
    "sudo": "steps run without root, in containers",
    "notifications": "Farmgate tells the commit's author and the forge by itself",
    "email": "Farmgate tells the commit's author and the forge by itself",
    "git": "each job has the whole repository at the commit",
    "group": "a choice of Travis' own machines",
    "version": "the version of Travis' own format",
    "virt": "a choice of Travis' own machines",
    "cache_directories": "see cache",
    "vm": "a choice of Travis' own machines",
    "filter_secrets": "values of secrets are always masked",
    "before_cache": "a cache keeps its folders as they are at the end",
    "x-ref": "an anchor's own place",
    "import": "not read",
}
_AXES: Final = (
    "os",
    "dist",
    "arch",
    "compiler",
    "osx_image",
    "env",
    "gemfile",
    "jdk",
    "mono",
    "dotnet",
    "elixir",
    "otp_release",
)
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
    "TRAVIS_EVENT_TYPE": "$FARMGATE_TRIGGER",
    "TRAVIS": "true",
    "TRAVIS_DIST": "noble",
    "TRAVIS_CPU_ARCH": "amd64",
    "TRAVIS_TEST_RESULT": "0",
    "TRAVIS_COMMIT_MESSAGE": "$FARMGATE_TITLE",
    "TRAVIS_PULL_REQUEST_BRANCH": "",
    "TRAVIS_JOB_ID": "$FARMGATE_RUN",
}


@dataclass(frozen=True, slots=True)
class Combination:
    """One job of Travis: its values, where it came from, and what it says for itself."""

    values: Mapping[str, str]
    own: Part | None = None
    own_at: int | None = None
    stage: str = "test"
    name: str | None = None
    may_fail: bool = False


@dataclass(slots=True)
class Reader:
    """The file, and what all its jobs share."""

    root: Part
    drafts: Drafts
    account: Account
    places: dict[str, Problem]
    exports: list[str] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)

    def convert(self) -> None:
        root = self.root
        for key, why in _NEEDLESS.items():
            root.needless(key, why)
        for key in root.names():
            if key.startswith((".", "_", "x-")):
                root.needless(key, "a place for anchors")
        when = self.conditions(root)
        shared_env, env_cells = self.environment(root)
        combos = self.combinations(root, env_cells)
        self.left_over(root)
        groups = self.groups(combos)
        order: list[tuple[str, list[Draft]]] = []
        for group in groups:
            draft = self.job(group, shared_env, len(groups))
            if draft is None:
                continue
            draft.when = {**when, **draft.when}
            stage = group[0].stage.lower()
            if not any(name == stage for name, _ in order):
                order.append((stage, []))
            next(found for name, found in order if name == stage).append(draft)
        self.stages(order)
        for key in PHASES:
            root.take(key)
        root.close("the file")

    # --- what all jobs share ------------------------------------------------------------------------------------------

    def conditions(self, root: Part) -> dict[str, Any]:
        when: dict[str, Any] = {}
        branches = root.take("branches")
        if isinstance(branches, dict):
            part = root.below("branches", branches)
            only, but = self.globs(part, "only"), self.globs(part, "except")
            part.close("branches")
            if only or but:
                when["branch"] = [*(only or (["**"] if but else [])), *(f"!{one}" for one in but)]
        elif branches is not None:
            when["branch"] = root.texts("branches")
        if "if" in root:
            found = condition(str(root.take("if")))
            if found is None:
                root.left("if", f"condition {summary(str(root.value['if']))!r}", "write 'when' of the jobs by hand")
            else:
                when.update(found)
        return {key: value for key, value in when.items() if value}

    def globs(self, part: Part, key: str) -> list[str]:
        found = []
        for text in part.texts(key):
            glob = glob_of(text)
            if glob is None:
                part.left(
                    key, f"{key}: the expression {summary(text)} is no pattern", "write a pattern such as release/*"
                )
            else:
                found.append(glob)
        return found

    def environment(self, root: Part) -> tuple[dict[str, str], list[dict[str, str]]]:
        """Variables of all jobs, and the combinations."""
        value = root.take("env")
        shared: dict[str, str] = {}
        found: list[dict[str, str]] = []
        if isinstance(value, dict) and any(key in value for key in ("global", "jobs", "matrix", "secure")):
            part = root.below("env", value)
            for at, one in part.listed("global"):
                self.variables(part, at, one, shared, exports=True)
            for key in ("jobs", "matrix"):
                for at, one in part.listed(key):
                    cell: dict[str, str] = {}
                    self.variables(part, at, one, cell)
                    if cell:
                        found.append(cell)
            if "secure" in part:
                part.left(
                    "secure",
                    "an encrypted variable",
                    "farmgate cannot decrypt it: make a secret, and name it in 'secrets'",
                )
            for key in part.names():
                if key not in ("global", "jobs", "matrix", "secure"):
                    self.variables(part, (*part.at, key), {key: part.take(key)}, shared, exports=True)
            return shared, found
        for at, one in root.listed("env"):
            cell = {}
            self.variables(root, at, one, cell)
            if cell:
                found.append(cell)
        return shared, found

    def variables(self, part: Part, at: Location, one: Any, into: dict[str, str], *, exports: bool = False) -> None:
        if isinstance(one, dict):
            pairs = {}
            for key, value in one.items():
                if key == "secure" or (isinstance(value, dict) and "secure" in value):
                    part.say(
                        Kind.LEFT,
                        at,
                        "an encrypted variable",
                        "farmgate cannot decrypt it: make a secret, and name it in 'secrets'",
                    )
                else:
                    pairs[key] = as_written(value) or ""
        else:
            text = as_written(one)
            if text is None:
                return
            try:
                words = shlex.split(text)
            except ValueError:
                words = text.split()
            pairs = {}
            for word in words:
                name, equals, value = word.partition("=")
                if equals:
                    pairs[name] = value
                else:
                    part.say(Kind.LEFT, at, f"env: {summary(word)} is not NAME=value", "write it by hand")
        good: dict[str, str] = {}
        put_variables(good, pairs, lambda _, why: part.say(Kind.LEFT, at, why, "rename it"))
        for name, value in good.items():
            if exports and re.search(r"\$[A-Za-z_{(]|`", value):
                self.exports.append('export {}="{}"'.format(name, value.replace('"', '\\"')))
            else:
                into[name] = value.replace("${{", "$${{")

    # --- combinations -------------------------------------------------------------------------------------------------

    def language(self, part: Part) -> Language:
        word = as_written(part.take("language"))
        if isinstance(part.value.get("language"), list):
            words = part.texts("language")
            word = words[0] if words else None
            if len(words) > 1:
                part.left(
                    "language", f"several languages; the image is that of {word}", "use an image that has them all"
                )
        if word is None:
            word = next(
                (VERSIONS[key] for key in part.names() if key in VERSIONS and key not in ("compiler", "jdk")), "ruby"
            )
        plain = word.strip().lower()
        plain = ALIASES.get(plain, plain)
        if plain not in LANGUAGES:
            part.left(
                "language", f"language {word!r} has no image that the importer knows", "name the image of the jobs"
            )
            plain = "generic"
        return LANGUAGES[plain]

    def combinations(self, root: Part, env_cells: list[dict[str, str]]) -> list[Combination]:
        language = self.language(root)
        axes: dict[str, list[str]] = {}
        for key in dict.fromkeys((language.key, *_AXES, *VERSIONS)):
            if key == "env" or key not in root or key in axes:
                continue
            if key == "php" and language.key != "php":
                continue
            versions = [text for text in root.texts(key) if text]
            if versions:
                axes[key] = versions
        self.axes = list(axes)
        product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        base = [
            {**cell, **{f"env.{name}": value for name, value in env.items()}}
            for cell in product
            for env in env_cells or [{}]
        ]
        combos = [Combination(values) for values in base]
        found = self.included(root, language, axes, combos)
        return [one for one in found if self.runs_here(one)]

    def included(
        self, root: Part, language: Language, axes: Mapping[str, list[str]], combos: list[Combination]
    ) -> list[Combination]:
        part = None
        for key in ("jobs", "matrix"):
            value = root.take(key)
            if isinstance(value, dict):
                part = root.below(key, value)
            elif isinstance(value, list):
                part = root.below(key, {"include": value})
                part.at = root.at
                part.value = {key: value}
        if part is None:
            return combos
        part.needless("fast_finish", "a run tells as soon as it knows")
        for entry in self.patterns(part, "exclude"):
            combos = [one for one in combos if not fits(entry, one.values)]
        stage = "test"
        more: list[Combination] = []
        include = part.listed("include") or part.listed("jobs") or part.listed("matrix")
        for at, value in include:
            listed = part.at_part(at, value)
            if listed is None:
                continue
            stage = listed.text("stage") or stage
            more.append(self.one_included(listed, language, axes, stage))
        if include and len(combos) == 1:  # nothing was unfolded: the listed jobs are all there are
            combos = []
        may_fail = self.patterns(part, "allow_failures")
        part.close("jobs")
        everything = [*combos, *more]
        return [
            Combination(
                one.values,
                one.own,
                one.own_at,
                one.stage,
                one.name,
                any(fits(entry, self.seen(one)) for entry in may_fail),
            )
            for one in everything
        ]

    def seen(self, one: Combination) -> Mapping[str, str]:
        return {**one.values, "name": one.name or "", "stage": one.stage}

    def one_included(self, entry: Part, language: Language, axes: Mapping[str, list[str]], stage: str) -> Combination:
        values = {key: found[0] for key, found in axes.items()}
        for key in dict.fromkeys((language.key, *VERSIONS, *_AXES)):
            if key in entry and key != "env":
                found = entry.texts(key)
                if found:
                    values[key] = found[0]
        env: dict[str, str] = {}
        value = entry.take("env")
        for at, one in [((*entry.at, "env"), value)] if not isinstance(value, list) else entry.listed("env"):
            if one is not None:
                self.variables(entry, at, one, env)
        values.update({f"env.{name}": text for name, text in env.items()})
        name = entry.text("name")
        own = {
            *PHASES,
            "language",
            "services",
            "addons",
            "cache",
            "if",
            "before_deploy",
            "deploy",
            "after_failure",
            "workspaces",
        }
        for key in ("sudo", "group", "git", "virt", "vm", "notifications"):
            entry.needless(key, _NEEDLESS[key])
        if own & set(entry.names()):
            for key in own:
                entry.take(key)
            entry.close("a job")
            return Combination(values, entry, stage=stage, name=name)
        entry.close("a job")
        return Combination(values, stage=stage, name=name)

    def patterns(self, part: Part, key: str) -> list[dict[str, str]]:
        found = []
        for at, value in part.listed(key):
            if not isinstance(value, dict):
                part.say(Kind.LEFT, at, f"{key}: {kind_of(value)} where a mapping is wanted", "write it by hand")
                continue
            entry: dict[str, str] = {}
            for name, one in value.items():
                if name == "env":
                    env: dict[str, str] = {}
                    self.variables(part, at, one if not isinstance(one, list) else " ".join(map(str, one)), env)
                    entry.update({f"env.{variable}": text for variable, text in env.items()})
                else:
                    text = as_written(one[0] if isinstance(one, list) and one else one)
                    if text is not None:
                        entry[name] = text
            if entry:
                found.append(entry)
        return found

    def runs_here(self, one: Combination) -> bool:
        system, arch = one.values.get("os", "linux"), one.values.get("arch", "amd64")
        where = one.own or self.root
        at = where.at if one.own else (*where.at, "os")
        if not system.startswith("linux"):
            self.account.step_left(f"a job on {system}")
            where.say(
                Kind.LEFT, at, f"a job on {system}", "nodes run Linux containers: keep that job where it is", key=True
            )
            return False
        if arch not in ("amd64", "x86_64"):
            at = where.at if one.own else (*where.at, "arch")
            self.account.step_left(f"a job on {arch}")
            where.say(
                Kind.LEFT, at, f"a job on {arch}", "add a node of that kind, and name its label in 'labels'", key=True
            )
            return False
        return True

    def groups(self, combos: Sequence[Combination]) -> list[list[Combination]]:
        """Jobs that share commands, stage and kinds of values (rule 1)."""
        found: dict[Any, list[Combination]] = {}
        for number, one in enumerate(combos):
            kept = {key: value for key, value in one.values.items() if key not in ("os", "arch", "osx_image")}
            own = (number,) if one.own is not None else ()
            key = (own, one.stage.lower(), one.may_fail, tuple(sorted(kept)))
            found.setdefault(key, []).append(Combination(kept, one.own, one.own_at, one.stage, one.name, one.may_fail))
        return list(found.values())

    # --- one job ------------------------------------------------------------------------------------------------------

    def job(self, group: Sequence[Combination], shared: Mapping[str, str], jobs: int) -> Draft | None:
        first, root = group[0], self.root
        own = first.own
        wanted = first.name if len(group) == 1 and first.name else first.stage
        if wanted == first.stage and first.may_fail and jobs > 1:
            wanted = f"{wanted}-may-fail"
        elif wanted == first.stage and self.drafts.jobs and jobs > 1:
            wanted = "-".join([wanted, *(key.removeprefix("env.") for key in first.values if key.startswith("env."))])
        draft = self.drafts.add(wanted)
        where = (
            own.at
            if own is not None
            else next(((key,) for key in ("script", "install", "language") if key in root), ())
        )
        self.places[draft.name] = root.document.problem(where, "", key=True)
        with self.account.noting(draft.notes):
            language = self.language(own if own is not None and "language" in own else root)
            renamed = [{variable(key): value for key, value in one.values.items()} for one in group]
            dist = first.values.get("dist")
            used = [
                {
                    key: value
                    for key, value in cell.items()
                    if key != "dist"
                    and (key != "compiler" or value not in ("gcc", "clang") or len({c.get(key) for c in renamed}) > 1)
                }
                for cell in renamed
            ]
            versions = [one.values.get(language.key) for one in group]
            self.images(draft, language, used, versions, dist)
            draft.environment.update(shared)
            constant = {key: used[0][key] for key in used[0] if len({cell[key] for cell in used}) == 1}
            used = [{key: value for key, value in cell.items() if key not in constant} for cell in used]
            for key in (*used[0], *constant):
                text = constant.get(key) or f"${{{{ matrix.{key} }}}}"
                original = next((name for name in first.values if variable(name) == key), key)
                if original.startswith("env.") and text is not None:
                    draft.environment[key] = text
                elif original == "compiler" and text is not None:
                    draft.environment["CC"] = text
                elif original == "gemfile" and text is not None:
                    draft.environment["BUNDLE_GEMFILE"] = text
            draft.matrix = cells.fold(used)
            if first.may_fail:
                draft.rest["allow_failure"] = True
            self.steps(draft, language, own)
            self.around(draft, own)
        without_root(draft)
        return draft

    def images(
        self, draft: Draft, language: Language, used: list[dict[str, str]], versions: list[str | None], dist: str | None
    ) -> None:
        wanted = [image(language, version, dist) for version in versions]
        if language.key == "scala":
            self.root.look("language", "sbt is not in the image of Java", "use an image that has it")
        for version in versions:
            if version and language.image and not images.exact(language.image, version, image(language, version, dist)):
                self.root.say(
                    Kind.LOOK,
                    (*self.root.at, language.key),
                    f"{version}: the image is {image(language, version, dist)}",
                    "no image of that version is published",
                    key=True,
                )
        if len(set(wanted)) == 1:
            draft.image = wanted[0]
            for cell in used if language.image or len({cell.get(language.key) for cell in used}) == 1 else ():
                cell.pop(language.key, None)
            return
        family = {one.partition(":")[0] for one in wanted}
        tags = [one.partition(":")[2] for one in wanted]
        if len(family) == 1:
            suffix = "-cli" if language.key == "php" else ""
            for cell, tag in zip(used, tags, strict=True):
                cell[language.key] = tag.removesuffix(suffix)
            draft.image = f"{family.pop()}:${{{{ matrix.{language.key} }}}}{suffix}"
        else:
            for cell, one in zip(used, wanted, strict=True):
                cell.pop(language.key, None)
                cell["image"] = one
            draft.image = "${{ matrix.image }}"

    def phase(self, own: Part | None, key: str) -> tuple[Part, list[tuple[Location, Any]]] | None:
        part = own if own is not None and key in own.value else self.root
        if key not in part.value:
            return None
        value = part.take(key)
        if value is None or value is True or str(value) in ("true", "skip", "ignore", "false"):
            return part, []
        return part, [(at, one) for at, one in part.listed(key)]

    def steps(self, draft: Draft, language: Language, own: Part | None) -> None:
        shell = Shell(self.root.document, self.account, [*self.exports])
        for key in PHASES:
            found = self.phase(own, key)
            if found is None:
                for command in {"install": language.install, "script": language.script}.get(key, ()):
                    shell.add((*self.root.at, "language"), command)
                if key == "script" and not language.script and "script" not in self.root:
                    self.root.look(
                        "language", "no script is said, and Travis has none for this language", "write the steps"
                    )
                continue
            part, entries = found
            for at, value in entries:
                for place, one in (
                    [(at, value)] if not isinstance(value, list) else [((*at, n), v) for n, v in enumerate(value)]
                ):
                    said = as_written(one)
                    if said is None:
                        part.say(
                            Kind.LEFT,
                            place,
                            f"{key}: {kind_of(one)} where a command is wanted",
                            "quote it if it holds ': '",
                        )
                        self.account.step_left("not a command")
                        continue
                    runs_after = key in ("after_success", "after_script")
                    if runs_after:  # noqa: SIM102
                        if key == "after_script":
                            part.look(
                                key,
                                "runs here only if the steps before it passed",
                                "a job with 'when: {result: always}'",
                            )
                    shell.add(place, after(said) if runs_after else said)
        names = {name for _, command in shell.commands for name in re.findall(r"\$\{?(TRAVIS\w*)", command)}
        for name in sorted(names):
            if name in _TRAVIS:
                shell.exports.append(f'export {name}="{_TRAVIS[name]}"')
            elif (
                re.search(r"TRAVIS_(?:PYTHON|NODE|RUBY|GO|PHP|RUST|JDK|PERL)_VERSION", name)
                and draft.image
                and ":" in draft.image
            ):
                draft.environment[name] = draft.image.partition(":")[2]
            else:
                self.root.say(Kind.LOOK, self.root.at, f"${name} is not set here", "say its value in 'environment'")
        for key, said in (
            ("after_failure", "a job that needs this one, with 'when: {result: failed}'"),
            ("before_deploy", "a lane, or a job that needs this one, with 'when'"),
            ("deploy", "a lane delivers what passed: see docs/delivery.md"),
            ("workspaces", "artifacts and needs"),
        ):
            part = own if own is not None and key in own.value else self.root
            for at, value in part.listed(key):
                provider = value.get("provider") if isinstance(value, dict) else None
                what = f"{key} to {provider}" if isinstance(provider, str) else key
                part.say(Kind.LEFT, at, what, said, key=True)
                self.account.step_left(key)
        shell.into(draft)

    def around(self, draft: Draft, own: Part | None) -> None:
        for part in (self.root, own) if own is not None else (self.root,):
            self.services(draft, part)
            self.addons(draft, part)
            self.cache(draft, part)
        if own is not None and "if" in own:
            found = condition(str(own.take("if")))
            if found is None:
                own.left("if", f"condition {summary(str(own.value['if']))!r}", "write 'when' by hand")
            else:
                draft.when.update(found)

    def services(self, draft: Draft, part: Part) -> None:
        versions = part.value.get("addons") if isinstance(part.value.get("addons"), dict) else {}
        for word in part.texts("services"):
            if word == "docker":
                part.left(
                    "services",
                    "steps have no Docker engine",
                    "build images with 'builds', run containers as 'services'",
                )
            elif word == "xvfb":
                part.left("services", "xvfb", "an image that has it, and xvfb-run in the steps")
            elif not services.known(word, draft, as_written((versions or {}).get(word))):
                part.left("services", f"service {word!r} is not known to the importer", "name its image in 'services'")
            else:
                part.look(
                    "services",
                    "a service is reached by its name, not at localhost",
                    f"for instance {next(iter(draft.services))}",
                )

    def addons(self, draft: Draft, part: Part) -> None:
        addons = part.part("addons")
        if addons is None:
            return
        for key in ("apt", "apt_packages", "snaps", "homebrew"):
            value = addons.take(key)
            if value is None:
                continue
            packages = value.get("packages", value.get("package", [])) if isinstance(value, dict) else value
            words = packages if isinstance(packages, list) else [packages]
            listed = ", ".join(str(word) for word in words if isinstance(word, str))
            if key == "homebrew":
                addons.needless(key, "packages of macOS")
            elif listed:
                addons.left(key, f"packages: {listed[:200]}", "steps run without root: use an image that has them")
            else:
                addons.needless(key, "installs nothing")
        for word in ("postgresql", "mariadb", "mysql", "rethinkdb", "mongodb"):
            if word in addons and word not in draft.services:
                version = as_written(addons.take(word))
                if not services.known(word, draft, version):
                    addons.left(word, f"{word} is not known to the importer", "name its image in 'services'")
        addons.needless("hosts", "services are reachable by their names")
        for key in ("chrome", "firefox"):
            addons.left(key, f"{key} is not in the image", "use an image that has it")
        for key in (
            "sonarcloud",
            "sauce_connect",
            "code_climate",
            "coverity_scan",
            "browserstack",
            "artifacts",
            "ssh_known_hosts",
        ):
            addons.left(key, f"{key} is a service of its own", "call its own program in a step, with a secret")
        addons.close("addons")

    def cache(self, draft: Draft, part: Part) -> None:
        value = part.take("cache")
        if value is None or value is False:
            return
        words: list[str] = []
        if isinstance(value, dict):
            below = part.below("cache", value)
            words = [key for key in below.names() if key not in ("directories", "timeout") and below.flag(key)]
            paths = []
            for one in below.texts("directories"):
                path = cache_path(one)
                if path is None:
                    below.left(
                        "directories", f"cache of {summary(one)}", "a path in the workspace, or below the home as ~/..."
                    )
                else:
                    paths.append(path)
            below.needless("timeout", "a cache that is late is not waited for")
            below.needless("edge", "an option of Travis' own")
            if paths:
                draft.cache("folders", paths)
            below.close("cache")
        elif isinstance(value, list):
            for at, one in part.listed("cache"):
                if isinstance(one, str):
                    words.append(one)
                elif isinstance(one, dict):
                    paths = [
                        found
                        for path in Part(part.account, part.document, at, one).texts("directories")
                        if (found := cache_path(path))
                    ]
                    draft.cache("folders", paths)
        elif isinstance(value, str):
            words = [value]
        for word in words:
            known = _CACHES.get(word)
            if known is None:
                if word != "apt":
                    part.left("cache", f"cache of {word[:40]!r}", "write it in 'caches'")
                continue
            draft.cache(*known)

    # --- the order of jobs --------------------------------------------------------------------------------------------

    def stages(self, order: list[tuple[str, list[Draft]]]) -> None:
        wanted: list[str] = []
        for at, value in self.root.listed("stages"):
            name = as_written(value)
            if isinstance(value, dict):
                part = self.root.below("stages", value)
                part.at = at
                name = part.text("name")
                if "if" in part:
                    found = condition(str(part.take("if")))
                    if found is None:
                        part.left("if", f"condition of the stage {name!r}", "write 'when' of its jobs by hand")
                    else:
                        for stage, drafts in order:
                            for draft in drafts if stage == (name or "").lower() else ():
                                draft.when.update(found)
            if name:
                wanted.append(name.lower())
        ordered = sorted(order, key=lambda one: wanted.index(one[0]) if one[0] in wanted else len(wanted))
        for (_, before), (_, drafts) in itertools.pairwise(ordered):
            for draft in drafts:
                draft.needs = {needed.name: False for needed in before}
        self.drafts.jobs = [draft for _, drafts in ordered for draft in drafts]

    def left_over(self, root: Part) -> None:
        for key in ("before_install_osx", "xcode_project", "xcode_scheme", "podfile", "android"):
            root.left(key, f"{key}: no image has it", "use an image of your own")


_CACHES: Final[dict[str, tuple[str, list[str], list[str] | None]]] = {
    "pip": ("pip", ["~/.cache/pip"], None),
    "bundler": ("bundler", ["vendor/bundle"], ["Gemfile.lock"]),
    "npm": ("npm", ["~/.npm"], ["package-lock.json"]),
    "yarn": ("yarn", ["~/.cache/yarn"], ["yarn.lock"]),
    "cargo": ("cargo", ["target"], None),
    "ccache": ("ccache", ["~/.ccache"], None),
    "packages": ("packages", ["~/R"], None),
    "shards": ("shards", ["~/.cache/shards"], None),
}


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files."""
    for document in documents:
        Reader(Part(account, document, (), document.data), drafts, account, places).convert()


def fits(entry: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """True if all that the entry says is so; what Travis leaves to its defaults fits Linux."""
    defaults = {"os": "linux", "arch": "amd64"}
    return all(
        values.get(key, defaults.get(key)) == value for key, value in entry.items() if key not in ("sudo", "group")
    )


def variable(key: str) -> str:
    return key.removeprefix("env.")


def after(command: str) -> str:
    """A command whose result does not decide."""
    return f"({command}) || true" if "\n" not in command and "#" not in command else f"(\n{command}\n) || true"


def glob_of(text: str) -> str | None:
    """A branch as Travis writes it, also the simpler expressions."""
    if not (text.startswith("/") and text.endswith("/") and len(text) > 1):
        return text
    inside = text[1:-1]
    anchored = inside.startswith("^")
    plain = inside.strip("^$").replace("\\/", "/").replace("\\.", ".").replace("\\-", "-")
    plain = re.sub(r"\((?:\?:)?[^()]*\)\??|\[[^\]]*\][+*]?|\\[dw][+*]?|\.[*+]", "*", plain)
    if re.search(r"[\\^$|()\[\]+?]", plain):
        return None
    plain = re.sub(r"\*+", "*", plain)
    if not inside.endswith("$") and not plain.endswith("*"):
        plain += "*"
    return (plain if anchored or plain.startswith("*") else f"*{plain}") or None


def condition(text: str) -> dict[str, Any] | None:
    """The conditions of Travis that `when` can say: a chain of `AND`."""
    when: dict[str, Any] = {}
    for one in re.split(r"\s+(?:AND|and)\s+|\s*&&\s*", text.strip().strip("()")):
        plain = one.strip().strip("()").strip()
        found = re.fullmatch(r"(branch|tag|type)\s*(=|==|!=|=~|IN|in|NOT IN|not in|IS|is)\s*(.+)", plain)
        if plain.lower() in ("tag is present", "tag is not blank"):
            when["event"] = "tag"
            continue
        if plain.lower() in ("tag is blank", "tag is not present", "not tag is present"):
            when["event"] = ["push", "pull", "person"]
            continue
        if found is None:
            return None
        word, sign, right = found.groups()
        values = [value.strip().strip("'\"") for value in right.strip("() ").split(",")]
        if word == "type":
            known = {"push": "push", "pull_request": "pull", "api": "person", "cron": "person"}
            named = [known[value] for value in values if value in known]
            if not named or sign == "=~":
                return None
            when["event"] = (
                [one for one in ("push", "tag", "pull", "person") if one not in named]
                if sign.lower() in ("!=", "not in")
                else named
            )
            continue
        if sign == "=~":
            globs = [glob_of(value if value.startswith("/") else f"/{value}/") for value in [right.strip()]]
            if None in globs:
                return None
            values = [glob for glob in globs if glob]
        when[word] = [f"!{value}" for value in values] if sign.lower() in ("!=", "not in") else values
        if sign.lower() in ("!=", "not in"):
            when[word] = ["**", *when[word]]
    return when or None
