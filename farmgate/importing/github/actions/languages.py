"""Actions that install a language: the job's image, and what else they do at once.

Rules:
1. A job has one image: the first language gives it; a second one is left.
2. A version that has no image of its own is told, with the image that is taken.
"""

from __future__ import annotations

import re
from typing import Final

from farmgate.importing import images
from farmgate.importing.account import Kind, Part
from farmgate.importing.github.actions.action import Action, Job, take_all
from farmgate.importing.github.actions.tools import command

CACHES: Final[dict[str, tuple[str, list[str], list[str]]]] = {
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
_OPTIONS: Final = (
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
)


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
            own = {"go": "go", "ruby": "bundler"}.get(language, "")
            known = CACHES.get(own if word in ("true", "false") else word)
            if known is not None:
                job.draft.cache(*known)
        for word in _OPTIONS:
            good = _option(given, job, language, word) and good
        return good

    return convert


def _option(given: Part, job: Job, language: str, word: str) -> bool:
    """What an option of a language's action asks for; False if it is left."""
    value = given.take(word)
    if word == "bundler-cache" and value:
        job.run("bundle install")
    elif word in ("components", "targets", "target") and value and language == "rust":
        what = "component" if word == "components" else "target"
        _rustup(job, what, str(value))
    elif word in ("extensions", "tools") and value and language == "php":
        given.left(word, f"PHP's {word}: {str(value)[:80]}", "use an image that has them")
        return False
    elif word in ("registry-url", "otp-version") and value:
        given.look(word, f"{word} is not converted", "set it up in a step")
    return True


def _rustup(job: Job, what: str, wanted: str) -> None:
    """Components or targets, a list by spaces or commas; which of them may be the matrix' affair."""
    text = job.value(wanted)
    ones = re.split(r"[\s,]+", text.strip()) if text else []
    if text is None:
        job.run(f"rustup {what} add {wanted}")  # which is left, with what it asks for
    elif "${{" in text:
        job.run(f"for one in $(printf %s '{text}' | tr , ' '); do rustup {what} add \"$one\"; done")
    elif ones:
        job.run("\n".join(f"rustup {what} add {one}" for one in ones if one))


def rust(*keys: str) -> Action:
    """An action that installs Rust; the first of these keys that is given holds the toolchain."""

    def convert(given: Part, job: Job) -> bool:
        version = next((text for key in keys if (text := given.text(key))), "stable")
        whole = Part(given.account, given.document, given.at, {**given.value, "toolchain": version})
        good = setup("rust", "toolchain")(whole, job)
        return take_all(given) and good

    return convert


def setup_uv(given: Part, job: Job) -> bool:
    """By pip in Python's image, which a job without a language is given; elsewhere by uv's own installer."""
    version, wanted = given.text("version"), given.text("python-version")
    take_all(given)
    if job.language is None:
        job.language, job.draft.image = "python", _image("python", job.value(wanted or ""), given, job)
    if job.language == "python":
        exact = version if version and re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) else None
        job.run(f"pip install uv{f'=={exact}' if exact else ''}")
    else:
        job.run("curl -LsSf https://astral.sh/uv/install.sh | sh", name="uv")
    return True


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


def with_pip(line: str, *take: str) -> Action:
    """A command whose tool is installed by pip: a job without a language is given Python's image."""
    run = command(line, *take)

    def convert(given: Part, job: Job) -> bool:
        version = given.text("python-version") if "python-version" not in take else None
        _image_with("pip", "python", given, job, version)
        return run(given, job)

    return convert


def with_cargo(run: Action) -> Action:
    """An action whose tool cargo installs: a job without a language is given Rust's image."""

    def convert(given: Part, job: Job) -> bool:
        _image_with("cargo", "rust", given, job, None)
        return run(given, job)

    return convert


def _image_with(tool: str, language: str, given: Part, job: Job, version: str | None) -> None:
    if job.language is None:
        job.language, job.draft.image = language, _image(language, job.value(version or ""), given, job)
    elif job.language != language:
        text = f"{tool} is needed, and the image is {job.draft.image}"
        given.say(Kind.LOOK, given.at, text, "use an image that has both", key=True)
