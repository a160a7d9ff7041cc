"""Plugins: images that are told what to do by their settings.

Rules:
1. One that builds images is one of `builds`; what only sends the image is needless.
2. One that caches folders is a cache; one that restores and one that rebuilds are the same cache.
3. Any other is left, with its name.

Follows the pages of the plugins in Woodpecker's and Drone's index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing import caches
from farmgate.importing.account import Kind, Part, flat
from farmgate.importing.draft import Draft, good_variable, pattern_of
from farmgate.importing.woodpecker.matrix import Matrix

_BUILDERS: Final = (
    "plugin-docker-buildx",
    "plugins/docker",
    "plugin-docker",
    "plugins/kaniko",
    "plugin-kaniko",
    "drone-docker",
    "buildx",
)


def plugin(step: Part, draft: Draft, name: str, image: str, matrix: Matrix) -> None:
    """Convert a step that has settings and no commands, and count it."""
    value = step.take("settings")
    settings = step.below("settings", value if isinstance(value, dict) else {})
    called = re.sub(r"[:@].*", "", image)
    if any(word in image for word in _BUILDERS):
        _build(settings, draft, matrix)
    elif called.endswith("drone-cache") and "mount" in settings:
        _cache(settings, draft)
    else:
        remedy = "write what it does as commands, or leave it to a lane"
        step.say(Kind.LEFT, step.at, f"step {name}: plugin {called[:60]}", remedy, key=True)
        step.account.step_left(f"plugin {called.rpartition('/')[2][:40]}")
        return
    step.account.converted += 1


def _cache(settings: Part, draft: Draft) -> None:
    """Rule 2."""
    paths = caches.paths(settings, "mount")
    plain, files = caches.name_and_files(settings.text("cache_key") or "cache")
    for one in settings.names():
        if one not in ("mount", "cache_key"):
            settings.needless(one, "Farmgate keeps its caches in the blob store")
    draft.cache(plain, paths, files)


def _build(settings: Part, draft: Draft, matrix: Matrix) -> None:
    """Rule 1."""
    repo = next(iter(settings.texts("repo")), "image")
    name = "/".join(part for part in repo.split("/") if not re.search(r"[.$:]", part)) or "image"
    made: dict[str, Any] = {"name": name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) else "image"}
    for key in ("dockerfile", "context"):
        path = pattern_of(matrix.put_in(settings.text(key) or "")) if key in settings else None
        if path and path not in ("**", "Dockerfile"):
            made[key] = path
    target = settings.text("target")
    if target and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", target):
        made["target"] = target
    arguments = {**_arguments(settings, "build_args"), **_arguments(settings, "build-args")}
    if arguments:
        made["arguments"] = arguments
    platforms = settings.texts("platforms")
    if platforms and not all("amd64" in one for one in platforms):
        settings.look("platforms", "images are built for the node's own kind", "a job for each kind, with 'labels'")
    for key in settings.names():
        if key not in ("repo", "dockerfile", "context", "target", "build_args", "build-args", "platforms"):
            settings.needless(key, "Farmgate pushes by digest to the registry that is configured")
    draft.builds.append(made)


def _arguments(settings: Part, key: str) -> dict[str, str]:
    """The arguments of a build: a mapping, or a list of `NAME=value`."""
    raw: Any = settings.take(key)
    entries: Mapping[str, Any] = (
        raw if isinstance(raw, dict) else dict((as_written(one) or "").partition("=")[::2] for _, one in flat(raw, ()))
    )
    found = {}
    for variable, text in entries.items():
        plain = as_written(text)
        if plain is not None and good_variable(variable) and "$" not in plain:
            found[variable] = plain
        else:
            settings.left(key, f"build argument {variable[:60]}", "write it by hand")
    return found
