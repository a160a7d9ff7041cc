"""What is known of orbs: their jobs and commands that are one plain thing, and executors that are a language.

Rules:
1. What an orb does beyond its usual command is not known: what converts is told to be looked at.
2. A command that installs a language is the image of that language, where the job has no other.

Follows the pages of the orbs in CircleCI's registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing import images
from farmgate.importing.draft import Draft, good_image

JOBS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {  # name -> image, commands
    "node/test": ("node:22", ("npm ci", "npm test")),
    "node/run": ("node:22", ("npm ci",)),
    "python/test": ("python:3", ("pip install -r requirements.txt", "python -m pytest")),
    "maven/test": ("maven:3", ("mvn verify",)),
    "gradle/test": ("gradle:8", ("./gradlew test",)),
    "rust/lint-test-build": ("rust:1", ("cargo clippy", "cargo test", "cargo build --release")),
}
_COMMANDS: Final[Mapping[str, str]] = {
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
_GO_CACHE: Final = re.compile(r"go/(?:load|save)-cache")
_GO_FOLDERS: Final = re.compile(r"(?:/go|~/go|/home/circleci/go|.*\.go_workspace)/pkg(?:/mod)?")
GO_CACHE: Final = "~/.cache/go-mod"
GO_EXPORT: Final = 'export GOMODCACHE="$HOME/.cache/go-mod"'


def is_go_cache(text: str) -> bool:
    """True for a folder where Go keeps its modules in CircleCI's images."""
    return _GO_FOLDERS.fullmatch(text) is not None


def caches_go(text: str) -> bool:
    """True if a word of a job's steps says that Go's modules are kept from run to run."""
    return bool(_GO_CACHE.search(text) or _GO_FOLDERS.search(text))


def command(name: str, body: Any, draft: Draft, look: Callable[[str], None]) -> bool:
    """Convert a command of an orb into the draft, and say what to look at; False if it is not known."""
    image = _installs(name, body)
    if _GO_CACHE.fullmatch(name):
        look("a cache of the modules")
        draft.cache("go-mod", [GO_CACHE], ["go.sum"])
    elif image and good_image(image) and draft.image in (None, images.PLAIN):  # rule 2
        look(f"the image is {image}")
        draft.image = image
    elif name in _COMMANDS:
        look("its usual command")
        draft.step(_COMMANDS[name])
    else:
        return False
    return True


def _installs(name: str, body: Any) -> str | None:
    if name == "go/install" and isinstance(body, dict) and (version := as_written(body.get("version"))):
        return f"golang:{version}"
    java = re.fullmatch(r"[\w-]+/install-(?:java|jdk|openjdk)-?([0-9]+)", name)
    return f"maven:3-eclipse-temurin-{java[1]}" if java else None
