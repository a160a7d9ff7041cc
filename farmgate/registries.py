"""The farm's own registry of images: what it is called, how images are named in it, and who may be let in. Pure.

Rules:
1. One registry for the whole farm: a host, perhaps with a port and a path. It is the control plane's setting; a node
   hears of it, and of its login, with the claim of a trusted job that needs it.
2. An image is pushed as REGISTRY/REPOSITORY/NAME, under a tag that no other content ever gets: the commit's beginning
   and the image's. What is kept and deployed is called by digest alone.
3. The login is given to the host that it was set for, and to no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_ADDRESS: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}@sha256:[0-9a-f]{64}")
"""An image by digest."""
_HUB: Final = "docker.io"


@dataclass(frozen=True, slots=True)
class Registry:
    """`user` and `password`: none where the registry asks for none, or the engine's own login is to be used."""

    address: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return self.address.partition("/")[0]

    def login_of(self, image: str) -> dict[str, str] | None:
        """What an engine is told to be let in for this image, as its API takes it (rule 3)."""
        if self.user is None or self.password is None or host_of(image) != self.host:
            return None
        return {"username": self.user, "password": self.password, "serveraddress": self.host}


def address(text: str) -> str:
    """The address of a registry, as settings give it. Raises ValueError."""
    if (
        _ADDRESS.fullmatch(text) is None
        or len(text) > 200
        or host_of(f"{text}/image") == _HUB != text.partition("/")[0]
    ):
        raise ValueError(
            f"{text[:100]!r} is not HOST, HOST:PORT or HOST/PATH, in lower case and without https://; a host has a dot "
            "or a port, such as registry.example.com/team"
        )
    return text


def host_of(image: str) -> str:
    """Where an image's name leads, by the rule of all engines: its first part, if that looks like a host."""
    first, slash, _ = image.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else _HUB


def place_of(registry: Registry, repository: str, name: str) -> str:
    """Where an image called `name` is pushed to, without its tag (rule 2)."""
    plain = name.partition("@")[0]
    head, slash, tail = plain.rpartition("/")
    parts = [repository, *f"{head}{slash}{tail.partition(':')[0]}".split("/")]
    return "/".join([registry.address, *(_component(part) for part in parts)])


def tag_of(sha: str, image_id: str) -> str:
    """A tag for this image alone (rule 2)."""
    return f"{sha[:12]}-{image_id.removeprefix('sha256:')[:12]}"


def _component(text: str) -> str:
    """A part of a registry's path: lower case, separators single and inside."""
    return (
        re.sub(r"[^a-z0-9]*([-._])[^a-z0-9]*", r"\1", re.sub(r"[^a-z0-9._-]", "-", text.lower())).strip("-._")
        or "image"
    )
