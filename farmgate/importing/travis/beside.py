"""What stands beside a job's commands: services, packages, caches.

Rules:
1. A service that is known by its word becomes a container; a Docker engine and a screen are left.
2. Packages need root: they are left, as the image's own affair.

Follows "Setting up Databases", "Addons" and "Caching Dependencies" of Travis' documentation.
"""

from __future__ import annotations

from typing import Final

from farmgate.documents import as_written
from farmgate.importing import caches, services
from farmgate.importing.account import Part
from farmgate.importing.draft import Draft

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
_OUTSIDE: Final = (
    "sonarcloud",
    "sauce_connect",
    "code_climate",
    "coverity_scan",
    "browserstack",
    "artifacts",
    "ssh_known_hosts",
)


def beside(draft: Draft, part: Part) -> None:
    """Services, packages and caches that a file, or a job for itself, asks for."""
    _services(draft, part)
    _addons(draft, part)
    _cache(draft, part)


def _services(draft: Draft, part: Part) -> None:
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


def _addons(draft: Draft, part: Part) -> None:
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
    for key in _OUTSIDE:
        addons.left(key, f"{key} is a service of its own", "call its own program in a step, with a secret")
    addons.close("addons")


def _cache(draft: Draft, part: Part) -> None:
    words = []
    for at, one in part.listed("cache"):
        if isinstance(one, dict):
            below = Part(part.account, part.document, at, one)
            words += [key for key in below.names() if key not in ("directories", "timeout") and below.flag(key)]
            draft.cache("folders", caches.paths(below, "directories"))
            below.needless("timeout", "a cache that is late is not waited for")
            below.needless("edge", "an option of Travis' own")
            below.close("cache")
        elif isinstance(one, str):
            words.append(one)
    for word in words:
        if word in _CACHES:
            draft.cache(*_CACHES[word])
        elif word != "apt":
            part.left("cache", f"cache of {word[:40]!r}", "write it in 'caches'")
