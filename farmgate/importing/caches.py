"""What the caches of other systems have in common: paths, and keys that are made of a file's hash.

Rules:
1. A path that no cache can hold is left, with its place; the others are kept.
2. A key of ours is a name and files: what the source's key computes of anything else says nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from farmgate.importing.account import Part
from farmgate.importing.draft import cache_path, pattern_of
from farmgate.importing.shell import summary

PATH_REMEDY = "a path in the workspace, or below the home as ~/..."


def paths(part: Part, key: str, texts: Iterable[str] | None = None) -> list[str]:
    """The paths that stand at a key (or `texts`, where they were changed before), as ours (rule 1)."""
    found = []
    for text in part.texts(key) if texts is None else texts:
        path = cache_path(text)
        if path is None:
            part.left(key, f"cache of {summary(text)}", PATH_REMEDY)
        else:
            found.append(path)
    return found


def name_and_files(key: str) -> tuple[str, list[str]]:
    """`v1-{{ checksum "go.sum" }}` as ("v1", ["go.sum"]): CircleCI's words, and those of Drone's plugin (rule 2)."""
    files = [found for name in re.findall(r"checksum\s+[\"']([^\"']+)[\"']", key) if (found := pattern_of(name))]
    plain = re.sub(r"-{2,}", "-", re.sub(r"\{\{.*?\}\}|<<.*?>>", "", key)).strip("-_/ ")
    return plain or "cache", files
