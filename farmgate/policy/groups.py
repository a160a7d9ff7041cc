"""The file of a group: lanes that go together, in the order in which a later one needs the earlier ones.

Rules:
1. What is unknown is refused, each problem at its place; nothing is guessed.
2. A lane is named whole, as application/environment, and once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from farmgate.documents import Document, read, validate
from farmgate.errors import Problem
from farmgate.pipeline.values import Name
from farmgate.policy.values import Written

MOST_LANES: Final = 20
"""So many lanes go together at most: the slowest of them sets the pace of all."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group as it is to be."""

    name: str
    lanes: tuple[str, ...]


def _lane(text: str) -> str:
    application, slash, environment = text.partition("/")
    if not (application and slash and environment) or "/" in environment or any(each.isspace() for each in text):
        raise ValueError(f"{text[:80]!r} names no lane: say application/environment, as in shop/production")
    return text


class GroupFile(Written):
    """The whole file."""

    group: Name
    lanes: Annotated[
        tuple[Annotated[str, Field(max_length=201), AfterValidator(_lane)], ...],
        Field(min_length=1, max_length=MOST_LANES),
    ]


def parse_group(text: str | bytes, source: str = "together.yml") -> Group:
    """The group of a file. Raises BadDocument with every problem."""
    document = read(text, source)
    file = validate(document, GroupFile)
    document.refuse(_twice(document, file))
    return Group(file.group, file.lanes)


def _twice(document: Document, file: GroupFile) -> Iterator[Problem]:
    for index, lane in enumerate(file.lanes):
        if lane in file.lanes[:index]:
            yield document.problem(("lanes", index), f"{lane} stands here twice")
