"""What an action is to the importer, and what it sees of the job that it stands in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from farmgate.importing.account import Part
from farmgate.importing.draft import Draft


class Job(Protocol):
    """The job that a step stands in, as an action sees it."""

    language: str | None

    @property
    def draft(self) -> Draft:
        """The job that is being made."""
        ...

    def run(self, command: str, **more: str) -> None:
        """Add commands, which may hold GitHub's expressions."""
        ...

    def value(self, text: str) -> str | None:
        """A value with its expressions put in; None (and a remark) if they cannot be."""
        ...

    def producer(self, name: str) -> list[str]:
        """The jobs that upload an artifact of this name."""
        ...


Action = Callable[[Part, Job], bool]
"""Converts `with`; False if it had to leave something of the step."""


def take_all(given: Part) -> bool:
    """Every key of `with` is taken: the action stands for all of them."""
    for key in given.names():
        given.take(key)
    return True
