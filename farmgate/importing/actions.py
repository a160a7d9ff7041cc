"""The common actions of GitHub's marketplace: an image, a cache, artifacts, a command, or nothing to do.

Rules:
1. An action is known by its owner and name; its version does not matter for what it does.
2. What an action takes by `with` is taken into account or left, like any other key.
3. An action that only talks to a service of its own is left, with what stands for it here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from farmgate.importing import images
from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import Draft, cache_path, folder_patterns, pattern_of
from farmgate.importing.shell import quoted


class Job(Protocol):
    """The job that a step stands in, as an action sees it."""

    draft: Draft
    language: str | None

    def run(self, command: str, **more: str) -> None:
        """Add commands, which may hold GitHub's expressions."""
        ...

    def value(self, text: str) -> str | None:
        """A value with its expressions put in; None (and a remark) if they cannot be."""
        ...

    def producer(self, name: str) -> list[str]:
        """The jobs that upload an artifact of this name."""
        ...


Action = Callable[[Part, Job], bool]
"""Converts `with`; False if it had to leave something of the step."""

NEEDLESS: Final[Mapping[str, str]] = {
    "docker/setup-buildx-action": "the node builds images by itself",
    "docker/setup-qemu-action": "images are built for the node's own kind",
    "step-security/harden-runner": "jobs run in the sandbox",
    "styfle/cancel-workflow-action": "superseded runs are cancelled by themselves",
    "fkirc/skip-duplicate-actions": "say 'inputs', and a green result is used again",
    "gradle/wrapper-validation-action": "a check of GitHub's own",
    "microsoft/setup-msbuild": "a tool of Windows",
    "ilammy/msvc-dev-cmd": "a tool of Windows",
    "actions/configure-pages": "pages of GitHub's own",
    "jlumbroso/free-disk-space": "the workspace has its own limit",
}
LEFT: Final[Mapping[str, str]] = {
    "codecov/codecov-action": "coverage as 'reports: {cobertura: ...}' or 'lcov' is shown by Farmgate",
    "coverallsapp/github-action": "coverage as 'reports: {lcov: ...}' is shown by Farmgate",
    "github/codeql-action": "run a scanner in a step, and name its result in 'reports: {sarif: ...}'",
    "softprops/action-gh-release": "a lane delivers what passed: see docs/delivery.md",
    "peaceiris/actions-gh-pages": "a lane delivers what passed: see docs/delivery.md",
    "actions/deploy-pages": "a lane delivers what passed: see docs/delivery.md",
    "actions/upload-pages-artifact": "name the folder in 'artifacts'; a lane delivers it",
    "jamesives/github-pages-deploy-action": "a lane delivers what passed: see docs/delivery.md",
    "pypa/gh-action-pypi-publish": "twine upload in a step, with a secret or 'identity'",
    "docker/login-action": "Farmgate pushes what 'builds' makes to the registry that is configured",
    "docker/metadata-action": "an image is known by its digest here",
    "actions/github-script": "a script in the repository, with a secret for the forge",
    "aws-actions/configure-aws-credentials": "'identity' gives a token that AWS takes",
    "google-github-actions/auth": "'identity' gives a token that Google Cloud takes",
    "azure/login": "'identity' gives a token that Azure takes",
    "ossf/scorecard-action": "a check of GitHub's own settings",
    "actions/stale": "a matter of the forge, not of a build",
    "actions/labeler": "a matter of the forge, not of a build",
    "actions/dependency-review-action": "a matter of the forge, not of a build",
    "actions/create-release": "a lane delivers what passed: see docs/delivery.md",
    "slackapi/slack-github-action": "Farmgate tells the commit's author and the forge by itself",
}


def _image(language: str, version: str | None, given: Part, job: Job) -> str:
    """The image of a version, which may be that of each cell of the job's matrix."""
    placed = images.put_in(language, version, job.draft.matrix) if version else None
    if placed is None:
        return images.image(language, version) or images.PLAIN
    for value, found in placed[1]:
        given.say(
            Kind.LOOK, given.at, f"{value}: the image is {found}", "no image of that version is published", key=True
        )
    return placed[0]


