"""The files that are converted: which format they are, and how they are read.

Rules:
1. A file is known by its path, as the systems themselves know it.
2. It is read by the same reader as ours: with places, `on:` as text, no key twice.
3. GitLab's `!reference [job, key]` is read as a list that begins with a word of ours, at the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from farmgate.documents import Document, read

REFERENCE: Final = "!ref"


class Format(StrEnum):
    """What wrote a file."""

    TRAVIS = "travis"
    CIRCLECI = "circleci"
    GITLAB = "gitlab"
    GITHUB = "github"
    WOODPECKER = "woodpecker"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it stands in the repository: its path there, and its text."""

    path: str
    text: str | bytes


def format_of(path: str) -> Format | None:
    """The format, by the path (rule 1)."""
    pure = PurePosixPath(path.replace("\\", "/"))
    parts, name = pure.parts, pure.name
    if name in (".travis.yml", ".travis.yaml"):
        return Format.TRAVIS
    if name in (".gitlab-ci.yml", ".gitlab-ci.yaml"):
        return Format.GITLAB
    if name in (".woodpecker.yml", ".woodpecker.yaml"):
        return Format.WOODPECKER
    if pure.suffix not in (".yml", ".yaml"):
        return None
    if ".circleci" in parts:
        return Format.CIRCLECI
    if ".woodpecker" in parts:
        return Format.WOODPECKER
    if ".github" in parts or ".gitea" in parts or ".forgejo" in parts:
        return Format.GITHUB if "workflows" in parts else None
    return None


def document_of(source: Source, of: Format) -> Document:
    """Read a source. Raises BadDocument."""
    text = source.text.decode("utf-8-sig", errors="replace") if isinstance(source.text, bytes) else source.text
    if of is Format.GITLAB:
        text = re.sub(r"!reference \[", f"['{REFERENCE}',    ", text)
    text = text.replace("!!merge <<:", "<<:")
    text = re.sub(r"^---[ \t]*\n", "\n", text, count=1) if of is Format.GITLAB else text
    return read(text, source.path)
