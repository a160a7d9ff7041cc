"""Where artifacts of several jobs lie beside each other: in the archive as in the folder that they are fetched to."""

from __future__ import annotations

from collections.abc import Collection


def folder_of(job: str, taken: Collection[str]) -> str:
    """A folder's name for a job: its own, in one part and never hidden; with a number where another one has it."""
    name = plain = job.replace("/", "-").lstrip(".") or "job"
    number = 1
    while name in taken:
        number += 1
        name = f"{plain}-{number}"
    return name
