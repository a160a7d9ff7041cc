"""The example's files, from the checkout or from the installed package, made to fit this machine. Pure but for reading.

The demo's pipeline and policy are the ones of `examples/shop`; only the image's name, the ports and, without an engine,
the target's type are changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import farmgate
from farmgate.errors import NotFound

IN_REPOSITORY = (".farmgate.yml", "app.py", "catalogue.py", "payments.py", "test_shop.py")
POLICY = "delivery.yml"
IMAGE = "python:3.12-slim"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the shop will run. `image` is None without an engine."""

    image: str | None
    staging: str  # host:port
    production: str


def folder() -> Path:
    """Where the example lies. Raises NotFound."""
    package = Path(farmgate.__file__).resolve().parent
    for candidate in (package.parent / "examples" / "shop", package / "examples" / "shop"):
        if (candidate / POLICY).is_file():
            return candidate
    raise NotFound(f"the example that the demo needs is not below {package.parent}: get the whole checkout")


def repository_files(place: Place) -> Mapping[str, str]:
    """What the first commit holds."""
    texts = {name: (folder() / name).read_text(encoding="utf-8") for name in IN_REPOSITORY}
    if place.image is not None:
        texts[".farmgate.yml"] = texts[".farmgate.yml"].replace(IMAGE, place.image)
    return texts


def policy(place: Place) -> str:
    """The two lanes' policy."""
    text = (folder() / POLICY).read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8471", place.staging).replace("127.0.0.1:8472", place.production)
    if place.image is not None:
        return text.replace(IMAGE, place.image)
    text = text.replace("type: docker", "type: process")
    return re.sub(r"^  (image|port): .*\n", "", text, flags=re.MULTILINE)