def setup(language: str, key: str) -> Action:
    """An action that installs a language: the job's image."""

    def convert(given: Part, job: Job) -> bool:
        good = True
        version = given.text(key) if key in given else None
        if key not in given:
            for other in ("python-version-file", "node-version-file", "go-version-file", "global-json-file"):
                given.look(other, f"{other} is not read", "name the version in 'image'")
        wanted = job.value((version or "").split("\n")[0].strip()) if version else ""
        image = _image(language, wanted, given, job)
        if version and wanted is None:
            given.left(key, f"the version {version[:60]}", "name it in 'image'")
            good = False
        if version and wanted and not images.exact(language, wanted, image):
            given.look(key, f"{wanted}: the image is {image}", "no image of that version is published")
        if job.language is not None and job.language != language:
            given.say(
                Kind.LEFT,
                given.at[:-1],
                f"{language} beside {job.language}: a job has one image",
                "use an image that has both",
                key=True,
            )
            good = False
        else:
            job.language, job.draft.image = language, image
        for word in given.texts("cache"):
            known = (
                _CACHES.get(word)
                if word not in ("true", "false")
                else _CACHES.get({"go": "go", "ruby": "bundler"}.get(language, ""))
            )
            if known is not None:
                job.draft.cache(*known)
        for word in (
            "cache-dependency-path",
            "architecture",
            "check-latest",
            "distribution",
            "java-package",
            "allow-prereleases",
            "registry-url",
            "scope",
            "always-auth",
            "token",
            "update-environment",
            "otp-version",
            "bundler",
            "rubygems",
            "bundler-cache",
            "profile",
            "override",
            "target",
            "components",
            "toolchain",
            "default",
            "coverage",
            "extensions",
            "tools",
            "ini-values",
            "stable",
            "targets",
            "cabal-version",
            "enable-stack",
            "rebar3-version",
            "version-type",
            "python-version-file",
            "node-version-file",
            "cache-read-only",
            "server-id",
            "cache-prefix",
        ):
            value = given.take(word)
            if word == "bundler-cache" and value:
                job.run("bundle install")
            elif word in ("components", "targets", "target") and value and language == "rust":
                what = "component" if word == "components" else "target"
                ones = re.split(r"[\s,]+", str(value)) if "${{" not in str(value) else [str(value)]
                job.run("\n".join(f"rustup {what} add {one}" for one in ones if one))
            elif word in ("extensions", "tools") and value and language == "php":
                given.left(word, f"PHP's {word}: {str(value)[:80]}", "use an image that has them")
                good = False
            elif word in ("registry-url", "otp-version") and value:
                given.look(word, f"{word} is not converted", "set it up in a step")
        return good

    return convert


_CACHES: Final[dict[str, tuple[str, list[str], list[str]]]] = {
    "pip": ("pip", ["~/.cache/pip"], ["**/requirements*.txt", "**/pyproject.toml"]),
    "poetry": ("poetry", ["~/.cache/pypoetry"], ["**/poetry.lock"]),
    "pipenv": ("pipenv", ["~/.cache/pipenv"], ["**/Pipfile.lock"]),
    "npm": ("npm", ["~/.npm"], ["**/package-lock.json"]),
    "yarn": ("yarn", ["~/.cache/yarn"], ["**/yarn.lock"]),
    "pnpm": ("pnpm", ["~/.local/share/pnpm/store"], ["**/pnpm-lock.yaml"]),
    "go": ("go", ["~/.cache/go-build"], ["**/go.sum"]),
    "maven": ("maven", ["~/.m2/repository"], ["**/pom.xml"]),
    "gradle": ("gradle", ["~/.gradle/caches"], ["**/*.gradle*"]),
    "sbt": ("sbt", ["~/.cache/coursier"], ["**/build.sbt"]),
    "bundler": ("bundler", ["vendor/bundle"], ["**/Gemfile.lock"]),
}


