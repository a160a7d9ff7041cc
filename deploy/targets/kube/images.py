"""Images by digest: what the manifests call by name is set to what the candidate brought. Pure.

Rules:
1. A policy maps an image's name, as the manifests write it without tag and digest, to an artifact of the candidate. The
   artifact is an image by digest, or a file that holds one: as a registry, `docker buildx --iidfile` or
   `--metadata-file` wrote it.
2. Every container of every object is looked at, wherever it stands: also in kinds that nobody here knows.
3. A name of the policy that no manifest uses is refused: it would be believed to be delivered.
4. What the policy does not name stays as it is. Images that no digest pins are told, because what runs then depends on
   the hour at which a node pulled it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from deploy.targets.kube.objects import Object, Unfit

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
FILE_LIMIT: Final = 64 * 1024
_LISTS: Final = ("containers", "initContainers")


@dataclass(frozen=True, slots=True)
class Pinned:
    """The objects with their digests; `loose`: images that are called by a tag alone."""

    objects: tuple[Object, ...]
    loose: tuple[str, ...]


def pinned(objects: list[Object], digests: Mapping[str, str]) -> Pinned:
    """`digests`: an image's name -> sha256:... or another name with a digest. Raises Unfit (rule 3)."""
    changed = deepcopy(objects)
    used: set[str] = set()
    loose: dict[str, None] = {}
    for container in _containers(changed):
        image = container.get("image")
        if not isinstance(image, str):
            continue
        name = name_of(image)
        if name in digests:
            wanted = digests[name]
            container["image"] = wanted if "@" in wanted else f"{name}@{wanted}"
            used.add(name)
        elif "@" not in image:
            loose[image] = None
    unused = sorted(set(digests) - used)
    if unused:
        there = sorted({name_of(each["image"]) for each in _containers(changed) if isinstance(each.get("image"), str)})
        raise Unfit(
            f"`images` names {', '.join(unused)}, which no manifest uses; they use {', '.join(there[:20]) or 'none'}"
        )
    return Pinned(tuple(changed), tuple(loose))


def name_of(image: str) -> str:
    """Without tag and digest. A colon after the last slash begins a tag; one before it a registry's port."""
    plain = image.partition("@")[0]
    head, slash, tail = plain.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def digest_in(text: bytes, artifact: str) -> str:
    """The image that a file names. Raises Unfit."""
    words = text.decode(errors="replace").strip()
    if words.startswith("{"):
        try:
            said = json.loads(words)
        except ValueError:
            said = {}
        words = str(said.get("containerimage.digest", "")) if isinstance(said, dict) else ""
    plain, at, digest = words.rpartition("@")
    if not _DIGEST.fullmatch(digest) or (at and not _named(plain)):
        raise Unfit(
            f"the artifact {artifact} names no image by digest: it must hold sha256:<64 hex>, name@sha256:<64 hex>, or "
            "what `docker buildx build --metadata-file` wrote"
        )
    return f"{name_of(plain)}@{digest}" if at else digest


def _named(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}", text))


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a list that is called containers or initContainers."""
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, list):
            stack.extend(reversed(here))
        elif isinstance(here, dict):
            for key in _LISTS:
                listed = here.get(key)
                if isinstance(listed, list):
                    yield from (each for each in listed if isinstance(each, dict))
            stack.extend(reversed(list(here.values())))
