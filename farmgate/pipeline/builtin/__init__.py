"""The templates that come with Farmgate, as files beside this module."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final

from farmgate.documents import nearest
from farmgate.errors import NotFound
from farmgate.pipeline.templates import Found, Templates
from farmgate.pipeline.use import UseFile

NAMES: Final = ("container-service", "go-service", "node-service", "python-service", "static-site")


class BuiltIn:
    """Only these: what `farmgate pipeline` knows without a server."""

    def find(self, use: UseFile, *, nested: bool) -> Found:
        if use.template in NAMES and use.version is None:
            return built_in(use.template)
        if use.template in NAMES:
            raise NotFound(f"template {use.template!r} comes with Farmgate and has no versions: leave 'version' out")
        raise NotFound(unknown(use, NAMES) + ": templates of a farm are looked up with --server")


def built_in(name: str) -> Found:
    """One of NAMES."""
    text = (resources.files(__package__) / f"{name}.yml").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    return Found(text, f"{name} (built in)", {"name": name, "revision": "built in", "sha256": digest})


def unknown(use: UseFile, known: Sequence[str]) -> str:
    """What to say of a template that nobody knows."""
    if use.template is None:
        return f"{use} is not known here"
    hint = nearest(use.template, known, otherwise=f"known here: {', '.join(known)}")
    return f"there is no template {use.template!r} ({hint})"


BUILT_IN: Final[Templates] = BuiltIn()