def checkout(given: Part, job: Job) -> bool:
    good = True
    for key, why in (
        ("fetch-depth", "the whole history is there"),
        ("persist-credentials", "no credential is in the workspace"),
        ("token", "the checkout is there already"),
        ("clean", "the workspace is fresh"),
        ("fetch-tags", "all tags are there"),
        ("show-progress", "the checkout is there already"),
        ("ssh-key", "the checkout is there already"),
        ("set-safe-directory", "the workspace is the job's own"),
    ):
        given.needless(key, why)
    if given.text("submodules") not in (None, "false"):
        job.run("git submodule update --init --recursive", name="Submodules")
    for key, remedy in (
        ("repository", "clone it in a step"),
        ("ref", "a run is of one commit"),
        ("path", "the workspace is the repository"),
        ("lfs", "git lfs pull in a step"),
        ("sparse-checkout", "all files are there"),
        ("filter", "all files are there"),
    ):
        value = given.text(key)
        if value in (None, "", "false"):
            continue
        if key == "ref" and re.search(r"head\.(?:sha|ref)|github\.(?:sha|ref|head_ref)", value or ""):
            given.needless(key, "a run is of the commit that was pushed")
            continue
        given.left(key, f"checkout with {key}", remedy)
        good = good and key not in ("repository", "ref")
    return good


def cache(given: Part, job: Job) -> bool:
    paths, good = [], True
    for line in (given.text("path") or "").splitlines():
        wanted = job.value(line.strip()) if line.strip() and not line.strip().startswith("!") else ""
        path = cache_path(wanted) if wanted else None
        if path:
            paths.append(path)
        elif line.strip():
            given.left("path", f"cache of {line.strip()[:80]}", "a path in the workspace, or below the home as ~/...")
            good = False
    key = given.text("key") or "cache"
    files = [name for group in re.findall(r"hashFiles\(([^)]*)\)", key) for name in re.findall(r"'([^']*)'", group)]
    plain = re.sub(r"\$\{\{[^}]*(?:hashFiles|github\.)[^}]*\}\}", "", key)
    plain = re.sub(r"\$\{\{\s*runner\.os\s*\}\}", "linux", plain)
    named = job.value(plain)
    if named is None:
        named = re.sub(r"\$\{\{.*?\}\}", "", plain)
    named = re.sub(r"-{2,}", "-", named).strip("-_ ") or "cache"
    given.needless("restore-keys", "the newest cache of the same name is taken where none fits")
    for word in ("enableCrossOsArchive", "fail-on-cache-miss", "lookup-only", "upload-chunk-size", "save-always"):
        given.needless(word, "an option of GitHub's own")
    patterns = [found for name in files if (found := pattern_of(name))]
    job.draft.cache(named, paths, patterns)
    return good


def upload(given: Part, job: Job) -> bool:
    paths, good = [], True
    given.take("name")
    for line in (given.text("path") or "").splitlines():
        text = line.strip()
        wanted = job.value(text) if text else ""
        pattern = pattern_of(wanted) if wanted else None
        if pattern:
            paths += folder_patterns(pattern)
        elif text:
            given.left("path", f"artifact {text[:80]}", "a pattern in the workspace")
            good = False
    days = given.text("retention-days")
    keep = f"{days}d" if days and days.isdigit() and int(days) else ""
    optional = given.text("if-no-files-found") in (None, "warn", "ignore")
    job.draft.artifact(paths, keep=keep, optional=optional)
    for word in ("compression-level", "overwrite", "include-hidden-files"):
        given.needless(word, "artifacts are kept by their content")
    return good


def download(given: Part, job: Job) -> bool:
    name = given.text("name") or given.text("pattern") or ""
    path = given.text("path")
    for word in ("merge-multiple", "github-token", "run-id"):
        given.needless(word, "artifacts come with 'needs'")
    producers = job.producer(name)
    for one in producers:
        if one in job.draft.needs or one != job.draft.name:
            job.draft.needs[one] = True
    if path and path not in (".", "./"):
        given.look("path", f"the artifacts are where they were made, not in {path[:60]}", "move them in a step")
    if not producers:
        given.say(
            Kind.LEFT,
            given.at,
            f"artifact {name[:60]!r}: no job of these files uploads it",
            "write 'needs' by hand",
            key=True,
        )
        return False
    return True


def build_push(given: Part, job: Job) -> bool:
    good = True
    context = given.text("context") or "."
    made: dict[str, object] = {}
    tags = (given.text("tags") or "").replace(",", "\n").split()
    first = tags[0] if tags else ""
    name = re.sub(r"\$\{\{.*?\}\}/?", "", first).rpartition(":")[0] or re.sub(r"\$\{\{.*?\}\}/?", "", first)
    name = "/".join(part for part in name.split("/") if "." not in part and ":" not in part).strip("/-_. ") or "image"
    made["name"] = name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) else "image"
    folder = pattern_of(context.rstrip("/") or ".")
    if folder and folder != "**":
        made["context"] = folder
    file = given.text("file")
    dockerfile = pattern_of(file) if file else (f"{folder}/Dockerfile" if folder and folder != "**" else None)
    if dockerfile and dockerfile != "Dockerfile":
        made["dockerfile"] = dockerfile
    if (folder is None and context != ".") or (file and dockerfile is None):
        given.left("context", f"builds {context[:60]}", "a folder of the workspace")
        good = False
    target = given.text("target")
    if target and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", target):
        made["target"] = target
    arguments: dict[str, str] = {}
    for line in (given.text("build-args") or "").splitlines():
        variable, equals, text = line.strip().partition("=")
        value = job.value(text) if equals else None
        if value is not None and re.fullmatch(r"[A-Za-z_]\w*", variable):
            arguments[variable] = value
        elif line.strip():
            given.left("build-args", f"build argument {line.strip()[:60]}", "write it by hand")
            good = False
    if arguments:
        made["arguments"] = arguments
    for word, why in (
        ("push", "pushed to the registry that is configured"),
        ("tags", "an image is known by its digest"),
        ("load", "kept by digest"),
        ("cache-from", "the node keeps its layers"),
        ("cache-to", "the node keeps its layers"),
        ("labels", "known by its digest"),
        ("pull", "the node decides"),
        ("provenance", "Farmgate records where an image comes from"),
        ("builder", "the node's"),
        ("sbom", "see reports.cyclonedx"),
        ("no-cache", "the node decides"),
        ("github-token", "not needed"),
        ("annotations", "known by its digest"),
    ):
        given.needless(word, why)
    platforms = given.text("platforms")
    if platforms and platforms != "linux/amd64":
        given.left("platforms", f"platforms {platforms[:60]}", "images are built for the node's own kind")
        good = False
    for word in ("secrets", "outputs", "build-contexts", "ssh"):
        if word in given:
            good = False
            given.left(word, f"{word} of the build", "write it by hand")
    job.draft.builds.append(made)
    return good


def lint_go(given: Part, job: Job) -> bool:
    version = given.text("version") or "latest"
    plain = version if version == "latest" or version.startswith("v") else f"v{version}"
    plain = plain if re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+|latest", plain) else "latest"
    more = job.value(given.text("args") or "") or ""
    folder = pattern_of(given.text("working-directory") or "") or "."
    for word in (
        "only-new-issues",
        "skip-cache",
        "skip-pkg-cache",
        "skip-build-cache",
        "skip-go-installation",
        "github-token",
        "install-mode",
        "verify",
    ):
        given.needless(word, "an option of the action itself")
    more_keys = {"image": f"golangci/golangci-lint:{plain}"}
    if folder not in (".", "**"):
        more_keys["working_directory"] = folder
    job.run(f"golangci-lint run {more}".strip(), name="golangci-lint", **more_keys)
    return True


def command(line: str, *take: str) -> Action:
    """An action that is a command; `{key}` is what `with` says of it."""

    def convert(given: Part, job: Job) -> bool:
        values = {key: given.text(key) or "" for key in take}
        job.run(re.sub(r"\{(\w[\w-]*)\}", lambda m: values.get(m[1], m[0]), line).strip())
        return True

    return convert


def with_pip(line: str, *take: str) -> Action:
    """A command whose tool is installed by pip: a job without a language is given Python's image."""
    run = command(line, *take)

    def convert(given: Part, job: Job) -> bool:
        _python_for(given, job, given.text("python-version") if "python-version" not in take else None)
        return run(given, job)

    return convert


def _python_for(given: Part, job: Job, version: str | None) -> None:
    if job.language is None:
        job.language, job.draft.image = "python", _image("python", job.value(version or ""), given, job)
    elif job.language != "python":
        text = f"pip is needed, and the image is {job.draft.image}"
        given.say(Kind.LOOK, given.at, text, "use an image that has both", key=True)


def setup_uv(given: Part, job: Job) -> bool:
    """By pip in Python's image, which a job without a language is given; elsewhere by uv's own installer."""
    version, wanted = given.text("version"), given.text("python-version")
    _taken(given)
    if job.language is None:
        job.language, job.draft.image = "python", _image("python", job.value(wanted or ""), given, job)
    if job.language == "python":
        exact = version if version and re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) else None
        job.run(f"pip install uv{f'=={exact}' if exact else ''}")
    else:
        job.run("curl -LsSf https://astral.sh/uv/install.sh | sh", name="uv")
    return True


def rust(given: Part, job: Job) -> bool:
    version = given.text("toolchain") or "stable"
    return setup("rust", "toolchain")(
        Part(given.account, given.document, given.at, {**given.value, "toolchain": version}), job
    ) and _taken(given)


def _taken(given: Part) -> bool:
    for key in given.names():
        given.take(key)
    return True


def rust_cache(given: Part, job: Job) -> bool:
    _taken(given)
    job.draft.cache("cargo", ["target"], ["**/Cargo.lock", "**/Cargo.toml"])
    return True


def gradle(given: Part, job: Job) -> bool:
    arguments = given.text("arguments")
    _taken(given)
    job.draft.cache(*_CACHES["gradle"])
    if arguments:
        job.run(f"./gradlew {arguments}")
    return True


def pnpm(given: Part, job: Job) -> bool:
    version = given.text("version")
    given.take("run_install")
    given.take("package_json_file")
    job.run(f"npm install --global pnpm{f'@{version}' if version else ''}", name="pnpm")
    return True


def test_report(given: Part, job: Job) -> bool:
    words = [given.text(key) or "" for key in ("files", "path", "report_paths", "junit_files", "test-results", "paths")]
    patterns = [
        found for word in words for one in re.split(r"[\n,]+", word) if one.strip() and (found := pattern_of(one))
    ]
    _taken(given)
    if not patterns:
        given.say(Kind.LEFT, given.at, "test results without a path", "name them in 'reports: {junit: ...}'", key=True)
        return False
    job.draft.report("junit", patterns)
    return True


def install_tool(given: Part, job: Job) -> bool:
    tools = re.split(r"[\s,]+", given.text("tool") or "")
    names = [tool.partition("@")[0] for tool in tools if tool]
    job.run(f"cargo install --locked {' '.join(quoted(name) for name in names)}" if names else "true")
    return bool(names)


KNOWN: Final[Mapping[str, Action]] = {
    "actions/checkout": checkout,
    "actions/cache": cache,
    "actions/cache/restore": cache,
    "actions/cache/save": cache,
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
    "actions/setup-python": setup("python", "python-version"),
    "actions/setup-node": setup("node", "node-version"),
    "actions/setup-go": setup("go", "go-version"),
    "actions/setup-java": setup("java", "java-version"),
    "actions/setup-dotnet": setup("dotnet", "dotnet-version"),
    "actions/setup-ruby": setup("ruby", "ruby-version"),
    "ruby/setup-ruby": setup("ruby", "ruby-version"),
    "shivammathur/setup-php": setup("php", "php-version"),
    "erlef/setup-beam": setup("elixir", "elixir-version"),
    "erlef/setup-elixir": setup("elixir", "elixir-version"),
    "haskell/actions/setup": setup("haskell", "ghc-version"),
    "haskell-actions/setup": setup("haskell", "ghc-version"),
    "oven-sh/setup-bun": setup("bun", "bun-version"),
    "denoland/setup-deno": setup("deno", "deno-version"),
    "dart-lang/setup-dart": setup("dart", "sdk"),
    "julia-actions/setup-julia": setup("julia", "version"),
    "crystal-lang/install-crystal": setup("crystal", "crystal"),
    "r-lib/actions/setup-r": setup("r", "r-version"),
    "shogo82148/actions-setup-perl": setup("perl", "perl-version"),
    "actions-rs/toolchain": rust,
    "actions-rust-lang/setup-rust-toolchain": rust,
    "dtolnay/rust-toolchain": rust,
    "hecrj/setup-rust-action": rust,
    "swatinem/rust-cache": rust_cache,
    "leafo/gh-actions-rust-cache": rust_cache,
    "actions-rs/cargo": command("cargo {command} {args}", "command", "args", "toolchain", "use-cross"),
    "actions-rs/clippy-check": command("cargo clippy {args}", "args", "token", "name"),
    "actions-rs/audit-check": command("cargo install --locked cargo-audit && cargo audit", "token"),
    "rustsec/audit-check": command("cargo install --locked cargo-audit && cargo audit", "token"),
    "embarkstudios/cargo-deny-action": command(
        "cargo install --locked cargo-deny && cargo deny check {arguments}", "command", "arguments", "log-level"
    ),
    "taiki-e/install-action": install_tool,
    "dtolnay/install": command("cargo install --locked {crate}", "crate", "bin"),
    "baptiste0928/cargo-install": command("cargo install --locked {crate}", "crate", "version"),
    "taiki-e/cache-cargo-install-action": install_tool,
    "briansmith/actions-checkout": checkout,
    "briansmith/actions-rs-toolchain": rust,
    "golangci/golangci-lint-action": lint_go,
    "pre-commit/action": with_pip(
        "pip install pre-commit\npre-commit run --show-diff-on-failure --color=always {extra_args}",
        "extra_args",
        "token",
    ),
    "psf/black": with_pip("pip install black\nblack {options} {src}", "options", "src", "version"),
    "astral-sh/ruff-action": with_pip("pip install ruff\nruff {args} {src}", "args", "src", "version"),
    "chartboost/ruff-action": with_pip("pip install ruff\nruff check {args} {src}", "args", "src", "version"),
    "astral-sh/setup-uv": setup_uv,
    "snok/install-poetry": with_pip(
        "pip install poetry", "version", "virtualenvs-create", "virtualenvs-in-project", "installer-parallel"
    ),
    "abatilo/actions-poetry": with_pip("pip install poetry", "poetry-version"),
    "pdm-project/setup-pdm": with_pip("pip install pdm", "python-version", "cache", "version"),
    "hynek/setup-cached-uv": setup_uv,
    "pnpm/action-setup": pnpm,
    "bahmutov/npm-install": command("npm ci", "useLockFile", "useRollingCache", "install-command", "working-directory"),
    "gradle/gradle-build-action": gradle,
    "gradle/actions/setup-gradle": gradle,
    "docker/build-push-action": build_push,
    "enricomi/publish-unit-test-result-action": test_report,
    "mikepenz/action-junit-report": test_report,
    "dorny/test-reporter": test_report,
    "ibiqlik/action-yamllint": with_pip(
        "pip install yamllint\nyamllint {file_or_dir}", "file_or_dir", "config_file", "strict"
    ),
    "ludeeus/action-shellcheck": command("find . -name '*.sh' -exec shellcheck {} +", "scandir", "severity"),
}


def key_of(uses: str) -> tuple[str, str]:
    """An action's name, and its version."""
    name, _, version = uses.partition("@")
    return name.strip().lower().removesuffix("/"), version
